"""What a liquidation would take of a position in a book file, where the file names the venue's rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from keeper.risk.loss import GmxRule
from keeper.risk.stake import (
    AAVE_LIKE,
    LENDING_VENUES,
    PERP_VENUES,
    Held,
    Loan,
    loan_loss_usd,
    perp_loss_usd,
)

LENDING_KEYS = ("venue", "penalty")
COLLATERAL_KEYS = ("bonus", "liquidation_factor")
PERP_KEYS = ("venue", "liquidation_fee", "close_fee", "impact_max", "collateral_min")


class Checked(Protocol):
    """What collects problems of a file: the reader of ``bookfile``."""

    problems: list[str]

    def number(self, value: object, where: str, *, low: float = ...) -> float: ...


def loss_usd(
    reader: Checked, kind: str, value: object, prices: Mapping[str, float], where: str
) -> float | None:
    """USD that one liquidation would take; None where no venue is named. Problems go to the reader."""
    if kind == "row" or not isinstance(value, Mapping):
        return None
    known = LENDING_VENUES if kind == "lending" else PERP_VENUES
    venue = value.get("venue")
    if venue is None:
        asked = [k for k in (*LENDING_KEYS, *PERP_KEYS) if k in value]
        reader.problems += [f"{where}: {k} belongs to a venue, and none is named" for k in asked]
        return None
    if venue not in known:
        reader.problems.append(f"{where}.venue = {venue!r}: must be one of {', '.join(known)}")
        return None
    before = len(reader.problems)
    found = _loan(reader, value, prices, where) if kind == "lending" else _perp(reader, value, prices, where)
    if len(reader.problems) > before:
        return None
    return loan_loss_usd(found) if isinstance(found, Loan) else perp_loss_usd(*found)


def _loan(reader: Checked, value: Mapping[str, object], prices: Mapping[str, float], where: str) -> Loan:
    venue = str(value["venue"])
    needed = {"compound_v3": "liquidation_factor"} | dict.fromkeys(AAVE_LIKE, "bonus")
    held = []
    for n, one in enumerate(_tables(value.get("collateral"))):
        at = f"{where}.collateral[{n}]"
        if (key := needed.get(venue)) and key not in one:
            reader.problems.append(f"{at}: lacks {key}, by which {venue} liquidates")
        part = Held(
            value_usd=_plain(one.get("amount")) * prices.get(str(one.get("asset")), 0.0),
            threshold=_plain(one.get("threshold")),
            bonus=_ratio(reader, one.get("bonus", 0.0), f"{at}.bonus"),
            liquidation_factor=_ratio(reader, one.get("liquidation_factor", 1.0), f"{at}.liquidation_factor"),
        )
        if venue == "morpho_blue" and not 0.0 < part.threshold <= 1.0:
            reader.problems.append(f"{at}.threshold: an LLTV of Morpho Blue is above 0 and at most 1")
        held.append(part)
    owed = sum(
        _plain(one.get("amount")) * prices.get(str(one.get("asset")), 0.0)
        for one in _tables(value.get("debt"))
    )
    penalty = _ratio(reader, value.get("penalty", 0.13), f"{where}.penalty")
    return Loan(venue=venue, collateral=tuple(held), debt_usd=owed, penalty=penalty)


def _perp(
    reader: Checked, value: Mapping[str, object], prices: Mapping[str, float], where: str
) -> tuple[float, float, GmxRule]:
    """(remaining USD now, entry notional, rule)."""
    rates = {
        key: _ratio(reader, value[key], f"{where}.{key}")
        for key in PERP_KEYS
        if key != "venue" and key in value
    }
    size, entry = _plain(value.get("size")), _plain(value.get("entry"))
    margin = sum(
        _plain(one.get("amount")) * prices.get(str(one.get("asset")), 0.0)
        for one in _tables(value.get("margin"))
    )
    profit = size * (prices.get(str(value.get("index")), 0.0) - entry)
    return margin + profit - _plain(value.get("fees_usd", 0.0)), abs(size) * entry, GmxRule(**rates)


def _ratio(reader: Checked, value: object, where: str) -> float:
    number = reader.number(value, where, low=0.0)
    if number > 1.0:
        reader.problems.append(f"{where} = {number:g}: a ratio of 1 (5 % is 0.05)")
        return 0.0
    return number


def _plain(value: object) -> float:
    """A number that the reader has judged already; what it refused counts as nothing."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _tables(value: object) -> Sequence[Mapping[str, object]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else ()
