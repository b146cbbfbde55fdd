"""Price history from a CSV file: one row a bar, one column an asset. The format is described in ``FORMAT``."""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keeper.errors import ConfigError
from keeper.risk.assets import asset
from keeper.risk.book import Floats

FORMAT = """\
time,ETH,BTC,wstETH,USDC
2025-01-01T00:00:00Z,3332.1,93576.0,3951.4,1.0001
2025-01-01T01:00:00Z,3338.4,93610.5,3958.9,1.0000
"""
GAPS_MAX = 0.05
"""Share of bars that may be missing: exchanges stand still now and then, a file with more is another file."""
PROBLEMS_MAX = 20
ROWS_MIN = 30
"""Returns below which nothing can be said about a covariance."""
_ISO = re.compile(r"(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)(?:Z|\+00:00)?")
"""The dates that are read: UTC, marked so or not marked at all."""
_OFF_BEAT = 0.01
"""Share of the step by which a bar's time may be off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Closes float64[T, K] of ``names`` at ``times_s`` float64[T], ascending; bars ``step_s`` apart, of which
    ``missing`` are not there."""

    path: str
    names: tuple[str, ...]
    times_s: Floats
    prices: Floats
    step_s: float
    missing: int


def read(path: Path) -> History:
    """The history in a ``.csv`` or ``.csv.gz`` file. ConfigError naming file, row and column of each problem."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError((f"{path}: cannot be read: {why}",)) from error
    except UnicodeDecodeError as error:
        raise ConfigError((f"{path}: is not text: {error.reason} at byte {error.start}",)) from error
    return parse(text, str(path))


def parse(text: str, path: str) -> History:
    """The history in the text of a CSV file; ``path`` is for messages. ConfigError with every problem."""
    lines = csv.reader(text.splitlines())
    header = [name.strip() for name in next(lines, [])]
    problems = list(_header_problems(header))
    if problems:
        raise ConfigError(tuple(f"{path}: row 1: {p}" for p in problems))
    times: list[float] = []
    rows: list[list[float]] = []
    for n, line in enumerate(lines, start=2):
        if not line:
            continue
        if len(line) != len(header):
            problems.append(f"row {n}: has {len(line)} columns, the first row has {len(header)}")
            continue
        time, row = (
            _time(line[0], n, header[0], problems),
            [_price(x, n, c, problems) for c, x in _cells(header, line)],
        )
        if times and time <= times[-1]:
            kind = "is there twice" if time == times[-1] else "is before the row above"
            problems.append(f"row {n}, column {header[0]}: {line[0].strip()} {kind}; rows must ascend")
        times.append(time)
        rows.append(row)
        if len(problems) >= PROBLEMS_MAX:
            problems.append("and perhaps more: reading stopped here")
            break
    if not problems and len(rows) <= ROWS_MIN:
        problems.append(f"has {len(rows)} bars; at least {ROWS_MIN + 1} are needed")
    step_s, missing = (0.0, 0) if problems else _beat(times, header[0], problems)
    prices = (
        np.array(rows, np.float64).reshape(len(rows), len(header) - 1) if not problems else np.zeros((0, 0))
    )
    still = [] if problems else [c for c, x in zip(header[1:], prices.T, strict=True) if (x == x[0]).all()]
    problems += [f"column {c}: never changes, which is no history; leave the column out" for c in still]
    if problems:
        raise ConfigError(tuple(f"{path}: {p}" for p in problems))
    return History(
        path=path,
        names=tuple(header[1:]),
        times_s=np.array(times),
        prices=prices,
        step_s=step_s,
        missing=missing,
    )


def factor_returns(history: History) -> tuple[tuple[str, ...], Floats]:
    """(factor names, log returns float64[R, K] over one step each); steps across a missing bar are left out.

    A column is the factor that its symbol follows (WETH is ETH); a staked token's price is divided by its
    base's, for the ratio (wstETH and ETH give stETH/ETH); a column named like a ratio is one. ConfigError
    when a base is missing or two columns are one factor.
    """
    log = np.log(history.prices)
    base_of = {asset(c).base: k for k, c in enumerate(history.names) if "/" not in c and not asset(c).ratio}
    found: dict[str, tuple[str, Floats]] = {}
    problems: list[str] = []
    for k, column in enumerate(history.names):
        known = asset(column)
        name, level = known.base, log[:, k]
        if "/" in column:
            name = column
        elif known.ratio:
            name = f"{known.ratio}/{known.base}"
            base = base_of.get(known.base)
            if base is None:
                problems.append(
                    f"column {column}: needs a column {known.base} beside it, whose price it follows"
                )
                continue
            level = level - log[:, base]
        if name in found:
            problems.append(f"columns {found[name][0]} and {column} are both {name}; leave one out")
        found[name] = (column, level)
    if problems:
        raise ConfigError(tuple(f"{history.path}: row 1: {p}" for p in problems))
    levels = np.column_stack([level for _, level in found.values()])
    whole = np.abs(np.diff(history.times_s) - history.step_s) <= _OFF_BEAT * history.step_s
    return tuple(found), np.ascontiguousarray(np.diff(levels, axis=0)[whole])


def _header_problems(header: Sequence[str]) -> Iterator[str]:
    if len(header) < 2:
        yield "must be: time, then a column for each asset, e.g. time,ETH,USDC"
        return
    if header[0].lower() not in ("time", "ts", "timestamp", "date"):
        yield f"column 1 is named {header[0]!r}; it must be time"
    for name, count in Counter(header).items():
        if not name:
            yield "a column has no name"
        elif count > 1:
            yield f"column {name} is there {count} times"


def _cells(header: Sequence[str], line: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(header[1:], line[1:], strict=True)


def _time(text: str, n: int, column: str, problems: list[str]) -> float:
    """UTC epoch seconds from seconds or ISO 8601 in UTC; NaN after naming the problem."""
    text = text.strip()
    iso = _ISO.fullmatch(text)
    try:
        seconds = float(np.datetime64(iso[1], "s").astype(np.int64)) if iso else float(text)
    except ValueError:
        problems.append(
            f"row {n}, column {column}: {text!r} is no time (epoch seconds, or 2025-01-01T00:00:00Z)"
        )
        return math.nan
    if not 0.0 < seconds < 1e11:
        hint = "; milliseconds? write seconds" if 1e11 <= seconds < 1e14 else ""
        problems.append(f"row {n}, column {column}: {text} is no time in seconds{hint}")
        return math.nan
    return seconds


def _price(text: str, n: int, column: str, problems: list[str]) -> float:
    """A price above 0; an empty cell is a gap, and no number is made up for it."""
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not (math.isfinite(price) and price > 0.0):
        what = repr(text.strip()) if text.strip() else "an empty cell"
        problems.append(f"row {n}, column {column}: {what} is no price above 0")
    return price


def _beat(times: Sequence[float], column: str, problems: list[str]) -> tuple[float, int]:
    """(the step between bars, how many bars are missing); off-beat times and too many gaps are problems."""
    steps = np.diff(np.array(times))
    values, counts = np.unique(np.round(steps, 3), return_counts=True)
    step = float(values[counts.argmax()])
    ratio = steps / step
    whole = np.rint(ratio)
    off = np.flatnonzero((np.abs(ratio - whole) > _OFF_BEAT) | (whole < 1.0))
    for i in off[:3]:
        problems.append(
            f"row {i + 3}, column {column}: {steps[i]:g} s after the row above, bars are {step:g} s apart"
        )
    gaps = np.flatnonzero(whole > 1.0)
    missing = int((whole[gaps] - 1.0).sum())
    if missing > GAPS_MAX * (len(times) + missing) and not problems:
        problems.append(
            f"row {gaps[0] + 3}, column {column}: a gap of {int(whole[gaps[0]]) - 1} bars, {missing} in all; "
            f"at most {100 * GAPS_MAX:g} % of the bars may be missing"
        )
    return step, missing
