"""Bars of price history: ``ts, symbol, open, high, low, close`` from parquet or CSV, checked row by row.

Meaning is never guessed: what cannot be read stops the run with file, row and column; what can be read but is
odd (gaps, identical repetitions, a low far below its own bar) is kept and said in ``notes``.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keeper.errors import ConfigError
from keeper.replay import prints
from keeper.risk.book import Floats

FIELDS = ("open", "high", "low", "close")
COLUMNS = ("ts", "symbol", *FIELDS)
GAPS_MAX = 0.05
QUIET_S = 3_600.0
"""Share of bars of one symbol that may be missing where a gap is longer than ``QUIET_S``; shorter ones are a market
without trades. A feed holds its last value meanwhile."""
PROBLEMS_MAX = 20
WICK_MAX = 0.35
"""A low (or high) further than this from both its bar's open and close is one venue's print: it is kept, named, and
not taken for what an oracle that reads several venues would have said."""
EXTRA = "pip install 'keeper[analysis]'"
Names = np.ndarray[tuple[int, ...], np.dtype[np.str_]]
Counts = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Bools = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
_ISO = re.compile(r"(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)(?:Z|\+00:00)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """K symbols at T common times: ``times_s`` float64[T] of each bar's opening, ``step_s`` apart but for gaps;
    ``open``, ``high``, ``low``, ``close`` float64[T, K]. ``live`` bool[T, K]: False where the symbol has no bar of
    its own and the last close is held."""

    path: str
    symbols: tuple[str, ...]
    times_s: Floats
    step_s: float
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    live: Bools
    notes: tuple[str, ...]

    def field(self, name: str) -> Floats:
        """One of ``FIELDS``, float64[T, K]."""
        column: Floats = getattr(self, name)
        return column

    def between(self, first_s: float | None, last_s: float | None) -> Bars:
        """Bars that open at or after ``first_s`` and before ``last_s``. ConfigError where none does."""
        keep = np.ones(len(self.times_s), np.bool_)
        if first_s is not None:
            keep &= self.times_s >= first_s
        if last_s is not None:
            keep &= self.times_s < last_s
        if keep.sum() < 2:
            span = f"{iso(self.times_s[0])} to {iso(self.times_s[-1])}"
            raise ConfigError(
                (f"{self.path}: has {keep.sum()} bars between the times asked; it spans {span}",)
            )
        columns = {name: np.ascontiguousarray(self.field(name)[keep]) for name in FIELDS}
        return Bars(
            path=self.path,
            symbols=self.symbols,
            times_s=self.times_s[keep],
            step_s=self.step_s,
            live=self.live[keep],
            notes=self.notes,
            **columns,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Rows of one file as columns; ``line`` int64[R] is the row's number as a person counts."""

    line: Counts
    ts: Floats
    symbol: Names
    prices: Mapping[str, Floats]


def read(path: Path, symbols: Sequence[str] = ()) -> Bars:
    """The bars of ``symbols`` (default: every one) in a ``.parquet``, ``.csv`` or ``.csv.gz`` file.

    ConfigError naming file, row and column of each problem.
    """
    rows = _parquet(path) if path.suffix == ".parquet" else _text(path)
    there = list(dict.fromkeys(rows.symbol.tolist()))
    wanted = list(symbols) or there
    absent = [s for s in wanted if s not in there]
    if absent:
        raise ConfigError((f"{path}: has no {', '.join(absent)}; there are {', '.join(there[:30])}",))
    notes: list[str] = []
    problems: list[str] = []
    parts = {s: _symbol(rows, s, problems, notes) for s in wanted}
    if problems:
        raise ConfigError(tuple(f"{path}: {p}" for p in problems[:PROBLEMS_MAX]))
    found = _joined(str(path), parts, notes)
    return replace(found, notes=tuple(f"{path}: {n}" for n in found.notes))


def symbols_of(path: Path) -> tuple[str, ...]:
    """Which symbols a file has. ConfigError."""
    rows = _parquet(path) if path.suffix == ".parquet" else _text(path)
    return tuple(dict.fromkeys(rows.symbol.tolist()))


def iso(time_s: float) -> str:
    """UTC, to the minute."""
    return f"{np.datetime64(int(time_s), 's')}"[:16].replace("T", " ")


def moment(text: str) -> float:
    """Epoch seconds of a UTC date, date and time, or number. ValueError."""
    found = _ISO.fullmatch(text.strip())
    return float(np.datetime64(found[1], "s").astype(np.int64)) if found else float(text)


def _symbol(rows: _Rows, symbol: str, problems: list[str], notes: list[str]) -> _Rows:
    """One symbol's rows, ascending, each time once; what is wrong is appended to ``problems``."""
    mine = np.flatnonzero(rows.symbol == symbol)
    steps = np.diff(rows.ts[mine])
    if (steps < 0).any():
        at = rows.line[mine[int(np.argmax(steps < 0)) + 1]]
        notes.append(f"row {at}, column ts: {symbol} is not in order of time, first here; sorted")
        mine = mine[np.argsort(rows.ts[mine], kind="stable")]
    twice = np.flatnonzero(np.diff(rows.ts[mine]) == 0)
    for i in twice:
        a, b = mine[i], mine[i + 1]
        if any(rows.prices[f][a] != rows.prices[f][b] for f in FIELDS):
            problems.append(
                f"row {rows.line[b]}, column ts: {symbol} at {iso(rows.ts[b])} is there twice with different prices"
            )
    if len(twice):
        first = mine[twice[0] + 1]
        said = f"row {rows.line[first]}, column ts: {symbol} at {iso(rows.ts[first])} is there twice, alike"
        notes.append(f"{said}; used once (bars like this: {len(twice)})")
        mine = np.delete(mine, twice + 1)
    picked = _Rows(
        line=rows.line[mine],
        ts=rows.ts[mine],
        symbol=rows.symbol[mine],
        prices={f: rows.prices[f][mine] for f in FIELDS},
    )
    _check(picked, symbol, problems, notes)
    return picked


def _check(rows: _Rows, symbol: str, problems: list[str], notes: list[str]) -> None:
    """Impossible prices are problems, a print far from its own bar is a note."""
    for name in FIELDS:
        for i in np.flatnonzero(~(np.isfinite(rows.prices[name]) & (rows.prices[name] > 0.0)))[:PROBLEMS_MAX]:
            problems.append(
                f"row {rows.line[i]}, column {name}: {rows.prices[name][i]} of {symbol} is no price above 0"
            )
    low, high = rows.prices["low"], rows.prices["high"]
    body = np.minimum(rows.prices["open"], rows.prices["close"])
    top = np.maximum(rows.prices["open"], rows.prices["close"])
    for i in np.flatnonzero((low > body) | (high < top))[:PROBLEMS_MAX]:
        name = "low" if low[i] > body[i] else "high"
        problems.append(
            f"row {rows.line[i]}, column {name}: {rows.prices[name][i]:g} of {symbol} lies inside its open and close"
        )
    if problems:
        return
    _jumps(rows, symbol, problems, notes)
    for name, share in (("low", 1.0 - low / body), ("high", high / top - 1.0)):
        for i in np.flatnonzero(share > WICK_MAX)[:5]:
            notes.append(
                f"row {rows.line[i]}, column {name}: {rows.prices[name][i]:g} of {symbol} at {iso(rows.ts[i])} is "
                f"{100.0 * share[i]:.0f} % off its own bar: kept, not taken for an oracle's price"
            )


def _jumps(rows: _Rows, symbol: str, problems: list[str], notes: list[str]) -> None:
    """What a whole bar cannot be by its neighbours: kept and said, a rise of ``LASTS`` times that stays a problem."""
    opened, close = rows.prices["open"], rows.prices["close"]

    def named(i: int) -> str:
        return f"row {rows.line[i]}, column close: {close[i]:g} of {symbol} at {iso(rows.ts[i])}"

    spikes = np.flatnonzero(prints.reverted(close))
    for i in spikes[:5]:
        notes.append(
            f"{named(i)} lies between {close[i - 1]:g} and {close[i + 1]:g}: kept, not taken for an oracle's price"
        )
    if len(spikes) > 5:
        notes.append(f"{symbol}: {len(spikes) - 5} more bars that revert at once")
    for i, factor in list(prints.jumps(opened, close))[:5]:
        if factor >= prints.LASTS:
            problems.append(
                f"row {rows.line[i]}, column close: {close[i]:g} of {symbol} at {iso(rows.ts[i])} is {factor:,.0f} "
                "times the bar before it and stays: another unit?"
            )
        else:
            notes.append(f"{named(i)} is {factor:.3g} times the bar before it and stays: taken as it is")


def _joined(path: str, parts: Mapping[str, _Rows], notes: list[str]) -> Bars:
    """All symbols on one grid: from where the last begins to where the first ends; gaps hold the last close."""
    first = max(p.ts[0] for p in parts.values())
    last = min(p.ts[-1] for p in parts.values())
    for name, p in parts.items():
        if p.ts[0] < first or p.ts[-1] > last:
            notes.append(
                f"{name}: spans {iso(p.ts[0])} to {iso(p.ts[-1])}; used where all symbols have prices"
            )
    problems: list[str] = []
    step = _step(path, parts, problems)
    times = np.unique(np.concatenate([p.ts[(p.ts >= first) & (p.ts <= last)] for p in parts.values()]))
    if len(times) < 2:
        problems.append(f"{path}: {', '.join(parts)} have {len(times)} bars in common; two are the least")
    if problems:
        raise ConfigError(tuple(problems))
    columns = {f: np.empty((len(times), len(parts))) for f in FIELDS}
    live = np.empty((len(times), len(parts)), np.bool_)
    for k, (name, p) in enumerate(parts.items()):
        at = np.searchsorted(p.ts, times, side="right") - 1
        live[:, k] = p.ts[at] == times
        for f in FIELDS:
            columns[f][:, k] = np.where(live[:, k], p.prices[f][at], p.prices["close"][at])
        _gaps(path, name, (p.ts, p.line, (p.ts >= first) & (p.ts <= last)), step, (problems, notes))
    if problems:
        raise ConfigError(tuple(problems))
    return Bars(
        path=path,
        symbols=tuple(parts),
        times_s=times,
        step_s=step,
        live=live,
        notes=tuple(notes),
        **columns,
    )


def _step(path: str, parts: Mapping[str, _Rows], problems: list[str]) -> float:
    steps: dict[str, float] = {}
    for name, p in parts.items():
        values, counts = np.unique(np.diff(p.ts), return_counts=True)
        if not len(values):
            problems.append(f"{path}: {name} has one bar; two are the least")
            continue
        steps[name] = float(values[counts.argmax()])
    if len(set(steps.values())) > 1:
        said = ", ".join(f"{n} {s:g} s" for n, s in steps.items())
        problems.append(f"{path}: bars are of different lengths ({said}); choose symbols of one length")
    return max(steps.values(), default=0.0)


def _gaps(
    path: str, name: str, rows: tuple[Floats, Counts, Bools], step: float, said: tuple[list[str], list[str]]
) -> None:
    problems, notes = said
    ts, line = rows[0][rows[2]], rows[1][rows[2]]
    ratio = np.diff(ts) / step
    off = np.flatnonzero(np.abs(ratio - np.rint(ratio)) > 0.01)
    if len(off):
        problems.append(
            f"{path}: row {line[off[0] + 1]}, column ts: {name}: a bar at {iso(ts[off[0] + 1])} is off the beat of "
            f"{step:g} s"
        )
        return
    missing = int((np.rint(ratio) - 1.0).sum())
    if missing > GAPS_MAX * (len(ts) + missing) and ratio.max() * step > QUIET_S:
        at = int(np.argmax(ratio))
        problems.append(
            f"{path}: row {line[at + 1]}, column ts: {name}: {missing} of {len(ts) + missing} bars are missing; "
            f"at most {100 * GAPS_MAX:g} % may be; the longest gap ends here"
        )
    elif missing:
        at = int(np.argmax(ratio))
        notes.append(
            f"row {line[at + 1]}, column ts: {name}: bars missing: {missing}, the longest gap from {iso(ts[at])} to "
            f"{iso(ts[at + 1])} ends here; its feed holds its last price meanwhile"
        )


def _parquet(path: Path) -> _Rows:
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError(
            (f"{path}: reading parquet needs pyarrow, which the extra installs: {EXTRA}",)
        ) from error
    try:
        table = parquet.read_table(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise ConfigError((f"{path}: cannot be read: {why}",)) from error
    _shape(path, table.column_names)
    try:
        ts = table["ts"].cast("int64", safe=True).to_numpy().astype(np.float64)
        prices = {f: table[f].to_numpy().astype(np.float64) for f in FIELDS}
    except (pyarrow.ArrowInvalid, ValueError, TypeError) as error:
        raise ConfigError((f"{path}: a column is not of numbers: {str(error).splitlines()[0]}",)) from error
    line = np.arange(1, len(ts) + 1)
    _seconds(path, ts, line)
    names = table["symbol"].to_pylist()
    empty = [n for n, name in enumerate(names, start=1) if not name]
    if empty:
        raise ConfigError((f"{path}: row {empty[0]}, column symbol: an empty cell is no symbol",))
    symbol = np.array(names, np.str_)
    venue = np.array(table["venue"].to_pylist(), np.str_) if "venue" in table.column_names else None
    return _Rows(line=line, ts=ts, symbol=_told_apart(symbol, venue), prices=prices)


def _told_apart(symbol: Names, venue: Names | None) -> Names:
    """``symbol@venue`` where one symbol is quoted by several venues in the same file."""
    if venue is None:
        return symbol
    found = symbol.astype(object)
    for name in dict.fromkeys(symbol.tolist()):
        mine = symbol == name
        if len(np.unique(venue[mine])) > 1:
            found[mine] = [f"{name}@{v}" for v in venue[mine]]
    return found.astype(np.str_)


def _shape(path: Path, there: Sequence[str]) -> None:
    lacking = [c for c in COLUMNS if c not in there]
    if lacking:
        raise ConfigError(
            (
                f"{path}: row 1: lacks {', '.join(lacking)}; the columns are {', '.join(there[:20])}. "
                f"Bars need {', '.join(COLUMNS)}; others are ignored",
            )
        )


def _seconds(path: Path, ts: Floats, line: Sequence[int] | Counts) -> None:
    wrong = np.flatnonzero(~((ts > 0.0) & (ts < 1e11)))
    if len(wrong):
        i = int(wrong[0])
        hint = "; milliseconds? write seconds" if 1e11 <= ts[i] < 1e14 else ""
        raise ConfigError((f"{path}: row {line[i]}, column ts: {ts[i]:g} is no time in seconds, UTC{hint}",))


def _text(path: Path) -> _Rows:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError((f"{path}: cannot be read: {why}",)) from error
    except UnicodeDecodeError as error:
        raise ConfigError((f"{path}: is not text: {error.reason} at byte {error.start}",)) from error
    lines = csv.DictReader(text.splitlines())
    if not lines.fieldnames:
        raise ConfigError((f"{path}: is empty; bars need {', '.join(COLUMNS)}",))
    _shape(path, lines.fieldnames)
    problems: list[str] = []
    line: list[int] = []
    symbol: list[str] = []
    venue: list[str] = []
    cells: dict[str, list[float]] = {name: [] for name in ("ts", *FIELDS)}
    for n, row in enumerate(lines, start=2):
        for name, column in cells.items():
            try:
                column.append(moment(row[name] or "") if name == "ts" else float(row[name] or ""))
            except ValueError:
                what = f"{row[name]!r}" if row[name] else "an empty cell"
                kind = "a time in UTC (epoch seconds, or 2025-01-01T00:00:00Z)" if name == "ts" else "a price"
                problems.append(f"{path}: row {n}, column {name}: {what} is not {kind}")
                column.append(np.nan)
        line.append(n)
        if not (row["symbol"] or "").strip():
            problems.append(f"{path}: row {n}, column symbol: an empty cell is no symbol")
        if more := [str(x) for k, x in row.items() if k is None]:
            problems.append(f"{path}: row {n}: has cells beyond the columns of row 1: {more[0][:40]}")
        symbol.append(row["symbol"] or "")
        venue.append(row.get("venue") or "")
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
    return _Rows(line=np.array(line), ts=ts, symbol=told, prices=columns)
