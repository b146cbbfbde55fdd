"""Plans and their guard: bounds, and every rule broken once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from keeper.model import Amount, Bounds, Call, Means, Plan, Policy, Position, Proposal, Refusal, Repay, Supply
from keeper.plan import Case, check, compile_plan
from keeper.plan.compile import SLIP_PPM
from keeper.plan.guard import SELECTORS
from keeper.units import GWEI, UINT256_MAX, WAD, wad_from
from strategies.repay import RepayFromWallet
from tests import build
from tests.build import ALICE, BOB, POOL, USDC, WETH, amount, collateral, debt, means, position, units
from tests.fakes import REPAY, SUPPLY, LendingDouble

pytestmark = pytest.mark.unit

CROSSED = position([collateral(WETH, "10", price="1700")], [debt(USDC, "12000")])
DEEP = position([collateral(WETH, "10", price="1500")], [debt(USDC, "12000")])
RICH = means([amount(USDC, "9000"), amount(WETH, "9")])


def case(
    of: Position = CROSSED, *, wallet: Means = RICH, policy: Policy | None = None, base_fee_gwei: int = 10
) -> Case:
    """A position in a snapshot with the wallet, sequence number 7."""
    snapshot = build.snapshot([of], wallet=wallet, at=build.block(base_fee_gwei=base_fee_gwei))
    return Case(position=of, venue=LendingDouble(), policy=policy or build.policy(), snapshot=snapshot, seq=7)


def proposal(made: Case) -> Proposal:
    """What repay proposes in the case, whatever the caps say."""
    policy = replace(made.policy, caps=build.limits())
    rich = means([amount(USDC, "90000")])
    answer = RepayFromWallet().propose(
        made.position, build.outlook(made.position), policy, rich, made.venue, made.snapshot.block
    )
    assert isinstance(answer, Proposal), answer
    return answer


def planned(made: Case) -> Plan:
    """The plan, which must be made."""
    plan = compile_plan(proposal(made), made)
    assert isinstance(plan, Plan), plan
    return plan


def refused(made: Case) -> str:
    """The code with which no plan is made."""
    no = compile_plan(proposal(made), made)
    assert isinstance(no, Refusal), no
    return no.code


def test_plan__when_compiled__then_one_call_within_bounds() -> None:
    plan = planned(case())
    assert (plan.key.position, plan.key.seq) == (CROSSED.id, 7)
    assert plan.call == LendingDouble().encode(plan.steps[0], CROSSED)
    target = wad_from("1.45")
    assert plan.bounds == Bounds(
        health_after_min_wad=target * (1_000_000 - SLIP_PPM) // 1_000_000,
        health_after_max_wad=wad_from("1.60"),
        cost_usd_max=50 + 3,
        fee_wei_max=50 * WAD // 2000,
        gas_limit=300_000,
        deadline_block=110,
    )
    assert (plan.urgent, plan.health_before_wad) == (False, CROSSED.health_wad)
    assert plan.why.startswith("health 1.1758: repay 2,269.03 USDC")
    assert "until block 110" in plan.why


def test_plan__when_below_emergency__then_urgent_with_the_higher_gas_ceiling() -> None:
    plan = planned(case(DEEP))
    assert plan.urgent
    assert plan.bounds.fee_wei_max == 500 * WAD // 2000


def test_plan__when_the_proposal_is_partial__then_what_is_expected_is_promised_less_slip() -> None:
    few = replace(proposal(case()), steps=(Repay(amount=amount(USDC, "900")),))
    plan = compile_plan(few, case())
    assert isinstance(plan, Plan)
    expected = LendingDouble().after(few.steps, CROSSED).health_wad
    assert expected is not None
    assert plan.bounds.health_after_min_wad == expected * (1_000_000 - SLIP_PPM) // 1_000_000


def test_plan__when_the_whole_debt_is_repaid__then_no_upper_bound_on_health() -> None:
    small = position([collateral(WETH, "1", price="1600")], [debt(USDC, "1200")])
    plan = planned(case(small))
    assert plan.bounds.health_after_max_wad == UINT256_MAX
    assert plan.bounds.health_after_min_wad < wad_from("1.45")


def test_plan__when_the_native_token_has_no_price__then_four_base_fees_and_the_tip() -> None:
    plan = planned(case(wallet=replace(RICH, native_price_base=None)))
    assert plan.bounds.fee_wei_max == 300_000 * (4 * 10 * GWEI + GWEI)


def test_plan__when_the_wallet_holds_less_than_the_gas_cap__then_the_wallet_bounds_the_fee() -> None:
    plan = planned(case(wallet=replace(RICH, native_wei=10**16)))
    assert plan.bounds.fee_wei_max == 10**16


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (case(wallet=replace(RICH, native_wei=10**15)), "gas_tank"),
        (case(wallet=replace(RICH, native_wei=10**15, native_price_base=None)), "gas_tank"),
        (case(base_fee_gwei=200), "gas_cap"),
        (case(DEEP, base_fee_gwei=2000), "gas_cap"),
        (case(policy=build.policy(caps=build.limits(action=2000))), "caps"),
        (replace(case(), spent_today_usd=98_000.0), "caps"),
        (case(wallet=means([amount(USDC, "2000")])), "insufficient_means"),
        (case(wallet=means([amount(USDC, "9000")], allowances=[amount(USDC, "2000")])), "no_allowance"),
        (case(policy=build.policy(trigger="1.15", warn="1.2")), "not_crossed"),
    ],
)
def test_plan__when_a_rule_of_the_table_does_not_hold__then_refused(made: Case, code: str) -> None:
    assert refused(made) == code


def test_plan__when_gas_is_dear_but_health_below_emergency__then_made() -> None:
    assert planned(case(DEEP, base_fee_gwei=200)).urgent


def test_plan__when_the_venue_refuses__then_its_reason() -> None:
    made = case()
    venue = LendingDouble()
    venue.refuses = {"USDC": "reserve_paused"}
    no = compile_plan(proposal(made), replace(made, venue=venue))
    assert isinstance(no, Refusal)
    assert (no.code, no.why) == ("venue_refuses", "reserve_paused: USDC is reserve_paused here")


def test_plan__when_the_step_moves_nothing_of_the_position__then_refused() -> None:
    stray = replace(proposal(case()), steps=(Repay(amount=amount(WETH, "1")),))
    no = compile_plan(stray, case())
    assert isinstance(no, Refusal)
    assert no.code == "amount"


def test_plan__when_a_partial_is_too_small__then_refused() -> None:
    few = replace(proposal(case()), steps=(Repay(amount=amount(USDC, "10")),))
    no = compile_plan(few, case())
    assert isinstance(no, Refusal)
    assert no.code == "partial_too_small"


def test_plan__when_it_would_overshoot_max_health__then_refused() -> None:
    much = replace(proposal(case()), steps=(Repay(amount=amount(USDC, "4000")),))
    no = compile_plan(much, case())
    assert isinstance(no, Refusal)
    assert no.code == "above_max"


def test_plan__when_a_proposal_has_two_steps_or_two_positions__then_refused() -> None:
    made = proposal(case())
    for wrong in (replace(made, steps=made.steps * 2), replace(made, ids=(CROSSED.id, CROSSED.id))):
        no = compile_plan(wrong, case())
        assert isinstance(no, Refusal)
        assert no.code == "steps"


def test_plan__when_the_strategy_lies_about_health__then_the_venue_s_arithmetic_bounds_it() -> None:
    liar = replace(proposal(case()), health_after_wad=wad_from("9"))
    plan = compile_plan(liar, case())
    assert isinstance(plan, Plan)
    assert plan.bounds == planned(case()).bounds


def _call(change: Callable[[Call], Call]) -> Callable[[Plan], Plan]:
    return lambda plan: replace(plan, call=change(plan.call))


def _bounds(**changes: int) -> Callable[[Plan], Plan]:
    return lambda plan: replace(plan, bounds=replace(plan.bounds, **changes))


def _word(old: bytes, new: bytes) -> Callable[[Plan], Plan]:
    return _call(lambda call: replace(call, data=call.data.replace(old, new)))


ALICE_RAW, BOB_RAW = bytes.fromhex(ALICE[2:]), bytes.fromhex(BOB[2:])
USDC_RAW, WETH_RAW = bytes.fromhex(USDC.address[2:]), bytes.fromhex(WETH.address[2:])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_call(lambda call: replace(call, target=BOB)), "allow_list"),
        (_call(lambda call: replace(call, value_wei=1)), "allow_list"),
        (_call(lambda call: replace(call, data=b"\xa9\x05\x9c\xbb" + call.data[4:])), "allow_list"),
        (_call(lambda call: replace(call, data=SUPPLY + call.data[4:])), "allow_list"),
        (_call(lambda call: replace(call, data=b"")), "allow_list"),
        (_word(ALICE_RAW, BOB_RAW), "calldata"),
        (_word(USDC_RAW, WETH_RAW), "calldata"),
        (_call(lambda call: replace(call, data=call.data[:36] + b"\xff" * 32 + call.data[68:])), "calldata"),
        (lambda plan: replace(plan, steps=plan.steps * 2), "steps"),
        (lambda plan: replace(plan, steps=()), "steps"),
        (
            lambda plan: replace(plan, key=replace(plan.key, position=build.position_id(BOB))),
            "wrong_position",
        ),
        (_bounds(health_after_min_wad=wad_from("1.1")), "bounds"),
        (_bounds(health_after_min_wad=wad_from("1.5")), "bounds"),
        (_bounds(health_after_max_wad=wad_from("1.44")), "bounds"),
        (_bounds(deadline_block=100), "deadline"),
        (_bounds(deadline_block=111), "deadline"),
        (_bounds(gas_limit=299_999), "gas_limit"),
        (_bounds(fee_wei_max=1), "fee_bound"),
        (_bounds(fee_wei_max=50 * WAD // 2000 + 1), "gas_cap"),
    ],
)
def test_guard__when_a_plan_is_changed_after_it_was_made__then_refused(
    change: Callable[[Plan], Plan], code: str
) -> None:
    made = case()
    plan = planned(made)
    assert check(plan, made) is None
    no = check(change(plan), made)
    assert no is not None
    assert no.code == code


def test_guard__when_the_position_is_not_of_the_snapshot__then_refused() -> None:
    made = case()
    no = check(planned(made), replace(made, position=DEEP))
    assert no is not None
    assert no.code == "wrong_position"


def test_guard__when_the_amount_is_above_what_is_capped_by_a_unit__then_refused() -> None:
    exact = replace(proposal(case()), steps=(Repay(amount=amount(USDC, "2000")),))
    over = replace(exact, steps=(Repay(amount=Amount(token=USDC, units=units(USDC, "2000") + 1)),))
    made = case(policy=build.policy(caps=build.limits(action=2000)))
    assert isinstance(compile_plan(exact, made), Plan)
    assert isinstance(compile_plan(over, made), Refusal)


def test_allow_list__when_compared_with_the_double__then_its_selectors_are_known() -> None:
    assert {REPAY, SUPPLY} == SELECTORS[Repay] | SELECTORS[Supply]
    assert SUPPLY not in SELECTORS[Repay]
    assert REPAY not in SELECTORS[Supply]
    assert case().venue.spender == POOL
