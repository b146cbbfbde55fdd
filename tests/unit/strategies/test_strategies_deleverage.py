"""The sale of an owner's collateral: which way, how much, and each no by its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from keeper.model import (
    Deleverage,
    Lender,
    Mandate,
    Means,
    Policy,
    Position,
    Proposal,
    Refusal,
    Route,
    Side,
    Source,
)
from keeper.units import UINT256_MAX, WAD
from strategies.deleverage import Deleverage as Strategy
from strategies.unwind import STEPS_MAX
from tests import build
from tests.build import DAI, USDC, WBTC, WETH, units
from tests.fakes import LendingDouble
from tests.mandates import DIRECT, ROUTER, asset, borrower, lender, mandate, means, route, terms

pytestmark = pytest.mark.unit
WIDE = build.limits(action=10**7, day=10**7)
POLICY = build.policy(target="1.40", strategies=("deleverage",), caps=WIDE)
VENUE = LendingDouble(gas_limit=900_000)


def proposed(position: Position, wallet: Means, policy: Policy = POLICY) -> Proposal | Refusal:
    """The strategy's answer."""
    return Strategy().propose(position, build.outlook(position), policy, wallet, VENUE, build.block())


def answer(
    health: str,
    found: Mandate | None = None,
    routes: Sequence[Route] | None = None,
    lenders: Sequence[Lender] = (),
) -> Proposal | Refusal:
    """Of the usual borrower."""
    return proposed(borrower(health), means(found, routes, lenders))


def step(health: str, *rest: Any) -> Deleverage:
    """The one step of a proposal."""
    found = answer(health, *rest)
    assert isinstance(found, Proposal), found
    (only,) = found.steps
    assert isinstance(only, Deleverage)
    return only


def listed(**collateral: Any) -> Mandate:
    """The usual mandate with its collateral changed."""
    return mandate(assets=(asset(WETH, Side.COLLATERAL, **collateral), asset(USDC, Side.DEBT)))


def test_propose__when_a_direct_pool_swaps__then_it_pays_first_and_nothing_is_borrowed() -> None:
    found = step("1.10")
    assert (found.source, found.router, found.fees) == (Source.UNISWAP_V3_SWAP, "", (500,))
    assert found.seq == terms().seq


def led(lead_bps: int, health: str = "1.20", **changes: Any) -> Deleverage:
    """The step of a policy that leads prices by so much."""
    policy = replace(POLICY, lead_bps=lead_bps, max_health_wad=2 * WAD, **changes)
    wide = mandate(terms=replace(terms(), max_wad=2 * WAD, slippage_bps=300))
    found = proposed(borrower(health), means(wide, None, ()), policy)
    assert isinstance(found, Proposal), found
    (only,) = found.steps
    assert isinstance(only, Deleverage)
    return only


def test_propose__when_it_leads_the_price__then_it_sells_more_and_its_limit_is_wider() -> None:
    plain, ahead = led(0), led(200)
    assert ahead.repay.units > plain.repay.units
    assert plain.sell_max.units * 10_000 // plain.sold == pytest.approx(10_050, abs=1)
    # a fall by 2 % makes what is bought 1 / 0.98 as dear
    assert ahead.sell_max.units * 10_000 // ahead.sold == pytest.approx(10_205, abs=1)


def test_propose__when_there_is_no_room_for_the_lead__then_as_without_it() -> None:
    assert led(200, caps=build.limits(action=10**7, day=10**7)) != led(0)
    small = build.limits(action=led(0).repay.units // 10**6 + 1, day=10**7)
    assert led(200, caps=small) == led(0, caps=small)


def test_propose__when_two_pools_and_loans__then_the_cheapest_loan() -> None:
    loans = (lender(), lender(Source.MORPHO_BLUE, fee_ppm=0), lender(Source.UNISWAP_V3_FLASH, fee_ppm=100))
    found = step("1.02", mandate(routers=(ROUTER,)), (route(router=ROUTER),), loans)
    assert found.source is Source.MORPHO_BLUE
    assert found.fee_units == 0


def test_propose__when_the_lending_pool_is_on_the_way__then_it_is_passed_over() -> None:
    locked = lender(Source.UNISWAP_V3_FLASH, fee_ppm=0, pool=DIRECT)
    found = step("1.02", mandate(routers=(ROUTER,)), (route(router=ROUTER),), (locked, lender()))
    assert found.source is Source.AAVE_V3


@pytest.mark.parametrize("loan", [lender(cash="1"), lender(fee_ppm=1_001)], ids=["empty", "dear"])
def test_propose__when_the_loan_does_not_do__then_in_steps(loan: Lender) -> None:
    found = step("1.10", mandate(routers=(ROUTER,)), (route(router=ROUTER),), (loan,))
    assert found.source is Source.STEPWISE
    assert len(found.sells) > 1


def test_propose__when_a_loop_needs_more_steps_than_fit__then_their_number_and_in_an_emergency_the_first() -> (
    None
):
    # nobody lends, and at 90 % of its value borrowed little is free at a time
    many = (route(router=ROUTER, impact_ppm=0),)
    said = answer("1.09", mandate(routers=(ROUTER,)), many, ())
    assert isinstance(said, Proposal), said
    assert "steps)" in said.why
    low = answer("1.0022", mandate(routers=(ROUTER,)), many, ())
    assert isinstance(low, Proposal), low
    (taken,) = low.steps
    assert isinstance(taken, Deleverage)
    assert len(taken.sells) == STEPS_MAX
    assert "PARTIAL" in low.why
    assert "it takes " in low.why
    higher = replace(POLICY, emergency_wad=1_001 * WAD // 1_000)
    none = proposed(borrower("1.0022"), means(mandate(routers=(ROUTER,)), many), higher)
    assert isinstance(none, Refusal)
    assert none.code == "too_many_steps"
    assert "a partial sale waits for emergency" in none.why


@pytest.mark.parametrize(
    "health, found, routes, code",
    [
        ("1.10", mandate(paused=True), None, "paused"),
        ("1.10", mandate(terms=terms(trigger_wad=0)), None, "unknown_position"),
        ("1.10", mandate(terms=terms(last_block=99)), None, "cooldown"),
        ("1.10", mandate(bot_expiry_s=1), None, "grant_expired"),
        ("1.24", mandate(terms=terms(trigger_wad=123 * WAD // 100)), None, "not_triggered"),
        ("1.10", listed(granted=0), None, "no_grant"),
        ("1.10", listed(granted=WAD), None, "grant_too_small"),
        ("1.10", listed(sell_cap=WAD), None, "cap"),
        ("1.10", listed(receipt="0x" + "00" * 20), None, "unknown_asset"),
        ("1.10", None, (), "no_quote"),
        ("1.10", None, (route(most="100"),), "no_quote"),
        ("1.10", mandate(routers_refused=(ROUTER,)), (), "router_not_allowed"),
        ("1.10", None, (route(impact_ppm=90_000),), "slippage"),
        ("0.80", None, None, "selling_harms"),
    ],
)  # fmt: skip
def test_propose__when_something_is_missing__then_the_refusal_names_it(
    health: str, found: Mandate | None, routes: Sequence[Route] | None, code: str
) -> None:
    said = answer(health, found, routes)
    assert isinstance(said, Refusal)
    assert said.code == code, said


def test_propose__when_the_owner_has_no_executor__then_that_is_said() -> None:
    said = proposed(borrower(), build.means())
    assert isinstance(said, Refusal)
    assert said.code == "no_executor"


def test_propose__when_the_policy_s_cap_is_small__then_it_binds() -> None:
    policy = replace(POLICY, caps=build.limits(action=100, day=100))
    said = proposed(borrower(), means(), policy)
    assert isinstance(said, Refusal)
    assert said.code == "caps"


@pytest.mark.parametrize("found", [listed(granted=2 * WAD), listed(sell_cap=2 * WAD)], ids=["grant", "cap"])
def test_propose__when_limited_below_emergency__then_all_that_may_be_sold(found: Mandate) -> None:
    said = answer("1.05", found)
    assert isinstance(said, Proposal), said
    assert "PARTIAL" in said.why
    (only,) = said.steps
    assert isinstance(only, Deleverage)
    assert 19 * WAD // 10 < only.sell_max.units <= 2 * WAD
    assert said.health_after_wad > 105 * WAD // 100


def test_propose__when_one_debt_alone_is_not_enough__then_all_of_it_below_emergency() -> None:
    position = build.position(
        [build.collateral(WETH, "10")], [build.debt(USDC, "4000"), build.debt(DAI, "11500")]
    )
    said = proposed(position, means())
    assert isinstance(said, Proposal), said
    (only,) = said.steps
    assert isinstance(only, Deleverage)
    assert only.whole
    assert "PARTIAL" in said.why


def test_propose__when_the_usual_margin_could_overshoot__then_a_narrower_one() -> None:
    narrow = replace(POLICY, max_health_wad=1_402 * WAD // 1000)
    usual, other = proposed(borrower("1.10"), means()), proposed(borrower("1.10"), means(), narrow)
    assert isinstance(usual, Proposal)
    assert isinstance(other, Proposal)
    margins = []
    for said in (usual, other):
        (only,) = said.steps
        assert isinstance(only, Deleverage)
        margins.append((only.sell_max.units - only.sold) / only.sold)
        best = VENUE.after(
            (replace(only, sell_max=replace(only.sell_max, units=only.sold)),), borrower("1.10")
        )
        assert (best.health_wad or 0) <= (POLICY if said is usual else narrow).max_health_wad
    assert margins == pytest.approx([0.005, 0.001], rel=0.01)


def test_propose__when_no_margin_fits__then_above_max() -> None:
    policy = replace(POLICY, max_health_wad=POLICY.target_wad)
    said = proposed(borrower("1.10"), means(), policy)
    assert isinstance(said, Refusal)
    assert said.code == "above_max"


def test_propose__when_the_executor_s_target_is_higher__then_it_is_reached() -> None:
    said = answer("1.10", mandate(terms=terms(target_wad=150 * WAD // 100)))
    assert isinstance(said, Proposal)
    assert said.health_after_wad >= 150 * WAD // 100


def test_propose__when_below_emergency__then_as_far_from_the_quote_as_the_owner_allows() -> None:
    usual, urgent = step("1.09"), step("1.07")
    assert (usual.sell_max.units - usual.sold) * 1000 // usual.sold == 4
    assert (urgent.sell_max.units - urgent.sold) * 1000 // urgent.sold > 5


def test_propose__when_a_rest_would_be_dust__then_all_is_repaid() -> None:
    position = build.position([build.collateral(WETH, "1")], [build.debt(USDC, "1400")])
    said = proposed(
        position, means(mandate(terms=terms(max_wad=10 * WAD))), replace(POLICY, max_health_wad=10 * WAD)
    )
    assert isinstance(said, Proposal), said
    assert said.health_after_wad == UINT256_MAX


def test_propose__when_two_collaterals_could_be_sold__then_the_cheaper_swap() -> None:
    position = build.position(
        [build.collateral(WETH, "10"), build.collateral(WBTC, "0.3")], [build.debt(USDC, "27000")]
    )
    found = mandate(
        assets=(asset(WETH, Side.COLLATERAL), asset(WBTC, Side.COLLATERAL), asset(USDC, Side.DEBT))
    )
    routes = (route(impact_ppm=9_000), route(sell=WBTC, impact_ppm=1_000))
    said = proposed(position, means(found, routes))
    assert isinstance(said, Proposal), said
    assert said.steps[0].amount.token == WBTC
    assert said.swap_usd > 0
    assert said.cost_usd == said.gas_usd + said.swap_usd
    assert said.spend_usd == 0
    assert units(WBTC, "0.3") > said.steps[0].amount.units


def test_propose__when_closing_one_debt_would_lift_the_rest_too_high__then_dust_is_left() -> None:
    # a rest below dust would be paid as well; with a second, tiny debt left, health would pass max_health
    position = build.position(
        [build.collateral(WETH, "1")], [build.debt(USDC, "1400"), build.debt(DAI, "20")]
    )
    found = mandate(assets=(asset(WETH, Side.COLLATERAL), asset(USDC, Side.DEBT), asset(DAI, Side.DEBT)))
    said = proposed(position, means(found))
    assert isinstance(said, Proposal), said
    assert POLICY.target_wad <= said.health_after_wad <= POLICY.max_health_wad
