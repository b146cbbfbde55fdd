"""GMX through the owner's Executor: what is sent, what is refused beforehand and how it is called, what is signed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.allowed import Venued
from keeper.executor import errors, perp, perp_bounded, perp_rules, verify
from keeper.executor.perp_bounded import BoundedOrder
from keeper.model import (
    AddMargin,
    Amount,
    Bounds,
    CancelOrder,
    OrderBounds,
    PerpStep,
    PlaceStop,
    Plan,
    PlanKey,
    Position,
    ReducePerp,
)
from keeper.plan.orders import ordered
from keeper.seams import TxFields
from keeper.signer.calls import calls_of
from keeper.signer.policy import SigningPolicy, spend_of
from keeper.venues.gmx_v2 import GmxV2
from strategies.drawn import Need
from strategies.perp import Case, case
from tests import build
from tests.build import ALICE, USDC, WALLET
from tests.hedge_relief import ACTING, PERP, SLOT
from tests.hedge_relief import short as held

pytestmark = pytest.mark.unit

EXECUTOR, BOB = "0x" + "e1" * 20, "0x" + "b0" * 20
VENUE = GmxV2(replace(SLOT, subaccount=EXECUTOR, executor=EXECUTOR))
USD, PRICE, NOW_S = 10**30, 2_000 * 10**12, 1_700_000_000
KEY = perp_bounded.position_key(ALICE, SLOT.market, USDC.address, False)
BOUNDS = OrderBounds(
    executor=EXECUTOR,
    timestamp_s=NOW_S,
    expiry_s=NOW_S + 86_400,
    paused=False,
    seq=7,
    ready_s=NOW_S,
    slippage_bps=500,
    may_close=False,
    trigger_ppm=900_000,
    max_ppm=950_000,
    size_min_usd=100 * USD,
    size_left_usd=9_000 * USD,
    margin_min=10**6,
    margin_left=5_000 * 10**6,
    fee_wei_max=10**17,
    order="",
    bots=((WALLET, NOW_S + 100), (BOB, NOW_S)),
    price=PRICE,
    equity_ppm=60_000,
)
INDEX = SLOT.index
REDUCE = ReducePerp(
    amount=Amount(token=INDEX, units=1), size_usd=5_000 * USD, worst_price=PRICE * 103 // 100, fee_wei=10**16
)
ADD = AddMargin(amount=Amount(token=USDC, units=500 * 10**6), fee_wei=10**16)
MEANS = build.means([Amount(token=USDC, units=10**10)])


def position(bounds: OrderBounds = BOUNDS) -> Position:
    at = held(2_000)
    assert at.perp is not None
    return replace(at, perp=replace(at.perp, acting=replace(ACTING, subaccount=EXECUTOR, bounds=bounds)))


def code(step: PerpStep, bounds: OrderBounds) -> str:
    found = perp_rules.refuses(step, position(bounds).perp, WALLET)  # type: ignore[arg-type]
    return "" if found is None else found.code


def test_orders__within_the_owners_terms__are_taken() -> None:
    assert code(REDUCE, BOUNDS) == code(ADD, BOUNDS) == ""
    assert VENUE.can(REDUCE, position(), MEANS) is None


@pytest.mark.parametrize(
    ("named", "step", "wrong"),
    [
        ("grant_expired", REDUCE, {"bots": ((WALLET, NOW_S - 1),)}),
        ("grant_expired", REDUCE, {"bots": ((BOB, NOW_S + 9),)}),
        ("paused", ADD, {"paused": True}),
        ("unknown_position", ADD, {"expiry_s": 0}),
        ("grant_expired", ADD, {"expiry_s": NOW_S - 1}),
        ("fee_cap", REDUCE, {"fee_wei_max": 10**16 - 1}),
        ("order_pending", ADD, {"order": "0x" + "11" * 32}),
        ("cooldown", REDUCE, {"ready_s": NOW_S + 1}),
        ("no_price", REDUCE, {"price": None, "equity_ppm": None}),
        ("not_triggered", ADD, {"equity_ppm": 900_000}),
        ("too_little", ADD, {"margin_min": 500 * 10**6 + 1}),
        ("cap", ADD, {"margin_left": 500 * 10**6 - 1}),
        ("too_little", REDUCE, {"size_min_usd": 5_001 * USD}),
        ("above_max", REDUCE, {"max_ppm": 80_000}),
        ("price_bound", REDUCE, {"slippage_bps": 299}),
        ("cap", REDUCE, {"size_left_usd": 4_999 * USD}),
        ("not_supported", PlaceStop(
            amount=REDUCE.amount, size_usd=USD, trigger_price=PRICE, worst_price=PRICE, fee_wei=1
        ), {}),
        ("order_unknown", CancelOrder(amount=REDUCE.amount, order="0x" + "22" * 32), {"order": "0x" + "11" * 32}),
    ],
)  # fmt: skip
def test_orders__outside_of_them__are_refused_by_name(
    named: str, step: PerpStep, wrong: dict[str, object]
) -> None:
    assert code(step, replace(BOUNDS, **wrong)) == named  # type: ignore[arg-type]


def test_all_of_it__is_closed__only_where_the_owner_says_so() -> None:
    at = position().perp
    assert at is not None
    whole = replace(REDUCE, size_usd=at.size_usd)
    room = replace(BOUNDS, size_left_usd=2**200)
    assert code(whole, room) == "may_not_close"
    assert code(whole, replace(room, may_close=True)) == ""


@pytest.mark.parametrize("step", [REDUCE, ADD])
def test_calldata__is_the_step_s__and_the_guard_and_the_signer_take_no_other(step: PerpStep) -> None:
    at = position()
    call = VENUE.encode(step, at)
    order = perp_bounded.order_from(call.data)
    assert isinstance(order, BoundedOrder)
    assert (call.target, call.value_wei, order.position, order.seq) == (EXECUTOR, 10**16, KEY, 7)
    assert perp.fee_wei(call.data) == 10**16
    plan = planned(step, at)
    assert ordered(plan, step, at, VENUE) is None
    assert signer().refuses(tx(call.data)) is None
    others = (
        replace(order, position="0x" + "99" * 32),
        replace(order, seq=8),
        replace(order, amount=order.amount + 1),
        replace(order, fee_wei=order.fee_wei + 1),
        replace(order, deadline_s=order.deadline_s + 1),
        *([] if order.adds else [replace(order, worst_price=order.worst_price + 1)]),
    )
    for other in others:
        data = perp_bounded.calldata(other)
        bad = replace(plan, call=replace(plan.call, data=data))
        assert ordered(bad, step, at, VENUE) is not None, other
    assert ordered(replace(plan, call=replace(plan.call, value_wei=1)), step, at, VENUE) is not None
    assert (
        ordered(replace(plan, call=replace(plan.call, target=SLOT.subaccounts)), step, at, VENUE) is not None
    )
    assert isinstance(perp_bounded.order_from(call.data + b"\0"), str)


def test_signer__of_an_executor__takes_its_three_calls_within_their_bounds_and_nothing_else() -> None:
    order = perp_bounded.order_from(VENUE.encode(REDUCE, position()).data)
    margin = perp_bounded.order_from(VENUE.encode(ADD, position()).data)
    assert isinstance(order, BoundedOrder)
    assert isinstance(margin, BoundedOrder)
    signs = signer()
    for wrong in (
        replace(order, position="0x" + "99" * 32),
        replace(order, worst_price=8 * PRICE + 1),
        replace(order, worst_price=0),
        replace(order, amount=0),
        replace(order, fee_wei=0),
        replace(order, fee_wei=10**18 + 1),
        replace(margin, amount=2_001 * 10**6),
        replace(margin, amount=0),
    ):
        assert signs.refuses(tx(perp_bounded.calldata(wrong))) is not None, wrong
    back = perp_bounded.take_back(KEY, "0x" + "11" * 32)
    assert signs.refuses(tx(back)) is None
    assert signs.refuses(tx(perp_bounded.take_back("0x" + "99" * 32, "0x" + "11" * 32))) is not None
    assert signs.refuses(tx(back + b"\0")) is not None
    # the router itself is no target any more
    assert signs.refuses(replace(tx(perp.cancel("0x" + "11" * 32)), to=SLOT.subaccounts)) is not None
    assert spend_of(perp_bounded.calldata(margin), signs.calls) == (USDC.address.lower(), 500 * 10**6)
    assert spend_of(perp_bounded.calldata(order), signs.calls) == ("", 0)


def test_cancellation__of_its_own_order__is_takeback_on_the_position() -> None:
    step = CancelOrder(amount=REDUCE.amount, order="0x" + "11" * 32, late=True)
    at = position(replace(BOUNDS, order=step.order))
    call = VENUE.encode(step, at)
    assert perp_bounded.taken_from(call.data) == (KEY, step.order)
    assert ordered(planned(step, at), step, at, VENUE) is None
    assert ordered(planned(step, at), replace(step, order="0x" + "12" * 32), at, VENUE) is not None


def test_terms__of_health__stand_above_what_gmx_requires() -> None:
    # at health 1 GMX may liquidate with 1.2 % of the size left at the most
    assert perp_rules.ppm_of(10**18) == 12_000
    assert perp_rules.ppm_of(105 * 10**16) == 62_600


def test_errors__of_the_executor__have_names_here() -> None:
    own = {e.partition("(")[0] for e in verify.artifact(perp_bounded.NAME).errors}
    known = set(errors.TABLE) | {n.partition("(")[0] for n in errors.GMX_V2}
    assert own <= known
    assert {n.partition("(")[0] for n in errors.GMX_V2} <= own


def test_address__of_another_release_of_gmx__is_another() -> None:
    places = {verify.executor_address(ALICE, perp_bounded.NAME, v) for v in (SLOT.subaccounts, SLOT.router)}
    assert len(places) == 2
    factory = verify.artifact("GmxV2ExecutorFactory").runtime
    place = verify.executor_address(ALICE, perp_bounded.NAME, SLOT.subaccounts)
    told = verify.unproven(place, ALICE, factory, perp_bounded.NAME, SLOT.subaccounts)
    assert told == ""
    assert "UNPROVEN" in verify.unproven(place, BOB, factory, perp_bounded.NAME, SLOT.subaccounts)


def planned(step: PerpStep, at: Position) -> Plan:
    limits = Bounds(
        health_after_min_wad=0,
        health_after_max_wad=2**255,
        cost_usd_max=10,
        fee_wei_max=10**18,
        gas_limit=3_000_000,
        deadline_block=200,
    )
    return Plan(
        key=PlanKey(position=at.id, seq=1),
        strategy="reduce_perp",
        steps=(step,),
        call=VENUE.encode(step, at),
        bounds=limits,
        block=build.snapshot([at]).block,
        urgent=False,
        health_before_wad=10**18,
        why="test",
    )


def signer() -> SigningPolicy:
    asked = Venued(
        spender=EXECUTOR,
        units_max={USDC.address: 2_000 * 10**6},
        accounts=(ALICE,),
        terms=VENUE.terms,
        prices={INDEX.address: 2 * PRICE},
        fee_wei_max=10**18,
    )
    calls = calls_of("gmx_v2", asked)
    assert len(calls) == 3
    return SigningPolicy(chain_id=1, address=WALLET, calls=calls, fee_wei_max=10**18, gas_limit_max=5_000_000)


def tx(data: bytes) -> TxFields:
    return TxFields(
        chain_id=1,
        nonce=0,
        to=EXECUTOR,
        data=data,
        value_wei=perp.fee_wei(data),
        gas_limit=3_000_000,
        max_fee_wei=10**10,
        tip_wei=0,
    )


def need_of(bounds: OrderBounds) -> Need:
    return Need(
        position=position(bounds), policy=PERP, means=MEANS, venue=VENUE, block=build.snapshot([]).block
    )


def test_strategies__under_an_executor_s_caps__ask_for_no_more_than_it_takes() -> None:
    tight = replace(BOUNDS, size_left_usd=3_000 * USD, slippage_bps=100, fee_wei_max=5, margin_left=7 * 10**6)
    at = case(need_of(tight), "test")
    assert isinstance(at, Case)
    assert at.most_usd(5_000 * USD) == 3_000 * USD
    # all of it may not be closed: the least that the venue lets stand remains
    roomy = case(need_of(replace(BOUNDS, size_left_usd=2**200)), "test")
    assert isinstance(roomy, Case)
    assert roomy.most_usd(roomy.perp.size_usd) == roomy.perp.size_usd - roomy.perp.size_least_usd
    step = at.reduction(3_000 * USD)
    assert step.worst_price == PRICE * 10_080 // 10_000
    assert step.fee_wei <= 5
    assert code(step, replace(tight, fee_wei_max=10**17)) in ("", "fee_cap")
