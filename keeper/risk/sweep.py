"""Many scenarios over many positions: what breaks, how much, when first. Memory O(U + S), never U x S."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from keeper.model import Shock
from keeper.risk import jit, plain
from keeper.risk.book import Book, Floats, Ints, Shelf
from keeper.risk.fused import GROUP, HEALTHY, UNKNOWN, Sides, Tally, fused
from keeper.risk.pruned import Tiles, Whole, pruned, tile
from keeper.risk.shocks import moved


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


def statistics(book: Book, prices: Floats, threads: int = 1) -> Statistics:
    """Every statistic under ``prices`` float64[F, S]. The result does not depend on ``threads``' timing.

    A position any of whose prices is NaN in any scenario is UNKNOWN: counted nowhere, healthy nowhere.
    """
    scenarios = prices.shape[1]
    padded, used = _padded(prices, GROUP)
    parts = _in_threads(split(book, padded), threads, lambda sides: _fuse(sides, padded))
    return Statistics(
        low=np.concatenate([p.low for p in parts]),
        worst=np.concatenate([p.worst for p in parts]),
        first=np.concatenate([p.first for p in parts]),
        count=_total([p.hits for p in parts])[:used][:scenarios],
        notional_usd=_total([p.notional for p in parts])[:used][:scenarios],
    )


def breaks(book: Book, prices: Floats, threads: int = 1) -> Statistics:
    """Counts, notional and first only, by interval bounds: identical, and several times faster for many
    scenarios.
    """
    if not jit.compiled() or not np.isfinite(prices).all() or not prices.size:
        return statistics(book, prices, threads)
    tiles = tile(prices)
    parts = _in_threads(split(book, prices), threads, lambda sides: _prune(sides, tiles))
    scenarios = prices.shape[1]
    count, notional = np.zeros(scenarios), np.zeros(scenarios)
    place = tiles.order[:scenarios]
    count[place] = _total([p.hits for p in parts])[:scenarios]
    notional[place] = _total([p.notional for p in parts])[:scenarios]
    none = np.zeros(0)
    first = np.concatenate([p.first for p in parts])
    return Statistics(low=none, worst=none.astype(np.int64), first=first, count=count, notional_usd=notional)


def expected_loss_usd(found: Statistics, probabilities: Floats, loss_share: float) -> float:
    """Sum over scenarios of probability x requirement liquidatable x share of it that a liquidation costs."""
    return float(found.notional_usd @ probabilities) * loss_share


def split(book: Book, prices: Floats) -> Sides:
    """The book with each row's entries by side; rows with a NaN constant, or a feed that is NaN anywhere,
    unknown.
    """
    owns, owes = book.a != 0.0, book.b != 0.0
    user = np.repeat(np.arange(len(book.a0)), np.diff(book.indptr))
    both = np.concatenate([user[owns] * 2, user[owes] * 2 + 1])
    order = np.argsort(both, kind="stable")
    ends = np.searchsorted(both[order], np.arange(2 * len(book.a0) + 1))
    bad = np.asarray(~np.isfinite(prices).all(axis=1), np.bool_)
    lost = np.zeros(len(book.a0), bool)
    lost[user[bad[book.feed]]] = True
    lost |= ~np.isfinite(book.a0 - book.b0)
    return Sides(
        start=np.ascontiguousarray(ends[::2]),
        middle=np.ascontiguousarray(ends[1::2]),
        feed=np.concatenate([book.feed[owns], book.feed[owes]])[order],
        weight=np.concatenate([book.a[owns], book.b[owes]])[order],
        a0=book.a0,
        b0=book.b0,
        known=(~lost).astype(np.int64),
    )


def _fuse(sides: Sides, prices: Floats) -> Tally:
    tally = _tally(len(sides.a0), prices.shape[1])
    if jit.compiled():
        fused(sides, prices, tally)
    else:
        plain.statistics(sides, prices, tally)
    return tally


def _prune(sides: Sides, tiles: Tiles) -> Tally:
    tally = _tally(len(sides.a0), tiles.prices.shape[1])
    feeds = tiles.prices.shape[0]
    pruned(
        sides,
        tiles,
        Whole(np.zeros(tiles.real), np.zeros(tiles.real), np.zeros((tiles.real, feeds))),
        tally,
    )
    return tally


def _tally(users: int, scenarios: int) -> Tally:
    return Tally(
        low=np.empty(users),
        worst=np.empty(users, np.int64),
        first=np.empty(users, np.int64),
        hits=np.zeros(scenarios),
        notional=np.zeros(scenarios),
    )


def _padded(prices: Floats, multiple: int) -> tuple[Floats, int]:
    """Prices with the last scenario repeated up to a multiple, and how many are real."""
    used = prices.shape[1]
    extra = -used % multiple
    if not extra:
        return np.ascontiguousarray(prices), used
    return np.ascontiguousarray(
        np.concatenate([prices, np.repeat(prices[:, -1:], extra, axis=1)], axis=1)
    ), used


def _in_threads(sides: Sides, threads: int, work: Callable[[Sides], Tally]) -> list[Tally]:
    """``work`` on contiguous shares of the positions; kernels release the GIL, so plain threads suffice."""
    users = len(sides.a0)
    threads = max(1, min(threads, users // 1024 or 1))
    if threads == 1:
        return [work(sides)]
    cuts = [users * n // threads for n in range(threads + 1)]
    shares = [_share(sides, lo, hi) for lo, hi in pairwise(cuts)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, shares))


def _share(sides: Sides, lo: int, hi: int) -> Sides:
    return sides._replace(
        start=np.ascontiguousarray(sides.start[lo : hi + 1]),
        middle=np.ascontiguousarray(sides.middle[lo:hi]),
        a0=sides.a0[lo:hi],
        b0=sides.b0[lo:hi],
        known=sides.known[lo:hi],
    )


def _total(parts: Sequence[Floats]) -> Floats:
    """Sum in the order of the parts, so that it never depends on which thread finished first."""
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
