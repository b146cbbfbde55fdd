"""Series of one symbol from parquet or CSV: ``ts, symbol`` and named columns, checked row by row.

For what no chain tells: funding, open interest, a perp's mark. Meaning is never guessed: what cannot be read stops
the command with file, row and column; a gap is said, and no number is made up for it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from keeper.errors import ConfigError
from keeper.replay import sheet
from keeper.replay.barfile import LAST_S, TIME, moment, seconds, unit_hint, zoneless
from keeper.replay.bars import iso
from keeper.risk.book import Floats

PROBLEMS_MAX = 20
GAPS_MAX = 0.05
NEEDED = "a series needs ts and named columns, separated by commas"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its name and what its numbers must lie between, strictly above ``low`` and at most ``high``."""

    name: str
    low: float = -math.inf
    high: float = math.inf
    what: str = "a number"
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """``values`` float64[T] by column at ``times_s`` float64[T], ascending; mostly ``step_s`` apart, of which
    ``missing`` are not there."""

    path: str
    symbol: str
    times_s: Floats
    values: Mapping[str, Floats]
    step_s: float
    missing: int
    notes: tuple[str, ...] = ()

    def at(self, times_s: Floats, name: str) -> Floats:
        """The value last known at each time, float64[len]; NaN before the first and where it is older than two
        steps."""
        place = np.searchsorted(self.times_s, times_s, side="right") - 1
        known = place >= 0
        place = np.maximum(place, 0)
        fresh = known & (times_s - self.times_s[place] <= 2.0 * self.step_s)
        return np.where(fresh, self.values[name][place], math.nan)


def read(path: Path, symbol: str, columns: Sequence[Column]) -> Series:
    """One symbol's rows; with ``symbol`` "" all of them, of a file that needs no such column. ConfigError naming
    file, row and column of each problem (up to twenty)."""
    head, header, rows, naive = _rows(
        path, {"ts", *(["symbol"] if symbol else []), *(c.name for c in columns)}
    )
    needed = ["ts", *(["symbol"] if symbol else []), *(c.name for c in columns if not c.optional)]
    lacking = [c for c in needed if c not in header]
    if lacking:
        there = ", ".join(header[:20])[:200] or "none"
        raise ConfigError((f"{path}: {head}lacks the column {', '.join(lacking)}; there is {there}",))
    wanted = [c for c in columns if c.name in header]
    problems: list[str] = []
    others: dict[str, None] = {}
    found: list[tuple[float, int, tuple[float, ...]]] = []
    for n, row in rows:
        name = str(row.get("symbol") or "").strip()
        if symbol and name.upper() != symbol.upper():
            others[name] = None
            continue
        time = _time(row.get("ts"), n, problems)
        naive = naive or zoneless(str(row.get("ts") or ""))
        numbers = tuple(_number(row.get(c.name), n, c, problems) for c in wanted)
        found.append((time, n, numbers))
        if len(problems) >= PROBLEMS_MAX:
            problems.append("and perhaps more: reading stopped here")
            break
    if not problems and len(found) < 2:
        said = ", ".join(sorted(o or "an empty cell" for o in others)[:10]) or "nothing"
        few = f"column symbol: has {len(found)} rows of {symbol}, two are the least; there is {said}"
        problems.append(few if symbol else f"has {len(found)} rows, two are the least")
    if problems:
        raise ConfigError(tuple(f"{path}: {p}" for p in problems))
    made = _ordered(path, symbol, [c.name for c in wanted], found)
    if not naive:
        return made
    return replace(made, notes=(*made.notes, f"{path}: column ts: no zone written, taken as UTC"))


def _ordered(
    path: Path, symbol: str, names: Sequence[str], found: list[tuple[float, int, tuple[float, ...]]]
) -> Series:
    """Rows by time, each time once, on one beat but for gaps. ConfigError."""
    notes = []
    back = next((b for a, b in pairwise(found) if b[0] < a[0]), None)
    if back is not None:
        notes.append(
            f"{path}: row {back[1]}, column ts: {iso(back[0])} is the first not in order of time; sorted"
        )
        found = sorted(found, key=lambda x: x[0])
    for a, b in pairwise(found):
        if a[0] == b[0]:
            at = iso(a[0])
            raise ConfigError((f"{path}: row {b[1]}, column ts: {at} is there twice (row {a[1]})",))
    times = np.array([t for t, _, _ in found])
    steps = np.diff(times)
    step = float(np.median(steps))
    missing = int(np.maximum(np.rint(steps / step) - 1.0, 0.0).sum())
    if missing:
        longest = int(np.argmax(steps))
        where = (
            f"row {found[longest + 1][1]}, column ts: {missing} of {len(times) + missing} steps of {step:g} s"
        )
        words = (
            f"{where} are missing, the longest gap from {iso(times[longest])} to {iso(times[longest + 1])}"
        )
        if missing > GAPS_MAX * (len(times) + missing):
            raise ConfigError((f"{path}: {words}; at most {100 * GAPS_MAX:g} % may be",))
        notes.append(f"{path}: {words}; nothing is made up for them")
    values = {c: np.array([row[k] for _, _, row in found]) for k, c in enumerate(names)}
    return Series(
        path=str(path),
        symbol=symbol,
        times_s=times,
        values=values,
        step_s=step,
        missing=missing,
        notes=tuple(notes),
    )


def _time(cell: object, n: int, problems: list[str]) -> float:
    try:
        time = moment(str(cell if cell is not None else ""))
    except ValueError:
        what = repr(str(cell)) if cell not in (None, "") else "an empty cell"
        problems.append(f"row {n}, column ts: {what} is not {TIME}")
        return math.nan
    if not 0.0 < time < LAST_S:
        problems.append(f"row {n}, column ts: {time:g} is no time in seconds, UTC{unit_hint(time)}")
    return time


def _number(cell: object, n: int, column: Column, problems: list[str]) -> float:
    try:
        number = float(str(cell if cell is not None else ""))
    except ValueError:
        number = math.nan
    if not (column.low < number <= column.high and math.isfinite(number)):
        what = f"{cell!s}" if cell not in (None, "") else "an empty cell"
        problems.append(f"row {n}, column {column.name}: {what} is not {column.what}")
    return number


def _rows(
    path: Path, read: Collection[str]
) -> tuple[str, Sequence[str], Iterator[tuple[int, Mapping[str, object]]], bool]:
    """Where columns are named, which they are, each row by its number, of parquet what is ``read``, and whether it
    has a column of times without a zone. ConfigError, also while rows are read."""
    if path.suffix != ".parquet":
        found = sheet.text(path, NEEDED, read.__contains__)
        return f"row {found.line}: ", found.columns, _whole(path, found), False
    table = sheet.parquet(path, read.__contains__)
    names = [c for c in table.column_names if c in read]
    columns = [_times(path, table[c]) if c == "ts" else list(table[c].to_pylist()) for c in names]
    rows = (dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True))
    kinds = [table[c].type for c in names if c == "ts"]
    naive = any(str(k).startswith("timestamp") and k.tz is None for k in kinds)
    return "", table.column_names, enumerate(rows, start=1), naive


def _times(path: Path, column: Any) -> Sequence[object]:
    """A parquet column of times or numbers; times as seconds. ConfigError."""
    if not str(column.type).startswith("timestamp"):
        return list(column.to_pylist())
    return [None if math.isnan(x) else x for x in seconds(path, column).tolist()]


def _whole(path: Path, found: sheet.Sheet) -> Iterator[tuple[int, Mapping[str, object]]]:
    for row in found.rows:
        if row.beyond:
            said = f"has cells beyond the columns of row {found.line}: {', '.join(row.beyond)[:40]!r}"
            raise ConfigError((f"{path}: row {row.line}: {said}",))
        yield row.line, row.cells
