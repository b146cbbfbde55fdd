"""How much leverage, and what it does: ratio, own share, health, loops, what is left at liquidation, band, churn.

Symbols: C collateral or asset value, D debt, E = C - D equity, N signed notional, L leverage, lambda liquidation
threshold, H health. Every function is pure, takes USD or shares, and answers NaN where nothing is meant (no
equity, no data): a number that is not known is never a good one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keeper.risk.book import Floats


def ratio(assets: float, debt: float) -> float:
    """L = C / (C - D), the multiplier of a move of all assets on equity; 1 without debt. Also called the equity
    multiplier; +inf where equity is 0, NaN where it is below."""
    equity = assets - debt
    if not (math.isfinite(assets) and math.isfinite(debt)) or equity < 0.0:
        return math.nan
    return assets / equity if equity > 0.0 else math.inf


def equity_ratio(assets: float, debt: float) -> float:
    """(C - D) / C, the share that is one's own; 1 / L. NaN without assets."""
    return (assets - debt) / assets if assets > 0.0 else math.nan


def account(notionals: Sequence[float], equity: float) -> float:
    """Account leverage of perps and loans together: sum |N| / E. +inf where equity is 0, NaN below."""
    gross = math.fsum(abs(n) for n in notionals)
    if equity > 0.0:
        return gross / equity
    return math.inf if equity == 0.0 and gross > 0.0 else math.nan


def health_of_ratio(leverage: float, threshold: float) -> float:
    """H = lambda L / (L - 1) of a loan on one asset; +inf without leverage."""
    return threshold * leverage / (leverage - 1.0) if leverage > 1.0 else math.inf


def loops_of(leverage: float, ltv: float) -> float:
    """How often one must borrow at ``ltv`` against what was bought for that leverage: n loops make the geometric sum
    L = (1 - ltv^(n+1)) / (1 - ltv), so n = ln(1 - L (1 - ltv)) / ln ltv - 1; +inf from 1 / (1 - ltv) on, which no
    number of loops reaches. NaN below 1 or of no threshold."""
    if not (leverage >= 1.0 and 0.0 < ltv < 1.0):
        return math.nan
    left = 1.0 - leverage * (1.0 - ltv)
    return math.log(left) / math.log(ltv) - 1.0 if left > 0.0 else math.inf


def equity_left(debt: float, threshold: float) -> float:
    """What is one's own at the moment of liquidation, before its penalty: D (1 - lambda) / lambda, for then
    lambda C = D. NaN without a threshold."""
    return debt * (1.0 - threshold) / threshold if 0.0 < threshold <= 1.0 else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What a move of 1 % of one factor does: ``delta_usd`` to equity, ``percent`` of equity."""

    factor: str
    delta_usd: float
    percent: float


def sensitivity(deltas: Mapping[str, float], equity: float) -> tuple[Sensitivity, ...]:
    """Equity's answer to +1 % of each factor; ``deltas``: USD of signed exposure by factor. Largest first."""
    found = [
        Sensitivity(
            factor=f,
            delta_usd=0.01 * n,
            percent=n / equity if equity > 0.0 else math.nan,
        )
        for f, n in deltas.items()
    ]
    return tuple(sorted(found, key=lambda s: (-abs(s.delta_usd), s.factor)))


def band(target: float, cost: float, aversion: float = 2.0) -> tuple[float, float]:
    """The no-trade band around a target leverage for a proportional round-trip ``cost``: half-width
    (3 / (2 gamma) pi^2 (1 - pi)^2 cost)^(1/3) with pi the target (Whalley-Wilmott, Shreve-Soner asymptotics); the
    width that a policy takes from ``leverage_cost_pct``."""
    if not (target >= 0.0 and cost >= 0.0 and aversion > 0.0):
        return math.nan, math.nan
    half = (1.5 / aversion * target**2 * (1.0 - target) ** 2 * cost) ** (1.0 / 3.0)
    return target - half, target + half


def churn(weights: Floats, covariance: Floats, years: float) -> float:
    """What keeping exposures ``weights`` float64[K] (times equity) constant makes of 1 when every price ends where it
    began: exp((w . diag S - w S w) T / 2), S the yearly ``covariance``. Of one asset exp(-L (L - 1) s^2 T / 2), the
    decay of a leveraged fund (Avellaneda-Zhang 2010). Below 1 for a long above 1 and for every short."""
    return float(np.exp(0.5 * years * (weights @ np.diag(covariance) - weights @ covariance @ weights)))
