"""How fast: leverage that builds or leaves, health that falls, prices below their highest. NaN where not known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

CORRECTION, BEAR = 0.10, 0.20
"""Falls from the highest price: a correction, a bear market (the usual lines of market reports)."""
DAY_S = 86_400.0


def velocity(levels: Sequence[float], step_s: float) -> float:
    """Rate of change of ln(level) a day over the last step; of open interest, how fast leverage builds or leaves."""
    if len(levels) < 2 or step_s <= 0.0 or not min(levels[-2:]) > 0.0:
        return math.nan
    return math.log(levels[-1] / levels[-2]) / step_s * DAY_S


def demand(levels: Sequence[float], step_s: float) -> float:
    """New leverage a day over the last step, in the unit of ``levels``: d(level)/dt; below 0 it leaves."""
    if len(levels) < 2 or step_s <= 0.0 or not min(levels[-2:]) > 0.0:
        return math.nan
    return (levels[-1] - levels[-2]) / step_s * DAY_S


def days_to_trigger(healths: Sequence[float], step_s: float, trigger: float, half_life: float = 6.0) -> float:
    """(H - trigger) / -dH/dt with an exponentially weighted slope (``half_life`` in steps): days at the present
    speed. +inf where health does not fall, 0 where the trigger is crossed, NaN where a health is not known."""
    if not len(healths) or not all(math.isfinite(h) for h in healths):
        return math.nan
    if healths[-1] < trigger:
        return 0.0
    moves = np.diff(np.asarray(healths, np.float64))
    if not len(moves):
        return math.nan
    weights = 0.5 ** (np.arange(len(moves))[::-1] / half_life)
    slope = float((moves * weights).sum() / weights.sum()) / step_s * DAY_S
    return (healths[-1] - trigger) / -slope if slope < 0.0 else math.inf


def regime(prices: Sequence[float]) -> tuple[str, float]:
    """(``normal``, ``correction`` from 10 % or ``bear`` from 20 %, the fall from the highest): 1 - p / max p."""
    series = np.asarray(prices, np.float64)
    if not len(series) or not (series > 0.0).all():
        return "unknown", math.nan
    fall = float((series.max() - series[-1]) / series.max())
    return ("bear" if fall >= BEAR else "correction" if fall >= CORRECTION else "normal"), fall
