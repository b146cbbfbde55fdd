"""The stop-loss: at which level, what is sold, what is left, and why it would not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import decode

from keeper.executor import abi
from keeper.model import Deleverage, Mandate, Means, Plan, Policy, Position, Proposal, Refusal, Side
from keeper.plan import Case, compile_plan
from keeper.units import UINT256_MAX, WAD
from strategies.close_position import ClosePosition, reached
from strategies.deleverage import Deleverage as Sell
from tests import build
from tests.build import DAI, USDC, WETH, collateral, debt, position
from tests.fakes import LendingDouble
from tests.mandates import ROUTER, asset, borrower, lender, mandate, means, route, terms

pytestmark = pytest.mark.unit
WIDE = build.limits(action=10**7, day=10**7)
POLICY = replace(
    build.policy(target="1.40", strategies=("close_position",), caps=WIDE), close_at_wad=112 * WAD // 100
)
VENUE = LendingDouble(gas_limit=900_000)
ROUTED = means(mandate(routers=(ROUTER,)), (route(router=ROUTER),), (lender(fee_ppm=0),))


def answered(found: Position, wallet: Means | None = None, policy: Policy = POLICY) -> Proposal | Refusal:
    """The strategy's answer."""
    around = (policy, wallet or means(), VENUE, build.block())
    return ClosePosition().propose(found, build.outlook(found), *around)


def test_propose__when_health_is_below_the_level__then_no_debt_is_left_and_the_rest_stays_collateral() -> (
    None
):
    found = answered(borrower("1.10"))
    assert isinstance(found, Proposal)
    (step,) = found.steps
    assert isinstance(step, Deleverage)
    assert (step.whole, step.sell_all, found.first) == (True, False, True)
    assert found.health_after_wad == UINT256_MAX
    left = VENUE.after(found.steps, borrower("1.10"))
    assert left.debt == ()
    assert left.collateral[0].amount.units > 2 * WAD, "as little as possible is sold"
    assert "STOP-LOSS, health 1.1" in found.why


def test_propose__when_closing_to_debt__then_all_is_sold_by_the_router_and_surplus_is_the_owner_s() -> None:
    found = answered(borrower("1.10"), ROUTED, replace(POLICY, close_to="debt"))
    assert isinstance(found, Proposal)
    (step,) = found.steps
    assert isinstance(step, Deleverage)
    assert (step.sell_all, step.sell_max.units, step.whole) == (True, 10 * WAD, True)
    order = abi.order_of(step)
    assert order.data[0][:4] == abi.ROUTER_EXACT_INPUT
    ((_, to, _, sold, least),) = decode([abi.EXACT_INPUT], order.data[0][4:])
    assert to.lower() == step.executor.lower()
    assert (sold, least) == (10 * WAD, step.repay.units + step.fee_units)


def test_propose__when_closing_to_debt_without_a_router__then_refused_by_name() -> None:
    said = answered(borrower("1.10"), means(), replace(POLICY, close_to="debt"))
    assert isinstance(said, Refusal)
    assert said.code == "router_not_allowed"


@pytest.mark.parametrize(
    ("found", "wallet", "code"),
    [
        (borrower("1.13"), None, "level_not_reached"),
        (borrower("1.10"), build.means(), "no_executor"),
        (borrower("1.10"), means(mandate(paused=True)), "paused"),
        (borrower("1.10"), means(mandate(), ()), "no_quote"),
        (borrower("1.10"), means(mandate(assets=(asset(WETH, Side.COLLATERAL, granted=WAD), asset(USDC, Side.DEBT)))),
         "grant_too_small"),
        (position([collateral(WETH, "10")], [debt(USDC, "8000"), debt(DAI, "7000")]), None, "several_debts"),
        (borrower("1.10"), means(mandate(terms=terms(last_block=99))), "cooldown"),
    ],
)  # fmt: skip
def test_propose__when_something_is_missing__then_the_refusal_names_it(
    found: Position, wallet: Means | None, code: str
) -> None:
    said = answered(found, wallet)
    assert isinstance(said, Refusal)
    assert said.code == code, said


def test_reached__when_a_price_is_the_level__then_collateral_at_or_below_debt_at_or_above() -> None:
    levels = replace(POLICY, close_at_wad=0, close_prices=(("WETH", 1800 * WAD),))
    for price, falls in (("1801", False), ("1800", True), ("1799", True)):
        long = position([collateral(WETH, "10", price=price)], [debt(USDC, "12000")])
        short = position([collateral(USDC, "30000")], [debt(WETH, "10", price=price)])
        assert bool(reached(long, levels)) is falls
        assert bool(reached(short, levels)) is (price != "1799")
    assert reached(position([collateral(DAI, "10")], [debt(USDC, "1")]), levels) == ""


def test_guard__when_a_closing_sale_is_compiled__then_it_passes() -> None:
    found = borrower("1.10")
    for wallet, policy in ((means(), POLICY), (ROUTED, replace(POLICY, close_to="debt"))):
        made = answered(found, wallet, policy)
        assert isinstance(made, Proposal)
        snapshot = build.snapshot([found], wallet=wallet)
        case = Case(position=found, venue=VENUE, policy=policy, snapshot=snapshot, seq=1)
        plan = compile_plan(made, case)
        assert isinstance(plan, Plan), plan
        assert plan.bounds.health_after_max_wad == UINT256_MAX


@pytest.mark.parametrize(
    ("seq", "times", "sells"), [(3, 0, True), (3, 4, True), (3, 3, False), (9, 1, False)]
)
def test_one_shot__when_the_executor_has_acted_so_often__then_no_more_sales(
    seq: int, times: int, sells: bool
) -> None:
    found: Mandate = mandate(terms=terms(seq=seq))
    policy = replace(POLICY, deleverage_times=times)
    said = Sell().propose(
        borrower("1.10"), build.outlook(borrower("1.10")), policy, means(found), VENUE, build.block()
    )
    assert isinstance(said, Proposal) is sells
    assert sells or (isinstance(said, Refusal) and said.code == "one_shot_done")
