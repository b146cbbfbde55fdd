"""Perps in a book file: ``perp`` with a margin of its own, ``cross`` with one margin for several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from keeper.model import BookRow
from keeper.risk import adl, bookloss, clocks, perp

_LEG = ("index", "size", "entry", "maintenance_rate")
_LEG_MORE = ("maintenance_on", "fees_usd", "minimum_margin_usd", *clocks.PERP_KEYS, "adl")
_ON = ("mark", "entry")


class Reads(Protocol):
    """The reader of ``bookfile``: collects every problem instead of stopping at the first."""

    problems: list[str]

    def table(
        self, value: object, where: str, keys: Sequence[str], *, optional: Sequence[str] = ...
    ) -> Mapping[str, object]: ...
    def items(self, value: object, where: str) -> Sequence[object]: ...
    def number(self, value: object, where: str, *, low: float = ...) -> float: ...
    def text(self, value: object, where: str) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a file tells of one margin: its legs, its row, what it pays a day, how near ADL each leg is."""

    legs: tuple[perp.Leg, ...]
    row: BookRow
    carry_usd_day: float | None
    adl: tuple[adl.Adl, ...] = ()


def account(reader: Reads, kind: str, value: object, prices: Mapping[str, float], where: str) -> Account:
    """A ``perp`` or a ``cross`` of a book file."""
    if kind == "perp":
        table = reader.table(value, where, (*_LEG, "margin"), optional=(*_LEG_MORE, *bookloss.PERP_KEYS))
        tables, places = [table], [where]
    else:
        table = reader.table(value, where, ("legs", "margin"), optional=clocks.ACCOUNT_KEYS)
        items = reader.items(table.get("legs"), f"{where}.legs")
        places = [f"{where}.legs[{n}]" for n in range(len(items))]
        tables = [
            reader.table(one, at, _LEG, optional=_LEG_MORE) for one, at in zip(items, places, strict=True)
        ]
        if not items:
            reader.problems.append(f"{where}.legs: needs at least one position")
    legs = tuple(_leg(reader, one, at) for one, at in zip(tables, places, strict=True))
    row = perp.cross(legs, _margin(reader, table, where))
    carry = clocks.carry_usd_day(reader, table, legs, prices, where)
    near = _near(reader, tuple(zip(tables, places, legs, strict=True)), row, prices)
    return Account(legs=legs, row=row, carry_usd_day=carry, adl=near)


def _leg(reader: Reads, table: Mapping[str, object], where: str) -> perp.Leg:
    on = table.get("maintenance_on", "mark")
    if on not in _ON:
        reader.problems.append(f"{where}.maintenance_on = {on!r}: must be one of {', '.join(_ON)}")

    def number(key: str, low: float = -math.inf) -> float:
        return reader.number(table.get(key, 0.0 if key not in _LEG else None), f"{where}.{key}", low=low)

    return perp.Leg(
        feed=reader.text(table.get("index"), f"{where}.index"),
        size=number("size"),
        entry=number("entry", 0.0),
        maintenance_rate=number("maintenance_rate", 0.0),
        on_entry=on == "entry",
        owed_usd=number("fees_usd"),
        minimum_usd=number("minimum_margin_usd", 0.0),
        funding_rate=number("funding_rate"),
        borrow_rate=number("borrow_rate", 0.0),
    )


def _margin(reader: Reads, table: Mapping[str, object], where: str) -> tuple[perp.Margin, ...]:
    found = []
    for n, item in enumerate(reader.items(table.get("margin"), f"{where}.margin")):
        at = f"{where}.margin[{n}]"
        one = reader.table(item, at, ("asset", "amount"), optional=("haircut",))
        found.append(
            perp.Margin(
                feed=reader.text(one.get("asset"), f"{at}.asset"),
                amount=reader.number(one.get("amount"), f"{at}.amount", low=0.0),
                haircut=reader.number(one.get("haircut", 1.0), f"{at}.haircut", low=0.0),
            )
        )
    return tuple(found)


def _near(
    reader: Reads,
    parts: Sequence[tuple[Mapping[str, object], str, perp.Leg]],
    row: BookRow,
    prices: Mapping[str, float],
) -> tuple[adl.Adl, ...]:
    equity = row.a0 + math.fsum(
        a * prices.get(f, math.nan) for f, a in zip(row.feeds, row.a, strict=True) if a
    )
    found = []
    for table, at, leg in parts:
        if "adl" in table:
            here = prices.get(leg.feed, math.nan), equity
            one = adl.from_file(reader, table["adl"], leg, here, f"{at}.adl")
            found += [] if one is None else [one]
    return tuple(found)
