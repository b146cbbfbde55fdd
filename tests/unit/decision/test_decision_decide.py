"""Deciding at one block: choice, refusals, cooldown, money shared by several positions, and the words for
each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from keeper.decision import Memory, Options, PositionMemory, decide
from keeper.model import Decision, Level, Plan, Policy, Position, Proposal, Refusal, Snapshot, Unreadable
from keeper.units import wad_from
from strategies.registry import SHIPPED
from tests import build
from tests.build import ALICE, BOB, USDC, WETH, amount, collateral, debt, means, position, position_id
from tests.fakes import LendingDouble
from tests.plans import plan as build_plan

pytestmark = pytest.mark.unit

RICH = means([amount(USDC, "9000"), amount(WETH, "9")])


def at_price(price: str, *, account: str = ALICE, owed: str = "12000") -> Position:
    """Ten WETH against USDC; 1700 gives health 1.1758."""
    return position([collateral(WETH, "10", price=price)], [debt(USDC, owed)], account=account)


def options(**changes: object) -> Options:
    """Both strategies on the double's market."""
    venue = LendingDouble()
    return replace(Options(venues={venue.id: venue}, strategies=SHIPPED), **changes)  # type: ignore[arg-type]


def judge(
    snapshot: Snapshot,
    policy: Policy | None = None,
    memory: Memory | None = None,
    using: Options | None = None,
) -> tuple[tuple[Decision, ...], Memory]:
    """Every position of the snapshot under one policy."""
    everyone: Sequence[Position | Unreadable] = (*snapshot.positions, *snapshot.unreadable)
    outlooks = [build.outlook(p) for p in everyone]
    policies = {p.id: policy or build.policy() for p in everyone}
    return decide(snapshot, outlooks, policies, memory or Memory(), using or options())


def only(found: tuple[tuple[Decision, ...], Memory]) -> Decision:
    """The single decision."""
    (decision,), _ = found
    return decision


def test_decide__when_safe__then_nothing_is_said_and_health_is_remembered() -> None:
    decisions, memory = judge(build.snapshot([at_price("2400")], wallet=RICH))
    assert decisions == ()
    kept = memory.of(position_id())
    assert (kept.level, kept.last_health_block, kept.last_action_block) == (Level.SAFE, 100, None)


def test_decide__when_trigger_is_crossed__then_the_cheapest_and_the_others_with_their_cost() -> None:
    got = only(judge(build.snapshot([at_price("1700")], wallet=RICH)))
    assert got.level is Level.ACT
    assert [p.strategy for p in got.chosen] == ["repay"]
    assert [(r.strategy, r.code) for r in got.rejected] == [("add_collateral", "dearer")]
    assert got.why == (
        "health 1.1758 < trigger 1.25: repay 2,269.03 USDC for $8.78 brings it to 1.45; "
        "add_collateral would cost $10.40"
    )


def test_decide__when_costs_tie__then_it_repays() -> None:
    free = replace(build.policy(strategies=("add_collateral", "repay")), idle_rate=0.0)
    got = only(judge(build.snapshot([at_price("1700")], wallet=RICH), free))
    assert [p.strategy for p in got.chosen] == ["repay"]
    assert got.rejected[0].code == "tie"


def test_decide__when_one_reaches_target_and_one_is_partial__then_target_goes_before_cost() -> None:
    wallet = means([amount(USDC, "900"), amount(WETH, "9")])
    got = only(judge(build.snapshot([at_price("1700")], wallet=wallet)))
    assert [p.strategy for p in got.chosen] == ["add_collateral"]
    assert got.rejected[0].code == "partial"
    assert got.rejected[0].cost_usd is not None
    assert got.rejected[0].cost_usd < got.chosen[0].cost_usd


def test_decide__when_only_partials__then_the_one_that_lifts_most() -> None:
    wallet = means([amount(USDC, "900"), amount(WETH, "2")])
    got = only(judge(build.snapshot([at_price("1700")], wallet=wallet)))
    assert [p.strategy for p in got.chosen] == ["add_collateral"]
    assert "PARTIAL" in got.why


def test_decide__when_nothing_can_be_done__then_every_code_and_it_says_so() -> None:
    wallet = means([amount(WETH, "9")], allowances=[])
    got = only(judge(build.snapshot([at_price("1700")], wallet=wallet)))
    assert got.chosen == ()
    assert [(r.strategy, r.code) for r in got.rejected] == [
        ("repay", "empty_wallet"),
        ("add_collateral", "no_allowance"),
    ]
    assert "NOTHING CAN BE DONE" in got.why


def test_decide__when_the_policy_names_what_is_not_loaded__then_unknown_strategy() -> None:
    policy = build.policy(strategies=("hedge", "repay"))
    got = only(judge(build.snapshot([at_price("1700")], wallet=RICH), policy))
    assert [(r.strategy, r.code) for r in got.rejected] == [("hedge", "unknown_strategy")]
    assert [p.strategy for p in got.chosen] == ["repay"]


def test_decide__when_no_venue_holds_the_position__then_no_venue() -> None:
    got = only(judge(build.snapshot([at_price("1700")], wallet=RICH), using=options(venues={})))
    assert [r.code for r in got.rejected] == ["no_venue"]


def test_decide__when_gas_is_above_the_cap__then_refused_until_emergency_relaxes_it() -> None:
    dear = build.block(base_fee_gwei=200)
    act = build.snapshot([at_price("1700")], wallet=RICH, at=dear)
    got = only(judge(act))
    assert got.chosen == ()
    assert {r.code for r in got.rejected} == {"gas_cap"}
    urgent = build.snapshot([at_price("1500")], wallet=RICH, at=dear)
    got = only(judge(urgent))
    assert got.level is Level.URGENT
    assert [p.strategy for p in got.chosen] == ["repay"]
    hopeless = build.snapshot([at_price("1500")], wallet=RICH, at=build.block(base_fee_gwei=2000))
    assert only(judge(hopeless)).chosen == ()


def test_decide__when_an_intent_is_open__then_no_second_action_even_in_an_emergency() -> None:
    waiting = options(open_intents=frozenset({position_id()}))
    got = only(judge(build.snapshot([at_price("1500")], wallet=RICH), using=waiting))
    assert got.chosen == ()
    assert "an intent is open" in got.why


@pytest.mark.parametrize(
    ("price", "since", "acts"), [("1700", 4, False), ("1700", 5, True), ("1500", 1, True)]
)
def test_decide__when_it_acted_some_blocks_ago__then_cooldown_unless_emergency(
    price: str, since: int, acts: bool
) -> None:
    memory = Memory().with_action(position_id(), 100 - since)
    got = only(judge(build.snapshot([at_price(price)], wallet=RICH), memory=memory))
    assert bool(got.chosen) is acts
    assert acts or got.why.endswith("cooldown: acted at block 96, next from block 101")


def test_decide__when_it_acted_in_this_very_block__then_never_again_in_it() -> None:
    snapshot = build.snapshot([at_price("1500")], wallet=RICH)
    first, memory = judge(snapshot)
    again, _ = judge(snapshot, memory=memory)
    assert first[0].chosen
    assert again[0].chosen == ()
    never = build.policy(cooldown_blocks=0)
    assert judge(snapshot, never, memory)[0][0].chosen == ()


def test_decide__when_the_chain_was_reset_below_the_last_action__then_cooldown_is_no_silence() -> None:
    memory = Memory().with_action(position_id(), 10_000)
    assert only(judge(build.snapshot([at_price("1700")], wallet=RICH), memory=memory)).chosen


def test_decide__when_disarmed__then_it_decides_each_block_anew() -> None:
    idle = options(armed=False)
    first, memory = judge(build.snapshot([at_price("1700")], wallet=RICH), using=idle)
    again, _ = judge(build.snapshot([at_price("1700")], wallet=RICH), memory=memory, using=idle)
    assert first[0].chosen
    assert again[0].chosen == first[0].chosen


def test_decide__when_two_positions_share_the_wallet__then_lowest_health_first_and_no_unit_twice() -> None:
    wallet = means([amount(USDC, "4000")])
    pair = [at_price("1700", account=ALICE), at_price("1650", account=BOB)]
    decisions, _ = judge(build.snapshot(pair, wallet=wallet))
    assert [d.id.account for d in decisions] == [BOB, ALICE]
    spent = [s.amount.units for d in decisions for p in d.chosen for s in p.steps]
    assert len(spent) == 2
    assert sum(spent) <= build.units(USDC, "4000")
    assert "PARTIAL" in decisions[1].why


def test_decide__when_supply_room_is_shared__then_it_is_not_promised_twice() -> None:
    little = [build.reserve(t, room="5" if t == WETH else None) for t in build.TOKENS]
    wallet = means([amount(WETH, "50")], reserves=little)
    pair = [at_price("1700", account=ALICE), at_price("1650", account=BOB)]
    decisions, _ = judge(build.snapshot(pair, wallet=wallet))
    spent = [s.amount.units for d in decisions for p in d.chosen for s in p.steps]
    assert len(spent) == 2
    assert sum(spent) <= build.units(WETH, "5")


def test_decide__when_open_intents_promised_the_money__then_it_is_not_offered_again() -> None:
    busy = options(promised=(amount(USDC, "9000"),))
    got = only(judge(build.snapshot([at_price("1700")], wallet=means([amount(USDC, "9000")])), using=busy))
    assert got.chosen == ()
    assert got.rejected[0].code == "empty_wallet"


def test_decide__when_the_day_is_nearly_spent__then_only_the_rest_may_move() -> None:
    spent = options(spent_today_usd={position_id(): 99_499.5})
    got = only(judge(build.snapshot([at_price("1700")], wallet=RICH), using=spent))
    assert got.chosen[0].spend_usd <= 500
    none = options(spent_today_usd={position_id(): 100_000.0})
    got = only(judge(build.snapshot([at_price("1700")], wallet=RICH), using=none))
    assert {r.code for r in got.rejected} == {"caps"}


def test_decide__when_break_even_and_it_costs_more_than_the_loss__then_deferred_with_a_code() -> None:
    even = build.policy(act="break_even")
    near = position([collateral(WETH, "10", price="1806")], [debt(USDC, "12000")])
    got = only(judge(build.snapshot([near], wallet=RICH), even))
    assert got.chosen == ()
    assert got.rejected[0].code == "break_even"
    assert "DEFERRED" in got.why
    assert only(judge(build.snapshot([near], wallet=RICH))).chosen


def test_decide__when_break_even_and_below_emergency__then_it_acts_whatever_it_costs() -> None:
    even = replace(build.policy(act="break_even"), idle_rate=50.0)
    assert only(judge(build.snapshot([at_price("1500")], wallet=RICH), even)).chosen


def test_decide__when_back_inside_the_hysteresis__then_level_stays_and_nothing_is_spent() -> None:
    acted = PositionMemory(id=position_id(), level=Level.ACT, known_level=Level.ACT, since_block=90)
    band = position([collateral(WETH, "10", price="1820")], [debt(USDC, "12000")])
    got = only(judge(build.snapshot([band], wallet=RICH), memory=Memory(by_id={acted.id: acted})))
    assert got.level is Level.ACT
    assert got.chosen == ()
    assert "not below trigger" in got.why


def test_decide__when_unreadable__then_unknown_with_the_old_health_and_no_action() -> None:
    _, memory = judge(build.snapshot([at_price("1700")], wallet=RICH), using=options(armed=False))
    lost = build.snapshot(unreadable=[build.unreadable()], wallet=RICH, at=build.block(101))
    got, memory = judge(lost, memory=memory)
    assert (got[0].level, got[0].chosen, got[0].health_wad) == (Level.UNKNOWN, (), None)
    assert "ACT -> UNKNOWN" in got[0].why
    assert "last known health 1.1758 at block 100" in got[0].why
    assert judge(lost, memory=memory)[0] == ()
    back, _ = judge(build.snapshot([at_price("1700")], wallet=RICH, at=build.block(102)), memory=memory)
    assert back[0].chosen


def test_decide__when_missing_from_the_snapshot__then_unknown() -> None:
    empty = build.snapshot(wallet=RICH)
    (got,), memory = decide(empty, [], {position_id(): build.policy()}, Memory(), options())
    assert got.level is Level.UNKNOWN
    assert "missing" in got.why
    assert memory.levels() == {position_id(): Level.UNKNOWN}


def test_decide__when_the_risk_core_says_nothing__then_the_protocol_s_health_decides() -> None:
    found = at_price("1700")
    (got,), _ = decide(
        build.snapshot([found], wallet=RICH), [], {found.id: build.policy()}, Memory(), options()
    )
    assert got.chosen


def test_decide__when_the_risk_core_does_not_vouch__then_unknown_and_nothing_is_spent() -> None:
    found = at_price("1700")
    doubt = replace(build.outlook(found, Level.UNKNOWN), why="health 1.3 by the row, 1.1758 by the protocol")
    (got,), _ = decide(
        build.snapshot([found], wallet=RICH), [doubt], {found.id: build.policy()}, Memory(), options()
    )
    assert (got.level, got.chosen) == (Level.UNKNOWN, ())
    assert "by the row" in got.why


def test_decide__when_a_strategy_lies_outside_the_policy__then_it_is_not_asked() -> None:
    class Loud:
        name = "loud"

        def propose(self, *facts: object) -> Proposal | Refusal:
            raise AssertionError("asked although the policy does not name it")

    using = options(strategies=(*SHIPPED, Loud()))
    assert only(judge(build.snapshot([at_price("1700")], wallet=RICH), using=using)).chosen


def test_memory__when_stored_as_plain_json__then_it_comes_back() -> None:
    kept = PositionMemory(
        id=position_id(), level=Level.UNKNOWN, known_level=Level.ACT, since_block=7, last_action_block=5
    )
    kept = replace(kept, last_health_wad=wad_from("1.2"), last_health_block=6)
    plain = {
        "id": str(kept.id),
        "level": "UNKNOWN",
        "known_level": "ACT",
        "since_block": 7,
        "last_action_block": 5,
        "last_health_wad": str(wad_from("1.2")),
        "last_health_block": 6,
    }
    assert Memory.restore({kept.id: plain}) == Memory(by_id={kept.id: kept})
    assert Memory(by_id={kept.id: kept}).rows() == {kept.id: kept}


def under_way(price: str, *, deadline_block: int = 110) -> Plan:
    """The plan that was sent when the price stood there."""
    chosen = only(judge(build.snapshot([at_price(price)], wallet=RICH))).chosen[0]
    made = build_plan(position=position_id())
    bounds = replace(made.bounds, deadline_block=deadline_block)
    return replace(made, steps=chosen.steps, strategy=chosen.strategy, bounds=bounds)


def with_open(plan: Plan, **changes: object) -> Options:
    """Options in which that plan is under way and may be replaced."""
    waiting = frozenset({plan.key.position})
    return options(open_intents=waiting, replaceable={plan.key.position: plan}, **changes)


def test_decide__when_an_open_plan_still_reaches_target__then_it_stands() -> None:
    got = only(judge(build.snapshot([at_price("1700")], wallet=RICH), using=with_open(under_way("1700"))))
    assert got.chosen == ()
    assert got.rejected == ()
    assert "an intent is open that reaches health 1.45" in got.why


def test_decide__when_the_price_falls_again__then_sized_as_if_the_open_plan_did_not_exist() -> None:
    taken = build.snapshot([at_price("1600")], wallet=RICH)
    got = only(judge(taken, using=with_open(under_way("1700"))))
    alone = only(judge(taken))
    assert got.chosen == alone.chosen
    assert got.chosen[0].health_after_wad >= build.policy().target_wad


def test_decide__when_the_open_plans_money_is_all_there_is__then_it_is_offered_to_the_larger_one_only() -> (
    None
):
    first = under_way("1700")
    (step,) = first.steps
    held = step.amount.units + amount(USDC, "500").units
    wallet = means([replace(step.amount, units=held)])
    policy = build.policy(strategies=("repay",))
    both = build.snapshot([at_price("1600"), at_price("1650", account=BOB)], wallet=wallet)
    decisions, _ = judge(both, policy, using=with_open(first))
    by_account = {d.id.account: d for d in decisions}
    (larger,) = by_account[ALICE].chosen
    assert larger.steps[0].amount.units == held
    # nothing is left for the other: what either plan may take is promised
    assert by_account[BOB].chosen == ()


def test_decide__when_nothing_larger_can_be_done__then_the_open_plan_stands_without_alarm() -> None:
    first = under_way("1700")
    wallet = means([first.steps[0].amount])
    policy = build.policy(strategies=("repay",))
    got = only(judge(build.snapshot([at_price("1650")], wallet=wallet), policy, using=with_open(first)))
    assert (got.chosen, got.rejected) == ((), ())
    assert "nothing reaches more" in got.why


def test_decide__when_the_open_plan_ends_with_the_next_block__then_a_fresh_one_takes_its_place() -> None:
    first = under_way("1700", deadline_block=101)
    got = only(judge(build.snapshot([at_price("1700")], wallet=RICH), using=with_open(first)))
    assert [p.steps for p in got.chosen] == [first.steps]


def test_decide__when_replaced_within_the_cooldown__then_it_is_the_same_action() -> None:
    _, memory = judge(build.snapshot([at_price("1700")], wallet=RICH))
    assert memory.of(position_id()).last_action_block == 100
    taken = build.snapshot([at_price("1600")], wallet=RICH)
    assert only(judge(taken, memory=memory, using=with_open(under_way("1700")))).chosen
    assert not only(judge(taken, memory=memory)).chosen


def test_decide__when_a_later_open_plan_does_the_rest__then_both_stand() -> None:
    """A reorganisation opened the earlier one again: what both reach is what counts, and what both hold is held."""
    first = under_way("1700")
    taken = build.snapshot([at_price("1600")], wallet=RICH)
    rest = only(judge(taken)).chosen[0].steps
    held = with_open(first, behind={position_id(): rest})
    assert only(judge(taken, using=with_open(first))).chosen, "alone it is not enough"
    got = only(judge(taken, using=held))
    assert got.chosen == ()
    assert "no second action" in got.why
    assert held.waiting(position_id()) == (*first.steps, *rest)
    assert held.waiting(position_id(BOB)) == ()


def test_decide__when_two_plans_of_one_position_are_open__then_nobody_else_is_offered_what_they_hold() -> (
    None
):
    first = under_way("1700")
    (step,) = first.steps
    wallet = means([replace(step.amount, units=2 * step.amount.units)])
    policy = build.policy(strategies=("repay",))
    both = build.snapshot([at_price("1700"), at_price("1650", account=BOB)], wallet=wallet)
    offered = []
    for behind in ({}, {position_id(): first.steps}):
        decisions, _ = judge(both, policy, using=with_open(first, behind=behind))
        offered.append([d.chosen for d in decisions if d.id.account == BOB])
    assert offered[0][0] != ()
    assert offered[1] == [()]


def test_decide__when_the_earlier_of_two_ends_with_the_next_block__then_the_later_is_not_given_up_for_it() -> (
    None
):
    first = under_way("1700", deadline_block=101)
    taken = build.snapshot([at_price("1600")], wallet=RICH)
    rest = only(judge(taken)).chosen[0].steps
    got = only(judge(taken, using=with_open(first, behind={position_id(): rest})))
    assert got.chosen == ()
    # what reaches more than both takes their place all the same
    little = (replace(rest[0], amount=amount(USDC, "1")),)
    assert only(judge(taken, using=with_open(first, behind={position_id(): little}))).chosen
