"""What a book file says of how each of its loans is liquidated, in the book's own words, and where it says it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from keeper.errors import ConfigError
from keeper.risk import bookfile
from keeper.risk.bookfile import NamedBook


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Of one position. ``venue``: by whose rule the loan is liquidated; of each collateral in the book's order its
    ``bonuses`` and ``factors`` (Compound's liquidationFactor), None where the book states none; Maker's
    ``penalty``. ``place``: where in the file it stands."""

    place: str
    venue: str = ""
    bonuses: tuple[float | None, ...] = ()
    factors: tuple[float | None, ...] = ()
    penalty: float | None = None


def read(path: Path) -> NamedBook:
    """The book in a file. ConfigError naming file and field of every problem."""
    try:
        return bookfile.read(path)
    except ConfigError as error:
        named = (p if p.startswith(f"{path}:") else f"{path}: {p}" for p in error.problems)
        raise ConfigError(tuple(named)) from error


def of_book(path: Path) -> tuple[Terms, ...]:
    """The terms of every position of a book file that ``read`` found right. ConfigError naming file and field of a
    share that is none, also where the book names no venue."""
    problems: list[str] = []
    found = []
    for n, item in enumerate(orjson.loads(path.read_bytes())["positions"]):
        place = f"positions[{n}]"
        loan = item.get("lending")
        if loan is None:
            found.append(Terms(place=place))
            continue
        at = f"{path}: {place}.lending"
        held = [(f"{at}.collateral[{k}]", one) for k, one in enumerate(loan["collateral"])]
        for where, one in held:
            _share(one, "threshold", where, problems)
        found.append(
            Terms(
                place=place,
                venue=loan.get("venue", ""),
                bonuses=tuple(_share(one, "bonus", where, problems) for where, one in held),
                factors=tuple(_share(one, "liquidation_factor", where, problems) for where, one in held),
                penalty=_share(loan, "penalty", at, problems),
            )
        )
    if problems:
        raise ConfigError(tuple(problems))
    return tuple(found)


def _share(table: Mapping[str, object], key: str, where: str, problems: list[str]) -> float | None:
    """A share of 1 that stands in the book; None where none does."""
    value = table.get(key)
    if value is None and key not in table:
        return None
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not 0.0 <= float(value) <= 1.0:  # type: ignore[arg-type]
        problems.append(f"{where}.{key} = {value!r}: must be a share from 0 to 1 (5 % is 0.05)")
        return None
    return float(value)  # type: ignore[arg-type]
