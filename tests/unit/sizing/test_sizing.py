"""Sizes by hand: the formulas of the field on round numbers, and what cannot be sized."""

from __future__ import annotations

import pytest

from keeper import sizing
from keeper.model import Refusal
from keeper.units import RAY, UINT256_MAX, WAD, wad_from
from tests.build import USDC, WETH, base, collateral, debt, position, units

pytestmark = pytest.mark.unit

TARGET = wad_from("1.5")
LAMBDA = wad_from("0.83")


def test_repay_base__when_health_is_1_107__then_r_is_d_minus_w_over_t() -> None:
    weighted, owed = base("16605") * WAD, base("15000")
    assert sizing.repay_base_up(weighted, owed, TARGET) == base("3930")
    assert sizing.repay_base_up(weighted, base("11070"), TARGET) == 0


def test_topup_base__when_health_is_1_107__then_it_is_the_gap_over_lambda() -> None:
    got = sizing.topup_base_up(base("16605") * WAD, base("15000"), TARGET, LAMBDA)
    assert got == -(-base("5895") * 100 // 83)
    assert sizing.topup_base_up(base("22500") * WAD, base("15000"), TARGET, LAMBDA) == 0


def test_topup_base__when_collateral_does_not_count__then_there_is_no_size() -> None:
    with pytest.raises(ValueError, match="threshold_wad=0"):
        sizing.topup_base_up(1, 1, TARGET, 0)


def test_sell_base__when_health_is_1_107_with_costs__then_8880_dollars_54_are_sold() -> None:
    costs = (wad_from("0.003"), base("10"))
    sold = sizing.sell_base_up(base("16605") * WAD, base("15000"), TARGET, LAMBDA, costs)
    assert isinstance(sold, int)
    assert base("8880.54") < sold < base("8880.55")


def test_sell_base__when_health_is_below_lambda_over_what_is_kept__then_selling_harms() -> None:
    costs = (wad_from("0.07"), 0)
    weighted, owed = base("10100") * WAD, base("10000")
    sold = sizing.sell_base_up(weighted, owed, wad_from("1.2"), wad_from("0.95"), costs)
    assert isinstance(sold, Refusal)
    assert sold.code == "selling_harms"


def test_sell_base__when_target_is_below_lambda_over_what_is_kept__then_infeasible() -> None:
    costs = (wad_from("0.2"), 0)
    sold = sizing.sell_base_up(base("10000") * WAD, base("10000"), wad_from("1.1"), wad_from("0.95"), costs)
    assert isinstance(sold, Refusal)
    assert sold.code == "infeasible"


@pytest.mark.parametrize(
    ("health", "threshold", "floor", "loss", "steps"),
    [("1.03", "0.95", "1.01", "0.001", 23), ("1.15", "0.83", "1.05", "0.003", 5)],
)
def test_unwind__when_all_debt_is_repaid_by_steps__then_as_many_as_the_closed_form(
    health: str, threshold: str, floor: str, loss: str, steps: int
) -> None:
    owed = base("1000000")
    weighted = owed * wad_from(health)
    terms = (wad_from(threshold), wad_from(loss))
    assert sizing.unwind_steps(weighted, owed, owed, wad_from(floor), terms) == steps


def test_unwind__when_nothing_can_be_withdrawn__then_refused() -> None:
    got = sizing.unwind_steps(base("1000") * WAD, base("1000"), base("1000"), WAD, (LAMBDA, 0))
    assert isinstance(got, Refusal)


def test_units__when_priced__then_up_and_down_differ_by_at_most_one() -> None:
    assert sizing.units_up(base("1"), base("3"), 6) == 333_334
    assert sizing.units_down(base("1"), base("3"), 6) == 333_333
    with pytest.raises(ValueError, match="price_base=0"):
        sizing.units_up(1, 0, 6)


def test_health__when_nothing_is_owed__then_the_protocol_s_maximum() -> None:
    assert sizing.health_down(base("1") * WAD, 0) == UINT256_MAX


def test_repay_units__when_one_debt_of_two_cannot_reach_target__then_all_of_it() -> None:
    usdc, weth = debt(USDC, "1000"), debt(WETH, "5")
    found = position([collateral(WETH, "6")], [usdc, weth])
    assert sizing.repay_units_up(found, usdc, TARGET) == units(USDC, "1000")


def test_owed__when_the_rate_is_unread__then_an_hour_at_100_per_cent_is_covered() -> None:
    owed = units(USDC, "10000")
    assert sizing.owed_up(owed, sizing.UNREAD_RATE_RAY) >= owed + owed * 3600 // 31_536_000


def test_aim__when_interest_runs_an_hour__then_target_still_holds() -> None:
    rate = RAY // 2
    aim = sizing.aim_up(TARGET, rate)
    assert aim * 31_536_000 * RAY >= TARGET * (31_536_000 * RAY + rate * sizing.CUSHION_S)
    assert aim < TARGET * 1_000_060 // 1_000_000
