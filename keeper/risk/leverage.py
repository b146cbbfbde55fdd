"""Leverage: how much, how concentrated, how fast, how near to a band's edge, and who falls with whom.

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

CONCENTRATED_HHI = 0.18
"""Above it a market is highly concentrated (US merger guidelines 2023: 1,800 of 10,000)."""
CORRECTION, BEAR = 0.10, 0.20
"""Falls from the highest price: a correction, a bear market."""


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


def ratio_of_health(health: float, threshold: float) -> float:
    """L = H / (H - lambda), the inverse of ``health_of_ratio``; NaN where H does not exceed lambda."""
    return health / (health - threshold) if health > threshold else math.nan


def loops(ltv: float, times: int) -> float:
    """Leverage of borrowing ``times`` times against what was bought: (1 - ltv^(n+1)) / (1 - ltv)."""
    return float((1.0 - ltv ** (times + 1)) / (1.0 - ltv))


def equity_left(debt: float, threshold: float) -> float:
    """What is one's own at the moment of liquidation, before its penalty: D (1 - lambda) / lambda."""
    return debt * (1.0 - threshold) / threshold


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


def hhi(values: Sequence[float]) -> float:
    """Herfindahl-Hirschman index of |values|: sum of squared shares, 1/n (even) to 1 (one alone). NaN of nothing."""
    sizes = np.abs(np.asarray(values, np.float64))
    total = float(sizes.sum())
    return float(((sizes / total) ** 2).sum()) if total > 0.0 and math.isfinite(total) else math.nan


def effective(values: Sequence[float]) -> float:
    """1 / HHI: as many equal ones would be as concentrated."""
    index = hhi(values)
    return 1.0 / index if index > 0.0 else math.nan


def skew(long: float, short: float) -> float:
    """(long - short) / (long + short) of open interest, or of one's own exposures: -1 to 1. NaN of nothing."""
    total = long + short
    return (long - short) / total if total > 0.0 else math.nan


def velocity(levels: Sequence[float], step_s: float) -> float:
    """Rate of change of ln(level) a day over the last step; of open interest, how fast leverage builds or leaves."""
    if len(levels) < 2 or min(levels[-2:]) <= 0.0 or step_s <= 0.0:
        return math.nan
    return math.log(levels[-1] / levels[-2]) / step_s * 86_400.0


def days_to_trigger(healths: Sequence[float], step_s: float, trigger: float, half_life: float = 6.0) -> float:
    """(H - trigger) / -dH/dt with an exponentially weighted slope (``half_life`` in steps): days at the present
    speed. +inf where health does not fall, 0 where the trigger is crossed."""
    if not healths or healths[-1] < trigger:
        return 0.0 if healths else math.nan
    moves = np.diff(np.asarray(healths, np.float64))
    if not len(moves):
        return math.nan
    weights = 0.5 ** (np.arange(len(moves))[::-1] / half_life)
    slope = float((moves * weights).sum() / weights.sum()) / step_s * 86_400.0
    return (healths[-1] - trigger) / -slope if slope < 0.0 else math.inf


def band(target: float, cost: float, aversion: float = 2.0) -> tuple[float, float]:
    """The no-trade band around a target leverage for a proportional round-trip ``cost``: half-width
    (3 / (2 gamma) pi^2 (1 - pi)^2 cost)^(1/3) with pi the target (Whalley-Wilmott, Shreve-Soner asymptotics)."""
    if target < 0.0 or cost < 0.0 or aversion <= 0.0:
        return math.nan, math.nan
    half = (1.5 / aversion * target**2 * (1.0 - target) ** 2 * cost) ** (1.0 / 3.0)
    return target - half, target + half


def churn(leverage: float, growth: float, volatility: float, years: float) -> float:
    """What constant leverage makes of 1 while the price grows by ``growth``: growth^L exp(-L (L - 1) s^2 T / 2)
    (Avellaneda-Zhang 2010)."""
    return float(growth**leverage * math.exp(-0.5 * leverage * (leverage - 1.0) * volatility**2 * years))


def cppi(value: float, floor: float, multiple: float, most: float) -> float:
    """Exposure m (V - F), at most ``most`` x V, 0 below the floor (Black-Jones 1987). A fall of up to 1/m between two
    adjustments leaves the floor whole."""
    return min(multiple * max(value - floor, 0.0), most * max(value, 0.0))


def tipp(floor: float, highest: float, share: float) -> float:
    """A floor that follows the highest value seen: max(F, share x highest) (Estep-Kritzman 1988)."""
    return max(floor, share * highest)


def target_for_volatility(volatility_year: float, horizon_days: float, sigmas: float) -> float:
    """Health that survives a fall of ``sigmas`` deviations over the horizon: 1 / (1 - k s). +inf where none does."""
    fall = sigmas * volatility_year * math.sqrt(horizon_days / 365.0)
    return 1.0 / (1.0 - fall) if fall < 1.0 else math.inf


def regime(prices: Sequence[float]) -> tuple[str, float]:
    """(``normal``, ``correction`` from 10 % or ``bear`` from 20 %, the fall from the highest): 1 - p / max p."""
    series = np.asarray(prices, np.float64)
    if not len(series) or not (series > 0.0).all():
        return "unknown", math.nan
    fall = float((series.max() - series[-1]) / series.max())
    return ("bear" if fall >= BEAR else "correction" if fall >= CORRECTION else "normal"), fall


def debt_rank(weights: Floats, shocked: Floats, rounds: int = 1_000) -> Floats:
    """Distress float64[N] of N nodes after ``shocked`` float64[N] (0 to 1) has spread over ``weights`` [N, N].

    ``weights[i, j]`` is the share of j's equity that i's failure costs. h_j += sum_i w_ij dh_i, capped at 1, each
    node passing on what it has newly lost (Battiston et al. 2012, as Bardoscia et al. 2015 have it). NaN in,
    NaN out. ValueError on other shapes or values outside 0 to 1.
    """
    count = len(shocked)
    if weights.shape != (count, count):
        raise ValueError(f"weights are {weights.shape}, shocked names {count} nodes")
    if (weights < 0.0).any() or (weights > 1.0).any() or (shocked < 0.0).any() or (shocked > 1.0).any():
        raise ValueError("shares and shocks lie from 0 to 1")
    distress = shocked.astype(np.float64)
    fresh = distress.copy()
    for _ in range(rounds):
        after = np.minimum(1.0, distress + fresh @ weights)
        fresh = after - distress
        distress = after
        if not (fresh > 1e-12).any():
            break
    return distress
