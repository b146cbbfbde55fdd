"""Sizes against exact rational arithmetic: the target is reached, and by no more than rounding."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper import sizing
from keeper.model import Amount, Refusal, Repay, Supply
from keeper.units import WAD
from tests.build import DAI, USDC, WBTC, WETH, collateral, debt, position
from tests.fakes import LendingDouble

pytestmark = pytest.mark.property

BASE = st.integers(1, 10**18)
TARGET = st.integers(WAD + 10**14, 3 * WAD)
LAMBDA = st.integers(WAD // 10, WAD - 10**16)


@given(BASE, BASE, TARGET)
def test_repay_base__when_any__then_target_holds_exactly_and_one_unit_less_does_not(
    weighted_base: int, owed: int, target: int
) -> None:
    weighted = weighted_base * WAD - weighted_base // 3
    repaid = sizing.repay_base_up(weighted, owed, target)
    left = owed - repaid
    assert Fraction(weighted) >= target * Fraction(left)
    if repaid:
        assert Fraction(weighted) < target * Fraction(left + 1)


@given(BASE, BASE, TARGET, LAMBDA)
def test_topup_base__when_any__then_target_holds_exactly_and_one_unit_less_does_not(
    weighted_base: int, owed: int, target: int, threshold: int
) -> None:
    weighted = weighted_base * WAD // 2
    added = sizing.topup_base_up(weighted, owed, target, threshold)
    assert weighted + added * threshold >= target * owed
    if added:
        assert weighted + (added - 1) * threshold < target * owed


@given(BASE, st.integers(WAD, 2 * WAD), TARGET, LAMBDA, st.integers(0, WAD // 5), st.integers(0, 10**10))
def test_sell_base__when_it_gives_a_size__then_target_holds_exactly_after_rounded_proceeds(
    owed: int, health: int, target: int, threshold: int, loss: int, fixed: int
) -> None:
    weighted = owed * health
    sold = sizing.sell_base_up(weighted, owed, target, threshold, (loss, fixed))
    if isinstance(sold, Refusal):
        keep = Fraction(WAD - loss, WAD)
        helps = Fraction(weighted, WAD) * keep > Fraction(threshold, WAD) * (owed + fixed + 1)
        assert Fraction(target) * keep <= threshold or not helps
    elif sold:
        left = owed + fixed - sold * (WAD - loss) // WAD
        assert weighted - sold * threshold >= target * max(left, 0)


@given(
    st.integers(10**15, 10**22),
    st.integers(10**5, 10**9),
    st.integers(10**6, 10**13),
    st.integers(1, 2 * 10**20),
    TARGET,
)
def test_repay_units__when_not_the_whole_debt__then_health_after_rounding_reaches_target(
    weth: int, price_cents: int, usdc: int, dai: int, target: int
) -> None:
    price = f"{price_cents // 100}.{price_cents % 100:02d}"
    found = position(
        [collateral(WETH, _text(weth, 18), price=price)],
        [debt(USDC, _text(usdc, 6)), debt(DAI, _text(dai, 18))],
    )
    held = found.debt[0]
    units = sizing.repay_units_up(found, held, target)
    assert 0 <= units <= held.amount.units
    step = Repay(amount=Amount(token=USDC, units=units))
    after = LendingDouble().after((step,), found).health_wad
    assert after is not None
    # nothing to repay, or all of it is not enough: only then may the target be missed
    assert after >= target or units == held.amount.units
    if not units:
        assert (found.health_wad or 0) >= target


@given(st.integers(10**14, 10**21), st.integers(1, 10**10), st.integers(10**6, 10**13), TARGET)
def test_topup_units__when_any__then_health_after_rounding_reaches_target(
    weth: int, wbtc: int, usdc: int, target: int
) -> None:
    found = position(
        [collateral(WETH, _text(weth, 18)), collateral(WBTC, _text(wbtc, 8))], [debt(USDC, _text(usdc, 6))]
    )
    for held in found.collateral:
        units = sizing.topup_units_up(found, held, target)
        step = Supply(amount=Amount(token=held.amount.token, units=units))
        after = LendingDouble().after((step,), found).health_wad if units else found.health_wad
        assert after is not None
        assert after >= target
        if units > sizing.ROUNDING_UNITS + 1:
            less = Supply(amount=Amount(token=held.amount.token, units=units - sizing.ROUNDING_UNITS - 1))
            short = LendingDouble().after((less,), found)
            weighted, owed = sizing.weighted_base_wad(short), sizing.debt_base_up(short)
            assert weighted < target * owed


@given(st.integers(1, 10**12), st.integers(1, 10**10), st.integers(0, 18))
def test_value__when_there_and_back__then_never_in_our_favour(value: int, price: int, decimals: int) -> None:
    up, down = sizing.units_up(value, price, decimals), sizing.units_down(value, price, decimals)
    unit = 10**decimals
    assert (up - 1) * price < value * unit <= up * price
    assert down * price <= value * unit < (down + 1) * price
    assert sizing.value_base_up(down, price, decimals) <= value


def _text(units: int, decimals: int) -> str:
    return f"{units // 10**decimals}.{units % 10**decimals:0{decimals}d}"
