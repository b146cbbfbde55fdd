"""How the pool liquidates, as pure integer functions (LendingPoolCollateralManager)."""

from __future__ import annotations

from keeper.model import Refusal
from keeper.seams import LiquidationRule
from keeper.units import WAD
from keeper.venues.aave_v3.math import percent_div, percent_mul
from keeper.venues.aave_v3.rules import Case, Liquidation

CLOSE_BPS = 5_000
"""LIQUIDATION_CLOSE_FACTOR_PERCENT: at any health."""
WHO = "aave_v2"


def rule() -> LiquidationRule:
    """The rule in words."""
    words = "half of a reserve's debt, at whatever health below 1 (LendingPoolCollateralManager)"
    return LiquidationRule(close_factor=words, dust_base=0)


def liquidate(case: Case) -> Liquidation | Refusal:
    """What the pool would move, or why it would revert."""
    if case.health_wad >= WAD:
        return Refusal(who=WHO, code="healthy", why="health is not below 1")
    repaid = min(case.cover_units, percent_mul(case.debt_units, CLOSE_BPS))
    worth = percent_mul(case.debt_price * repaid * case.collateral_unit, case.bonus_bps)
    taken = worth // (case.collateral_price * case.debt_unit)
    if taken > case.collateral_units:
        taken = case.collateral_units
        owed = case.collateral_price * taken * case.debt_unit // (case.debt_price * case.collateral_unit)
        repaid = min(repaid, percent_div(owed, case.bonus_bps))
    return Liquidation(repaid_units=repaid, seized_units=taken, fee_units=0)
