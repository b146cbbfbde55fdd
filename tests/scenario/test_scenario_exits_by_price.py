"""Out by price through the pure rooms: the best price remembered, an exit above trigger only where it is allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from keeper.decision import Memory, Options, decide
from keeper.decision.standing import marks_of, newly_marked, standing_all
from keeper.journal import codec
from keeper.model import Decision, Level, Plan, Policy, PositionId
from keeper.plan import Case, compile_plan
from keeper.units import UINT256_MAX, WAD
from strategies.registry import SHIPPED
from tests import build, mandates
from tests.build import USDC, WETH, collateral, debt, position, repriced
from tests.fakes import LendingDouble

pytestmark = pytest.mark.scenario
VENUE = LendingDouble()
WIDE = build.limits(action=10**7, day=10**7)
TRAIL = replace(
    build.policy(target="1.40", strategies=("deleverage", "trailing_stop"), caps=WIDE),
    trail_pct=(("WETH", 15 * 10_000),),
    close_above_trigger=True,
)
PROFIT = replace(
    TRAIL, strategies=("deleverage", "take_profit"), trail_pct=(), take_profit=(("WETH", 3_000 * WAD),)
)
HIGH = mandates.terms(trigger_wad=5 * WAD, target_wad=6 * WAD, max_wad=7 * WAD)
"""An Executor whose owner allows an exit at any of these healths."""


def restarted(memory: Memory) -> Memory:
    """The memory as another process finds it in the journal."""
    rows: dict[PositionId, dict[str, object]] = {
        id: json.loads(codec.dumps(row)) for id, row in memory.rows().items()
    }
    return Memory.restore(rows)


def course(
    policy: Policy, prices: Sequence[str], terms: object = HIGH
) -> Iterator[tuple[Decision | None, Plan | None]]:
    """What is said and planned, price by price, in a process that starts anew at each of them."""
    found, memory = position([collateral(WETH, "10")], [debt(USDC, "8000")]), Memory()
    for i, price in enumerate(prices):
        block = build.block(100 + 10 * i)
        found = replace(repriced(found, {"WETH": price}), block_number=block.number)
        table = mandates.route(impact_ppm=500, most="30000")
        moved = tuple((bought, sold * 2000 // int(price)) for bought, sold in table.points)
        allowed = replace(
            mandates.mandate(terms=terms), block_number=block.number, timestamp_s=block.timestamp_s
        )
        means = mandates.means(allowed, (replace(table, points=moved),))
        snapshot = build.snapshot([found], wallet=means, at=block)
        policies = standing_all({found.id: policy}, memory.rows(), snapshot, (found.id,))
        options = Options(venues={VENUE.id: VENUE}, strategies=SHIPPED)
        said, memory = decide(snapshot, [build.outlook(found)], policies, restarted(memory), options)
        chosen = [p for d in said for p in d.chosen]
        plan = None
        if chosen:
            case = Case(position=found, venue=VENUE, policy=policies[found.id], snapshot=snapshot, seq=i + 1)
            made = compile_plan(chosen[0], case)
            assert isinstance(made, Plan), made
            plan, found = made, VENUE.after(made.steps, found)
        yield (said[0] if said else None), plan


def test_trailing_stop__when_the_price_comes_15_pct_from_its_highest__then_all_is_closed_above_trigger() -> (
    None
):
    rising, falling = ("2000", "2600", "2300"), ("2211", "2209")
    story = list(course(TRAIL, (*rising, *falling)))
    assert [plan is not None for _, plan in story] == [False, False, False, False, True]
    said, plan = story[-1]
    assert said is not None
    assert plan is not None
    assert (plan.strategy, plan.bounds.health_after_max_wad) == ("trailing_stop", UINT256_MAX)
    assert (said.health_wad or 0) > 2 * TRAIL.trigger_wad * 9 // 10
    assert "trigger 1.25" in said.why
    assert "WETH at 2209 <= 2210, 15 % from its highest 2600" in said.why


def test_trailing_stop__when_not_allowed_above_trigger__then_it_waits_for_the_trigger() -> None:
    below = replace(TRAIL, close_above_trigger=False)
    story = list(course(below, ("2000", "1500", "1190")))
    assert [plan.strategy if plan else "" for _, plan in story] == ["", "", "trailing_stop"]


def test_exit__when_the_executor_knows_a_lower_trigger__then_refused_by_its_name() -> None:
    for policy, price in ((TRAIL, "1600"), (PROFIT, "3000")):
        *_, (said, plan) = course(policy, ("2000", price), mandates.terms())
        assert plan is None
        assert said is not None
        assert (said.level, said.rejected[0].code) == (Level.ACT, "not_triggered")


def test_take_profit__when_the_price_is_there__then_all_is_closed_and_the_next_block_is_calm() -> None:
    story = list(course(PROFIT, ("2000", "2999", "3000", "3100")))
    assert [plan.strategy if plan else "" for _, plan in story] == ["", "", "take_profit", ""]
    plan = story[2][1]
    assert plan is not None
    assert "TAKE PROFIT, WETH at 3000 >= 3000" in plan.why


def test_standing__when_nothing_may_move__then_the_policies_themselves() -> None:
    found = position([collateral(WETH, "10")], [debt(USDC, "8000")])
    policies = {found.id: replace(TRAIL, trail_pct=(), close_above_trigger=False)}
    assert standing_all(policies, {}, build.snapshot([found]), (found.id,)) is policies


def test_marks__when_the_price_creeps_or_debt_is_gone__then_a_step_at_a_time_and_forgotten() -> None:
    memory, marks = Memory(), list[object]()
    for i, (price, owed) in enumerate((("2000", "8000"), ("2001", "8000"), ("2003", "8000"), ("2100", "0"))):
        found = position([collateral(WETH, "10", price=price)], [debt(USDC, owed)] if owed != "0" else [])
        snapshot = build.snapshot([found], at=build.block(100 + i))
        before = marks_of(memory.rows())
        policies = standing_all({found.id: TRAIL}, memory.rows(), snapshot, (found.id,))
        options = Options(venues={VENUE.id: VENUE}, strategies=SHIPPED)
        _, memory = decide(snapshot, [build.outlook(found)], policies, memory, options)
        marks.append((memory.of(found.id).marks, len(newly_marked(before, memory.rows()))))
    first, third = (("WETH", 1, 2000 * WAD),), (("WETH", 1, 2003 * WAD),)
    assert marks == [(first, 1), (first, 0), (third, 1), ((), 1)]
