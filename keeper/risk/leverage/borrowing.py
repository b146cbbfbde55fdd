"""A book's leverage: by position and as a whole, who depends on what, and what a per cent of each factor does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keeper.risk import kernels
from keeper.risk.assets import CALM, asset
from keeper.risk.book import Floats, build
from keeper.risk.bookfile import NamedBook
from keeper.risk.factors import Factors
from keeper.risk.leverage import concentration, ratios


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrower:
    """One position, USD. Of a loan: what it holds, owes and owns. Of a perp ``assets`` is its notional and ``equity``
    its margin at the maintenance requirement. ``threshold``: of the whole collateral, NaN without any."""

    name: str
    assets: float
    debt: float
    equity: float
    ratio: float
    health: float
    threshold: float
    row: int = 0
    """Its place in the book: two may have one name."""

    @property
    def left(self) -> float:
        """What is its own when liquidation begins, D (1 - lambda) / lambda; NaN of what is no loan."""
        return ratios.equity_left(self.debt, self.threshold) if self.debt > 0.0 else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Leverage:
    """The book: every position, gross and equity, exposure by factor with its sensitivity, concentration."""

    borrowers: tuple[Borrower, ...]
    assets: float
    debt: float
    equity: float
    account: float
    """Sum of |exposure| over equity, by factor and netted within each."""
    exposures: tuple[ratios.Sensitivity, ...]
    hhi: float
    skew: float
    """Of long against short exposures to volatile factors."""
    unknown: tuple[str, ...]
    feed_usd: Mapping[str, float]
    """Signed exposure by feed, of the positions that can be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Many borrowers as one: ``ratio`` of all assets to all equity; half of the debt stands at leverage ``half`` and
    above; ``hhi`` of debt by borrower; ``sunk``: how many have no equity left, and ``sunk_debt`` of theirs."""

    count: int
    ratio: float
    half: float
    hhi: float
    sunk: int
    sunk_debt: float


def measure(book: NamedBook) -> Leverage:
    """The leverage of every position of a book that can be judged, and of all of them."""
    shelf = build(book.rows, book.prices)
    assets, needed = np.empty(len(shelf)), np.empty(len(shelf))
    kernels.sides(shelf.book, assets, needed)
    found: list[Borrower] = []
    unknown: list[str] = []
    by_feed: dict[str, float] = {}
    for u, name in enumerate(book.names):
        one = _borrower(book, u, (float(assets[u]), float(needed[u])))
        if not math.isfinite(one.assets + one.debt + one.equity):
            unknown.append(name)
            continue
        found.append(one)
        for feed, usd in _exposures(book, u).items():
            by_feed[feed] = by_feed.get(feed, 0.0) + usd
    equity = math.fsum(b.equity for b in found)
    volatile: dict[str, float] = {}
    for feed, usd in by_feed.items():
        known = asset(book.symbols.get(feed, feed))
        if known.kind not in ("stable", "fiat"):
            volatile[known.base] = volatile.get(known.base, 0.0) + usd
    long = math.fsum(x for x in volatile.values() if x > 0.0)
    short = math.fsum(-x for x in volatile.values() if x < 0.0)
    return Leverage(
        borrowers=tuple(found),
        assets=math.fsum(b.assets for b in found),
        debt=math.fsum(b.debt for b in found),
        equity=equity,
        account=ratios.account(list(volatile.values()), equity),
        exposures=ratios.sensitivity(volatile, equity),
        hhi=concentration.hhi(list(volatile.values())),
        skew=concentration.skew(long, short),
        unknown=tuple(unknown),
        feed_usd=by_feed,
    )


def system(borrowers: Sequence[Borrower]) -> System:
    """Every borrower of a market as one; NaN where nobody owes or nothing is left."""
    owing = [b for b in borrowers if b.debt > 0.0]
    debt = math.fsum(b.debt for b in owing)
    sunk = [b for b in owing if not b.equity > 0.0]
    # whoever has nothing left stands above everybody
    ranked = sorted(owing, key=lambda b: -(b.ratio if b.equity > 0.0 else math.inf))
    half, passed = math.nan, 0.0
    for b in ranked:
        passed += b.debt
        if passed >= 0.5 * debt:
            half = b.ratio if b.equity > 0.0 else math.inf
            break
    return System(
        count=len(owing),
        ratio=ratios.ratio(math.fsum(b.assets for b in owing), debt) if owing else math.nan,
        half=half,
        hhi=concentration.hhi([b.debt for b in owing]),
        sunk=len(sunk),
        sunk_debt=math.fsum(b.debt for b in sunk),
    )


def weights(found: Leverage, factors: Factors) -> Floats:
    """Exposure to each factor over equity, float64[K]: what ``ratios.churn`` keeps constant. NaN without equity."""
    usd = np.array([found.feed_usd.get(f, 0.0) for f in factors.feeds])
    scale = 1.0 / found.equity if found.equity > 0.0 else math.nan
    return np.asarray(factors.loading.T @ usd * scale, np.float64)


def held_usd(book: NamedBook, u: int) -> dict[str, float]:
    """USD by feed of what position u holds and could lose: a loan's collateral, a perp's margin in what is calm (of
    its row nothing else tells margin from size)."""
    row, tokens = book.rows[u], book.tokens[u] if book.tokens else ()
    found: dict[str, float] = {}
    for j, feed in enumerate(row.feeds):
        calm = asset(book.symbols.get(feed, feed)).kind in CALM
        amount = tokens[j] if tokens else row.a[j] if calm else 0.0
        if amount > 0.0:
            found[feed] = found.get(feed, 0.0) + amount * book.prices.get(feed, math.nan)
    return found


def _borrower(book: NamedBook, u: int, sides: tuple[float, float]) -> Borrower:
    row, tokens = book.rows[u], book.tokens[u] if book.tokens else ()
    price = [book.prices.get(f, math.nan) for f in row.feeds]
    health = float(kernels.health_of(*sides))
    if tokens:
        held = math.fsum(t * p for t, p in zip(tokens, price, strict=True) if t)
        owed = math.fsum(b * p for b, p in zip(row.b, price, strict=True) if b) + row.b0
        threshold = sides[0] / held if held > 0.0 else math.nan
        return Borrower(
            name=book.names[u],
            assets=held,
            debt=owed,
            equity=held - owed,
            ratio=ratios.ratio(held, owed),
            health=health,
            threshold=threshold,
            row=u,
        )
    # margin in dollars is no size; of a row without anything volatile nothing tells which is which
    calm = [asset(book.symbols.get(f, f)).kind in CALM for f in row.feeds]
    sized = [
        abs(a) * p for a, p, c in zip(row.a, price, calm, strict=True) if a and not (c and not all(calm))
    ]
    notional = math.fsum(sized)
    margin = sides[0] - sides[1]
    return Borrower(
        name=book.names[u],
        assets=notional,
        debt=0.0,
        equity=margin,
        ratio=ratios.account([notional], margin),
        health=health,
        threshold=math.nan,
        row=u,
    )


def _exposures(book: NamedBook, u: int) -> Mapping[str, float]:
    """Signed USD by feed: what is held less what is owed, a perp's size by its weight."""
    row, tokens = book.rows[u], book.tokens[u] if book.tokens else ()
    found: dict[str, float] = {}
    for j, feed in enumerate(row.feeds):
        amount = tokens[j] if tokens and tokens[j] else row.a[j]
        if tokens and not tokens[j]:
            amount = 0.0
        found[feed] = found.get(feed, 0.0) + (amount - (row.b[j] if tokens else 0.0)) * book.prices.get(
            feed, math.nan
        )
    return found
