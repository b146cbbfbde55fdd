"""Paying in with the owner's own money through his Executor: how much, by whose leave, and each no by its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.executor import abi
from keeper.model import Errand, Mandate, Plan, Proposal, Refusal, Repay, Side, Supply
from keeper.plan import Case, check, compile_plan
from keeper.units import BPS, WAD
from strategies.pay_in import RepayFromReserve, SupplyFromReserve
from tests import build
from tests.build import USDC, WETH
from tests.fakes import LendingDouble
from tests.mandates import EXECUTOR, KEY, NOW_S, asset, borrower, mandate, means, terms

pytestmark = pytest.mark.unit
POLICY = build.policy(target="1.40", caps=build.limits(action=10**6, day=10**6))
VENUE = LendingDouble()


def owner(**changes: object) -> Mandate:
    """50,000 USDC and 30 ETH may be paid in."""
    listed = (
        asset(WETH, Side.COLLATERAL, funds=30 * WAD, fund_cap=2**100),
        asset(USDC, Side.DEBT, funds=50_000 * 10**6, fund_cap=2**100),
    )
    return mandate(**{"assets": listed, **changes})


def answered(found: Mandate | None, health: str = "1.10", *, repay: bool = True) -> Proposal | Refusal:
    """Of the usual borrower, whose keeper's wallet is empty."""
    position = borrower(health)
    wallet = build.means() if found is None else means(found, ())
    strategy = RepayFromReserve() if repay else SupplyFromReserve()
    return strategy.propose(position, build.outlook(position), POLICY, wallet, VENUE, build.block())


@pytest.mark.parametrize("repay", [True, False])
def test_propose__when_the_owner_s_money_suffices__then_target_by_an_errand(repay: bool) -> None:
    found = answered(owner(), repay=repay)
    assert isinstance(found, Proposal)
    (step,) = found.steps
    assert isinstance(step, Repay if repay else Supply)
    assert step.through == Errand(executor=EXECUTOR, key=KEY, seq=3, deadline_s=NOW_S + 180)
    assert found.health_after_wad >= POLICY.target_wad


def test_propose__when_the_reserve_is_short__then_a_partial_that_says_what_is_missing() -> None:
    listed = (asset(USDC, Side.DEBT, funds=1_000 * 10**6, fund_cap=2**100),)
    found = answered(owner(assets=listed))
    assert isinstance(found, Proposal)
    assert found.steps[0].amount.units == 1_000 * 10**6
    assert "more than the reserve allows" in found.why


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (None, "no_executor"),
        (owner(paused=True), "paused"),
        (owner(terms=terms(last_block=99)), "cooldown"),
        (owner(terms=terms(trigger_wad=0)), "unknown_position"),
        (owner(bot_expiry_s=1), "grant_expired"),
        (owner(assets=(asset(USDC, Side.DEBT, funds=0, fund_cap=2**100),)), "empty_reserve"),
        (owner(assets=(asset(USDC, Side.DEBT, funds=10**12, fund_cap=0),)), "cap"),
        (owner(assets=(asset(WETH, Side.COLLATERAL),)), "unknown_asset"),
        (owner(assets=(asset(USDC, Side.DEBT, funds=1, fund_cap=2**100),)), "partial_too_small"),
    ],
)
def test_propose__when_the_executor_would_not__then_the_refusal_names_it(
    found: Mandate | None, code: str
) -> None:
    said = answered(found)
    assert isinstance(said, Refusal)
    assert said.code in (code, "insufficient_means"), said


def test_propose__when_a_bot_has_a_share__then_no_more_than_that() -> None:
    listed = (asset(USDC, Side.DEBT, funds=50_000 * 10**6, fund_cap=4_000 * 10**6),)
    found = answered(owner(assets=listed, bot_share_bps=BPS // 4))
    assert isinstance(found, Proposal)
    assert found.steps[0].amount.units == 1_000 * 10**6


def planned(repay: bool = True) -> tuple[Plan, Case]:
    """What is proposed, compiled, and the case that it is judged in."""
    position = borrower("1.10")
    snapshot = build.snapshot([position], wallet=means(owner(), ()))
    case = Case(position=position, venue=VENUE, policy=POLICY, snapshot=snapshot, seq=1)
    found = answered(owner(), repay=repay)
    assert isinstance(found, Proposal)
    plan = compile_plan(found, case)
    assert isinstance(plan, Plan), plan
    return plan, case


@pytest.mark.parametrize("repay", [True, False])
def test_guard__when_the_call_is_the_step_s_pay_in__then_it_passes_with_an_empty_wallet(repay: bool) -> None:
    plan, case = planned(repay)
    assert plan.call.target == EXECUTOR
    assert plan.call.data[:4] == (abi.REPAY_FROM_RESERVE if repay else abi.ADD_COLLATERAL)
    assert check(plan, case) is None


def test_guard__when_the_call_or_the_reserve_is_another__then_refused() -> None:
    plan, case = planned()
    other = replace(plan, call=replace(plan.call, data=plan.call.data[:-1] + b"\x01"))
    said = check(other, case)
    assert said is not None
    assert said.code == "calldata"
    elsewhere = replace(plan, call=replace(plan.call, target=build.POOL))
    said = check(elsewhere, case)
    assert said is not None
    assert said.code == "allow_list"
    drained = means(owner(assets=(asset(USDC, Side.DEBT, funds=1, fund_cap=2**100),)), ())
    said = check(plan, replace(case, snapshot=build.snapshot([case.position], wallet=drained)))
    assert said is not None
    assert said.code == "empty_reserve"
    (step,) = plan.steps
    assert isinstance(step, Repay)
    assert step.through is not None
    stale = replace(step, through=replace(step.through, seq=4))
    said = check(replace(plan, steps=(stale,), call=VENUE.encode(stale, case.position)), case)
    assert said is not None
    assert said.code not in ("calldata", "allow_list")
