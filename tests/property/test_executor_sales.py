"""Sizes of sales: never below target at the worst price allowed, by exact integers, and within every limit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.capacity import Scene, case_of, reach
from keeper.decision import Memory, Options, decide
from keeper.executor import rules
from keeper.executor.grants import terms as granted_terms
from keeper.model import Deleverage, Proposal, Refusal, Side, Source, Terms
from keeper.plan import Case, compile_plan
from keeper.triggers import goal_wad
from keeper.units import UINT256_MAX, WAD
from strategies.deleverage import Deleverage as Strategy
from strategies.unwind import STEP_FLOOR_WAD
from tests import build
from tests.build import USDC, WETH
from tests.fakes import LendingDouble
from tests.mandates import NOW_S, ROUTER, asset, borrower, lender, mandate, means, route, terms

pytestmark = pytest.mark.property
POLICY = build.policy(target="1.40", strategies=("deleverage",), caps=build.limits(action=10**7, day=10**7))
VENUE = LendingDouble(gas_limit=900_000)
healths = st.integers(1_003, 1_249).map(lambda n: f"{n / 1000:.3f}")
impacts = st.integers(0, 8_000)
grants = st.one_of(st.just(2**100), st.integers(1, 12 * WAD))


def asked(position, found, routes, lenders):  # type: ignore[no-untyped-def]
    """The strategy's answer."""
    return Strategy().propose(
        position, build.outlook(position), POLICY, means(found, routes, lenders), VENUE, build.block()
    )


@settings(max_examples=300, deadline=None)
@given(healths, impacts, grants, st.sampled_from(["direct", "loan", "steps"]), st.integers(1, 40))
def test_sale__whatever_the_price_and_the_grant__reaches_target_or_says_partial(
    health: str, impact: int, granted: int, way: str, eth: int
) -> None:
    position = borrower(health, eth=str(eth))
    listed = (asset(WETH, Side.COLLATERAL, granted=granted), asset(USDC, Side.DEBT))
    router = "" if way == "direct" else ROUTER
    found = mandate(assets=listed, routers=(ROUTER,))
    loans = (lender(),) if way == "loan" else ()
    answer = asked(position, found, (route(impact_ppm=impact, router=router, most="80000"),), loans)
    if isinstance(answer, Refusal):
        return
    (step,) = answer.steps
    assert isinstance(step, Deleverage)
    worst = VENUE.after((step,), position).health_wad or 0
    assert worst == answer.health_after_wad
    assert 0 < step.sold <= step.sell_max.units <= granted
    if "PARTIAL" in answer.why:
        assert (position.health_wad or 0) < POLICY.emergency_wad
        assert worst > (position.health_wad or 0)
    else:
        assert worst >= POLICY.target_wad
    if step.source is Source.STEPWISE:
        assert sum(step.sells) == step.sell_max.units
    _accepted(answer, position, found, (route(impact_ppm=impact, router=router, most="80000"),), loans)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1_003, 1_079).map(lambda n: f"{n / 1000:.3f}"),
    st.integers(0, 90_000),
    st.sampled_from(["2000", "9000", "40000"]),
    st.sampled_from(["direct", "loan"]),
    st.integers(1, 40),
)
def test_sale__when_pool_or_lender_has_only_a_part__then_an_emergency_gets_what_capacity_says(
    health: str, impact: int, lent: str, way: str, eth: int
) -> None:
    position = borrower(health, eth=str(eth))
    router = "" if way == "direct" else ROUTER
    found, curve = mandate(routers=(ROUTER,)), route(impact_ppm=impact, router=router, most="80000")
    loans = (lender(cash=lent),) if way == "loan" else ()
    scene = Scene(
        position=position,
        policy=POLICY,
        means=replace(means(found, (curve,), loans), native_wei=10**20),
        venue=VENUE,
        storm_wei=10**9,
        gas_wei_max=None,
        spent_today_usd=0.0,
    )
    could = reach(case_of(scene))
    answer = asked(position, found, (curve,), loans)
    before = position.health_wad or 0
    if could.reached_wad >= before + 2 * POLICY.hysteresis_wad:
        assert isinstance(answer, Proposal), (could, answer)
    if isinstance(answer, Proposal):
        assert answer.health_after_wad >= min(POLICY.target_wad, could.reached_wad) - 2 * WAD // 100
        _accepted(answer, position, found, (curve,), loans)


def _accepted(answer: Proposal, position, found, routes, loans) -> None:  # type: ignore[no-untyped-def]
    """What the strategy proposes, the guard takes: plan, calldata, caps and bounds."""
    wallet = means(found, routes, loans)
    snapshot = build.snapshot([position], wallet=replace(wallet, native_wei=10**20))
    case = Case(position=position, venue=VENUE, policy=POLICY, snapshot=snapshot, seq=1)
    plan = compile_plan(answer, case)
    assert not isinstance(plan, Refusal), plan
    assert plan.bounds.health_after_min_wad <= answer.health_after_wad


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1_003, 1_249), min_size=2, max_size=2, unique=True), impacts, st.booleans())
def test_sale__by_a_ladder__goes_to_its_rung_the_further_the_lower_and_the_executor_takes_it(
    at: list[int], impact: int, signed: bool
) -> None:
    policy = replace(POLICY, ladder=True)
    body = granted_terms(policy, NOW_S + 10**6)
    rungs = Terms(**{**dict(zip(Terms.__slots__, body, strict=True)), "seq": 3, "last_block": 90})
    found = mandate(terms=rungs if signed else terms())
    reached, sold = list[int](), list[float]()
    for thousandths in sorted(at):
        position = borrower(f"{thousandths / 1000:.3f}")
        wallet = replace(means(found, (route(impact_ppm=impact),)), native_wei=10**20)
        snapshot = build.snapshot([position], wallet=wallet)
        options = Options(venues={VENUE.id: VENUE}, strategies=(Strategy(),))
        said, _ = decide(snapshot, [build.outlook(position)], {position.id: policy}, Memory(), options)
        (answer,) = said[0].chosen
        (step,) = answer.steps
        assert isinstance(step, Deleverage)
        goal = max(goal_wad(position.health_wad, policy), found.terms.target_wad)
        assert goal <= answer.health_after_wad <= goal * 1_002 // 1_000, "at its rung, and not beyond it"
        assert (goal < policy.target_wad) is (signed and thousandths > 1_080)
        assert (
            rules.settles(found.terms, position.health_wad or 0, answer.health_after_wad, selling=True)
            is None
        )
        case = Case(position=position, venue=VENUE, policy=policy, snapshot=snapshot, seq=1)
        assert not isinstance(plan := compile_plan(answer, case), Refusal), plan
        reached.append(answer.health_after_wad)
        sold.append(step.sold / position.collateral[0].amount.units)
    assert sold[0] > sold[1], "the nearer to emergency, the more is sold"
    assert reached[0] >= reached[1] * 998 // 1_000


@settings(max_examples=150, deadline=None)
@given(healths, impacts)
def test_sale__at_the_quoted_price__does_not_pass_max_health(health: str, impact: int) -> None:
    position = borrower(health)
    answer = asked(position, mandate(), (route(impact_ppm=impact),), ())
    assert isinstance(answer, Proposal)
    (step,) = answer.steps
    assert isinstance(step, Deleverage)
    best = VENUE.after(
        (replace(step, sell_max=replace(step.sell_max, units=step.sold)),), position
    ).health_wad
    assert best is not None
    assert best <= POLICY.max_health_wad or best == UINT256_MAX


@settings(max_examples=100, deadline=None)
@given(healths)
def test_steps__when_nobody_lends__leave_the_floor_at_every_turn(health: str) -> None:
    position = borrower(health)
    answer = asked(position, mandate(routers=(ROUTER,)), (route(router=ROUTER),), ())
    if isinstance(answer, Refusal):
        assert answer.code in ("infeasible", "too_many_steps")
        return
    (step,) = answer.steps
    assert isinstance(step, Deleverage)
    assert step.source is Source.STEPWISE
    now = position
    for units in step.sells:
        taken = replace(
            step, sell_max=replace(step.sell_max, units=units), repay=replace(step.repay, units=0)
        )
        low = VENUE.after((taken,), now).health_wad or 0
        assert low >= STEP_FLOOR_WAD - 10**12
        back = step.repay.units * units // step.sell_max.units
        now = VENUE.after((replace(taken, repay=replace(step.repay, units=back)),), now)


@settings(max_examples=60, deadline=None)
@given(st.integers(1_003, 1_249), st.integers(0, 5_000))
def test_cheaper_pool__whatever_the_impact__is_taken(health: int, impact: int) -> None:
    position = borrower(f"{health / 1000:.3f}")
    cheap, dear = route(impact_ppm=impact), route(impact_ppm=impact + 400)
    one = asked(position, mandate(), (cheap,), ())
    both = asked(position, mandate(), (dear, cheap), ())
    assert isinstance(one, Proposal)
    assert isinstance(both, Proposal)
    assert both.steps == one.steps
    assert terms().seq == both.steps[0].seq  # type: ignore[union-attr]
