"""Where a book's liquidations lie along a fall: how much at which size, what selling it would do, and where that runs
away.

The fall is one direction: every price of the shock to the same power, measured by the size s of the move of what it
moves most (0.3: 30 % down; a rise by the same factor turned over). Branching at a price: M[f, g] is how many USD more
of factor f, in units of its depth, would be sold if factor g stood WINDOW lower (in logarithms), a unit of that; the
branching ratio is M's spectral radius, as of a branching process of several kinds. At 1 a sale brings about as much
again: above it the fixed point of small falls is gone, and the price runs until the crowd is through.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from keeper.model import Shock
from keeper.risk import cascade, spiral
from keeper.risk.book import Floats
from keeper.risk.bookfile import NamedBook
from keeper.risk.spiral import Ground, Law

Flags = npt.NDArray[np.bool_]
WINDOW = 0.02
"""A fall in logarithms: the same two per cent by which a market's depth is told."""
GRID = 400
"""Sizes at which crossings are looked for before they are bisected."""
HALVINGS = 40
SIZE_MAX = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One size of the fall. USD at the prices there, before anything is sold, unless told otherwise."""

    size: float
    liquidatable: int
    debt_usd: float
    """Owed by all who are liquidatable at this size: cumulative."""
    collateral_usd: float
    new_collateral_usd: tuple[tuple[str, float], ...]
    """(symbol, USD) of those who are not yet at the band before."""
    branching: float
    amplification: float
    """Log fall of the asset hit hardest at the fixed point over that of this size alone."""
    end: float
    """Size of what moves most, at the fixed point."""
    repaid_usd: float
    """Until the fixed point."""
    bad_debt_usd: float
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One position in the queue: at which size its turn comes (None: not along this direction up to the last band),
    and what is owed by those before it, USD at the prices of now."""

    name: str
    size: float | None
    rank: int
    """From 1; all that never come share the last."""
    ahead_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """The map. ``driver``: what the shock moves most; ``price``: of it now, USD."""

    driver: str
    rises: bool
    price: float
    bands: tuple[Band, ...]
    unstable: float | None
    """The least size at which the branching ratio reaches 1; None: at none up to the last band."""
    queue: tuple[Place, ...]
    left_out: tuple[tuple[str, str], ...]
    unknown: int

    def price_at(self, size: float) -> float:
        """Of the driver after a move of that size."""
        return self.price / (1.0 - size) if self.rises else self.price * (1.0 - size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """All positions at one set of prices: float64[U] weighted collateral, its worth, what is owed."""

    weighted: Floats
    worth: Floats
    owed: Floats

    @property
    def below(self) -> Flags:
        """Who is liquidatable."""
        return self.weighted < self.owed


class _Crowd:
    """The ground, and the direction that it is taken along."""

    def __init__(self, on: Ground, shock: Shock, law: Law) -> None:
        self.on, self.law = on, law
        self.users = np.repeat(np.arange(len(on.shelf)), np.diff(on.shelf.book.indptr))
        self.logs = np.log(np.maximum(1.0 + on.moves(shock), 1.0 - 0.999))
        moved = np.abs(self.logs) if len(self.logs) else np.zeros(1)
        self.k = int(np.argmax(moved))
        self.most = float(moved[self.k])

    def prices(self, size: float) -> Floats:
        """Every feed after a move of that size."""
        return self.on.shelf.book.prices * np.exp(self.logs * (-math.log1p(-size) / self.most))

    def at(self, prices: Floats) -> _Standing:
        """Everybody at ``prices``."""
        book, n = self.on.shelf.book, len(self.on.shelf)
        at = prices[book.feed]
        sums = [_summed(self.users, weight * at, n) for weight in (book.a, self.on.held.book.a, book.b)]
        return _Standing(weighted=sums[0], worth=sums[1], owed=sums[2])

    def sold(self, prices: Floats) -> Floats:
        """USD by factor float64[K] that liquidating everybody once at ``prices`` would sell."""
        book, pools, law = self.on.shelf.book, self.on.pools, self.law
        now = self.at(prices)
        share = np.where(now.weighted <= law.full_below * now.owed, 1.0, law.close)
        repaid = np.where(now.below, np.minimum(share * now.owed, now.worth / (1.0 + law.bonus)), 0.0)
        part = repaid * (1.0 + law.bonus) / np.where(now.worth > 0.0, now.worth, 1.0)
        entries = self.on.held.book.a * prices[book.feed] * part[self.users]
        by_feed = _summed(book.feed, entries, len(prices))
        factors = len(pools.depth_usd)
        return _summed(pools.base, by_feed, factors) + _summed(pools.ratio, by_feed, factors)

    def branching(self, prices: Floats) -> float:
        """The spectral radius of who sells how much more, per unit of log fall of each factor."""
        pools = self.on.pools
        moving = [g for g, depth in enumerate(pools.depth_usd) if math.isfinite(depth)]
        if not moving:
            return 0.0
        depth = pools.depth_usd[moving] / spiral.TWO_PERCENT
        base = self.sold(prices)[moving]
        columns = []
        for g in moving:
            falls = (pools.base == g).astype(np.float64) + (pools.ratio == g)
            columns.append((self.sold(prices * np.exp(-WINDOW * falls))[moving] - base) / (depth * WINDOW))
        return float(np.max(np.abs(np.linalg.eigvals(np.maximum(np.array(columns).T, 0.0)))))


def heat(
    book: NamedBook, shock: Shock, depths_usd: Mapping[str, float], law: Law, sizes: Sequence[float]
) -> Heat:
    """The map of ``book`` along ``shock`` at ``sizes`` (ascending, above 0, at most SIZE_MAX).

    ``depths_usd`` as ``spiral.project``. ValueError where a volatile asset has no depth, or the shock moves nothing.
    """
    on = spiral.ground(book, depths_usd)
    crowd = _Crowd(on, shock, law)
    if not crowd.most:
        raise ValueError("the shock moves none of the prices in this book")
    crossings = _crossings(crowd, sizes[-1])
    return Heat(
        driver=on.symbols[crowd.k],
        rises=bool(crowd.logs[crowd.k] > 0.0),
        price=float(on.shelf.book.prices[crowd.k]),
        bands=_bands(crowd, sizes, crossings),
        unstable=_unstable(crowd, sizes[-1]),
        queue=_queue(crowd, crossings),
        left_out=on.left_out,
        unknown=on.unknown,
    )


def _bands(crowd: _Crowd, sizes: Sequence[float], crossings: Floats) -> tuple[Band, ...]:
    found, last = list[Band](), -1.0
    for size in sizes:
        prices = crowd.prices(size)
        now = crowd.at(prices)
        market = crowd.on.market(prices, crowd.law)
        fall = spiral.run(crowd.on, market)
        ended = fall.price[crowd.k] / crowd.on.shelf.book.prices[crowd.k]
        found.append(
            Band(
                size=size,
                liquidatable=int(now.below.sum()),
                debt_usd=float(now.owed[now.below].sum()),
                collateral_usd=float(now.worth[now.below].sum()),
                new_collateral_usd=_by_symbol(crowd, prices, (crossings > last) & (crossings <= size)),
                branching=crowd.branching(prices),
                amplification=_amplification(crowd, prices, fall.price),
                end=float(1.0 - (1.0 / ended if crowd.logs[crowd.k] > 0.0 else ended)),
                repaid_usd=float(fall.total[1]),
                bad_debt_usd=spiral.bad_debt(crowd.on.shelf, fall),
                settled=bool(fall.total[0] < cascade.ROUNDS_MAX),
            )
        )
        last = size
    return tuple(found)


def _amplification(crowd: _Crowd, shocked: Floats, end: Floats) -> float:
    """The largest of any feed that the shock lowered; 1 when none fell further."""
    now = crowd.on.shelf.book.prices
    fell = shocked < now
    if not fell.any():
        return 1.0
    return float(max(1.0, np.max(np.log(end[fell] / now[fell]) / np.log(shocked[fell] / now[fell]))))


def _by_symbol(crowd: _Crowd, prices: Floats, who: Flags) -> tuple[tuple[str, float], ...]:
    """USD of collateral of some positions by symbol, the largest first."""
    book = crowd.on.shelf.book
    values = crowd.on.held.book.a * prices[book.feed] * who[crowd.users]
    by_feed = _summed(book.feed, values, len(prices))
    sums: dict[str, float] = {}
    for symbol, usd in zip(crowd.on.symbols, by_feed, strict=True):
        sums[symbol] = sums.get(symbol, 0.0) + float(usd)
    return tuple(sorted(((s, x) for s, x in sums.items() if x > 0.0), key=lambda p: -p[1]))


def _crossings(crowd: _Crowd, last: float) -> Floats:
    """Least size at which each position is liquidatable, float64[U]; infinite where it is not up to ``last``, 0 where
    it is now. Found on a grid, then bisected: a position that crosses twice within one step of it may be seen late.
    """
    n = len(crowd.on.shelf)
    low, high = np.zeros(n), np.full(n, math.inf)
    high[crowd.at(crowd.prices(0.0)).below] = 0.0
    before = 0.0
    for size in np.linspace(0.0, last, GRID + 1)[1:]:
        new = crowd.at(crowd.prices(float(size))).below & np.isinf(high)
        low[new], high[new] = before, size
        before = float(size)
    crossing = np.isfinite(high) & (high > 0.0)
    for _ in range(HALVINGS if crossing.any() else 0):
        middle = (low + np.where(crossing, high, 0.0)) / 2.0
        below = _below_each(crowd, middle)
        high = np.where(crossing & below, middle, high)
        low = np.where(crossing & ~below, middle, low)
    return high


def _below_each(crowd: _Crowd, sizes: Floats) -> Flags:
    """Whether each position is liquidatable at its own size, bool[U]."""
    book = crowd.on.shelf.book
    powers = (-np.log1p(-sizes) / crowd.most)[crowd.users]
    at = book.prices[book.feed] * np.exp(crowd.logs[book.feed] * powers)
    n = len(crowd.on.shelf)
    return _summed(crowd.users, book.a * at, n) < _summed(crowd.users, book.b * at, n)


def _summed(keys: npt.NDArray[np.integer], values: Floats, size: int) -> Floats:
    """Values added up by key, float64[size]."""
    return np.bincount(keys, values, minlength=size).astype(np.float64)


def _unstable(crowd: _Crowd, last: float) -> float | None:
    for size in np.linspace(0.0, last, GRID // 4 + 1):
        if crowd.branching(crowd.prices(float(size))) >= 1.0:
            return float(size)
    return None


def _queue(crowd: _Crowd, crossings: Floats) -> tuple[Place, ...]:
    owed = crowd.at(crowd.prices(0.0)).owed
    order = np.argsort(crossings, kind="stable")
    ahead = np.concatenate([[0.0], np.cumsum(owed[order])[:-1]]) if len(order) else np.zeros(0)
    ranks = np.searchsorted(crossings[order], crossings[order], side="left")
    return tuple(
        Place(
            name=crowd.on.names[u],
            size=float(crossings[u]) if math.isfinite(crossings[u]) else None,
            rank=int(ranks[i]) + 1,
            # equals come at once: none of them is ahead of another
            ahead_usd=float(ahead[ranks[i]]),
        )
        for i, u in enumerate(order)
    )
