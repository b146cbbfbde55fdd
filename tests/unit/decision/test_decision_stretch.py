"""A sale that goes on above target where gas is dear, and stops at target where it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from keeper.decision.stretch import stretched, worse_usd
from keeper.model import Policy, Proposal, Refusal
from keeper.units import UINT256_MAX, WAD, wad_from
from tests import build
from tests.build import USDC, WETH
from tests.mandates import sale as step

pytestmark = pytest.mark.unit
POLICY = replace(
    build.policy(target="1.30", strategies=("deleverage",)), max_health_wad=wad_from("1.72"), stretch=True
)
POSITION = build.position([build.collateral(WETH, "10")], [build.debt(USDC, "15000")])


def sale(target_wad: int, gas_usd: float, per_health_usd: float, strategy: str = "deleverage") -> Proposal:
    """Reaches the target exactly; its swap costs so much for each unit of health."""
    swap = per_health_usd * target_wad / WAD
    return Proposal(
        ids=(),
        strategy=strategy,
        steps=(),
        health_after_wad=target_wad,
        spend_usd=0.0,
        gas_usd=gas_usd,
        idle_usd=0.0,
        cost_usd=gas_usd + swap,
        why="sold",
        swap_usd=swap,
    )


def seller(gas_usd: float, per_health_usd: float) -> Callable[[Policy], Proposal | Refusal]:
    return lambda policy: sale(policy.target_wad, gas_usd, per_health_usd)


def reached(gas_usd: float, per_health_usd: float = 10.0, policy: Policy = POLICY) -> float:
    found = sale(policy.target_wad, gas_usd, per_health_usd)
    return stretched(found, policy, POSITION, seller(gas_usd, per_health_usd)).health_after_wad / WAD


def test_stretched__when_gas_is_dear__then_as_far_as_the_owner_allows() -> None:
    assert reached(1_000.0) == pytest.approx(1.70)


def test_stretched__when_the_sale_costs_as_much_as_gas_on_the_way__then_it_stops_there() -> None:
    # quarters of the way: 1.40, 1.50, 1.60, 1.70 at 10 USD a unit of health
    assert reached(15.5) == pytest.approx(1.50)
    assert reached(1.0) == pytest.approx(1.30)


def test_stretched__when_the_policy_does_not_ask_for_it__then_target() -> None:
    assert reached(1_000.0, policy=replace(POLICY, stretch=False)) == pytest.approx(1.30)


def test_stretched__when_the_rest_is_refused_or_debt_is_gone__then_what_was_found() -> None:
    found = sale(POLICY.target_wad, 1_000.0, 10.0)
    no = Refusal(who="deleverage", code="cap", why="no")
    assert stretched(found, POLICY, POSITION, lambda _: no) is found
    whole = replace(found, health_after_wad=UINT256_MAX)
    assert stretched(whole, POLICY, POSITION, seller(1_000.0, 10.0)) is whole
    paid = replace(found, strategy="repay")
    assert stretched(paid, POLICY, POSITION, seller(1_000.0, 10.0)) is paid


def test_worse__when_a_larger_sale_pays_more_for_each_unit__then_the_difference_in_dollars() -> None:
    # 4 ETH for 9,500 USDC; twice as much takes 8.4 ETH: 0.4 ETH at 2,000 dollars
    small = replace(sale(POLICY.target_wad, 10.0, 0.0), steps=(step(),))
    twice = replace(step().repay, units=2 * step().repay.units)
    large = replace(small, steps=(step(repay=twice, sold=84 * WAD // 10),))
    assert worse_usd(small, large, POSITION) == pytest.approx(800.0)
    # a feed that lags says that nothing is lost, the price of the smaller sale knows better
    said = stretched(small, POLICY, POSITION, lambda p: replace(large, health_after_wad=p.target_wad))
    assert said is small
