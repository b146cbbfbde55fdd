"""How Morpho Blue and its PreLiquidation contracts liquidate, as pure integer functions.

Sources: Morpho.liquidate (no close factor: all may be taken; what collateral does not cover is the lenders' loss),
PreLiquidation.preLiquidate (between preLLTV and LLTV a close factor and an incentive grow with the loan-to-value).
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.model import Refusal
from keeper.seams import LiquidationRule
from keeper.units import BPS, WAD
from keeper.venues.morpho_blue.math import (
    ORACLE_SCALE,
    Totals,
    borrowable_down,
    quoted_down,
    to_assets_down,
    to_assets_up,
    to_shares_up,
)

WHO = "morpho_blue"
CURSOR = 3 * WAD // 10
"""LIQUIDATION_CURSOR."""
INCENTIVE_MAX = 115 * WAD // 100
"""MAX_LIQUIDATION_INCENTIVE_FACTOR."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreTerms:
    """``preLiquidationParams()``: the line, and what grows linearly from it to the market's own."""

    line_wad: int
    """preLLTV: above this loan-to-value a part may be taken."""
    close_wad: tuple[int, int]
    """Share of the debt that one call may repay: at the line, and at the market's LLTV."""
    incentive_wad: tuple[int, int]
    """Collateral given per debt repaid, likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One borrower as the contract sees him, interest accrued."""

    totals: Totals
    borrow_shares: int
    collateral: int
    price: int
    lltv_wad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidation:
    """What one call moves."""

    repaid_units: int
    repaid_shares: int
    seized_units: int
    bad_debt_shares: int = 0
    """Debt that is written off because no collateral is left."""


def rule() -> LiquidationRule:
    """The rule in words."""
    return LiquidationRule(
        close_factor=(
            "no close factor: all collateral may be seized at once (Morpho.liquidate); where the owner authorised a "
            "PreLiquidation contract, a part of the debt above its preLLTV"
        ),
        dust_base=0,
    )


def incentive(lltv_wad: int) -> int:
    """min(1.15, 1 / (1 - 0.3 (1 - LLTV))) in wads."""
    return min(INCENTIVE_MAX, WAD * WAD // (WAD - CURSOR * (WAD - lltv_wad) // WAD))


def bonus_bps_up(lltv_wad: int, pre: tuple[PreTerms, ...]) -> int:
    """The largest incentive that applies, per 10_000, rounded up: what a liquidation may cost at the most."""
    worst = max([incentive(lltv_wad), *(terms.incentive_wad[1] for terms in pre)])
    return -(-worst * BPS // WAD)


def liquidatable(case: Case) -> bool:
    """The contract's verdict."""
    owed = to_assets_up(case.borrow_shares, case.totals.borrow_assets, case.totals.borrow_shares)
    return bool(owed) and owed > borrowable_down(quoted_down(case.collateral, case.price), case.lltv_wad)


def liquidate(case: Case, *, seized: int = 0, shares: int = 0) -> Liquidation | Refusal:
    """What ``liquidate`` moves for one of the two amounts, or why it reverts."""
    if not liquidatable(case):
        return Refusal(who=WHO, code="healthy", why="the position is healthy")
    if not (seized or case.price):
        return Refusal(who=WHO, code="no_price", why="at a price of 0 the contract divides by it and reverts")
    return _moved(case, incentive(case.lltv_wad), seized, shares)


def pre_liquidate(case: Case, terms: PreTerms, *, seized: int = 0, shares: int = 0) -> Liquidation | Refusal:
    """What ``preLiquidate`` moves, or why it reverts; ``case.price`` is of the PreLiquidation's oracle."""
    quoted = quoted_down(case.collateral, case.price)
    owed = to_assets_up(case.borrow_shares, case.totals.borrow_assets, case.totals.borrow_shares)
    if owed > borrowable_down(quoted, case.lltv_wad):
        return Refusal(who=WHO, code="liquidatable", why="above the market's own LLTV: liquidate it there")
    if owed <= borrowable_down(quoted, terms.line_wad):
        return Refusal(who=WHO, code="healthy", why="not above the preLLTV")
    ltv = -(-owed * WAD // quoted)
    grown = (ltv - terms.line_wad) * WAD // (case.lltv_wad - terms.line_wad)
    factor = _between(terms.incentive_wad, grown)
    moved = _moved(case, factor, seized, shares)
    if moved.repaid_shares > case.borrow_shares * _between(terms.close_wad, grown) // WAD:
        return Refusal(who=WHO, code="too_large", why="more than the close factor of a pre-liquidation")
    return moved


def _between(ends: tuple[int, int], grown_wad: int) -> int:
    return grown_wad * (ends[1] - ends[0]) // WAD + ends[0]


def _moved(case: Case, factor: int, seized: int, shares: int) -> Liquidation:
    assets, total = case.totals.borrow_assets, case.totals.borrow_shares
    if seized:
        worth = -(-seized * case.price // ORACLE_SCALE)
        shares = to_shares_up(-(-worth * WAD // factor), assets, total)
    else:
        seized = to_assets_down(shares, assets, total) * factor // WAD * ORACLE_SCALE // case.price
    return Liquidation(
        repaid_units=to_assets_up(shares, assets, total),
        repaid_shares=shares,
        seized_units=seized,
        bad_debt_shares=case.borrow_shares - shares if seized >= case.collateral else 0,
    )
