"""How the pool liquidates, as pure integer functions; shared with paper markets and the loss estimate.

Sources: LiquidationLogic.executeLiquidationCall and _calculateAvailableCollateralToLiquidate, v3.6, v3.2 and v3.0.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.model import Holding, Position, Refusal
from keeper.seams import LiquidationRule
from keeper.units import BPS, WAD
from keeper.venues.aave_v3.math import (
    LINE_3_5,
    Line,
    percent_div,
    percent_div_up,
    percent_mul,
    value_down,
    value_up,
)

HALF = 5_000
"""DEFAULT_LIQUIDATION_CLOSE_FACTOR, bps."""
FULL_CLOSE_HEALTH = 95 * 10**16
"""CLOSE_FACTOR_HF_THRESHOLD: at or below it the whole debt may be taken."""
SMALL_POSITION_USD = 2_000
"""MIN_BASE_MAX_CLOSE_FACTOR_THRESHOLD: below it on either side, the whole debt may be taken (3.5 line)."""
LEFTOVER_USD = 1_000
"""MIN_LEFTOVER_BASE: less than this may not be left on either side unless one side is cleared (3.5 line)."""
WHO = "aave_v3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One liquidation call: a borrower's reserve of collateral against one of debt, and what is covered."""

    health_wad: int
    collateral_units: int
    collateral_price: int
    collateral_unit: int
    debt_units: int
    debt_price: int
    debt_unit: int
    total_debt_base: int
    bonus_bps: int
    bonus_fee_bps: int
    cover_units: int
    base_decimals: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidation:
    """What a liquidation call moves, in token units."""

    repaid_units: int
    seized_units: int
    """To the liquidator."""
    fee_units: int
    """To the treasury, out of the bonus."""


def rule(line: Line) -> LiquidationRule:
    """The line's rule in words."""
    if line is LINE_3_5:
        return LiquidationRule(
            close_factor=(
                "all of a reserve's debt; where both sides are worth 2000 USD or more and health is above "
                "0.95, half of the account's whole debt (LiquidationLogic, v3.3 and later)"
            ),
            dust_base=LEFTOVER_USD * 10**8,
        )
    return LiquidationRule(
        close_factor=(
            "half of a reserve's debt; all of it at health 0.95 or below (LiquidationLogic, v3.0 to v3.2)"
        ),
        dust_base=0,
    )


def closable_units(line: Line, case: Case) -> int:
    """Most debt that one call may repay."""
    if line is not LINE_3_5:
        return percent_mul(case.debt_units, HALF if case.health_wad > FULL_CLOSE_HEALTH else BPS)
    small = SMALL_POSITION_USD * 10**case.base_decimals
    collateral = value_down(case.collateral_units, case.collateral_price, case.collateral_unit)
    debt = value_up(case.debt_units, case.debt_price, case.debt_unit)
    if collateral >= small and debt >= small and case.health_wad > FULL_CLOSE_HEALTH:
        half = percent_mul(case.total_debt_base, HALF)
        if debt > half:
            return half * case.debt_unit // case.debt_price
    return case.debt_units


def liquidate(line: Line, case: Case) -> Liquidation | Refusal:
    """What the pool would move, or why it would revert."""
    if case.health_wad >= WAD:
        return Refusal(who=WHO, code="healthy", why="health is not below 1")
    repaid = min(case.cover_units, closable_units(line, case))
    worth = case.debt_price * repaid * case.collateral_unit // (case.collateral_price * case.debt_unit)
    taken = percent_mul(worth, case.bonus_bps)
    if taken > case.collateral_units:
        taken = case.collateral_units
        owed = case.collateral_price * taken * case.debt_unit // (case.debt_price * case.collateral_unit)
        repaid = (percent_div_up if line is LINE_3_5 else percent_div)(owed, case.bonus_bps)
    bonus = taken - percent_div(taken, case.bonus_bps)
    fee = percent_mul(bonus, case.bonus_fee_bps) if case.bonus_fee_bps else 0
    if line is LINE_3_5 and _leaves_dust(case, repaid, taken):
        return Refusal(
            who=WHO, code="must_not_leave_dust", why="less than 1000 USD would be left on one side"
        )
    return Liquidation(repaid_units=repaid, seized_units=taken - fee, fee_units=fee)


def _leaves_dust(case: Case, repaid: int, taken: int) -> bool:
    """MustNotLeaveDust: neither side cleared, and one of them left with less than the minimum."""
    if repaid >= case.debt_units or taken >= case.collateral_units:
        return False
    least: int = LEFTOVER_USD * 10**case.base_decimals
    debt = value_up(case.debt_units - repaid, case.debt_price, case.debt_unit)
    collateral = value_down(case.collateral_units - taken, case.collateral_price, case.collateral_unit)
    return debt < least or collateral < least


def loss_base_up(case: Case, done: Liquidation) -> int:
    """What the borrower loses at the oracle's prices, base units: the bonus, the protocol's fee included."""
    taken = done.seized_units + done.fee_units
    given = value_up(taken, case.collateral_price, case.collateral_unit)
    return given - value_down(done.repaid_units, case.debt_price, case.debt_unit)


def worst_loss_base_up(line: Line, position: Position, health_wad: int = WAD - 1) -> int:
    """The largest loss that one liquidation call could cause at today's prices, base units; 0 without debt.

    ``health_wad`` is the health it is imagined at: just below 1 by default.
    """
    total = sum(h.value_base for h in position.debt)
    worst = 0
    for taken in position.collateral:
        for owed in position.debt:
            if not (taken.threshold_wad and taken.price_base and owed.price_base):
                continue
            case = _case(position, taken, owed, total, health_wad)
            done = liquidate(line, case)
            if isinstance(done, Liquidation):
                worst = max(worst, loss_base_up(case, done))
    return worst


def _case(position: Position, taken: Holding, owed: Holding, total: int, health_wad: int) -> Case:
    return Case(
        health_wad=health_wad,
        collateral_units=taken.amount.units,
        collateral_price=taken.price_base,
        collateral_unit=10**taken.amount.token.decimals,
        debt_units=owed.amount.units,
        debt_price=owed.price_base,
        debt_unit=10**owed.amount.token.decimals,
        total_debt_base=total,
        bonus_bps=taken.bonus_bps,
        bonus_fee_bps=taken.bonus_fee_bps,
        cover_units=owed.amount.units,
        base_decimals=position.base_decimals,
    )
