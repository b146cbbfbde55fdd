"""What stops one position shows wherever that position shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.daemon.commanding import explained
from keeper.daemon.control import Blind
from keeper.daemon.stops import ORDERS_MAX, PAUSE, PAUSE_S_MAX, REVERTS_MAX, Stops
from keeper.model import Attempt, Entry, Fee, IntentState, Outcome, Plan, PlanKey, PositionId
from tests import build, plans
from tests.loop_double import DIGEST, Loop, loop, vault

pytestmark = pytest.mark.unit
ALICE, BOB = build.position_id(build.ALICE), build.position_id(build.BOB)
SALES = replace(build.policy(), strategies=("repay", "deleverage"))


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Loop]:
    made = loop(tmp_path, policy=SALES, accounts=(build.ALICE, build.BOB))
    yield made
    made.journal.close()


def paused(on: Loop, id: PositionId = ALICE, for_s: float = 1_800.0) -> None:
    on.journal.set_control(f"{PAUSE}:{id}", repr(on.clock.now_s() + for_s), "ann", "by hand")


def reverted(on: Loop, id: PositionId, block: int) -> Plan:
    """A transaction of ``id`` that reverted in that block."""
    seq = on.journal.next_seq(id)
    plan = replace(plans.plan(), key=PlanKey(position=id, seq=seq), block=build.block(block))
    on.journal.open_intent(plan)
    fee = Fee(gas_limit=1, max_fee_wei=1, tip_wei=1)
    sent = Attempt(key=plan.key, nonce=seq, n=0, raw=b"x", hash=f"0x{seq}", fee=fee, sent_block=block)
    on.journal.add_attempt(sent, "0x1")
    outcome = Outcome(
        key=plan.key,
        state=IntentState.REVERTED,
        block_number=block,
        tx_hash=f"0x{seq}",
        gas_used=1,
        gas_price_wei=1,
        health_after_wad=None,
        promised_min_wad=0,
        surprise="reverted",
    )
    on.journal.record_outcome(outcome, "0xb")
    return plan


def standing(on: Loop) -> dict[PositionId, tuple[str, str]]:
    loop = on.running
    found = loop.stops.standing(loop.policies, loop.last.block if loop.last else None)
    return {id: (stop.code, str(stop.scope)) for id, stop in found.items()}


@pytest.mark.asyncio
async def test_stops__when_a_position_is_paused_or_reverts__then_it_stands_alone_and_as_a_plan_is_told(
    on: Loop,
) -> None:
    await on.running.tick(on.lay(vault(), vault(account=build.BOB)))
    assert standing(on) == {}
    paused(on)
    for _ in range(REVERTS_MAX):
        assert BOB not in standing(on)
        plan = reverted(on, BOB, on.number)
    assert standing(on) == {ALICE: ("paused", "position"), BOB: ("reverts", "position")}
    now = on.running.last
    assert now is not None
    same = on.running.stops.standing(on.running.policies, now.block)
    assert same[BOB] == on.running.stops.of(replace(plan, block=now.block))
    assert same[ALICE] == on.running.stops.of(replace(plan, key=PlanKey(position=ALICE, seq=1)))
    on.clock.advance(1_801.0)
    assert standing(on) == {BOB: ("reverts", "position")}


@pytest.mark.parametrize(
    "back_s, holds", [(0.0, True), (1.0, True), (3_600.0, True), (3_601.0, False), (86_400.0, False)]
)
def test_pause__when_the_clock_is_set_back_under_one_of_a_day__then_it_holds_but_for_no_second_day(
    on: Loop, back_s: float, holds: bool
) -> None:
    paused(on, for_s=PAUSE_S_MAX)
    on.journal.set_control(PAUSE, repr(on.clock.now_s() + PAUSE_S_MAX), "ann", "all")
    stops = Stops(on.journal, ManualClock(on.clock.now_s() - back_s), lambda: (1, 1))
    assert (stops.pause is not None) == holds
    assert (ALICE in stops.standing(on.running.policies, None)) == holds


@pytest.mark.asyncio
async def test_stops__when_orders_end_in_vain_or_the_quorum_is_lost__then_each_position_concerned(
    on: Loop,
) -> None:
    at = on.lay(vault(), vault(account=build.BOB))
    await on.running.tick(at)
    for seq in range(ORDERS_MAX):
        on.journal.record(
            Entry(
                kind="order",
                chain_id=at.chain_id,
                block_number=at.number,
                subject=f"{ALICE}#{seq}",
                why="frozen",
                data={"state": "CANCELLED", "at_s": at.timestamp_s},
            )
        )
    assert standing(on) == {ALICE: ("orders_in_vain", "position")}
    own = replace(SALES, strategies=("repay", "repay_from_reserve", "deleverage"))
    on.running.parts = replace(on.running.parts, live_endpoints=lambda: (1, 2))
    on.running.stops._live_endpoints = on.running.parts.live_endpoints
    on.running.policies = dict.fromkeys(on.running.policies, replace(SALES, strategies=("repay", "floor")))
    assert standing(on)[BOB] == ("quorum_lost", "chain")
    assert standing(on)[ALICE][0] == "orders_in_vain", "narrowest first"
    on.running.policies = dict.fromkeys(on.running.policies, own)
    assert BOB not in standing(on), "what pays in, and what the Executor itself checks, goes on"


@pytest.mark.asyncio
async def test_explained__when_it_or_everything_is_stopped__then_said_whatever_was_decided(on: Loop) -> None:
    await on.running.tick(on.lay(vault(), vault(account=build.BOB)))
    assert explained("vault 1", [on]).endswith("nothing is sent: disarmed (`keeper arm`)")
    on.journal.set_control("armed", DIGEST, "ann", "")
    assert explained("vault 1", [on]).endswith("nothing had to be decided")
    paused(on)
    why = "paused by ann for 30 more minutes: by hand"
    assert explained("vault 1", [on]).endswith(f"STOPPED (paused): {why}")
    assert "STOPPED" not in explained("vault 2", [on])
    on.journal.set_control(PAUSE, repr(on.clock.now_s() + 60.0), "bob", "all")
    assert explained("vault 2", [on]).endswith("nothing is sent: paused by bob for 1 more minutes: all")
    on.blind = Blind(why="no head", since_s=1.0)
    assert f"STOPPED (paused): {why}" in explained("vault 1", [on])
