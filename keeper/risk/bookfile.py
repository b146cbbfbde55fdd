"""A book from a JSON file, so that the core is usable without a chain. The format is described in
``FORMAT``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from keeper.errors import ConfigError
from keeper.model import BookRow
from keeper.risk import bookloss, clocks, perp, perpfile
from keeper.risk.adl import Adl

FORMAT = """\
{"prices": {"ETH": 2000.0,                         feed: USD of one whole token, or an object:
            "wst": {"price": 2400, "symbol": "wstETH", "fixed": false,     what it follows; fixed: never moves
                    "oracle": "chainlink"}},                               who says so
 "positions": [
  {"name": "loan", "lending": {"collateral": [{"asset": "ETH", "amount": 10, "threshold": 0.83, "bonus": 0.05}],
                               "debt": [{"asset": "USDC", "amount": 9000}], "venue": "aave_v3"}},
  {"name": "short", "perp": {"index": "ETH", "size": -5, "entry": 2100, "maintenance_rate": 0.01,
                             "margin": [{"asset": "USDC", "amount": 3000, "haircut": 1.0}],
                             "fees_usd": 0, "minimum_margin_usd": 0}},
  {"name": "pair", "owner": "me", "venue": "gmx_v2", "chain": "arbitrum",
   "cross": {"legs": [{"index": "ETH", "size": 2, "entry": 2000, "maintenance_rate": 0.01},
                      {"index": "ETH", "size": -1, "entry": 2050, "maintenance_rate": 0.01}],
             "margin": [{"asset": "USDC", "amount": 500}]}},
  {"name": "raw", "row": {"feeds": ["ETH"], "a": [1.0], "b": [0.0], "a0": 0.0, "b0": 100.0}}]}
"""


_ABOVE_0 = 5e-324
_KINDS = ("lending", "perp", "cross", "row")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBook:
    """Rows with names, prices of their feeds, what each feed's price follows, and feeds that never move.

    ``levels``: (name, health) of the policy, where all positions share one. ``tokens``: for each row the collateral
    in tokens behind each entry's weight, 0 for a debt; empty for a row that is no lending position. ``losses``: USD
    that one liquidation would take of each position; None where no venue's rule is named. ``days`` until interest or
    funding alone liquidates; None where no rate is known. ``owners``: whose each is, empty where nobody says.
    ``equities``: what a perp is worth to its owner, where its row measures something else; None where it does not.
    ``adl``: (name, nearness) of each perp for which the file tells how its venue closes winners. ``places``: (venue,
    chain) of each, "" where nobody says. ``oracles``: feed -> who says its price, where that is known.
    """

    names: tuple[str, ...]
    rows: tuple[BookRow, ...]
    prices: Mapping[str, float]
    symbols: Mapping[str, str]
    fixed: frozenset[str] = frozenset()
    levels: tuple[tuple[str, float], ...] = ()
    tokens: tuple[tuple[float, ...], ...] = ()
    losses: tuple[float | None, ...] = ()
    days: tuple[float | None, ...] = ()
    owners: tuple[str, ...] = ()
    equities: tuple[BookRow | None, ...] = ()
    adl: tuple[tuple[str, Adl], ...] = ()
    places: tuple[tuple[str, str], ...] = ()
    oracles: Mapping[str, str] = field(default_factory=dict)


def read(path: Path) -> NamedBook:
    """The book in a file. Raises ConfigError naming every problem."""
    try:
        # orjson bounds its own depth: the standard parser's recursion can overflow the stack of the process
        document = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror or error}",)) from error
    except ValueError as error:
        raise ConfigError((f"{path}: is not JSON: {error}",)) from error
    return parse(document)


def parse(document: object) -> NamedBook:
    """The book in a decoded JSON document. Raises ConfigError naming every problem."""
    reader = _Reader()
    top = reader.table(document, "the document", ("prices", "positions"), optional=("schema",))
    prices, symbols, fixed = reader.prices(top.get("prices"))
    names: list[str] = []
    rows: list[BookRow] = []
    tokens: list[tuple[float, ...]] = []
    losses: list[float | None] = []
    days: list[float | None] = []
    owners: list[str] = []
    places: list[tuple[str, str]] = []
    adl: list[tuple[str, Adl]] = []
    for n, item in enumerate(reader.items(top.get("positions"), "positions")):
        where = f"positions[{n}]"
        table = reader.table(item, where, (), optional=("name", "owner", "venue", "chain", *_KINDS))
        kinds = [k for k in _KINDS if k in table]
        if len(kinds) != 1:
            what = f"{', '.join(_KINDS[:-1])} and {_KINDS[-1]}"
            reader.problems.append(f"{where}: needs exactly one of {what}, has {len(kinds)}")
            continue
        name = table.get("name", str(n))
        names.append(name if isinstance(name, str) else str(n))
        owners.append(reader.text(table["owner"], f"{where}.owner") if "owner" in table else "")
        kind, value, at = kinds[0], table[kinds[0]], f"{where}.{kinds[0]}"
        places.append(_place(reader, table, value, where))
        if kind in ("perp", "cross"):
            account = perpfile.account(reader, kind, value, prices, at)
            rows.append(account.row)
            tokens.append(())
            carry, over = account.carry_usd_day, perp.margin_usd(account.row, prices)
            days.append(None if carry is None else clocks.funding_clock_days(over, carry))
            adl += [(names[-1], one) for one in account.adl]
        else:
            row, held = reader.position(kind, value, at)
            rows.append(row)
            tokens.append(held)
            days.append(clocks.file_days(reader, value, row, prices, at))
        losses.append(None if kind == "cross" else bookloss.loss_usd(reader, kind, value, prices, at))
    oracles = _oracles(reader, top.get("prices"))
    for name, row in zip(names, rows, strict=True):
        reader.problems += [f"position {name}: no price of {f}" for f in row.feeds if f not in prices]
    if reader.problems:
        raise ConfigError(tuple(reader.problems))
    return NamedBook(
        names=tuple(names),
        rows=tuple(rows),
        prices=prices,
        symbols=symbols,
        fixed=fixed,
        tokens=tuple(tokens),
        losses=tuple(losses),
        days=tuple(days),
        owners=tuple(owners),
        adl=tuple(adl),
        places=tuple(places),
        oracles=oracles,
    )


def _place(reader: _Reader, table: Mapping[str, object], value: object, where: str) -> tuple[str, str]:
    """(venue, chain) of a position; the venue by whose rule it is liquidated, where no other is named."""
    named = [reader.text(table[k], f"{where}.{k}") if k in table else "" for k in ("venue", "chain")]
    rule = value.get("venue") if isinstance(value, dict) else None
    return named[0] or (rule if isinstance(rule, str) else ""), named[1]


def _oracles(reader: _Reader, prices: object) -> dict[str, str]:
    """Feed -> who says its price, where the file tells."""
    entries = prices.items() if isinstance(prices, dict) else ()
    return {
        feed: reader.text(entry["oracle"], f"prices.{feed}.oracle")
        for feed, entry in entries
        if isinstance(entry, dict) and "oracle" in entry
    }


class _Reader:
    """Collects every problem instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def table(
        self, value: object, where: str, keys: Sequence[str], *, optional: Sequence[str] = ()
    ) -> Mapping[str, object]:
        if not isinstance(value, dict):
            self.problems.append(f"{where}: must be an object")
            return {}
        self.problems += [f"{where}: lacks {k}" for k in keys if k not in value]
        self.problems += [f"{where}: unknown key {k}" for k in value if k not in (*keys, *optional)]
        return value

    def items(self, value: object, where: str) -> Sequence[object]:
        if not isinstance(value, list):
            self.problems.append(f"{where}: must be a list")
            return ()
        return value

    def number(self, value: object, where: str, *, low: float = -math.inf) -> float:
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not math.isfinite(float(value)) or float(value) < low:  # type: ignore[arg-type]
            above = "" if low == -math.inf else f" of at least {low:g}" if low != _ABOVE_0 else " above 0"
            self.problems.append(f"{where} = {value!r}: must be a number{above}")
            return 0.0
        return float(value)  # type: ignore[arg-type]

    def text(self, value: object, where: str) -> str:
        if not isinstance(value, str) or not value:
            self.problems.append(f"{where} = {value!r}: must be a name")
            return ""
        return value

    def prices(self, value: object) -> tuple[dict[str, float], dict[str, str], frozenset[str]]:
        prices: dict[str, float] = {}
        symbols: dict[str, str] = {}
        fixed: set[str] = set()
        if not isinstance(value, dict):
            self.problems.append("prices: must be an object of feed: price")
            return prices, symbols, frozenset()
        for feed, entry in value.items():
            where = f"prices.{feed}"
            table: Mapping[str, object] = {"price": entry}
            if isinstance(entry, dict):
                table = self.table(entry, where, ("price",), optional=("symbol", "fixed", "oracle"))
            prices[feed] = self.number(table.get("price"), where, low=_ABOVE_0)
            symbols[feed] = self.text(table.get("symbol", feed), f"{where}.symbol")
            if not isinstance(table.get("fixed", False), bool):
                self.problems.append(f"{where}.fixed: must be true or false")
            elif table.get("fixed"):
                fixed.add(feed)
        return prices, symbols, frozenset(fixed)

    def position(self, kind: str, value: object, where: str) -> tuple[BookRow, tuple[float, ...]]:
        """The row, and the tokens of its collateral where it is a lending position."""
        return self.lending(value, where) if kind == "lending" else (self.row(value, where), ())

    def lending(self, value: object, where: str) -> tuple[BookRow, tuple[float, ...]]:
        table = self.table(value, where, ("collateral", "debt"), optional=bookloss.LENDING_KEYS)
        feeds: list[str] = []
        a: list[float] = []
        b: list[float] = []
        tokens: list[float] = []
        for n, item in enumerate(self.items(table.get("collateral"), f"{where}.collateral")):
            at = f"{where}.collateral[{n}]"
            one = self.table(
                item,
                at,
                ("asset", "amount", "threshold"),
                optional=(*bookloss.COLLATERAL_KEYS, *clocks.HOLDING_KEYS),
            )
            feeds.append(self.text(one.get("asset"), f"{at}.asset"))
            amount = self.number(one.get("amount"), f"{at}.amount", low=0.0)
            a.append(amount * self.number(one.get("threshold"), f"{at}.threshold", low=0.0))
            b.append(0.0)
            tokens.append(amount)
        for n, item in enumerate(self.items(table.get("debt"), f"{where}.debt")):
            at = f"{where}.debt[{n}]"
            one = self.table(item, at, ("asset", "amount"), optional=clocks.HOLDING_KEYS)
            feeds.append(self.text(one.get("asset"), f"{at}.asset"))
            a.append(0.0)
            b.append(self.number(one.get("amount"), f"{at}.amount", low=0.0))
            tokens.append(0.0)
        return BookRow(feeds=tuple(feeds), a=tuple(a), b=tuple(b)), tuple(tokens)

    def row(self, value: object, where: str) -> BookRow:
        table = self.table(value, where, ("feeds", "a", "b"), optional=("a0", "b0"))
        feeds = [
            self.text(f, f"{where}.feeds[{n}]") for n, f in enumerate(self.items(table.get("feeds"), where))
        ]
        a = [self.number(x, f"{where}.a[{n}]") for n, x in enumerate(self.items(table.get("a"), where))]
        b = [
            self.number(x, f"{where}.b[{n}]", low=0.0)
            for n, x in enumerate(self.items(table.get("b"), where))
        ]
        if not len(feeds) == len(a) == len(b):
            self.problems.append(f"{where}: has {len(feeds)} feeds, {len(a)} a and {len(b)} b")
        return BookRow(
            feeds=tuple(feeds),
            a=tuple(a),
            b=tuple(b),
            a0=self.number(table.get("a0", 0.0), f"{where}.a0"),
            b0=self.number(table.get("b0", 0.0), f"{where}.b0", low=0.0),
        )
