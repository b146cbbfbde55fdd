"""A long fall through the pure rooms: a ladder climbed, a reserve that pays, and the stop-loss at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from keeper.decision import Memory, Options, decide
from keeper.executor.grants import terms as granted_terms
from keeper.model import Deleverage, Means, Plan, Policy, Position, Repay, Side, Supply, Terms
from keeper.plan import Case, compile_plan
from keeper.triggers import goal_wad
from keeper.units import UINT256_MAX, WAD
from strategies.registry import SHIPPED
from tests import build, mandates
from tests.build import USDC, WETH, amount, collateral, debt, position, repriced
from tests.fakes import LendingDouble

pytestmark = pytest.mark.scenario
VENUE = LendingDouble()
WIDE = build.limits(action=10**7, day=10**7)


def alice() -> Position:
    """Ten ETH against 12,000 USDC: trigger 1.25 is crossed below 1,807.23."""
    return position([collateral(WETH, "10")], [debt(USDC, "12000")])


def fallen(
    policy: Policy, means: Means, prices: Sequence[str]
) -> Iterator[tuple[str, Position, Plan | None, Position]]:
    """Price by price: what was planned, and the position before and after it."""
    found, memory, money = alice(), Memory(), means
    for i, price in enumerate(prices):
        found = replace(repriced(found, {"WETH": price}), block_number=100 + 10 * i)
        block = build.block(100 + 10 * i)
        money = replace(money, routes=tuple(_moved(r.points, price, r) for r in means.routes), mandates=tuple(
            replace(m, block_number=block.number, timestamp_s=block.timestamp_s) for m in money.mandates
        ))  # fmt: skip
        snapshot = build.snapshot([found], wallet=money, at=block)
        options = Options(venues={VENUE.id: VENUE}, strategies=SHIPPED)
        said, memory = decide(snapshot, [build.outlook(found)], {found.id: policy}, memory, options)
        chosen = [p for d in said for p in d.chosen]
        plan, after = None, found
        if chosen:
            case = Case(position=found, venue=VENUE, policy=policy, snapshot=snapshot, seq=i + 1)
            made = compile_plan(chosen[0], case)
            assert isinstance(made, Plan), made
            plan, after = made, VENUE.after(made.steps, found)
        yield price, found, plan, after
        found = after


def _moved(points: object, price: str, route: object) -> object:
    """The pool's price follows the oracle's."""
    table = mandates.route(impact_ppm=500, most="30000")
    moved = tuple((bought, sold * 2000 // int(price)) for bought, sold in table.points)
    return replace(route, points=moved)  # type: ignore[type-var]


def test_ladder__when_the_price_falls_slowly__then_little_by_little_and_all_the_way_below_emergency() -> None:
    policy = replace(build.policy(strategies=("repay",), caps=WIDE), ladder=True)
    plain = replace(policy, ladder=False)
    rich = build.means([amount(USDC, "12000")])
    spent, whole = list[int](), list[int]()
    for which, into in ((policy, spent), (plain, whole)):
        for _, before, plan, after in fallen(which, rich, ("1790", "1700", "1600", "1500", "1400")):
            into.append(plan.steps[0].amount.units if plan else 0)
            if plan and which is policy:
                goal = goal_wad(before.health_wad, policy)
                assert (after.health_wad or 0) >= goal
                assert policy.trigger_wad + policy.hysteresis_wad <= goal <= policy.target_wad
    assert 0 < spent[0] < whole[0] // 3, "just below the trigger: the least that is of use"
    assert spent[1] > 0
    ((_, before, plan, after),) = list(fallen(policy, rich, ("1500",)))
    assert (before.health_wad or 0) < policy.emergency_wad
    assert plan is not None
    assert (after.health_wad or 0) >= policy.target_wad, "below emergency all of it"


def test_ladder__when_the_executor_was_granted_for_it__then_sales_climb_down_rung_by_rung_and_the_last_is_whole() -> (
    None
):
    policy = build.policy(target="1.40", strategies=("deleverage",), caps=WIDE)
    ladder = replace(policy, ladder=True)
    prices = ("1795", "1740", "1700", "1620", "1500")
    routes = [mandates.route(impact_ppm=500, most="30000")]
    sold, ends = dict[bool, list[int]](), list[int]()
    for wanted in (ladder, policy):
        body = dict(zip(Terms.__slots__, granted_terms(wanted, mandates.NOW_S + 10**6), strict=True))
        there = mandates.means(mandates.mandate(terms=Terms(**{**body, "seq": 3, "last_block": 90})), routes)
        for _, before, plan, after in fallen(wanted, there, prices):
            units = plan.steps[0].sold if plan and isinstance(plan.steps[0], Deleverage) else 0
            sold.setdefault(wanted.ladder, []).append(units)
            if plan and wanted.ladder:
                assert (after.health_wad or 0) >= goal_wad(before.health_wad, ladder)
                ends.append(after.health_wad or 0)
    assert 0 < sold[True][0] < sold[False][0] // 3, "just below the trigger: the least that is of use"
    assert sum(units > 0 for units in sold[True]) > sum(units > 0 for units in sold[False])
    ((_, before, plan, after),) = list(fallen(ladder, there, ("1500",)))
    assert (before.health_wad or 0) < ladder.emergency_wad
    assert plan is not None
    assert (after.health_wad or 0) >= policy.target_wad, "below emergency all of it"
    assert max(ends) < policy.target_wad, "and above it a part"


def test_ladder__when_the_executor_s_target_is_the_policy_s__then_a_sale_goes_all_the_way_as_check_says() -> (
    None
):
    ladder = replace(build.policy(target="1.40", strategies=("deleverage",), caps=WIDE), ladder=True)
    there = mandates.means(mandates.mandate(), [mandates.route(impact_ppm=500, most="30000")])
    ((_, _, plan, after),) = list(fallen(ladder, there, ("1795",)))
    assert plan is not None
    assert (after.health_wad or 0) >= mandates.terms().target_wad


def test_ladder__when_the_grant_reaches_almost_to_the_rung__then_nothing_partial_is_sold_above_emergency() -> (
    None
):
    ladder = replace(build.policy(target="1.40", strategies=("deleverage",), caps=WIDE), ladder=True)
    rung = mandates.terms(target_wad=127 * WAD // 100)
    for price, wanted in (("1700", False), ("1500", True)):
        ((_, _, plan, _),) = list(fallen(ladder, _allowed(rung, 100 * WAD), (price,)))
        assert plan is not None
        assert isinstance(plan.steps[0], Deleverage)
        # a little less than it takes
        less = plan.steps[0].sell_max.units * 95 // 100
        ((_, _, plan, _),) = list(fallen(ladder, _allowed(rung, less), (price,)))
        assert (plan is not None) is wanted, price


def _allowed(terms: Terms, units: int) -> Means:
    listed = (mandates.asset(WETH, Side.COLLATERAL, granted=units), mandates.asset(USDC, Side.DEBT))
    found = mandates.mandate(terms=terms, assets=listed)
    return mandates.means(found, [mandates.route(impact_ppm=500, most="30000")])


def test_reserve__when_the_hot_key_holds_gas_only__then_the_owner_s_reserve_brings_it_to_target() -> None:
    policy = build.policy(target="1.40", strategies=("repay_from_reserve", "supply_from_reserve"), caps=WIDE)
    listed = (
        mandates.asset(WETH, Side.COLLATERAL, funds=2 * WAD, fund_cap=2**100),
        mandates.asset(USDC, Side.DEBT, funds=9_000 * 10**6, fund_cap=2**100),
    )
    empty = mandates.means(mandates.mandate(assets=listed), ())
    assert empty.balances == ()
    ((_, _, plan, after),) = list(fallen(policy, empty, ("1700",)))
    assert plan is not None
    (step,) = plan.steps
    assert isinstance(step, Repay | Supply)
    assert plan.call.target == mandates.EXECUTOR
    assert (after.health_wad or 0) >= policy.target_wad


@pytest.mark.parametrize(
    "level", [{"close_at_wad": 110 * WAD // 100}, {"close_prices": (("WETH", 1590 * WAD),)}]
)
def test_stop_loss__when_its_level_is_reached__then_the_debt_is_gone_before_anything_cheaper(
    level: dict[str, object],
) -> None:
    policy = build.policy(target="1.40", strategies=("repay", "deleverage", "close_position"), caps=WIDE)
    policy = replace(policy, **level)  # type: ignore[arg-type]
    sells = mandates.means(mandates.mandate(), [mandates.route(impact_ppm=500, most="30000")])
    dollar = (amount(USDC, "3"),)
    means = replace(sells, balances=dollar, allowances=build.means(dollar).allowances)
    story = list(fallen(policy, means, ("1900", "1585")))
    assert story[0][2] is None
    _, before, plan, after = story[1]
    assert plan is not None
    assert plan.strategy == "close_position"
    assert isinstance(plan.steps[0], Deleverage)
    assert (after.health_wad, after.debt) == (UINT256_MAX, ())
    assert after.collateral[0].amount.units > WAD
    assert (before.health_wad or 0) < policy.trigger_wad
