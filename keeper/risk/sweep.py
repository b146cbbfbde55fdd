"""Many scenarios over many positions: what breaks, how much, when first. Memory O(U + S), never U x S."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from keeper.model import Shock
from keeper.risk import jit, plain
from keeper.risk.book import Book, Floats, Ints, Shelf
from keeper.risk.fused import fused
from keeper.risk.groups import GROUP, HEALTHY, UNKNOWN, Tally
from keeper.risk.pruned import Tiles, Whole, pruned, tile
from keeper.risk.shocks import moved
from keeper.risk.sides import Sides, split


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """``low`` float64[U] minimum health (NaN unknown, inf nothing to cover) and ``worst`` int64[U] its
    scenario; ``first`` int64[U] first scenario that liquidates, in the order given (``HEALTHY``,
    ``UNKNOWN``); ``count`` and ``notional_usd`` float64[S] positions liquidatable and their requirements.
    ``low`` and ``worst`` are empty after ``breaks``."""

    low: Floats
    worst: Ints
    first: Ints
    count: Floats
    notional_usd: Floats


def scenario_prices(shelf: Shelf, shocks: Sequence[Shock]) -> Floats:
    """float64[F, S] prices under each shock (moves by feed); NaN where the price or the shock is none."""
    factors = np.array([[1.0 + moved(s, f) for s in shocks] for f in shelf.feeds], np.float64)
    factors = factors.reshape(len(shelf.feeds), len(shocks))
    good = np.isfinite(factors) & (factors >= 0.0)
    return np.ascontiguousarray(np.where(good, factors, np.nan) * shelf.book.prices[:, None])


def statistics(book: Book, prices: Floats, threads: int = 1, *, single: bool = False) -> Statistics:
    """Every statistic under ``prices`` float64[F, S]. The result does not depend on ``threads``' timing.

    ``single`` sums in float32: ``count`` and ``first`` are the same, ``low`` and ``notional_usd`` off by what
    ``keeper.risk.single`` states. Measured no faster than float64, which looks at few groups anyway.
    A position any of whose prices is NaN in any scenario is UNKNOWN: counted nowhere, healthy nowhere.
    """
    scenarios = prices.shape[1]
    padded, used = _padded(prices, GROUP)
    total = _in_threads(
        split(book, padded), padded.shape[1], threads, lambda sides, t: _fuse(sides, padded, t, single)
    )
    return Statistics(
        low=total.low,
        worst=total.worst,
        first=total.first,
        count=total.hits[:used][:scenarios],
        notional_usd=total.notional[:used][:scenarios],
    )


PRUNE_USERS = 40_000
PRUNE_SCENARIOS = 256
"""Sizes from which interval bounds pay: below, the tiling of scenarios alone costs more than it saves (measured from
10 x 10 to 50,000 x 1,024: 0.02 to 0.96 of the speed; at 50,000 x 1,024 1.24, at 100,000 x 10,000 several times)."""


def breaks(book: Book, prices: Floats, threads: int = 1, *, prune: bool | None = None) -> Statistics:
    """Counts, notional and first only; where it pays (or ``prune``) by interval bounds, with the same result."""
    large = len(book.a0) >= PRUNE_USERS and prices.shape[1] >= PRUNE_SCENARIOS
    wanted = large if prune is None else prune
    none = np.zeros(0)
    if not wanted or not jit.compiled() or not np.isfinite(prices).all() or not prices.size:
        return replace(statistics(book, prices, threads), low=none, worst=none.astype(np.int64))
    tiles = tile(prices)
    padded = tiles.prices.shape[1]
    total = _in_threads(split(book, prices), padded, threads, lambda sides, t: _prune(sides, tiles, t))
    scenarios = prices.shape[1]
    count, notional = np.zeros(scenarios), np.zeros(scenarios)
    place = tiles.order[:scenarios]
    count[place] = total.hits[:scenarios]
    notional[place] = total.notional[:scenarios]
    return Statistics(
        low=none, worst=none.astype(np.int64), first=total.first, count=count, notional_usd=notional
    )


def expected_loss_usd(found: Statistics, probabilities: Floats, loss_share: float) -> float:
    """Sum over scenarios of probability x requirement liquidatable x share of it that a liquidation costs."""
    return float(found.notional_usd @ probabilities) * loss_share


def _fuse(sides: Sides, prices: Floats, tally: Tally, single: bool) -> None:
    if not jit.compiled():
        plain.statistics(sides, prices, tally)
    elif single:
        from keeper.risk.single import fused_single

        fused_single(sides, prices, tally)
    else:
        fused(sides, prices, tally)


def _prune(sides: Sides, tiles: Tiles, tally: Tally) -> None:
    feeds = tiles.prices.shape[0]
    whole = Whole(np.zeros(tiles.real), np.zeros(tiles.real), np.zeros((tiles.real, feeds)))
    pruned(sides, tiles, whole, tally)


def _padded(prices: Floats, multiple: int) -> tuple[Floats, int]:
    """Prices with the last scenario repeated up to a multiple, and how many are real."""
    used = prices.shape[1]
    extra = -used % multiple
    if not extra:
        return np.ascontiguousarray(prices), used
    return np.ascontiguousarray(
        np.concatenate([prices, np.repeat(prices[:, -1:], extra, axis=1)], axis=1)
    ), used


def _in_threads(sides: Sides, scenarios: int, threads: int, work: Callable[[Sides, Tally], None]) -> Tally:
    """``work`` on contiguous shares of the positions; kernels release the GIL, so plain threads suffice.

    Results by position go into shared arrays, each share to its own rows; those by scenario are added up in
    the order of the shares, so that nothing depends on which thread finished first.
    """
    users = len(sides.a0)
    low, worst, first = np.empty(users), np.empty(users, np.int64), np.empty(users, np.int64)
    threads = max(1, min(threads, users // 1024 or 1))
    cuts = [users * n // threads for n in range(threads + 1)]
    shares = [_share(sides, lo, hi) for lo, hi in pairwise(cuts)]
    parts = [Tally(low, worst, first, np.zeros(scenarios), np.zeros(scenarios)) for _ in shares]
    if threads == 1:
        work(shares[0], parts[0])
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, shares, parts))
    return parts[0]._replace(
        hits=_total([p.hits for p in parts]), notional=_total([p.notional for p in parts])
    )


def _share(sides: Sides, lo: int, hi: int) -> Sides:
    return sides._replace(
        start=np.ascontiguousarray(sides.start[lo : hi + 1]),
        middle=np.ascontiguousarray(sides.middle[lo:hi]),
        a0=sides.a0[lo:hi],
        b0=sides.b0[lo:hi],
        known=sides.known[lo:hi],
        row=sides.row[lo:hi],
    )


def _total(parts: Sequence[Floats]) -> Floats:
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


__all__ = [
    "HEALTHY",
    "UNKNOWN",
    "Statistics",
    "breaks",
    "expected_loss_usd",
    "scenario_prices",
    "split",
    "statistics",
]
