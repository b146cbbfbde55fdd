"""Did the signs come first: funding and volatility on a history of prices, the warning they raise, and the crashes.

Steps are the funding intervals. At each, only what was known by then is used: funding as it was paid, and the bars
that had closed. A crash is a price a tenth below its highest of a day; its lead runs from the beginning of the
warning that stood before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keeper.errors import ConfigError
from keeper.replay import series
from keeper.replay.bars import Bars, iso
from keeper.risk.book import Floats
from keeper.risk.leverage import warning

FALL = 0.10
DAY_S = 86_400.0
LIMIT_S = 7 * DAY_S
"""A warning speaks for the week after it."""
VOLATILITY_S = DAY_S
RATE_MAX = 0.2
"""Of one interval: no venue takes so much; a larger number is per cent, or a year's."""
RATE = series.Column(
    name="rate", low=-RATE_MAX, high=RATE_MAX, what="a rate of one interval as a fraction (0.0001 is 0.01 %)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """Rates paid at ``times_s`` float64[T], every ``step_s``, as a fraction of notional."""

    times_s: Floats
    rate: Floats
    step_s: float
    notes: tuple[str, ...] = ()
    """What is odd in the file."""


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

    @property
    def warned(self) -> tuple[float, ...]:
        """Lead in hours of each crash that was warned of."""
        return tuple(h for h in map(self.lead_h, self.crashes) if not math.isnan(h))

    def said(self) -> list[str]:
        """What it comes to."""
        last = self.score[-1]
        now = f"score {last:.2f}" if math.isfinite(last) else "no score: the window is not full"
        return [
            f"early warning now ({iso(float(self.times_s[-1]))}): {now}, line {self.rule.score:g}, "
            f"{'a warning STANDS' if self.stands[-1] else 'no warning stands'}",
            f"{self.fared}; by chance alone it would have come before {100 * self.covered:.0f} % of them",
        ]

    @property
    def fared(self) -> str:
        """How it fared on this history, as a person says it."""
        leads = self.warned
        middle = f", by {np.median(leads):,.0f} h in the middle" if leads else ""
        return (
            f"on {self.record.years:.1f} years of history it came before {len(leads)} of {len(self.crashes)} falls "
            f"of {100 * FALL:g} % in a day{middle}, and {self.record.false_alarms_per_year:.1f} times a year for "
            "nothing"
        )


def funding(path: Path, symbol: str) -> Funding:
    """``ts, symbol, rate`` from parquet or CSV. ConfigError naming file, row and column."""
    found = series.read(path, symbol, (RATE,))
    return Funding(times_s=found.times_s, rate=found.values["rate"], step_s=found.step_s, notes=found.notes)


def omens(
    bars: Bars,
    column: int,
    paid: Funding,
    rule: warning.Rule | None = None,
    more: Sequence[Callable[[Floats], Floats]] = (),
) -> Omens:
    """Signs, warnings and crashes of one symbol where funding and prices overlap; ``more`` signs, each as its values
    known at given times. ConfigError where they do not overlap."""
    rule = rule or warning.Rule()
    closes = bars.times_s + bars.step_s
    inside = (paid.times_s >= closes[0] + VOLATILITY_S) & (paid.times_s <= closes[-1])
    times, rate = paid.times_s[inside], paid.rate[inside]
    if len(times) <= rule.window:
        raise ConfigError(
            (f"{bars.path}: prices and funding share {len(times)} steps; more than {rule.window} are needed",)
        )
    at = np.searchsorted(closes, times, side="right") - 1
    volatility = _volatility(bars.close[:, column], at, max(2, round(VOLATILITY_S / bars.step_s)))
    score = warning.score((rate, volatility, *(sign(times) for sign in more)), rule)
    return _fared(bars, column, (times, at, paid.step_s), (score, warning.standing(score, rule), rule))


def flushed(
    bars: Bars,
    column: int,
    paid: Funding,
    interest: Callable[[Floats], Floats] | None,
    rule: warning.FlushRule | None = None,
) -> Omens:
    """The flush detector as a sign of more to come: its score is 1 while leverage is being flushed and 0 else, and it
    stands for as long as it is seen. Without open interest it has price and funding alone. ConfigError where prices
    and funding do not overlap."""
    rule = rule or warning.FlushRule()
    closes = bars.times_s + bars.step_s
    inside = (paid.times_s >= closes[0]) & (paid.times_s <= closes[-1])
    times, rate = paid.times_s[inside], paid.rate[inside]
    if len(times) <= rule.window:
        raise ConfigError(
            (f"{bars.path}: prices and funding share {len(times)} steps; more than {rule.window} are needed",)
        )
    at = np.searchsorted(closes, times, side="right") - 1
    flags = warning.flushing(bars.close[at, column], interest(times) if interest else None, rate, rule)
    held = warning.Rule(window=rule.window, score=0.5, hold=0)
    return _fared(bars, column, (times, at, paid.step_s), (flags.astype(np.float64), flags, held))


def _fared(
    bars: Bars,
    column: int,
    steps: tuple[Floats, Any, float],
    signs: tuple[Floats, warning.Flags, warning.Rule],
) -> Omens:
    """What stood at the steps (times, bars, seconds apart), against the crashes that came."""
    times, at, step_s = steps
    score, stands, rule = signs
    lowest = np.minimum(bars.close[at, column], _lows(bars.low[:, column], at))
    crashes = warning.crashes(lowest, FALL, max(2, round(DAY_S / step_s)))
    record = warning.measured(stands.tolist(), crashes, round(LIMIT_S / step_s), 365.0 * DAY_S / step_s)
    return Omens(
        times_s=times,
        step_s=step_s,
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
