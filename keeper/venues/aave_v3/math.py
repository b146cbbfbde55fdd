"""The pool's integer arithmetic, exact to the wei, selected by POOL_REVISION.

The lines of Aave v3 differ in rounding and in the health factor (the fourth digit, for mixed collateral):

    line   balances        base value                    health factor                          e-modes
    3.0    half-up         floor, both sides             wadDiv(percentMul(C, floor(S/C)), D)   categories
    3.2    half-up         floor, both sides             wadDiv(percentMul(C, floor(S/C)), D)   bitmaps
    3.5    floor / ceil    floor collateral, ceil debt   wadDiv(S, D) // 10_000                 bitmaps

with C collateral, D debt, S = sum(collateral_i * threshold_i). Sources: Aave v3 WadRayMath, PercentageMath,
MathUtils, TokenMath and GenericLogic.calculateUserAccountData of the respective release.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from keeper.errors import ConfigError
from keeper.units import BPS, RAY, UINT256_MAX, WAD, YEAR_S

HALF_RAY = RAY // 2
HALF_BPS = BPS // 2

AccountData = tuple[int, int, int, int, int, int]
"""The six words of ``getUserAccountData``: collateral, debt, available, threshold, ltv, health."""


def ray_mul(a: int, b: int) -> int:
    """``a * b`` in rays, half up (WadRayMath.rayMul)."""
    return (a * b + HALF_RAY) // RAY


def ray_mul_down(a: int, b: int) -> int:
    """``a * b`` in rays, rounded down (rayMulFloor)."""
    return a * b // RAY


def ray_mul_up(a: int, b: int) -> int:
    """``a * b`` in rays, rounded up (rayMulCeil)."""
    return -(-a * b // RAY)


def ray_div(a: int, b: int) -> int:
    """``a / b`` in rays, half up (WadRayMath.rayDiv)."""
    return (a * RAY + b // 2) // b


def ray_div_down(a: int, b: int) -> int:
    """``a / b`` in rays, rounded down (rayDivFloor)."""
    return a * RAY // b


def wad_div(a: int, b: int) -> int:
    """``a / b`` in wads, half up (WadRayMath.wadDiv)."""
    return (a * WAD + b // 2) // b


def percent_mul(value: int, bps: int) -> int:
    """``value`` times a share in bps, half up (PercentageMath.percentMul)."""
    return (value * bps + HALF_BPS) // BPS


def percent_div(value: int, bps: int) -> int:
    """``value`` over a share in bps, half up (PercentageMath.percentDiv)."""
    return (value * BPS + bps // 2) // bps


def percent_div_up(value: int, bps: int) -> int:
    """``value`` over a share in bps, rounded up (PercentageMath.percentDivCeil)."""
    return -(-value * BPS // bps)


def value_down(units: int, price_base: int, unit: int) -> int:
    """Value in base-currency units of ``units`` at ``price_base`` per ``unit``, rounded down."""
    return units * price_base // unit


def value_up(units: int, price_base: int, unit: int) -> int:
    """Value in base-currency units, rounded up (MathUtils.mulDivCeil)."""
    return -(-units * price_base // unit)


def supply_index(index_ray: int, rate_ray: int, age_s: int) -> int:
    """The liquidity index accrued linearly over ``age_s`` (ReserveLogic.getNormalizedIncome)."""
    return index_ray if age_s == 0 else ray_mul(RAY + rate_ray * age_s // YEAR_S, index_ray)


def compounded_3_5(rate_ray: int, age_s: int) -> int:
    """Growth factor of debt in rays, third-order Taylor series (MathUtils since 3.4)."""
    x = rate_ray * age_s // YEAR_S
    return RAY + x + ray_mul(x, x // 2 + ray_mul(x, x // 6))


def compounded_3_0(rate_ray: int, age_s: int) -> int:
    """Growth factor of debt in rays, third-order binomial (MathUtils up to 3.3)."""
    if age_s == 0:
        return RAY
    less_one, less_two = age_s - 1, max(age_s - 2, 0)
    power_two = ray_mul(rate_ray, rate_ray) // (YEAR_S * YEAR_S)
    power_three = ray_mul(power_two, rate_ray) // YEAR_S
    second = age_s * less_one * power_two // 2
    third = age_s * less_one * less_two * power_three // 6
    return RAY + rate_ray * age_s // YEAR_S + second + third


def account_3_5(collateral: int, debt: int, by_threshold: int, by_ltv: int) -> AccountData:
    """Six words from sums in base units; ``by_threshold`` and ``by_ltv`` are weighted by bps."""
    threshold, ltv = (by_threshold // collateral, by_ltv // collateral) if collateral else (0, 0)
    health = wad_div(by_threshold, debt) // BPS if debt else UINT256_MAX
    return collateral, debt, max(0, collateral * ltv // BPS - debt), threshold, ltv, health


def account_3_0(collateral: int, debt: int, by_threshold: int, by_ltv: int) -> AccountData:
    """The same of the 3.0 line: the average threshold is cut to whole bps before health is taken."""
    threshold, ltv = (by_threshold // collateral, by_ltv // collateral) if collateral else (0, 0)
    health = wad_div(percent_mul(collateral, threshold), debt) if debt else UINT256_MAX
    return collateral, debt, max(0, percent_mul(collateral, ltv) - debt), threshold, ltv, health


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The arithmetic of one line of releases; every function takes and gives exact integers."""

    name: str
    compounded: Callable[[int, int], int]
    """(rate_ray, age_s) -> growth factor of debt, ray."""
    collateral: Callable[[int, int], int]
    """(scaled, index) -> units that an aToken balance is worth."""
    debt: Callable[[int, int], int]
    """(scaled, index) -> units owed."""
    debt_value: Callable[[int, int, int], int]
    """(units, price_base, unit) -> base units."""
    account: Callable[[int, int, int, int], AccountData]
    mint_collateral: Callable[[int, int], int]
    """(units, index) -> scaled aTokens minted by a supply."""
    burn_debt: Callable[[int, int], int]
    """(units, index) -> scaled debt burnt by a repayment."""
    bare_threshold_counts: bool
    """Whether collateral whose own threshold is 0 is counted as collateral at all."""
    modes_are_liquid: bool
    """E-modes are bitmaps over reserves (since 3.2) instead of one category in a reserve's configuration."""
    modes_have_ltv_zero: bool
    """An e-mode says by a bitmap of its own which collateral has LTV 0 in it (3.6), not the reserve for all."""
    transfers_half_up: bool
    """A transfer of aTokens may bring one unit less than was sent, so that a withdrawal of all of it lacks one."""

    def borrow_index(self, index_ray: int, rate_ray: int, age_s: int) -> int:
        """The variable borrow index compounded over ``age_s`` (ReserveLogic.getNormalizedDebt)."""
        return index_ray if age_s == 0 else ray_mul(self.compounded(rate_ray, age_s), index_ray)


LINE_3_5 = Line(
    name="3.5",
    compounded=compounded_3_5,
    collateral=ray_mul_down,
    debt=ray_mul_up,
    debt_value=value_up,
    account=account_3_5,
    mint_collateral=ray_div_down,
    burn_debt=ray_div_down,
    bare_threshold_counts=True,
    modes_are_liquid=True,
    modes_have_ltv_zero=True,
    transfers_half_up=False,
)
LINE_3_0 = Line(
    name="3.0",
    compounded=compounded_3_0,
    collateral=ray_mul,
    debt=ray_mul,
    debt_value=value_down,
    account=account_3_0,
    mint_collateral=ray_div,
    burn_debt=ray_div,
    bare_threshold_counts=False,
    modes_are_liquid=False,
    modes_have_ltv_zero=False,
    transfers_half_up=True,
)
LINE_3_2 = replace(LINE_3_0, name="3.2", modes_are_liquid=True)

RELEASES = (
    (1, "3.0.x", LINE_3_0),
    *((revision, "3.0.x, SparkLend", LINE_3_0) for revision in (2, 3, 4)),
    (5, "3.2", LINE_3_2),
    (10, "3.6", LINE_3_5),
    (11, "3.7", LINE_3_5),
)
"""Revisions whose arithmetic is known. SparkLend's pool counts its own upgrades of the 3.0 line (POOL_REVISION 2 at
077cc8c, 4 at 724971b of sparkdotfi/sparklend-v1-core) and was verified at 1 alone: like every position's, its
numbers count only where they are the pool's own six words. Aave's 3.1 and 3.3 to 3.5 mix the lines in ways that no
code was had to verify: refused."""


def line_of(revision: int) -> Line:
    """The arithmetic of that POOL_REVISION. Raises ConfigError for one that is not known."""
    for known, _, line in RELEASES:
        if known == revision:
            return line
    names = ", ".join(f"{known} ({name})" for known, name, _ in RELEASES)
    why = f"unknown POOL_REVISION {revision}: its formulas are not verified; known: {names}"
    raise ConfigError((why,))
