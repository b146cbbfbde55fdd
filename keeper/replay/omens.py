"""Did the signs come first: funding and volatility on a history of prices, the warning they raise, and the crashes.

Steps are the funding intervals. At each, only what was known by then is used: funding as it was paid, and the bars
that had closed. A crash is a price a tenth below its highest of a day; its lead runs from the beginning of the
warning that stood before it.
"""

from __future__ import annotations

import csv
import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keeper.errors import ConfigError
from keeper.replay.bars import Bars, iso
from keeper.risk import warning
from keeper.risk.book import Floats

FALL = 0.10
DAY_S = 86_400.0
LIMIT_S = 7 * DAY_S
"""A warning speaks for the week after it."""
VOLATILITY_S = DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """Rates paid at ``times_s`` float64[T], every ``step_s``, as a fraction of notional."""

    times_s: Floats
    rate: Floats
    step_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Omens:
    """``score`` float64[T] at ``times_s``, whether a warning ``stands``, at which steps a crash began, and how it
    fared."""

    times_s: Floats
    step_s: float
    score: Floats
    stands: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    crashes: tuple[int, ...]
    record: warning.Record
    rule: warning.Rule

    def lead_h(self, crash: int) -> float:
        """Hours from the warning's beginning to the crash of that step; NaN where none stood."""
        lead = self.record.leads[self.crashes.index(crash)]
        return math.nan if lead is None else lead * self.step_s / 3_600.0

    @property
    def covered(self) -> float:
        """Share of the time that lies within a warning or the week after one: what chance alone would hit."""
        steps = round(LIMIT_S / self.step_s)
        spoken = self.stands.copy()
        for k in range(1, steps + 1):
            spoken[k:] |= self.stands[:-k]
        return float(spoken[~np.isnan(self.score)].mean()) if np.isfinite(self.score).any() else math.nan

    def said(self) -> list[str]:
        """What it comes to."""
        warned = sum(x is not None for x in self.record.leads)
        leads = [self.lead_h(c) for c in self.crashes if not math.isnan(self.lead_h(c))]
        middle = f", by {np.median(leads):,.0f} h in the middle" if leads else ""
        last = self.score[-1]
        now = f"score {last:.2f}" if math.isfinite(last) else "no score: the window is not full"
        return [
            f"early warning now ({iso(float(self.times_s[-1]))}): {now}, line {self.rule.score:g}, "
            f"{'a warning STANDS' if self.stands[-1] else 'no warning stands'}",
            f"on {self.record.years:.1f} years of history it came before {warned} of {len(self.crashes)} falls of "
            f"{100 * FALL:g} % in a day{middle}, and {self.record.false_alarms_per_year:.1f} times a year for "
            f"nothing; by chance alone it would have come before {100 * self.covered:.0f} % of them",
        ]


def funding(path: Path, symbol: str) -> Funding:
    """``ts, symbol, rate`` from parquet or CSV. ConfigError naming file and column."""
    rows = _parquet(path) if path.suffix == ".parquet" else _text(path)
    mine = sorted((float(str(t)), float(str(r))) for t, s, r in rows if str(s).upper() == symbol.upper())
    if len(mine) < 2:
        there = ", ".join(sorted({str(s) for _, s, _ in rows})[:10])
        raise ConfigError((f"{path}: has no funding of {symbol}; there is {there or 'nothing'}",))
    times, rate = np.array([t for t, _ in mine]), np.array([r for _, r in mine])
    if not (np.isfinite(rate).all() and (np.diff(times) > 0.0).all()):
        raise ConfigError((f"{path}: column ts or rate: not every value is a number at a time of its own",))
    return Funding(times_s=times, rate=rate, step_s=float(np.median(np.diff(times))))


def omens(bars: Bars, column: int, paid: Funding, rule: warning.Rule | None = None) -> Omens:
    """Signs, warnings and crashes of one symbol where funding and prices overlap. ConfigError where they do not."""
    rule = rule or warning.Rule()
    closes = bars.times_s + bars.step_s
    inside = (paid.times_s >= closes[0] + VOLATILITY_S) & (paid.times_s <= closes[-1])
    times, rate = paid.times_s[inside], paid.rate[inside]
    if len(times) <= rule.window:
        raise ConfigError(
            (f"{bars.path}: prices and funding share {len(times)} steps; more than {rule.window} are needed",)
        )
    at = np.searchsorted(closes, times, side="right") - 1
    price = bars.close[at, column]
    volatility = _volatility(bars.close[:, column], at, max(2, round(VOLATILITY_S / bars.step_s)))
    score = warning.score((rate, volatility), rule)
    stands = warning.standing(score, rule)
    lows = _lows(bars.low[:, column], at)
    crashes = warning.crashes(np.minimum(price, lows), FALL, max(2, round(DAY_S / paid.step_s)))
    record = warning.measured(
        stands.tolist(), crashes, round(LIMIT_S / paid.step_s), 365.0 * DAY_S / paid.step_s
    )
    return Omens(
        times_s=times,
        step_s=paid.step_s,
        score=score,
        stands=stands,
        crashes=crashes,
        record=record,
        rule=rule,
    )


def _volatility(close: Floats, at: Any, window: int) -> Floats:
    """Standard deviation of the log returns of the ``window`` bars before each step."""
    moves = np.diff(np.log(close), prepend=math.log(close[0]))
    total, square = np.cumsum(moves), np.cumsum(moves**2)
    first = np.maximum(at - window, 0)
    count = np.maximum(at - first, 1)
    mean = (total[at] - total[first]) / count
    return np.asarray(np.sqrt(np.maximum((square[at] - square[first]) / count - mean**2, 0.0)))


def _lows(low: Floats, at: Any) -> Floats:
    """The lowest low since the step before; one venue's single print counts here as it stands."""
    begins = np.concatenate([[at[0]], at[:-1] + 1])
    return np.array([low[b : e + 1].min() if e >= b else low[e] for b, e in zip(begins, at, strict=True)])


def _parquet(path: Path) -> list[tuple[object, object, object]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError(
            (f"{path}: reading parquet needs pyarrow: pip install 'keeper[analysis]'",)
        ) from error
    try:
        table = parquet.read_table(path, columns=["ts", "symbol", "rate"])
    except (OSError, ValueError) as error:
        raise ConfigError(
            (f"{path}: needs the columns ts, symbol, rate: {str(error).splitlines()[0]}",)
        ) from error
    return list(zip(*(table[c].to_pylist() for c in ("ts", "symbol", "rate")), strict=True))


def _text(path: Path) -> list[tuple[object, object, object]]:
    try:
        rows = list(csv.DictReader(path.read_text().splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((f"{path}: cannot be read: {error}",)) from error
    found: list[tuple[object, object, object]] = []
    for n, row in enumerate(rows, start=2):
        try:
            found.append((float(row["ts"]), row["symbol"], float(row["rate"])))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError((f"{path}: row {n}: needs ts, symbol and rate as numbers: {error}",)) from error
    return found
