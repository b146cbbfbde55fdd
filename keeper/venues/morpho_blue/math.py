"""Morpho Blue's integer arithmetic and its adaptive interest curve, exact to the wei.

Sources: morpho-blue MathLib, SharesMathLib, Morpho._accrueInterest, _isHealthy; morpho-blue-irm AdaptiveCurveIrm
and ExpLib. Signed division truncates toward zero there, which Python's does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from keeper.errors import Unread
from keeper.units import UINT256_MAX, WAD, YEAR_S

ORACLE_SCALE = 10**36
"""ORACLE_PRICE_SCALE: a price is loan units per collateral unit times this."""
VIRTUAL_SHARES = 10**6
VIRTUAL_ASSETS = 1
UINT128_MAX = 2**128 - 1

TARGET_UTILIZATION = 9 * WAD // 10
CURVE_STEEPNESS = 4 * WAD
ADJUSTMENT_SPEED = 50 * WAD // YEAR_S
INITIAL_RATE_AT_TARGET = 4 * WAD // 100 // YEAR_S
MIN_RATE_AT_TARGET = WAD // 1_000 // YEAR_S
MAX_RATE_AT_TARGET = 2 * WAD // YEAR_S
"""ConstantsLib of the adaptive curve; rates are wads a second."""
LN_2 = 693147180559945309
LN_WEI = -41446531673892822312
WEXP_UPPER_BOUND = 93859467695000404319
WEXP_UPPER_VALUE = 57716089161558943949701069502944508345128422502756744429568


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """``Morpho.market(id)``, in its order."""

    supply_assets: int
    supply_shares: int
    borrow_assets: int
    borrow_shares: int
    updated_s: int
    fee_wad: int


def toward_zero(a: int, b: int) -> int:
    """``a / b`` as Solidity divides signed integers."""
    q = abs(a) // abs(b)
    return q if (a >= 0) == (b >= 0) else -q


def to_assets_up(shares: int, assets: int, total_shares: int) -> int:
    """What ``shares`` of a side are worth, rounded up (SharesMathLib.toAssetsUp)."""
    return -(-shares * (assets + VIRTUAL_ASSETS) // (total_shares + VIRTUAL_SHARES))


def to_assets_down(shares: int, assets: int, total_shares: int) -> int:
    """What ``shares`` of a side are worth, rounded down."""
    return shares * (assets + VIRTUAL_ASSETS) // (total_shares + VIRTUAL_SHARES)


def to_shares_up(units: int, assets: int, total_shares: int) -> int:
    """Shares of ``units``, rounded up."""
    return -(-units * (total_shares + VIRTUAL_SHARES) // (assets + VIRTUAL_ASSETS))


def to_shares_down(units: int, assets: int, total_shares: int) -> int:
    """Shares of ``units``, rounded down: what a repayment burns."""
    return units * (total_shares + VIRTUAL_SHARES) // (assets + VIRTUAL_ASSETS)


def taylor_compounded(rate_wad: int, age_s: int) -> int:
    """e^(rate x age) - 1 in wads by three terms (MathLib.wTaylorCompounded)."""
    first = rate_wad * age_s
    second = first * first // (2 * WAD)
    return first + second + second * first // (3 * WAD)


def exp_wad(x: int) -> int:
    """Approximation of e^x in wads (ExpLib.wExp)."""
    if x < LN_WEI:
        return 0
    if x >= WEXP_UPPER_BOUND:
        return WEXP_UPPER_VALUE
    q = toward_zero(x + (-(LN_2 // 2) if x < 0 else LN_2 // 2), LN_2)
    r = x - q * LN_2
    near = WAD + r + toward_zero(toward_zero(r * r, WAD), 2)
    return near << q if q >= 0 else near >> -q


def borrow_rate(rate_at_target: int, totals: Totals, age_s: int) -> tuple[int, int]:
    """(average rate over ``age_s``, rate at target after it), wads a second (AdaptiveCurveIrm._borrowRate)."""
    used = totals.borrow_assets * WAD // totals.supply_assets if totals.supply_assets else 0
    norm = WAD - TARGET_UTILIZATION if used > TARGET_UTILIZATION else TARGET_UTILIZATION
    err = toward_zero((used - TARGET_UTILIZATION) * WAD, norm)
    if not rate_at_target:
        mean = end = INITIAL_RATE_AT_TARGET
    else:
        adapted = toward_zero(ADJUSTMENT_SPEED * err, WAD) * age_s
        mean = end = rate_at_target
        if adapted:
            end = _new_rate(rate_at_target, adapted)
            mean = (rate_at_target + end + 2 * _new_rate(rate_at_target, toward_zero(adapted, 2))) // 4
    steep = WAD - toward_zero(WAD * WAD, CURVE_STEEPNESS) if err < 0 else CURVE_STEEPNESS - WAD
    return toward_zero((toward_zero(steep * err, WAD) + WAD) * mean, WAD), end


def _new_rate(start: int, adapted: int) -> int:
    moved = toward_zero(start * exp_wad(adapted), WAD)
    return min(max(moved, MIN_RATE_AT_TARGET), MAX_RATE_AT_TARGET)


def accrue(totals: Totals, rate_wad: int, now_s: int) -> Totals:
    """The totals with interest to ``now_s`` at an average rate (Morpho._accrueInterest).

    ``market()`` answers them without it. Raises Unread where the contract itself would revert or time runs
    backwards.
    """
    age_s = now_s - totals.updated_s
    if age_s < 0:
        raise Unread(f"the market was updated {-age_s} s after the block's timestamp")
    if not age_s:
        return totals
    interest = totals.borrow_assets * taylor_compounded(rate_wad, age_s) // WAD
    borrowed, supplied = totals.borrow_assets + interest, totals.supply_assets + interest
    shares = totals.supply_shares
    if totals.fee_wad:
        fee = interest * totals.fee_wad // WAD
        # what the fee is worth is already among the assets
        shares += to_shares_down(fee, supplied - fee, shares)
    if max(borrowed, supplied, shares) > UINT128_MAX:
        raise Unread("the market's totals overflow: the contract itself reverts")
    return replace(
        totals, supply_assets=supplied, supply_shares=shares, borrow_assets=borrowed, updated_s=now_s
    )


def quoted_down(collateral: int, price: int) -> int:
    """Collateral in loan units, rounded down. Raises Unread where the contract's product overflows."""
    product = collateral * price
    if product > UINT256_MAX:
        raise Unread("collateral times the oracle's price overflows: the contract itself reverts")
    return product // ORACLE_SCALE


def borrowable_down(quoted: int, lltv_wad: int) -> int:
    """Most loan units that collateral worth ``quoted`` carries; a larger debt can be liquidated."""
    return quoted * lltv_wad // WAD


def health_down(borrowable: int, owed: int) -> int:
    """Health in wads, below one exactly where the contract says unhealthy; 2**256-1 without debt."""
    return min(borrowable * WAD // owed, UINT256_MAX - 1) if owed else UINT256_MAX
