"""What a liquidation takes from its owner, by a venue's rule: the most that protection may sensibly cost.

Money is USD. Every estimate errs upward, because it bounds what may be spent to avoid it; NaN in is the whole
collateral out: what is unknown may cost everything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRule:
    """How much one liquidation repays and what it takes on top; ratios of 1.

    ``close_factor`` of all debt while health > ``full_below`` and both sides reach ``small_usd``, else all of
    it; a rest below ``dust_usd`` on either side makes it all (Aave's LiquidationLogic).
    """

    bonus: float
    """Of what is repaid: taken from collateral on top, the protocol's fee included."""
    close_factor: float = 0.5
    full_below: float = 0.95
    small_usd: float = 0.0
    dust_usd: float = 0.0


AAVE_V3_3 = LossRule(bonus=0.05, small_usd=2000.0, dust_usd=1000.0)
"""Aave v3.3 and later: MIN_BASE_MAX_CLOSE_FACTOR_THRESHOLD 2000, MIN_LEFTOVER_BASE 1000."""
AAVE_V3_0 = LossRule(bonus=0.05)
"""Aave v3.0 to v3.2 and Spark: DEFAULT_LIQUIDATION_CLOSE_FACTOR 50 %, all at CLOSE_FACTOR_HF_THRESHOLD 0.95 or
below, by reserve, no dust rule."""
MORPHO_CURSOR = 0.3
MORPHO_LIF_MAX = 1.15
GMX_MIN_COLLATERAL_USD = 1.0


def loss_usd(collateral_usd: float, debt_usd: float, health: float, rule: LossRule) -> float:
    """Bonus lost when the position is liquidated now; 0 while health >= 1 or without debt. At most the
    collateral.
    """
    if not (collateral_usd >= 0.0 and debt_usd >= 0.0 and health == health):
        return unknown_usd(collateral_usd)
    if health >= 1.0 or debt_usd == 0.0:
        return 0.0
    share = close_share(collateral_usd, debt_usd, health, rule)
    return min(debt_usd * share, collateral_usd / (1.0 + rule.bonus)) * rule.bonus


def close_share(collateral_usd: float, debt_usd: float, health: float, rule: LossRule) -> float:
    """The share of debt that one liquidation may repay, dust rule applied."""
    if health <= rule.full_below or min(collateral_usd, debt_usd) < rule.small_usd:
        return 1.0
    left_debt = debt_usd * (1.0 - rule.close_factor)
    left_collateral = collateral_usd - debt_usd * rule.close_factor * (1.0 + rule.bonus)
    dusty = 0.0 < left_debt < rule.dust_usd or 0.0 < left_collateral < rule.dust_usd
    return 1.0 if dusty else rule.close_factor


def morpho_incentive(lltv: float) -> float:
    """Morpho Blue's incentive factor min(1.15, 1 / (1 - 0.3 (1 - LLTV))) (Morpho.liquidate). ValueError
    outside (0, 1].
    """
    if not 0.0 < lltv <= 1.0:
        raise ValueError(f"LLTV {lltv} is not above 0 and at most 1")
    return min(MORPHO_LIF_MAX, 1.0 / (1.0 - MORPHO_CURSOR * (1.0 - lltv)))


def morpho_rule(lltv: float) -> LossRule:
    """Morpho Blue: no close factor, all may be seized at once; the incentive on top.

    Where collateral does not cover, the rest of the debt is taken off the lenders' shares: no loss of the
    owner's.
    """
    return LossRule(bonus=morpho_incentive(lltv) - 1.0, close_factor=1.0)


def comet_loss_usd(
    collateral_usd: Sequence[float], liquidation_factor: Sequence[float], liquidatable: bool
) -> float:
    """Compound v3: ``absorb`` takes all collateral, each at value x liquidationFactor, and credits what exceeds
    the debt: sum value x (1 - factor) is lost, whatever the debt is. ValueError for unlike lengths.
    """
    if not liquidatable:
        return 0.0
    lost = 0.0
    for value, factor in zip(collateral_usd, liquidation_factor, strict=True):
        good = value >= 0.0 and 0.0 <= factor <= 1.0
        lost += value * (1.0 - factor) if good else unknown_usd(value)
    return lost


@dataclass(frozen=True, slots=True, kw_only=True)
class MakerRule:
    """A Maker (Sky) collateral type: ``chop`` 1.13 is a penalty of 13 %; ``dust_usd`` the least debt of a vault;
    ``hole_usd`` room left for auctions; ``discount`` to the market at which an auction sells; ``tip_usd`` and
    ``chip`` reward whoever starts it."""

    chop: float = 1.13
    dust_usd: float = 7_500.0
    hole_usd: float = math.inf
    discount: float = 0.10
    """Auctions start above the oracle's price (buf) and fall in steps until a keeper earns: an assumption of
    ours, above what calm auctions showed."""
    tip_usd: float = 0.0
    chip: float = 0.0


def maker_loss_usd(collateral_usd: float, debt_usd: float, safe: bool, rule: MakerRule) -> float:
    """Dog.bark and Clipper: the part barked owes debt x chop, sold at a discount; 0 while ``safe``.

    ``tip`` and ``chip`` are drawn from the system (vat.suck(vow, kpr)), not from the owner. At most the
    collateral.
    """
    if not (collateral_usd >= 0.0 and debt_usd >= 0.0 and rule.discount < 1.0):
        return unknown_usd(collateral_usd)
    if safe or debt_usd == 0.0:
        return 0.0
    barked = maker_barked_usd(debt_usd, rule)
    sold = min(barked * rule.chop / (1.0 - rule.discount), collateral_usd)
    return min(collateral_usd, max(sold - barked, 0.0))


def maker_barked_usd(debt_usd: float, rule: MakerRule) -> float:
    """Debt that one bark takes: all that room x 1 / chop holds, and all where a rest would be dust."""
    barked = min(debt_usd, rule.hole_usd / rule.chop)
    return debt_usd if 0.0 < debt_usd - barked < rule.dust_usd else barked


def maker_reward_usd(barked_usd: float, rule: MakerRule) -> float:
    """What starting the auction pays: tip + chip x tab (Clipper.kick), by the system."""
    return rule.tip_usd + rule.chip * barked_usd * rule.chop


@dataclass(frozen=True, slots=True, kw_only=True)
class GmxRule:
    """A GMX v2 market, ratios of size: the liquidation fee, the fee of closing, the most that price impact may
    take in a liquidation, and the least collateral."""

    liquidation_fee: float = 0.003
    close_fee: float = 0.0006
    impact_max: float = 0.0
    collateral_min: float = 0.005


def gmx_loss_usd(remaining_usd: float, size_usd: float, rule: GmxRule) -> float:
    """The whole position is closed: fees and impact on all of its size, at most what remained; 0 while it is not
    liquidatable. ``remaining_usd``: collateral + profit - pending fees, before the closing fee.

    The closing fee counts although a calm close costs it too: a position that is only watched pays neither.
    """
    if not (size_usd >= 0.0 and remaining_usd == remaining_usd):
        return unknown_usd(remaining_usd)
    if not gmx_liquidatable(remaining_usd, size_usd, rule):
        return 0.0
    costs = size_usd * (rule.liquidation_fee + rule.close_fee + rule.impact_max)
    return min(max(remaining_usd, 0.0), costs)


def gmx_liquidatable(remaining_usd: float, size_usd: float, rule: GmxRule) -> bool:
    """Less than a dollar, or less than the least share of size, once impact and the closing fee are paid
    (PositionUtils.isPositionLiquidatable; the liquidation fee is not part of the test).
    """
    after = remaining_usd - size_usd * (rule.close_fee + rule.impact_max)
    least = max(GMX_MIN_COLLATERAL_USD, size_usd * rule.collateral_min)
    return size_usd > 0.0 and not (after >= least and after > 0.0)


def unknown_usd(collateral_usd: float) -> float:
    """What may be lost where nothing is known: the collateral, or without end."""
    return math.inf if math.isnan(collateral_usd) else max(0.0, collateral_usd)
