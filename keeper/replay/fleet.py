"""Whose positions are replayed: accounts by asset from CSV, a book file, or the live configuration's positions.

An account is its holdings by value at the start of the run; tokens and prices only ever appear as their product.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keeper.errors import ConfigError
from keeper.model import Policy
from keeper.replay import sheet
from keeper.replay.terms import Terms
from keeper.risk.bookfile import NamedBook

PROBLEMS_MAX = 20
DUST = 1e-9
"""Holdings below this share of an account's own debt and collateral are what rounding left."""
NONE = (None, None)
CSV_FORMAT = (
    'user, "collateral_[asset,value_eth,liq_threshold]", "debt_[asset,value_eth]" (or value_usd), venue'
)
_COLLATERAL = re.compile(r"collateral_\[asset,value_(eth|usd),liq_threshold\]")
_DEBT = re.compile(r"debt_\[asset,value_(eth|usd)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """One asset of one account: its value at the start, and the share of it that counts against debt."""

    asset: str
    value: float
    threshold: float = 0.0
    bonus: float | None = None
    """Liquidators' share on top of what they repay, where its file states one."""
    factor: float | None = None
    """Compound's liquidationFactor, where its file states one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One lending position at the start."""

    name: str
    collateral: tuple[Lot, ...]
    debt: tuple[Lot, ...]
    venue: str = ""
    """Kind of the venue that it stands on, empty where nobody says; by its rule it is liquidated (``seizure``)."""
    penalty: float | None = None
    """Maker's, a share of the debt, where its file states one."""
    place: str = field(default="", repr=False, compare=False)
    """Where it stands in its file, as a person finds it."""

    @property
    def owed(self) -> float:
        """Value of all debts at the start."""
        return sum(d.value for d in self.debt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Accounts whose values are in ``unit`` ("ETH" or "USD"); ``left_out``: (name, why)."""

    path: str
    unit: str
    accounts: tuple[Account, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    worded: str = ""
    """Who can state how each account is liquidated, in a person's words; empty where nobody can."""
    policies: Mapping[str, Policy] = field(default_factory=dict)
    """By name, where a configuration guards each position, perpetual ones too, by its own."""

    @property
    def assets(self) -> tuple[str, ...]:
        """Every asset held or owed."""
        return tuple(dict.fromkeys(lot.asset for a in self.accounts for lot in (*a.collateral, *a.debt)))


def read(path: Path) -> Fleet:
    """The accounts in a CSV file, or in every CSV file of a folder. ConfigError naming file, row and column."""
    files = (
        sorted(p for p in path.iterdir() if p.name.endswith((".csv", ".csv.gz"))) if path.is_dir() else [path]
    )
    fleets: list[Fleet] = []
    other: list[str] = []
    for file in files:
        table = sheet.text(file, f"accounts by asset need {CSV_FORMAT}", _read)
        if path.is_dir() and not (
            any(map(_COLLATERAL.fullmatch, table.columns)) and any(map(_DEBT.fullmatch, table.columns))
        ):
            other.append(f"{file.name}: {', '.join(table.columns[:6])}")
            continue
        fleets.append(_parsed(file, table))
    if not fleets:
        raise ConfigError(
            (f"{path}: holds no accounts by asset ({CSV_FORMAT}); found {'; '.join(other) or 'nothing'}",)
        )
    if len({f.unit for f in fleets}) > 1:
        raise ConfigError((f"{path}: its files are in different units; replay them one at a time",))
    left_out = tuple((name, "the file does not say which assets an account holds") for name in other)
    _once(path, [(a.name, f.path) for f in fleets for a in f.accounts])
    return Fleet(
        path=str(path),
        unit=fleets[0].unit,
        accounts=tuple(a for f in fleets for a in f.accounts),
        left_out=(*left_out, *(x for f in fleets for x in f.left_out)),
    )


def of_book(book: NamedBook, path: str, stated: Sequence[Terms] = (), teller: str = "") -> Fleet:
    """The lending positions of a book, in USD at the book's own prices and by the terms that ``teller``, else its
    file, ``stated``; others are left out and said."""
    accounts: list[Account] = []
    left_out: list[tuple[str, str]] = []
    places = book.places or (("", ""),) * len(book.names)
    own = stated or [Terms(place="")] * len(book.names)
    for name, row, tokens, place, terms in zip(book.names, book.rows, book.tokens, places, own, strict=True):
        if not tokens or row.a0 or row.b0:
            left_out.append((name, "not a lending position: the paper market liquidates loans only"))
            continue
        symbols = [book.symbols.get(f, f) for f in row.feeds]
        prices = [book.prices.get(f, math.nan) for f in row.feeds]
        if any(not math.isfinite(p) for p in prices):
            left_out.append((name, "a price is missing"))
            continue
        some = dict(enumerate(zip(terms.bonuses, terms.factors, strict=True)))
        collateral = [
            Lot(
                asset=s, value=t * p, threshold=a / t, bonus=some.get(k, NONE)[0], factor=some.get(k, NONE)[1]
            )
            for k, (s, p, t, a) in enumerate(zip(symbols, prices, tokens, row.a, strict=True))
            if t > 0.0
        ]
        debt = [Lot(asset=s, value=b * p) for s, p, b in zip(symbols, prices, row.b, strict=True) if b > 0.0]
        accounts.append(
            Account(
                name=name,
                collateral=tuple(collateral),
                debt=tuple(debt),
                # beside a position any name may stand; the rule is the one that its loan names
                venue=terms.venue or place[0].partition(":")[0],
                penalty=terms.penalty,
                place=terms.place,
            )
        )
    _once(Path(path), [(a.name, path) for a in accounts])
    return Fleet(
        path=path,
        unit="USD",
        accounts=tuple(accounts),
        left_out=tuple(left_out),
        worded=(teller or path) if stated else "",
    )


def _once(path: Path, named: Sequence[tuple[str, str]]) -> None:
    """Refuse one name for two accounts, each (name, file): what became of one would be told of the other."""
    places: dict[str, list[str]] = {}
    for name, file in named:
        places.setdefault(name, []).append(file)
    wrong = [
        f"{path}: {name} is the name of {len(where)} positions ({', '.join(dict.fromkeys(where))}); "
        "each needs its own"
        for name, where in places.items()
        if len(where) > 1
    ]
    if wrong:
        raise ConfigError(tuple(wrong[:PROBLEMS_MAX]))


def _parsed(path: Path, table: sheet.Sheet) -> Fleet:
    header = table.columns
    collateral = next((h for h in header if _COLLATERAL.fullmatch(h)), None)
    debt = next((h for h in header if _DEBT.fullmatch(h)), None)
    if "user" not in header or collateral is None or debt is None:
        raise ConfigError(
            (
                f"{path}: row {table.line}: has {', '.join(header[:12])[:300]}; accounts by asset need {CSV_FORMAT}",
            )
        )
    units = {_unit(_COLLATERAL, collateral), _unit(_DEBT, debt)}
    problems: list[str] = []
    accounts: list[Account] = []
    left_out: list[tuple[str, str]] = []
    seen: dict[str, int] = {}
    for found in table.rows:
        n, row = found.line, found.cells
        name, venue = row["user"].strip(), row.get("venue", "").strip()
        # a quote that was forgotten, or a second list of debts: nothing of a row is left unread
        if found.beyond:
            problems.append(
                f"{path}: row {n}: {', '.join(found.beyond)!r:.60} stands beyond the {len(header)} columns of row "
                f"{table.line}"
            )
        if not name:
            problems.append(f"{path}: row {n}, column user: an empty cell is no name")
        if name in seen:
            problems.append(f"{path}: row {n}, column user: {name} is there twice (row {seen[name]})")
        seen[name] = n
        held = list(_lots(f"{path}: row {n}, column {collateral}", row[collateral], 3, problems))
        owed = list(_lots(f"{path}: row {n}, column {debt}", row[debt], 2, problems))
        scale = DUST * sum(x.value for x in (*held, *owed))
        account = Account(
            name=name,
            collateral=tuple(x for x in held if x.value > scale),
            debt=tuple(x for x in owed if x.value > scale),
            venue=venue,
            place=f"{path}: row {n}",
        )
        if account.debt:
            accounts.append(account)
        else:
            left_out.append((name, "owes nothing"))
        if len(problems) >= PROBLEMS_MAX:
            problems.append(f"{path}: and perhaps more: reading stopped here")
            break
    if len(units) > 1:
        problems.append(
            f"{path}: row {table.line}: collateral and debt are in different units ({collateral}, {debt})"
        )
    if problems:
        raise ConfigError(tuple(problems))
    return Fleet(path=str(path), unit=units.pop().upper(), accounts=tuple(accounts), left_out=tuple(left_out))


def _read(column: str) -> bool:
    """Whether accounts by asset are read from it."""
    return column in ("user", "venue") or any(p.fullmatch(column) for p in (_COLLATERAL, _DEBT))


def _unit(pattern: re.Pattern[str], column: str) -> str:
    found = pattern.fullmatch(column)
    return found[1] if found else ""


def _lots(where: str, text: str, width: int, problems: list[str]) -> Iterator[Lot]:
    try:
        items = json.loads(text)
    except ValueError as error:
        problems.append(f"{where}: {text[:40]!r} is not JSON: {error}")
        return
    if not isinstance(items, list):
        problems.append(f"{where}: is no list of lists")
        return
    for item in items:
        good = isinstance(item, list) and len(item) == width and isinstance(item[0], str)
        numbers = (
            [x for x in item[1:] if isinstance(x, (int, float)) and not isinstance(x, bool)] if good else []
        )
        if len(numbers) != width - 1 or not all(math.isfinite(x) and x >= 0.0 for x in numbers):
            wanted = "[asset, value, threshold]" if width == 3 else "[asset, value]"
            problems.append(f"{where}: {json.dumps(item)[:60]} is not {wanted} with numbers of 0 or more")
            continue
        if width == 3 and not 0.0 <= numbers[1] < 1.0:
            problems.append(f"{where}: the threshold {numbers[1]:g} of {item[0]} is not from 0 to 1")
            continue
        yield Lot(asset=item[0], value=float(numbers[0]), threshold=float(numbers[1]) if width == 3 else 0.0)
