"""Days until interest or funding alone liquidates, with no price move: of a position as read, or in a book file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from keeper.model import BookRow, Means, Position
from keeper.risk import perp
from keeper.units import WAD

HOLDING_KEYS = ("rate",)
PERP_KEYS = ("funding_usd_day", "funding_rate", "borrow_rate")
"""Of a perp: dollars a day, or shares of its notional a year; a rate paid is positive."""
ACCOUNT_KEYS = ("funding_usd_day",)
"""Of a margin that several perps share; rates belong to each."""
_RAY = 1e27


class Checked(Protocol):
    """What collects problems of a file: the reader of ``bookfile``."""

    problems: list[str]

    def number(self, value: object, where: str, *, low: float = ...) -> float: ...


def clock_days(health: float, borrow_rate_year: float, supply_rate_year: float) -> float:
    """Days until interest alone brings health to 1: ln(health) / (borrow - supply); inf when it never
    does.
    """
    drift = borrow_rate_year - supply_rate_year
    if not math.isfinite(drift) or math.isnan(health):
        return 0.0
    if health <= 1.0:
        return 0.0
    return math.log(health) / drift * 365.0 if drift > 0.0 else math.inf


def funding_clock_days(margin_usd: float, funding_usd_day: float) -> float:
    """Days until funding alone eats the margin; inf when funding is received, 0 when unknown or under."""
    if math.isnan(margin_usd) or not math.isfinite(funding_usd_day) or margin_usd <= 0.0:
        return 0.0
    return margin_usd / funding_usd_day if funding_usd_day > 0.0 else math.inf


def interest_days(row: BookRow, prices: Mapping[str, float], rates: Sequence[float]) -> float:
    """Days until interest alone brings health to 1; ``rates`` a year for each entry of the row: what an entry owns
    earns it, what it owes pays it. inf when it never does; 0 when liquidatable or unknown.

    Both sides grow at their mean rates of now, weighted by value.
    """
    owned = owed = earned = paid = 0.0
    for feed, a, b, rate in zip(row.feeds, row.a, row.b, rates, strict=True):
        price = prices.get(feed, math.nan)
        owned, earned = owned + a * price, earned + a * price * rate
        owed, paid = owed + b * price, paid + b * price * rate
    if owed == 0.0 and owned == owned:
        return math.inf
    if not owned > 0.0 or not owed > 0.0:
        return 0.0
    return clock_days(owned / owed, paid / owed, earned / owned)


def position_days(position: Position, means: Means, prices: Mapping[str, float]) -> float | None:
    """By the rates of the reserves read; None without debt, and where a rate was not read."""
    if not position.debt:
        return None
    venue = f"{position.id.venue}:{position.id.chain_id}:{position.id.key}"
    feeds: list[str] = []
    a: list[float] = []
    b: list[float] = []
    rates: list[float] = []
    for owes, holdings in ((False, position.collateral), (True, position.debt)):
        for h in holdings:
            reserve = means.reserve(venue, h.amount.token)
            if reserve is None:
                return None
            tokens = h.amount.units / 10.0**h.amount.token.decimals
            feeds.append(h.feed)
            a.append(0.0 if owes else tokens * h.threshold_wad / WAD)
            b.append(tokens if owes else 0.0)
            rates.append((reserve.borrow_rate_ray if owes else reserve.supply_rate_ray) / _RAY)
    return interest_days(BookRow(feeds=tuple(feeds), a=tuple(a), b=tuple(b)), prices, rates)


def carry_usd_day(
    reader: Checked,
    value: Mapping[str, object],
    legs: Sequence[perp.Leg],
    prices: Mapping[str, float],
    where: str,
) -> float | None:
    """What one margin's perps pay a day, in a book file; None where it is not named. Problems go to the reader."""
    rated = any(leg.funding_rate or leg.borrow_rate for leg in legs)
    if "funding_usd_day" not in value:
        return perp.carry_usd_day(legs, prices) if rated else None
    if rated:
        reader.problems.append(f"{where}: funding_usd_day and rates a year are two ways to say one thing")
    return reader.number(value["funding_usd_day"], f"{where}.funding_usd_day")


def file_days(
    reader: Checked, value: object, row: BookRow, prices: Mapping[str, float], where: str
) -> float | None:
    """Of a loan in a book file; None where it names no rates. Problems go to the reader."""
    if not isinstance(value, Mapping):
        return None
    rates: list[float] = []
    named = False
    for side in ("collateral", "debt"):
        items = value.get(side)
        for n, one in enumerate(items if isinstance(items, list) else ()):
            given = isinstance(one, Mapping) and "rate" in one
            named = named or given
            rates.append(reader.number(one["rate"], f"{where}.{side}[{n}].rate") if given else 0.0)
    return interest_days(row, prices, rates) if named and len(rates) == len(row.feeds) else None
