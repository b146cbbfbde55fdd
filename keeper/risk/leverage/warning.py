"""Signs that come before a flush: funding, basis, open interest; a detector of flushes; how early the signs came.

Series are float64[T] at equal steps, oldest first; a value at t is known only at t, and every score at t uses the
past alone. NaN where the window is not full.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keeper.risk.book import Floats

YEAR_H = 8_760.0
Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When the early warning stands: mean of the clipped scores above ``score``, for ``hold`` steps after it fell."""

    window: int = 90
    """Steps of the past that a score is measured against (30 days of 8-hour funding)."""
    score: float = 1.5
    clip: float = 4.0
    hold: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How warnings fared: ``leads`` steps from the warning's beginning to each event, None where there was none;
    ``false_alarms`` warnings that no event followed within the limit; ``years`` of history."""

    leads: tuple[int | None, ...]
    false_alarms: int
    years: float

    @property
    def false_alarms_per_year(self) -> float:
        """NaN without history."""
        return self.false_alarms / self.years if self.years > 0.0 else math.nan


def basis(mark: Floats, index: Floats) -> Floats:
    """(mark - index) / index: what a perp costs above its spot."""
    return np.asarray(mark / index - 1.0)


def annualised(rate: Floats, interval_h: float) -> Floats:
    """Funding a year of a rate paid every ``interval_h`` hours, simple."""
    return np.asarray(rate * (YEAR_H / interval_h))


def z_score(series: Floats, window: int) -> Floats:
    """(x - mean) / deviation of the ``window`` values before x, itself not among them; NaN before it is full or where
    the past never moved."""
    values = np.asarray(series, np.float64)
    out = np.full(len(values), math.nan)
    if window < 2 or len(values) <= window:
        return out
    past = np.lib.stride_tricks.sliding_window_view(values, window)[:-1]
    spread = past.std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        out[window:] = np.where(spread > 0.0, (values[window:] - past.mean(axis=1)) / spread, math.nan)
    return out


def change(series: Floats, steps: int) -> Floats:
    """x / x ``steps`` before, less 1; of open interest, what came or left. NaN at the beginning."""
    values = np.asarray(series, np.float64)
    out = np.full(len(values), math.nan)
    if steps > 0:
        out[steps:] = values[steps:] / values[:-steps] - 1.0
    return out


def score(signs: Sequence[Floats], rule: Rule) -> Floats:
    """Early-warning score float64[T]: the mean of the signs' z-scores, each clipped; signs without a value are left
    out, and where none has one the score is NaN, which is no all-clear."""
    stacked = np.stack([np.clip(z_score(s, rule.window), -rule.clip, rule.clip) for s in signs])
    known = ~np.isnan(stacked)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), math.nan)


def standing(scores: Floats, rule: Rule) -> Flags:
    """Whether a warning stands at each step: the score is at or above the line, or was within ``hold`` steps."""
    raised = np.nan_to_num(scores, nan=-math.inf) >= rule.score
    out = raised.copy()
    for k in range(1, rule.hold + 1):
        out[k:] |= raised[:-k]
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushRule:
    """Within ``window`` steps open interest falls by ``left`` (0.15 is 15 %), the price by ``drop``, and funding
    changes its sign. Of 10 October 2025 it is told that open interest halved; 15 % is a third of that."""

    left: float = 0.15
    drop: float = 0.05
    window: int = 3


def flushing(price: Floats, interest: Floats | None, rate: Floats, rule: FlushRule) -> Flags:
    """Whether leverage is being flushed at each step: price, open interest and the sign of funding against ``window``
    steps before. Without ``interest`` the other two alone, which is a weaker sign. NaN is no flush, and no all-clear.
    """
    window = rule.window
    out = np.zeros(len(price), np.bool_)
    if window < 1 or len(price) <= window:
        return out
    with np.errstate(invalid="ignore"):
        out[window:] = np.sign(rate[window:]) * np.sign(rate[:-window]) < 0.0
        out &= change(price, window) <= -rule.drop
        if interest is not None:
            out &= change(interest, window) <= -rule.left
    return out


def begins(flags: Flags, window: int) -> tuple[int, ...]:
    """The first step of each stretch of ``flags``; another counts only after more than ``window`` steps without."""
    hits = np.flatnonzero(flags)
    return tuple(int(h) for n, h in enumerate(hits) if n == 0 or h - hits[n - 1] > window)


def crashes(price: Floats, fall: float, window: int) -> tuple[int, ...]:
    """Steps at which the price first lay ``fall`` below its highest of the last ``window`` steps; another one counts
    only after it has been above that line for a window."""
    values = np.asarray(price, np.float64)
    if len(values) < window:
        return ()
    padded = np.concatenate([np.full(window - 1, values[0]), values])
    highest = np.lib.stride_tricks.sliding_window_view(padded, window).max(axis=1)
    return begins(values <= (1.0 - fall) * highest, window)


def measured(stands: Sequence[bool], events: Sequence[int], limit: int, steps_per_year: float) -> Record:
    """How early warnings came: a warning that begins at most ``limit`` steps before an event, or stands since then,
    is its warning; one that no event follows within ``limit`` steps of its end is a false alarm."""
    flags = np.asarray(stands, np.bool_)
    edges = np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    leads: list[int | None] = []
    for event in events:
        before = [int(b) for b, e in zip(starts, ends, strict=True) if b < event <= e + limit]
        leads.append(event - before[-1] if before else None)
    false = sum(
        not any(b < event <= e + limit for event in events) for b, e in zip(starts, ends, strict=True)
    )
    return Record(leads=tuple(leads), false_alarms=int(false), years=len(flags) / steps_per_year)
