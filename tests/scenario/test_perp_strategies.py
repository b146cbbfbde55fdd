"""The four ways with a perpetual position, over GMX's own arithmetic and without a chain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.decision import decide
from keeper.decision.memory import Memory, PositionMemory
from keeper.decision.standing import standing
from keeper.model import (
    Acting,
    AddMargin,
    Amount,
    CancelOrder,
    Level,
    OrderBounds,
    Outlook,
    Perp,
    PlaceStop,
    Policy,
    Proposal,
    ReducePerp,
    Refusal,
)
from keeper.plan import Case, check, compile_plan
from keeper.seams import Strategy
from keeper.units import UINT256_MAX, WAD
from keeper.venues.gmx_v2 import GmxV2
from strategies.add_margin import AddMargin as AddMarginWay
from strategies.close_perp import ClosePerp
from strategies.reduce_perp import ReducePerp as ReduceWay
from strategies.registry import SHIPPED
from strategies.stop_on_venue import StopOnVenue
from tests.perps import (
    ACTING,
    BLOCK,
    GRANTED,
    POLICY,
    USD,
    USDC,
    WALLET,
    means,
    order,
    perp,
    position,
    slot,
    world,
)

pytestmark = pytest.mark.scenario
BOUNDS = OrderBounds(
    executor="0x" + "e1" * 20,
    timestamp_s=BLOCK.timestamp_s,
    expiry_s=2**39,
    paused=False,
    seq=0,
    ready_s=0,
    slippage_bps=500,
    may_close=True,
    trigger_ppm=900_000,
    max_ppm=950_000,
    size_min_usd=1,
    size_left_usd=2**200,
    margin_min=1,
    margin_left=2**100,
    fee_wei_max=10**18,
    order="",
    bots=((WALLET, 2**39),),
    price=1,
    equity_ppm=1,
)


def said(way: Strategy, p: Perp, policy: Policy = POLICY, usdc: int = GRANTED.units) -> Proposal | Refusal:
    venue, at = GmxV2(slot(p.long)), position(p)
    outlook = Outlook(
        id=at.id,
        health=1.0,
        margin_usd=0.0,
        leverage=None,
        health_under=(),
        distance=(),
        nearest_shock=None,
        level=Level.ACT,
    )
    return way.propose(at, outlook, policy, means(venue.slot, usdc), venue, BLOCK)


def code(answer: Proposal | Refusal) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.code


@pytest.mark.parametrize("long", [True, False])
def test_add_margin__below_trigger__the_least_that_reaches_target(long: bool) -> None:
    p = perp(1_900 if long else 2_080, long)
    answer = said(AddMarginWay(), p)
    assert isinstance(answer, Proposal)
    (step,) = answer.steps
    assert isinstance(step, AddMargin)
    assert answer.health_after_wad >= POLICY.target_wad
    one_less = replace(step, amount=Amount(token=USDC, units=step.amount.units - 1))
    after = GmxV2(slot(long)).after((one_less,), position(p)).health_wad or 0
    assert after < POLICY.target_wad
    assert step.fee_wei >= p.increase_gas * (BLOCK.base_fee_wei + 2 * 10**8)


def test_add_margin__too_little_in_the_wallet__partial_or_refused_by_name() -> None:
    partial = said(AddMarginWay(), perp(1_900), usdc=300 * 10**6)
    assert isinstance(partial, Proposal)
    assert "PARTIAL" in partial.why
    assert code(said(AddMarginWay(), perp(1_900), usdc=0)) in ("insufficient_means", "no_allowance")
    assert code(said(AddMarginWay(), perp(1_780), usdc=10 * 10**6)) in ("venue_refuses", "insufficient_means")
    assert code(said(AddMarginWay(), perp(2_000))) == "target_reached"


@pytest.mark.parametrize("long", [True, False])
def test_reduce_perp__below_trigger__the_least_size_that_reaches_target(long: bool) -> None:
    p = perp(1_900 if long else 2_080, long)
    answer = said(ReduceWay(), p)
    assert isinstance(answer, Proposal)
    (step,) = answer.steps
    assert isinstance(step, ReducePerp)
    assert 0 < step.size_usd < p.size_usd
    assert POLICY.target_wad <= answer.health_after_wad <= POLICY.max_health_wad
    assert answer.swap_usd == pytest.approx(step.size_usd / USD * 0.0006, rel=1e-6)
    worse = step.worst_price < p.index_price if long else step.worst_price > p.index_price
    assert worse
    assert not answer.first


def test_reduce_perp__venue_refuses_below_maintenance__first_and_then_only_margin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = replace(GmxV2(slot()).rules, reduces_below=False)
    monkeypatch.setattr(GmxV2, "rules", property(lambda self: rule))
    early = said(ReduceWay(), perp(1_900))
    assert isinstance(early, Proposal)
    assert early.first
    assert code(said(ReduceWay(), perp(1_840))) == "margin_only"
    assert isinstance(said(AddMarginWay(), perp(1_840)), Proposal)


def test_close_perp__at_the_owners_level_or_price__everything_and_first() -> None:
    assert code(said(ClosePerp(), perp(1_900))) == "level_not_reached"
    low = replace(POLICY, close_at_wad=105 * WAD // 100)
    priced = replace(POLICY, close_prices=(("WETH", 1_950 * WAD),))
    for policy in (low, priced):
        answer = said(ClosePerp(), perp(1_900), policy)
        assert isinstance(answer, Proposal)
        (step,) = answer.steps
        assert isinstance(step, ReducePerp)
        assert step.size_usd == 20_000 * USD
        assert answer.health_after_wad == UINT256_MAX
        assert answer.first
    assert isinstance(said(ClosePerp(), perp(2_080, False), priced), Proposal)


@pytest.mark.parametrize("long", [True, False])
def test_stop_on_venue__in_calm_times__at_the_price_where_health_is_emergency(long: bool) -> None:
    answer = said(StopOnVenue(), perp(2_000, long))
    assert isinstance(answer, Proposal)
    (step,) = answer.steps
    assert isinstance(step, PlaceStop)
    there = position(perp(step.trigger_price // 10**12, long)).health_wad or 0
    assert abs(there - POLICY.emergency_wad) < WAD // 1_000
    safe = step.trigger_price > 1_812 * 10**12 if long else step.trigger_price < 2_190 * 10**12
    assert safe
    resting = replace(
        perp(2_000, long),
        orders=(replace(order(0, resting=True), trigger_price=step.trigger_price, ours=True),),
    )
    assert code(said(StopOnVenue(), resting)) == "stop_exists"


@pytest.mark.parametrize("change", [{"frozen": True}, {"trigger_price": 1_500 * 10**12}, {"size_usd": USD}])
def test_stop_on_venue__frozen_or_out_of_place__taken_back_first(change: dict[str, object]) -> None:
    stop = replace(order(0, resting=True), trigger_price=1_853 * 10**12, ours=True)
    stop = replace(stop, **change)  # type: ignore[arg-type]
    owners = replace(stop, ours=False, key="0x" + "ef" * 32)
    answer = said(StopOnVenue(), replace(perp(2_000), orders=(owners, stop)))
    assert isinstance(answer, Proposal)
    assert isinstance(answer.steps[0], CancelOrder)
    assert not answer.steps[0].late
    assert answer.steps[0].order == stop.key, "never the owner's own"
    # the same, placed by the owner: he meant it so, however far from where ours would be
    assert code(said(StopOnVenue(), replace(perp(2_000), orders=(owners,)))) == "stop_exists"


def test_stop_on_venue__margin_no_dollar_or_few_actions_left__none_is_placed() -> None:
    assert code(said(StopOnVenue(), replace(perp(2_000), stable=False))) == "no_stop_price"
    few = replace(perp(2_000), acting=replace(ACTING, actions_left=5))
    assert code(said(StopOnVenue(), few)) == "actions_kept"


def test_stop_on_venue__through_an_executor__is_left_to_the_owner_in_words() -> None:
    through = replace(perp(2_000), acting=replace(ACTING, bounds=BOUNDS))
    answer = said(StopOnVenue(), through)
    assert isinstance(answer, Refusal)
    assert answer.code == "stop_not_supported"
    assert "keeper grant --subaccount LABEL --stop" in answer.why


@pytest.mark.parametrize("kind", [3, 5, 8])
def test_stop_on_venue__another_order_of_the_owner_rests__left_alone_and_taken_for_no_stop(kind: int) -> None:
    own = replace(order(0, resting=True), kind=kind, trigger_price=2_500 * 10**12)
    answer = said(StopOnVenue(), replace(perp(2_000), orders=(own,)))
    assert not (isinstance(answer, Proposal) and isinstance(answer.steps[0], CancelOrder))
    assert replace(perp(2_000), orders=(own,)).stop is None


def test_order__under_way__nothing_more_and_when_its_time_is_over_taken_back() -> None:
    for way in (AddMarginWay(), ReduceWay()):
        assert code(said(way, replace(perp(1_900), orders=(order(20),)))) == "order_pending"
        late = said(way, replace(perp(1_900), orders=(order(301),)))
        assert isinstance(late, Proposal)
        assert isinstance(late.steps[0], CancelOrder)
        assert late.steps[0].late


def test_decide__stop_is_named_by_the_policy__left_in_calm_times_and_passes_the_guard() -> None:
    policy = replace(POLICY, strategies=("add_margin", "stop_on_venue"))
    shot, outlook, options = world(perp(2_000), policy)
    made, _ = decide(shot, (outlook,), {outlook.id: policy}, Memory(), options)
    (proposal,) = made[0].chosen
    assert isinstance(proposal.steps[0], PlaceStop)
    venue = next(iter(options.venues.values()))
    case = Case(position=shot.positions[0], venue=venue, policy=policy, snapshot=shot, seq=1)
    plan = compile_plan(proposal, case)
    assert not isinstance(plan, Refusal), plan


@pytest.mark.parametrize("long", [True, False])
def test_guard__a_price_that_has_met_the_stop_already__refused_for_it_would_close_at_once(long: bool) -> None:
    policy = replace(POLICY, strategies=("add_margin", "stop_on_venue"))
    shot, outlook, options = world(perp(2_000, long), policy)
    made, _ = decide(shot, (outlook,), {outlook.id: policy}, Memory(), options)
    (proposal,) = made[0].chosen
    (step,) = proposal.steps
    assert isinstance(step, PlaceStop)
    venue = next(iter(options.venues.values()))
    met = step.trigger_price // 10**12 + (0 if long else 1)
    for price, expected in ((2_000, None), (met, "price_bound")):
        now = replace(perp(2_000, long), index_price=price * 10**12)
        later = replace(shot, positions=(replace(shot.positions[0], perp=now),))
        case = Case(position=later.positions[0], venue=venue, policy=policy, snapshot=shot, seq=1)
        plan = compile_plan(proposal, replace(case, position=shot.positions[0]))
        assert not isinstance(plan, Refusal), plan
        no = check(plan, replace(case, snapshot=later))
        assert (no.code if no is not None else None) == expected


def test_decide__the_core_does_not_vouch_for_the_position__no_stop_is_left() -> None:
    policy = replace(POLICY, strategies=("add_margin", "stop_on_venue"))
    shot, outlook, options = world(perp(2_000), policy)
    unknown = replace(outlook, level=Level.UNKNOWN)
    made, _ = decide(shot, (unknown,), {outlook.id: policy}, Memory(), options)
    assert [d.level for d in made] == [Level.UNKNOWN]
    assert [d.chosen for d in made] == [()]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"value_wei": 1}, "calldata"),
        ({"target": WALLET}, "allow_list"),
        ({"data": b"\x00" * 40}, "calldata"),
    ],
)
def test_guard__call_that_is_not_the_step__refused(change: dict[str, object], expected: str) -> None:
    shot, outlook, options = world(perp(1_900))
    made, _ = decide(shot, (outlook,), {outlook.id: POLICY}, Memory(), options)
    venue = next(iter(options.venues.values()))
    case = Case(position=shot.positions[0], venue=venue, policy=POLICY, snapshot=shot, seq=1)
    plan = compile_plan(made[0].chosen[0], case)
    assert not isinstance(plan, Refusal), plan
    assert check(plan, case) is None
    no = check(replace(plan, call=replace(plan.call, **change)), case)  # type: ignore[arg-type]
    assert no is not None
    assert no.code == expected


@pytest.mark.parametrize(
    ("acting", "base_fee_wei", "expected"),
    [
        (replace(ACTING, until_s=BLOCK.timestamp_s - 1), 10**9, "grant_expired"),
        (ACTING, 5 * 10**9, "fee_short"),
        (replace(ACTING, allowed=False), 10**9, "venue_refuses"),
        (replace(ACTING, actions_left=0), 10**9, "venue_refuses"),
    ],
)
def test_guard__grant_over_or_fee_that_no_longer_suffices__named_before_anything_is_sent(
    acting: Acting, base_fee_wei: int, expected: str
) -> None:
    shot, outlook, options = world(perp(1_900))
    made, _ = decide(shot, (outlook,), {outlook.id: POLICY}, Memory(), options)
    venue = next(iter(options.venues.values()))
    case = Case(position=shot.positions[0], venue=venue, policy=POLICY, snapshot=shot, seq=1)
    plan = compile_plan(made[0].chosen[0], case)
    assert not isinstance(plan, Refusal), plan
    later = replace(
        shot,
        positions=(position(replace(perp(1_900), acting=acting)),),
        block=replace(BLOCK, base_fee_wei=base_fee_wei),
    )
    no = check(plan, replace(case, snapshot=later, position=later.positions[0]))
    assert no is not None
    assert no.code == expected


@pytest.mark.parametrize("long", [True, False])
def test_exit_by_price__of_a_perp_above_trigger__everything_where_it_is_allowed(long: bool) -> None:
    found, best = position(perp(2_000, long)), 2_500 * WAD if long else 1_600 * WAD
    trail = replace(POLICY, trail_pct=(("WETH", 15 * 10_000),), strategies=("trailing_stop",))
    profit = replace(POLICY, take_profit=(("WETH", 2_000 * WAD),), strategies=("take_profit",))
    kept = PositionMemory(id=found.id, marks=(("WETH", 1 if long else -1, best),))
    for plain in (trail, profit):
        here = standing(replace(plain, close_above_trigger=True), kept, found, 0)
        assert here.trigger_wad == (found.health_wad or 0) + 1
        way = next(s for s in SHIPPED if s.name in plain.strategies)
        answer = said(way, perp(2_000, long), here)
        assert isinstance(answer, Proposal)
        assert (answer.first, answer.health_after_wad) == (True, UINT256_MAX)
        assert standing(plain, kept, found, 0).trigger_wad == plain.trigger_wad
