"""A whole book at once: what breaks under each shock, what breaks first, how concentrated the risk is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from keeper.model import LiquidationPrice, Shock
from keeper.risk import kernels
from keeper.risk.book import Floats, Shelf, build
from keeper.risk.bookfile import NamedBook
from keeper.risk.distance import Boundary, Nearest, nearest_all, one_price_all
from keeper.risk.factors import Factors, for_symbols
from keeper.risk.shocks import for_feeds
from keeper.risk.stake import expected_usd
from keeper.risk.sweep import scenario_prices, statistics

HORIZONS_DAYS = (1.0 / 24.0, 1.0, 7.0)
PART = 4096
"""Positions taken at a time: what a book of a million needs beyond its rows stays small, and progress shows."""
Advance = Callable[[int], None]
"""Told after each part how many positions it held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShockResult:
    """One shock over the book: health by position (None: nothing to cover; NaN: unknown), and what breaks."""

    name: str
    health: tuple[float | None, ...]
    liquidatable: int
    unknown: int
    notional_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """One position: health now, prices that liquidate, the most likely shock; ``days`` until interest or funding
    alone liquidates, None where no rate is known."""

    name: str
    health: float | None
    margin_usd: float
    prices: tuple[LiquidationPrice, ...]
    nearest: Nearest
    days: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """One position's probability of touching its boundary, and beta, by horizon; ``loss_usd`` is what one liquidation
    would take at the prices of now, None where its venue's rule is not known."""

    name: str
    by_horizon: tuple[Nearest, ...]
    loss_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """The book's risk: positions nearest first, concentration of the factors, the worst named shock."""

    touches: tuple[Touch, ...]
    contributions: tuple[tuple[str, float], ...]
    """Factor and share of the whole book's margin variance over a day; shares sum to 1."""
    hhi: float
    worst_shock: str | None
    worst_notional_usd: float
    unknown: tuple[str, ...]
    expected_loss_usd: tuple[float, ...] = ()
    """By horizon: sum of P(touch) x loss over the positions whose loss is known, the most that protecting them until
    then is worth."""


def shock(
    book: NamedBook, shocks: Sequence[Shock], advance: Advance | None = None
) -> tuple[ShockResult, ...]:
    """Every shock (written by asset) over every position, in their order."""
    symbols = {f: s for f, s in book.symbols.items() if f not in book.fixed}
    by_feed = [for_feeds(s, symbols) for s in shocks]
    healths: list[list[float | None]] = [[] for _ in shocks]
    count, notional = np.zeros(len(shocks)), np.zeros(len(shocks))
    unknown = np.zeros(len(shocks), np.int64)
    for _, shelf in _parts(book, advance):
        under = _under(shelf, by_feed, count, notional)
        unknown += np.isnan(under).sum(axis=0)
        for s, column in enumerate(under.T.tolist()):
            healths[s] += [_shown(h) for h in column]
    return tuple(
        ShockResult(
            name=one.name,
            health=tuple(healths[s]),
            liquidatable=int(count[s]),
            unknown=int(unknown[s]),
            notional_usd=float(notional[s]),
        )
        for s, one in enumerate(shocks)
    )


def distances(
    book: NamedBook, horizon_days: float, factors: Factors | None = None, advance: Advance | None = None
) -> tuple[Distance, ...]:
    """Every position's distances, in the book's order."""
    map_ = factors or factors_of(book)
    found: list[Distance] = []
    for first, shelf in _parts(book, advance):
        near = nearest_all(shelf, map_, horizon_days)
        roots = one_price_all(shelf)
        assets, needed = np.empty(len(shelf)), np.empty(len(shelf))
        kernels.sides(shelf.book, assets, needed)
        found += [
            Distance(
                name=book.names[first + u],
                health=_shown(float(kernels.health_of(float(assets[u]), float(needed[u])))),
                margin_usd=float(assets[u] - needed[u]),
                prices=roots[u],
                nearest=near[u],
                days=book.days[first + u] if book.days else None,
            )
            for u in range(len(shelf))
        ]
    return tuple(found)


def portfolio(
    book: NamedBook,
    shocks: Sequence[Shock],
    factors: Factors | None = None,
    advance: Advance | None = None,
) -> Portfolio:
    """The whole book: who breaks first by P(touch), what drives it, which shock hurts most."""
    map_ = factors or factors_of(book)
    touches: list[Touch] = []
    gradient = np.zeros(len(map_.names))
    for first, shelf in _parts(book, advance):
        near = [nearest_all(shelf, map_, h) for h in HORIZONS_DAYS]
        touches += [
            Touch(
                name=book.names[first + u],
                by_horizon=tuple(n[u] for n in near),
                loss_usd=book.losses[first + u] if book.losses else None,
            )
            for u in range(len(shelf))
        ]
        gradient += _gradient(shelf, map_)
    touches.sort(key=lambda t: -t.by_horizon[-1].p_touch)
    pulled = map_.covariance @ gradient
    variance = float(gradient @ pulled)
    shares = gradient * pulled / variance if variance > 0.0 else np.zeros(len(pulled))
    results = shock(book, shocks)
    worst = max(results, key=lambda r: (r.notional_usd, r.liquidatable), default=None)
    hurt = worst is not None and worst.liquidatable > 0
    return Portfolio(
        touches=tuple(touches),
        contributions=tuple(sorted(zip(map_.names, shares.tolist(), strict=True), key=lambda x: -abs(x[1]))),
        hhi=float(np.square(shares).sum()),
        worst_shock=worst.name if worst is not None and hurt else None,
        worst_notional_usd=worst.notional_usd if worst is not None and hurt else 0.0,
        unknown=tuple(t.name for t in touches if t.by_horizon[0].boundary is Boundary.UNKNOWN),
        expected_loss_usd=_expected(touches),
    )


def _expected(touches: Sequence[Touch]) -> tuple[float, ...]:
    losses = [t.loss_usd for t in touches]
    return tuple(
        expected_usd(losses, [t.by_horizon[h].p_touch for t in touches]) for h in range(len(HORIZONS_DAYS))
    )


def _parts(book: NamedBook, advance: Advance | None) -> Iterator[tuple[int, Shelf]]:
    """(number of its first row, shelf) of each part of the book; an empty book is one empty part."""
    for first in range(0, max(1, len(book.rows)), PART):
        shelf = build(book.rows[first : first + PART], book.prices)
        yield first, shelf
        if advance is not None:
            advance(len(shelf))


def _under(shelf: Shelf, shocks: Sequence[Shock], count: Floats, notional: Floats) -> Floats:
    """Health float64[U, S]; what each shock breaks is added to ``count`` and ``notional``."""
    under = np.empty((len(shelf), len(shocks)))
    if not shocks:
        return under
    prices = scenario_prices(shelf, shocks)
    kernels.health_under(shelf.book, np.ascontiguousarray(prices.T), under)
    found = statistics(shelf.book, prices)
    count += found.count
    notional += found.notional_usd
    return under


def _gradient(shelf: Shelf, factors: Factors) -> Floats:
    """Of the summed margin in log factors, float64[K]; rows that are not known stay out."""
    with np.errstate(over="ignore", invalid="ignore"):
        weights = (shelf.book.a - shelf.book.b) * shelf.book.prices[shelf.book.feed]
    known = np.isfinite(weights)
    loading = factors.rows(shelf.feeds)[shelf.book.feed[known]]
    return np.asarray(loading.T @ weights[known], np.float64)


def factors_of(book: NamedBook) -> Factors:
    """The factor map of a book's feeds with default volatilities."""
    return for_symbols(book.symbols, book.fixed)


def _shown(health: float) -> float | None:
    """+inf -> None: nothing to cover. NaN stays NaN: unknown."""
    return None if health == math.inf else health
