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


def standing(scores: Floats, rule: Rule) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether a warning stands at each step: the score is at or above the line, or was within ``hold`` steps."""
    raised = np.nan_to_num(scores, nan=-math.inf) >= rule.score
    out = raised.copy()
    for k in range(1, rule.hold + 1):
        out[k:] |= raised[:-k]
    return out


def flushes(
    price: Floats, interest: Floats, rate: Floats, limits: tuple[float, float, int]
) -> tuple[int, ...]:
    """Steps at which leverage was flushed: within ``window`` steps open interest fell by at least ``fall`` (0.2 is
    20 %), the price by at least ``drop``, and funding changed its sign. ``limits`` = (fall, drop, window). The first
    step of each; another one counts only after a window without."""
    fall, drop, window = limits
    left, down = change(interest, window), change(price, window)
    flipped = np.full(len(price), False)
    flipped[window:] = np.sign(rate[window:]) != np.sign(rate[:-window])
    with np.errstate(invalid="ignore"):
        hits = np.flatnonzero((left <= -fall) & (down <= -drop) & flipped)
    return tuple(int(h) for n, h in enumerate(hits) if n == 0 or h - hits[n - 1] > window)


def crashes(price: Floats, fall: float, window: int) -> tuple[int, ...]:
    """Steps at which the price first lay ``fall`` below its highest of the last ``window`` steps; another one counts
    only after it has been above that line for a window."""
    values = np.asarray(price, np.float64)
    if len(values) < window:
        return ()
    padded = np.concatenate([np.full(window - 1, values[0]), values])
    highest = np.lib.stride_tricks.sliding_window_view(padded, window).max(axis=1)
    below = np.flatnonzero(values <= (1.0 - fall) * highest)
    return tuple(int(b) for n, b in enumerate(below) if n == 0 or b - below[n - 1] > window)


def measured(stands: Sequence[bool], events: Sequence[int], limit: int, steps_per_year: float) -> Record:
    """How early warnings came: a warning that begins at most ``limit`` steps before an event, or stands since then,
    is its warning; one that no event follows within ``limit`` steps of its end is a false alarm."""
    flags = np.asarray(stands, np.bool_)
    edges = np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    leads: list[int | None] = []
    for event in events:
        before = [int(b) for b, e in zip(begins, ends, strict=True) if b < event <= e + limit]
        leads.append(event - before[-1] if before else None)
    false = sum(
        not any(b < event <= e + limit for event in events) for b, e in zip(begins, ends, strict=True)
    )
    return Record(leads=tuple(leads), false_alarms=int(false), years=len(flags) / steps_per_year)


def adl_index(mark: float, entry: float, notional: float, equity: float) -> float:
    """Hyperliquid's auto-deleveraging index: (mark / entry) x (notional / account value); the highest is closed
    first. +inf where equity is not above 0."""
    return mark / entry * (abs(notional) / equity) if equity > 0.0 else math.inf


def pnl_headroom(pnl: float, pool: float, most: float) -> float:
    """Share of GMX's way to auto-deleveraging that is left: 1 - (pnl / pool) / most; below 0 it is enabled."""
    return 1.0 - pnl / pool / most if pool > 0.0 and most > 0.0 else math.nan
