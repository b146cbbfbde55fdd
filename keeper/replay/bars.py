"""Bars of price history: ``ts, symbol, open, high, low, close`` from parquet or CSV, checked row by row.

Meaning is never guessed: what cannot be read stops the run with file, row and column; what can be read but is
odd (gaps, identical repetitions, a low far below its own bar) is kept and said in ``notes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keeper.errors import ConfigError
from keeper.replay import barfile, prints, sheet
from keeper.replay.barfile import Counts, Rows
from keeper.risk.book import Floats

FIELDS = barfile.FIELDS
EXTRA = sheet.EXTRA
moment = barfile.moment
GAPS_MAX = 0.05
QUIET_S = 3_600.0
"""Share of bars of one symbol that may be missing where a gap is longer than ``QUIET_S``; shorter ones are a market
without trades. A feed holds its last value meanwhile."""
PROBLEMS_MAX = 20
WICK_MAX = 0.35
"""A low (or high) further than this from both its bar's open and close is one venue's print: it is kept, named, and
not taken for what an oracle that reads several venues would have said."""
Bools = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
Span = tuple[float | None, float | None]
"""Bars that open at or after the first time and before the second, both epoch seconds; None has no end."""
ALWAYS: Span = (None, None)
Said = tuple[list[str], list[str]]
"""Problems, and notes."""


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
        first = 0 if first_s is None else int(np.searchsorted(self.times_s, first_s))
        end = len(self.times_s) if last_s is None else int(np.searchsorted(self.times_s, last_s))
        if end - first < 2:
            span = f"{iso(self.times_s[0])} to {iso(self.times_s[-1])}"
            found = max(end - first, 0)
            raise ConfigError((f"{self.path}: has {found} bars between the times asked; it spans {span}",))
        times = self.times_s[first:end]
        each = [
            prints.on(times, self.times_s, {f: self.field(f)[:, k] for f in FIELDS})
            for k in range(len(self.symbols))
        ]
        columns = {f: np.stack([one[f] for one in each], axis=1) for f in FIELDS}
        return Bars(
            path=self.path,
            symbols=self.symbols,
            times_s=times,
            step_s=self.step_s,
            live=self.live[first:end],
            notes=(*self.notes, *self._edges(first, columns["close"])),
            **columns,
        )

    def _edges(self, first: int, close: Floats) -> list[str]:
        """What a cut that begins at bar ``first`` does to prints, symbol by symbol: one that it begins with is none
        of its closes, float64[T, K]; one in its last bar waits for the next."""
        said, last = [], first + len(close) - 1
        for k, symbol in enumerate(self.symbols):
            if close[0, k] != self.close[first, k]:
                price = f"{self.close[first, k]:g} at {iso(self.times_s[first])}"
                said.append(
                    f"{self.path}: {symbol}: {price}, where the run begins, is the price of one bar: feeds hold the "
                    f"{close[0, k]:g} before it"
                )
            if prints.reverted(close[:, k])[-1]:
                price = f"{self.close[last, k]:g} at {iso(self.times_s[last])}"
                said.append(
                    f"{self.path}: {symbol}: {price} is the run's last bar, beyond {prints.REVERTS:g} times the one "
                    "before and confirmed by none in it: feeds hold that one"
                )
        return said


def read(path: Path, symbols: Sequence[str] = (), span: Span = ALWAYS) -> Bars:
    """The bars of ``symbols`` (default: every one) in a ``.parquet``, ``.csv`` or ``.csv.gz`` file.

    All of the file is read; a price that changes its unit where ``span`` does not reach is a note and no problem.
    ConfigError naming file, row and column of each problem.
    """
    rows = barfile.read(path)
    there = list(dict.fromkeys(rows.symbol.tolist()))
    wanted = list(symbols) or there
    absent = [s for s in wanted if s not in there]
    if absent:
        raise ConfigError((f"{path}: has no {', '.join(absent)}; there are {', '.join(there[:30])}",))
    notes = ["column ts: no zone written, taken as UTC"] if rows.zoneless else []
    problems: list[str] = []
    parts = {s: _symbol(rows, s, span, (problems, notes)) for s in wanted}
    if problems:
        raise ConfigError(tuple(f"{path}: {p}" for p in problems[:PROBLEMS_MAX]))
    found = _joined(str(path), parts, notes)
    return replace(found, notes=tuple(f"{path}: {n}" for n in found.notes))


def symbols_of(path: Path) -> tuple[str, ...]:
    """Which symbols a file has. ConfigError."""
    rows = barfile.read(path)
    return tuple(dict.fromkeys(rows.symbol.tolist()))


def iso(time_s: float) -> str:
    """UTC, to the minute."""
    return f"{np.datetime64(int(time_s), 's')}"[:16].replace("T", " ")


def _symbol(rows: Rows, symbol: str, span: Span, said_of: Said) -> Rows:
    """One symbol's rows, ascending, each time once; what is wrong is appended to the problems."""
    problems, notes = said_of
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
    picked = Rows(
        line=rows.line[mine],
        ts=rows.ts[mine],
        symbol=rows.symbol[mine],
        prices={f: rows.prices[f][mine] for f in FIELDS},
    )
    _check(picked, symbol, span, said_of)
    return picked


def _check(rows: Rows, symbol: str, span: Span, said_of: Said) -> None:
    """Impossible prices are problems, a print far from its own bar is a note."""
    problems, notes = said_of
    for name in FIELDS:
        for i in np.flatnonzero(~(np.isfinite(rows.prices[name]) & (rows.prices[name] > 0.0)))[:PROBLEMS_MAX]:
            problems.append(
                f"row {rows.line[i]}, column {name}: {rows.prices[name][i]} of {symbol} is no price above 0"
            )
    low, high = rows.prices["low"], rows.prices["high"]
    body = np.minimum(rows.prices["open"], rows.prices["close"])
    top = np.maximum(rows.prices["open"], rows.prices["close"])
    # a price that is none is said once, and not again as a bar of the wrong shape
    whole = np.all([np.isfinite(p) & (p > 0.0) for p in rows.prices.values()], axis=0)
    for i in np.flatnonzero(whole & ((low > body) | (high < top)))[:PROBLEMS_MAX]:
        name = "low" if low[i] > body[i] else "high"
        problems.append(
            f"row {rows.line[i]}, column {name}: {rows.prices[name][i]:g} of {symbol} lies inside its open and close"
        )
    if problems:
        return
    _spikes(rows, symbol, notes)
    _jumps(rows, symbol, span, said_of)
    for name, share in (("low", 1.0 - low / body), ("high", high / top - 1.0)):
        for i in np.flatnonzero(share > WICK_MAX)[:5]:
            notes.append(
                f"row {rows.line[i]}, column {name}: {rows.prices[name][i]:g} of {symbol} at {iso(rows.ts[i])} is "
                f"{100.0 * share[i]:.0f} % off its own bar: kept, not taken for an oracle's price"
            )


def _named(rows: Rows, symbol: str, i: int) -> str:
    return f"row {rows.line[i]}, column close: {rows.prices['close'][i]:g} of {symbol} at {iso(rows.ts[i])}"


def _spikes(rows: Rows, symbol: str, notes: list[str]) -> None:
    """What a whole bar cannot be by its neighbours: kept and said."""
    close = rows.prices["close"]
    spikes = np.flatnonzero(prints.reverted(close))
    last = len(close) - 1
    for i in spikes[spikes < last][:5]:
        notes.append(
            f"{_named(rows, symbol, i)} lies between {close[i - 1]:g} and {close[i + 1]:g}: kept, not taken for an "
            "oracle's price"
        )
    if (spikes == last).any():
        notes.append(
            f"{_named(rows, symbol, last)} is far from the bars before it, and as the last one confirmed by none: "
            "kept, not taken for an oracle's price"
        )
    if len(spikes) > 5:
        notes.append(f"{symbol}: {len(spikes) - 5} more bars that revert at once")


def _jumps(rows: Rows, symbol: str, span: Span, said_of: Said) -> None:
    """What moves far and stays: taken and said; what no market did is a problem where both bars are in ``span``."""
    problems, notes = said_of
    opened, close = rows.prices["open"], rows.prices["close"]
    taken: list[str] = []
    found = list(prints.jumps(opened, close))
    behind_gap = prints.behind_gaps(rows.ts, close) if found else np.zeros(0, np.bool_)
    for i, factor in found:
        times = f"{factor:,.0f}" if factor >= prints.LASTS else f"{factor:.3g}"
        said = f"{_named(rows, symbol, i)} is {times} times the bar before it and stays"
        if not prints.absurd(opened, close, i, factor, bool(behind_gap[i])):
            taken.append(f"{said}: taken as it is")
        elif _within(span, rows.ts[i - 1], rows.ts[i]):
            problems.append(f"{said}: another unit? Correct the rows, or cut the file there")
        else:
            taken.append(f"{said}: another unit? It is outside the times asked, and is not used")
    notes += taken[:5]
    if len(taken) > 5:
        notes.append(f"{symbol}: {len(taken) - 5} more moves that stay")


def _within(span: Span, before_s: float, time_s: float) -> bool:
    """Whether a run over ``span`` has the bars that open at both times."""
    first, last = span
    return (first is None or before_s >= first) and (last is None or time_s < last)


def _joined(path: str, parts: Mapping[str, Rows], notes: list[str]) -> Bars:
    """All symbols on one grid: from where the last begins to where the first ends; gaps hold the last close that is
    no print."""
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
        live[:, k] = np.isin(times, p.ts)
        for f, column in prints.on(times, p.ts, p.prices).items():
            columns[f][:, k] = column
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


def _step(path: str, parts: Mapping[str, Rows], problems: list[str]) -> float:
    steps: dict[str, float] = {}
    for name, p in parts.items():
        if len(p.ts) < 2:
            problems.append(f"{path}: {name} has one bar; two are the least")
            continue
        steps[name] = prints.beat(p.ts)
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
