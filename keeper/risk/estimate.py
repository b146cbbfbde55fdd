"""Covariance of factors from their price history: EWMA weights, shrunk by Ledoit and Wolf (scikit-learn)."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from keeper.errors import ConfigError
from keeper.risk.book import Floats

EXTRA = "pip install 'keeper[analysis]'"
HALF_LIFE_DAYS = 30.0
ROWS_MIN = 30
YEAR_S = 365.0 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """``covariance`` float64[K, K] of yearly log returns of ``names``; ``shrinkage`` in [0, 1] of correlations
    towards none; ``effective`` returns, counted by their weights, of ``count``."""

    names: tuple[str, ...]
    covariance: Floats
    shrinkage: float
    effective: float
    count: int


def estimate(
    names: tuple[str, ...], returns: Floats, step_s: float, half_life_days: float = HALF_LIFE_DAYS
) -> Estimate:
    """Yearly covariance from log ``returns`` float64[T, K], the newest last, each over ``step_s``.

    A return weighs 2^(-age / half life) (RiskMetrics 1996), so with x_t = sqrt(T w_t) r_t the mean of x x' is
    the EWMA covariance; Ledoit and Wolf (2004) on x counts the unequal weights in its intensity by itself.
    Returns are divided by their EWMA deviation first: shrinking towards one variance for all would lend a
    stable the volatility of ETH. Means are taken as 0. ConfigError when the library is missing, ValueError
    for fewer than 30 returns, one that is not finite, or a factor that never moves.
    """
    if returns.ndim != 2 or returns.shape[1] != len(names) or len(returns) < ROWS_MIN:
        raise ValueError(
            f"{len(names)} factors and returns of shape {returns.shape}: at least {ROWS_MIN} rows"
        )
    if not np.isfinite(returns).all():
        raise ValueError("a return is no finite number")
    if not (half_life_days > 0.0 and step_s > 0.0):
        raise ValueError(f"half life {half_life_days} days and step {step_s} s must be above 0")
    count = len(returns)
    age_days = np.arange(count)[::-1] * step_s / 86_400.0
    weight = np.exp2(-age_days / half_life_days)
    weight /= weight.sum()
    deviation = np.sqrt(weight @ np.square(returns))
    if not (deviation > 0.0).all():
        raise ValueError(f"{names[int(deviation.argmin())]} never moves")
    weighted = returns / deviation * np.sqrt(count * weight)[:, None]
    fitted = _estimator().fit(weighted)
    correlation = np.asarray(fitted.covariance_, np.float64)
    np.fill_diagonal(correlation, 1.0)
    return Estimate(
        names=names,
        covariance=correlation * np.outer(deviation, deviation) * (YEAR_S / step_s),
        shrinkage=float(fitted.shrinkage_),
        effective=1.0 / float(np.square(weight).sum()),
        count=count,
    )


def _estimator() -> Any:
    try:
        library: Any = importlib.import_module("sklearn.covariance")
    except ModuleNotFoundError as error:
        raise ConfigError((f"--history needs scikit-learn, which the extra installs: {EXTRA}",)) from error
    return library.LedoitWolf(assume_centered=True)
