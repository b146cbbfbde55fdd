"""A book's leverage: by position and as a whole, who depends on what, and what a per cent of each factor does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keeper.risk import kernels, leverage
from keeper.risk.assets import asset
from keeper.risk.book import build
from keeper.risk.bookfile import NamedBook


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Leverage:
    """The book: every position, gross and equity, exposure by factor with its sensitivity, concentration."""

    borrowers: tuple[Borrower, ...]
    assets: float
    debt: float
    equity: float
    account: float
    """Sum of |exposure| over equity, by factor and netted within each."""
    exposures: tuple[leverage.Sensitivity, ...]
    hhi: float
    skew: float
    """Of long against short exposures to volatile factors."""
    unknown: tuple[str, ...]


def measure(book: NamedBook) -> Leverage:
    """The leverage of every position of a book that can be judged, and of all of them."""
    shelf = build(book.rows, book.prices)
    assets, needed = np.empty(len(shelf)), np.empty(len(shelf))
    kernels.sides(shelf.book, assets, needed)
    found: list[Borrower] = []
    unknown: list[str] = []
    exposures: dict[str, float] = {}
    for u, name in enumerate(book.names):
        one = _borrower(book, u, (float(assets[u]), float(needed[u])))
        if not math.isfinite(one.assets + one.debt + one.equity):
            unknown.append(name)
            continue
        found.append(one)
        for feed, usd in _exposures(book, u).items():
            factor = asset(book.symbols.get(feed, feed)).base
            exposures[factor] = exposures.get(factor, 0.0) + usd
    equity = math.fsum(b.equity for b in found)
    volatile = {f: usd for f, usd in exposures.items() if asset(f).kind not in ("stable", "fiat")}
    long = math.fsum(x for x in volatile.values() if x > 0.0)
    short = math.fsum(-x for x in volatile.values() if x < 0.0)
    return Leverage(
        borrowers=tuple(found),
        assets=math.fsum(b.assets for b in found),
        debt=math.fsum(b.debt for b in found),
        equity=equity,
        account=leverage.account(list(volatile.values()), equity),
        exposures=leverage.sensitivity(volatile, equity),
        hhi=leverage.hhi(list(volatile.values())),
        skew=leverage.skew(long, short),
        unknown=tuple(unknown),
    )


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
            ratio=leverage.ratio(held, owed),
            health=health,
            threshold=threshold,
        )
    notional = math.fsum(abs(a) * p for a, p in zip(row.a, price, strict=True) if a)
    margin = sides[0] - sides[1]
    return Borrower(
        name=book.names[u],
        assets=notional,
        debt=0.0,
        equity=margin,
        ratio=leverage.account([notional], margin),
        health=health,
        threshold=math.nan,
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
