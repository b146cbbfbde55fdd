"""The pool's integer arithmetic, exact to the wei: that of Aave v3.0 but for how debt compounds.

Sources: Aave v2 GenericLogic.calculateUserAccountData, ReserveLogic, WadRayMath, PercentageMath, MathUtils.
"""

from __future__ import annotations

from dataclasses import replace

from keeper.units import RAY, YEAR_S
from keeper.venues.aave_v3.math import LINE_3_0, ray_mul


def compounded(rate_ray: int, age_s: int) -> int:
    """Growth factor of debt in rays, third-order binomial of the rate a second, which is cut to whole rays first
    (MathUtils.calculateCompoundedInterest).
    """
    if age_s == 0:
        return RAY
    less_one, less_two = age_s - 1, max(age_s - 2, 0)
    a_second = rate_ray // YEAR_S
    power_two = ray_mul(a_second, a_second)
    power_three = ray_mul(power_two, a_second)
    second = age_s * less_one * power_two // 2
    third = age_s * less_one * less_two * power_three // 6
    return RAY + a_second * age_s + second + third


LINE = replace(LINE_3_0, name="2", compounded=compounded)
"""Half-up balances, values rounded down on both sides, the average threshold cut to whole bps."""
