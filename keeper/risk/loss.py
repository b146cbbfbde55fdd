"""What a liquidation takes from its owner, by a venue's rule: the most that protection may sensibly cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRule:
    """How much one liquidation repays and what it takes on top; ratios of 1, money in USD.

    Aave v3.3 and later: half of all debt while health > ``full_below`` and both sides reach ``small_usd``,
    else all of it; a rest below ``dust_usd`` on either side makes it all (LiquidationLogic,
    MIN_BASE_MAX_CLOSE_FACTOR).
    """

    bonus: float
    """Of what is repaid: taken from collateral on top, the protocol's fee included."""
    close_factor: float = 0.5
    full_below: float = 0.95
    small_usd: float = 0.0
    dust_usd: float = 0.0


AAVE_V3_3 = LossRule(bonus=0.05, small_usd=2000.0, dust_usd=1000.0)
COMPOUND_V3 = LossRule(bonus=0.05, close_factor=1.0)
"""Comet absorbs everything; ``bonus`` stands for 1 - liquidationFactor of the collateral."""


def loss_usd(collateral_usd: float, debt_usd: float, health: float, rule: LossRule) -> float:
    """Bonus lost when the position is liquidated now; 0 while health >= 1 or without debt. At most the
    collateral.

    NaN in is the whole collateral out: what is unknown may cost everything.
    """
    if not (collateral_usd >= 0.0 and debt_usd >= 0.0 and health == health):
        return max(0.0, collateral_usd) if collateral_usd == collateral_usd else float("inf")
    if health >= 1.0 or debt_usd == 0.0:
        return 0.0
    repaid = min(
        debt_usd * close_share(collateral_usd, debt_usd, health, rule), collateral_usd / (1.0 + rule.bonus)
    )
    return repaid * rule.bonus


def close_share(collateral_usd: float, debt_usd: float, health: float, rule: LossRule) -> float:
    """The share of debt that one liquidation may repay, dust rule applied."""
    if health <= rule.full_below or min(collateral_usd, debt_usd) < rule.small_usd:
        return 1.0
    left_debt = debt_usd * (1.0 - rule.close_factor)
    left_collateral = collateral_usd - debt_usd * rule.close_factor * (1.0 + rule.bonus)
    dusty = 0.0 < left_debt < rule.dust_usd or 0.0 < left_collateral < rule.dust_usd
    return 1.0 if dusty else rule.close_factor
