"""Perpetuals as rows of the affine book, alone or sharing one margin; liquidation prices both ways; costs of holding.

Equity = margin at its haircut + sum of size x (price - entry) - what is owed. Requirement = sum of a share of each
notional, at the mark (Hyperliquid, Synthetix v3, Perpetual Protocol v2) or at entry (GMX v2, Gains), and of minimums.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keeper.model import BookRow

DAYS_A_YEAR = 365.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One position: ``size`` tokens, negative when short; rates a year are shares of the notional."""

    feed: str
    size: float
    entry: float
    maintenance_rate: float
    on_entry: bool = False
    """The requirement is a share of the notional at entry, which no price moves."""
    owed_usd: float = 0.0
    """Fees, funding and borrowing that have accrued."""
    minimum_usd: float = 0.0
    funding_rate: float = 0.0
    """Paid where positive, received where negative."""
    borrow_rate: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """What stands behind it: ``amount`` tokens, counted at ``haircut`` of their price."""

    feed: str
    amount: float
    haircut: float = 1.0


def isolated(leg: Leg, margin: Sequence[Margin]) -> BookRow:
    """One position with a margin of its own."""
    return cross((leg,), margin)


def cross(legs: Sequence[Leg], margin: Sequence[Margin]) -> BookRow:
    """Positions that share one margin: liquidated together, or not at all."""
    return BookRow(
        feeds=(*(x.feed for x in legs), *(m.feed for m in margin)),
        a=(*(x.size for x in legs), *(m.amount * m.haircut for m in margin)),
        b=(*(_required(x) for x in legs), *(0.0 for _ in margin)),
        a0=math.fsum(-x.size * x.entry - x.owed_usd for x in legs),
        b0=math.fsum(
            x.minimum_usd + (abs(x.size) * x.entry * x.maintenance_rate if x.on_entry else 0.0) for x in legs
        ),
    )


def _required(leg: Leg) -> float:
    return 0.0 if leg.on_entry else abs(leg.size) * leg.maintenance_rate


def margin_usd(row: BookRow, prices: Mapping[str, float]) -> float:
    """Equity over requirement at the prices; below 0 it is liquidated. NaN where a price is missing."""
    moved = (
        (a - b) * prices.get(f, math.nan) for f, a, b in zip(row.feeds, row.a, row.b, strict=True) if a or b
    )
    return row.a0 - row.b0 + math.fsum(moved)


def weight(row: BookRow, feed: str) -> float:
    """USD that the margin over requirement gains per dollar of that price: below 0, it is hurt by a rise."""
    return math.fsum(a - b for f, a, b in zip(row.feeds, row.a, row.b, strict=True) if f == feed)


def liquidation_price(row: BookRow, prices: Mapping[str, float], feed: str) -> float:
    """The price of ``feed`` alone, the others held, at which the margin is used up: below the present one where a
    fall hurts, above where a rise does. NaN where no positive price does it, and where something is unknown."""
    slope = weight(row, feed)
    if slope == 0.0:
        return math.nan
    found = prices.get(feed, math.nan) - margin_usd(row, prices) / slope
    return found if found > 0.0 else math.nan


def margin_for_price(row: BookRow, prices: Mapping[str, float], feed: str, price: float) -> float:
    """The other way round: USD of further margin by which ``price`` of that feed alone just liquidates; below 0 so
    much may be taken out. Margin is meant that no price moves."""
    return -margin_usd(row, {**prices, feed: price})


def carry_usd_day(legs: Sequence[Leg], prices: Mapping[str, float]) -> float:
    """What funding and borrowing take a day at the present rates and prices; below 0 it is received."""
    yearly = (abs(x.size) * prices.get(x.feed, math.nan) * (x.funding_rate + x.borrow_rate) for x in legs)
    return math.fsum(yearly) / DAYS_A_YEAR
