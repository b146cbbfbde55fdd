"""Rows of a file of bars as columns: ``ts, symbol, open, high, low, close`` from parquet or CSV, every cell read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keeper.errors import ConfigError
from keeper.replay import sheet
from keeper.risk.book import Floats

FIELDS = ("open", "high", "low", "close")
COLUMNS = ("ts", "symbol", *FIELDS)
READ = frozenset((*COLUMNS, "venue"))
NEEDED = f"bars need {', '.join(COLUMNS)}, separated by commas"
PROBLEMS_MAX = 20
TIME = "a time in UTC (epoch seconds, or 2025-01-01T00:00:00Z)"
Names = np.ndarray[tuple[int, ...], np.dtype[np.str_]]
Counts = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
EACH_S = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
LAST_S = 1e11
"""A larger number is no time in seconds."""
UNITS = (("milliseconds", LAST_S * 1e3), ("microseconds", LAST_S * 1e6), ("nanoseconds", LAST_S * 1e9))
_ISO = re.compile(r"(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)(?:Z|\+00:00)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of one file as columns; ``line`` int64[R] is the row's number as a person counts: in CSV the line of the
    file, in parquet the row, from 1."""

    line: Counts
    ts: Floats
    symbol: Names
    prices: Mapping[str, Floats]
    zoneless: bool = False
    """Whether some time is written as a date without a zone, which is taken for UTC."""


def read(path: Path) -> Rows:
    """Every row of a ``.parquet``, ``.csv`` or ``.csv.gz`` file. ConfigError naming file, row and column."""
    return _parquet(path) if path.suffix == ".parquet" else _text(path)


def moment(text: str) -> float:
    """Epoch seconds of a UTC date, date and time, or number. ValueError."""
    found = _ISO.fullmatch(text.strip())
    return float(np.datetime64(found[1], "s").astype(np.int64)) if found else float(text)


def zoneless(text: str) -> bool:
    """Whether a readable time is written as a date without a zone; a number is always UTC."""
    return "-" in text and not text.rstrip().endswith(("Z", "+00:00"))


def _parquet(path: Path) -> Rows:
    table = sheet.parquet(path, READ.__contains__)
    _shape(path, "", table.column_names)
    ts = _numbers(path, table, "ts")
    prices = {f: _numbers(path, table, f) for f in FIELDS}
    line = np.arange(1, len(ts) + 1)
    if not len(line):
        raise ConfigError((f"{path}: has no bars",))
    _seconds(path, ts, line)
    names = [str(name or "").strip() for name in table["symbol"].to_pylist()]
    empty = [n for n, name in enumerate(names, start=1) if not name]
    if empty:
        raise ConfigError((f"{path}: row {empty[0]}, column symbol: an empty cell is no symbol",))
    venue = table["venue"].to_pylist() if "venue" in table.column_names else [""] * len(names)
    told = _told_apart(np.array(names, np.str_), np.array([str(v or "") for v in venue], np.str_))
    kind = table["ts"].type
    naive = str(kind).startswith("timestamp") and kind.tz is None
    return Rows(line=line, ts=ts, symbol=told, prices=prices, zoneless=naive)


def _numbers(path: Path, table: Any, name: str) -> Floats:
    """One column as float64; of ``ts`` a column of times in UTC as seconds. ConfigError naming file and column."""
    column = table[name]
    kind = str(column.type)
    if name == "ts" and kind.startswith("timestamp"):
        return seconds(path, column)
    if not kind.startswith(("int", "uint", "float", "double", "halffloat", "decimal")):
        what = TIME if name == "ts" else "prices"
        raise ConfigError((f"{path}: column {name}: is of {kind}, which is no number; it must hold {what}",))
    # an integer beyond 2**53 becomes the nearest float, as it does from a text: as a time it is none, and is named
    return np.asarray(column.cast("float64", safe=False).to_numpy(), np.float64)


def seconds(path: Path, column: Any) -> Floats:
    """Epoch seconds of a parquet column of times, NaN where there is none. ConfigError on another zone than UTC."""
    zone = getattr(column.type, "tz", None)
    if zone not in (None, "UTC", "Etc/UTC", "+00:00"):
        raise ConfigError((f"{path}: column ts: is in the time zone {zone}; write UTC",))
    # by the column's own unit: as nanoseconds a year too large would wrap to one that looks right
    whole = column.cast("int64").to_numpy()
    return np.asarray(whole, np.float64) / EACH_S[column.type.unit]


def unit_hint(time_s: float) -> str:
    """In which unit a number that is no time in seconds would be one; empty where in none."""
    name = next((n for n, most in UNITS if LAST_S <= time_s < most), "")
    return f"; {name}? write seconds" if name else ""


def _told_apart(symbol: Names, venue: Names) -> Names:
    """``symbol@venue`` where one symbol is quoted by several venues in the same file."""
    found = symbol.astype(object)
    for name in dict.fromkeys(symbol.tolist()):
        mine = symbol == name
        if len(np.unique(venue[mine])) > 1:
            found[mine] = [f"{name}@{v}" for v in venue[mine]]
    return found.astype(np.str_)


def _shape(path: Path, where: str, there: Sequence[str]) -> None:
    lacking = [c for c in COLUMNS if c not in there]
    if lacking:
        raise ConfigError(
            (
                f"{path}: {where}lacks {', '.join(lacking)}; the columns are {', '.join(there[:20])[:200]}. "
                f"Bars need {', '.join(COLUMNS)}, separated by commas; others are ignored",
            )
        )


def _seconds(path: Path, ts: Floats, line: Sequence[int] | Counts) -> None:
    wrong = np.flatnonzero(~((ts > 0.0) & (ts < LAST_S)))
    if len(wrong):
        i = int(wrong[0])
        said = f"{ts[i]:g} is no time in seconds, UTC{unit_hint(ts[i])}"
        raise ConfigError((f"{path}: row {line[i]}, column ts: {said}",))


def _text(path: Path) -> Rows:
    found = sheet.text(path, NEEDED, READ.__contains__)
    _shape(path, f"row {found.line}: ", found.columns)
    problems: list[str] = []
    line: list[int] = []
    symbol: list[str] = []
    venue: list[str] = []
    cells: dict[str, list[float]] = {name: [] for name in ("ts", *FIELDS)}
    naive = False
    for row in found.rows:
        for name, column in cells.items():
            column.append(_cell(f"{path}: row {row.line}, column {name}", row.cells[name], problems))
        line.append(row.line)
        naive = naive or zoneless(row.cells["ts"])
        if not row.cells["symbol"].strip():
            problems.append(f"{path}: row {row.line}, column symbol: an empty cell is no symbol")
        if row.beyond:
            said = f"has cells beyond the columns of row {found.line}: {', '.join(row.beyond)[:40]!r}"
            problems.append(f"{path}: row {row.line}: {said}")
        symbol.append(row.cells["symbol"].strip())
        venue.append(row.cells.get("venue", "").strip())
        if len(problems) >= PROBLEMS_MAX:
            problems.append(f"{path}: and perhaps more: reading stopped here")
            break
    if not line:
        problems.append(f"{path}: has no bars")
    if problems:
        raise ConfigError(tuple(problems))
    columns = {name: np.array(column, np.float64) for name, column in cells.items()}
    _seconds(path, columns["ts"], line)
    ts = columns.pop("ts")
    told = _told_apart(np.array(symbol, np.str_), np.array(venue, np.str_))
    return Rows(line=np.array(line), ts=ts, symbol=told, prices=columns, zoneless=naive)


def _cell(where: str, text: str, problems: list[str]) -> float:
    timed = where.endswith("column ts")
    try:
        return moment(text) if timed else float(text)
    except ValueError:
        problems.append(
            f"{where}: {repr(text) if text else 'an empty cell'} is not {TIME if timed else 'a price'}"
        )
        return np.nan
