"""A rescue for practice: when it may begin, who goes first, what each end is called, and what stops the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.config.canary import CanarySettings
from keeper.daemon.announcing import Announcer
from keeper.daemon.canary import cage as cages
from keeper.daemon.canary import calm
from keeper.daemon.canary.cage import LAST, SUNG, Cage
from keeper.daemon.canary.occasion import practised
from keeper.daemon.canary.record import STAGES, Run, Stage, State, from_text, to_text
from keeper.daemon.canary.stages import Sight, standing
from keeper.daemon.canary.yielding import yielded
from keeper.daemon.control import ACK, Blind
from keeper.daemon.supervise import practise
from keeper.daemon.tick import Tick
from keeper.model import Attempt, Fee, Intent, IntentState, Outcome, Plan
from keeper.transaction.answers import Verdict
from keeper.units import WAD
from tests import build, mandates, plans
from tests.loop_double import DIGEST, Loop, loop, settings, vault

pytestmark = pytest.mark.unit
WITHIN = 8
SETTINGS = CanarySettings(
    position="vault 1",
    every_s=3_600.0,
    gain_wad=2 * WAD // 100,
    value_usd_max=30_000,
    spend_usd_max=500,
    gas_usd_max=50,
    within_blocks=WITHIN,
)
SAFE, LOW = "10000", "13800"
"""Dollars owed on 10 WETH: health 1.66, and 1.2, below the trigger of the builders' policy."""


class Voice:
    """People, who hear at once unless a test says otherwise."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.quiet = False
        self.deaf: tuple[str, ...] = ()
        self.told: list[str] = []

    def prove(self, subject: str, why: str) -> float:
        self.told.append(f"{subject}: {why}")
        return self.clock.now_s()

    def unproven(self, at_s: float) -> tuple[str, ...]:
        return self.deaf


class Bird:
    """A loop with two vaults, the first of which is the canary, and its cage."""

    def __init__(self, on: Loop, settings: CanarySettings = SETTINGS) -> None:
        self.on = on
        self.voice = Voice(on.clock)
        self.cage = Cage(settings, on.journal, self.voice, lambda: [on])

    async def tick(self, mine: str = SAFE, other: str = SAFE) -> Tick:
        """One block in which the canary and the other vault owe so much."""
        at = self.on.lay(vault(owed=mine), vault(owed=other, account=build.BOB))
        return await self.on.running.tick(at)

    async def begun(self) -> asyncio.Task[None]:
        """One under way, which has not been planned yet."""
        looking = asyncio.create_task(self.cage.look())
        await self.turn()
        assert self.state is State.RUNNING
        return looking

    async def turn(self, times: int = 6) -> None:
        for _ in range(times):
            await asyncio.sleep(0)

    def at(self) -> Stage:
        return self.last.at

    @property
    def state(self) -> State | None:
        return None if self.cage.last is None else self.cage.last.state

    @property
    def last(self) -> Run:
        assert self.cage.last is not None
        return self.cage.last

    def signed(self, plan: Plan, nonce: int = 4) -> None:
        """As a sender leaves it in the journal."""
        self.on.journal.open_intent(plan)
        fee = Fee(gas_limit=300_000, max_fee_wei=10**10, tip_wei=10**9)
        attempt = Attempt(
            key=plan.key,
            nonce=nonce,
            n=0,
            raw=b"x",
            hash=f"0xabc{nonce}",
            fee=fee,
            sent_block=plan.block.number,
        )
        self.on.journal.add_attempt(attempt, build.WALLET)

    def becomes(self, plan: Plan, state: IntentState, why: str = "", surprise: str = "") -> None:
        """As confirmation concludes it."""
        if state in (IntentState.INCLUDED, IntentState.REVERTED):
            outcome = Outcome(
                key=plan.key,
                state=state,
                block_number=plan.block.number + 1,
                tx_hash="0xabc",
                gas_used=200_000,
                gas_price_wei=10**10,
                health_after_wad=17 * WAD // 10,
                promised_min_wad=plan.bounds.health_after_min_wad,
                surprise=surprise,
            )
            self.on.journal.record_outcome(outcome, "0xblock")
        else:
            self.on.journal.set_state(plan.key, state, why, plan.block.number + 1)

    @property
    def standing(self) -> dict[str, str]:
        return {a.code: a.why for a in self.on.alarms.standing}


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Loop]:
    made = loop(tmp_path, accounts=(build.ALICE, build.BOB))
    made.journal.set_control("armed", DIGEST, "test", "")
    yield made
    made.journal.close()


@pytest.fixture
def bird(on: Loop) -> Bird:
    return Bird(on)


async def ended(looking: asyncio.Task[None]) -> None:
    async with asyncio.timeout(60):
        await looking


async def never_taken(bird: Bird) -> Plan:
    """The plan of one whose transaction no node ever took, once it has ended."""
    await bird.tick()
    looking = await bird.begun()
    (plan,) = (await bird.tick()).plans
    bird.signed(plan)
    bird.becomes(plan, IntentState.SENT, Verdict.UNKNOWN.value)
    for _ in range(WITHIN + 2):
        await bird.tick()
        await bird.turn()
    await ended(looking)
    return plan


@pytest.mark.asyncio
async def test_canary__when_all_is_calm__then_planned_within_its_caps_followed_told_and_remembered(
    bird: Bird,
) -> None:
    await bird.tick()
    looking = await bird.begun()
    (plan,) = (await bird.tick()).plans
    assert plan.key.position == build.position_id(build.ALICE)
    spent = plan.steps[0].amount.units / 10 ** plan.steps[0].amount.token.decimals
    assert 0 < spent < SETTINGS.spend_usd_max
    assert plan.bounds.health_after_min_wad >= bird.last.to_wad - WAD // 1000
    bird.signed(plan)
    await bird.turn()
    assert bird.at() is Stage.SEND
    assert bird.on.running.policies[plan.key.position] == build.policy(), "not asked for twice"
    bird.becomes(plan, IntentState.SENT, Verdict.ACCEPTED.value)
    await bird.turn()
    assert bird.at() is Stage.INCLUSION
    bird.becomes(plan, IntentState.INCLUDED)
    await bird.turn()
    assert (bird.at(), bird.voice.told) == (Stage.EFFECT, [])
    bird.becomes(plan, IntentState.SETTLED, "two blocks on top")
    await ended(looking)
    assert bird.state is State.SUCCEEDED
    assert tuple(stage for stage, _ in bird.last.passed) == STAGES
    assert bird.last.gas_usd is not None
    assert "settled: health 1.7" in bird.voice.told[0]
    assert bird.cage.figures().success_s == bird.last.ended_s
    assert bird.on.running.yielding == {}
    again = Bird(bird.on)
    assert again.last == bird.last
    await again.cage.look()
    assert again.last == bird.last, "not due before its time"


@pytest.mark.asyncio
async def test_canary__when_somebody_else_is_in_need_or_a_plan_is_open__then_it_does_not_begin(
    bird: Bird,
) -> None:
    await bird.cage.look()
    assert bird.cage.waiting == "local cannot be seen"
    await bird.tick(other=LOW)
    await bird.cage.look()
    assert "is in need" in bird.cage.waiting
    await bird.tick(mine=LOW)
    await bird.cage.look()
    assert "in need itself" in bird.cage.waiting
    bird.on.number += 100
    tick = await bird.tick()
    bird.on.blind = Blind(why="no head", since_s=0.0)
    await bird.cage.look()
    assert "cannot be seen" in bird.cage.waiting
    bird.on.blind = None
    other = build.position_id(build.BOB)
    bird.on.running.lane.waiting[other] = plans.plan()
    await bird.cage.look()
    assert "is under way" in bird.cage.waiting
    bird.on.running.lane.waiting.clear()
    bird.on.journal.set_control("armed", None, "test", "")
    await bird.cage.look()
    assert "disarmed" in bird.cage.waiting
    assert bird.state is None
    assert tick.plans == ()


@pytest.mark.asyncio
async def test_canary__when_it_is_a_main_vault_or_gas_is_dear__then_refused_and_the_vault_is_named_at_once(
    on: Loop,
) -> None:
    large = Bird(on, replace(SETTINGS, value_usd_max=1_000))
    await large.tick()
    await large.cage.look()
    assert large.state is None
    assert "worth $20,000" in large.standing["canary_waits"]
    answer = await large.cage.answer({"now": True})
    assert "worth $20,000" in str(answer["why"])
    # a vault without a price in dollars is not worth nothing
    known = vault(owed=SAFE)
    without = (replace(known.collateral[0], price_base=0, value_base=0),)
    assert "WETH has no price" in calm.unfit(replace(known, collateral=without), SETTINGS)
    assert calm.unfit(known, SETTINGS) == ""
    dear = Bird(on, replace(SETTINGS, gas_usd_max=0))
    await dear.cage.look()
    assert "gas would cost" in dear.cage.waiting
    poor = Bird(on, replace(SETTINGS, spend_usd_max=0))
    await poor.cage.look()
    assert "within 24 hours" in poor.cage.waiting


@pytest.mark.asyncio
async def test_canary__when_a_crash_begins_before_it_is_signed__then_put_off_and_the_real_one_is_planned(
    bird: Bird,
) -> None:
    await bird.tick()
    looking = await bird.begun()
    tick = await bird.tick(other=LOW)
    (plan,) = tick.plans
    assert plan.key.position == build.position_id(build.BOB), "in the same block as the wish"
    await ended(looking)
    assert bird.state is State.PUT_OFF
    assert "is in need" in bird.last.why
    assert bird.on.running.policies[build.position_id(build.ALICE)] == build.policy()
    assert bird.standing.keys().isdisjoint({"canary_failed"})


@pytest.mark.asyncio
async def test_canary__when_its_plan_waits_for_the_lane_and_somebody_falls__then_it_is_not_sent(
    bird: Bird,
) -> None:
    await bird.tick()
    looking = await bird.begun()
    tick = await bird.tick()
    (plan,) = tick.plans
    assert bird.on.running.may_send(plan) is None
    bird.on.running.lane.waiting[build.position_id(build.BOB)] = plans.plan()
    refused = bird.on.running.may_send(plan)
    assert refused is not None
    assert (refused.who, refused.code) == ("canary", "overtaken")
    bird.on.running.lane.waiting.clear()
    await bird.tick(other=LOW)
    assert bird.on.running.may_send(plan) is not None
    assert await bird.on.running.act(plan, tick.snapshot) is None
    assert bird.on.sender.asked == []
    await ended(looking)


@pytest.mark.asyncio
async def test_canary__when_it_fails__then_critical_names_the_stage_and_none_begins_until_acknowledged(
    bird: Bird,
) -> None:
    plan = await never_taken(bird)
    assert (bird.state, bird.last.at) == (State.FAILED, Stage.SEND)
    assert bird.standing["canary_failed"].startswith("send: ")
    assert ("CRITICAL", "canary_failed") in bird.on.said
    assert bird.voice.told == []
    assert bird.cage.figures().failed
    bird.becomes(plan, IntentState.CANCELLING)
    bird.becomes(plan, IntentState.CANCELLED)
    bird.on.clock.advance(10_000)
    after = Bird(bird.on)
    bird.on.alarms.clear("canary_failed", "vault 1")
    await after.cage.look()
    assert after.state is State.FAILED
    assert "keeper ack" in after.cage.waiting
    assert "canary_failed" in after.standing, "a restart forgets nothing"
    assert "failed at send" in str((await after.cage.answer({"now": True}))["why"])
    bird.on.journal.set_control(ACK, repr(bird.on.clock.now_s()), "ann", "seen")
    again = await after.begun()
    await after.tick(other=LOW)
    await ended(again)
    assert after.last.state.value == "PUT_OFF"
    assert after.cage.figures().failed, "what was put off undoes no failure"
    assert "canary_failed" in after.standing
    after.on.clock.advance(cages.AGAIN_S)
    after.on.number += 10
    await after.tick()
    again = await after.begun()
    (plan,) = (await after.tick()).plans
    after.signed(plan, nonce=5)
    after.becomes(plan, IntentState.INCLUDED)
    after.becomes(plan, IntentState.SETTLED)
    await ended(again)
    assert not after.cage.figures().failed
    assert "canary_failed" not in after.standing


@pytest.mark.asyncio
async def test_canary__when_every_block_refuses_it__then_it_dies_at_the_plan(bird: Bird) -> None:
    await bird.tick()
    looking = await bird.begun()
    for _ in range(cages.REFUSED_MAX + 3):
        at = bird.on.lay(vault(owed=SAFE), vault(owed=SAFE, account=build.BOB), wallet=())
        await bird.on.running.tick(at)
        await bird.turn()
    await ended(looking)
    assert (bird.state, bird.last.at) == (State.FAILED, Stage.PLAN)
    assert "repay" in bird.last.why


@pytest.mark.asyncio
async def test_canary__when_a_target_hears_nothing__then_it_dies_at_the_alarm(bird: Bird) -> None:
    await bird.tick()
    bird.voice.deaf = ("ntfy (line 1)",)
    looking = await bird.begun()
    (plan,) = (await bird.tick()).plans
    bird.signed(plan)
    bird.becomes(plan, IntentState.INCLUDED)
    bird.becomes(plan, IntentState.SETTLED)
    await ended(looking)
    assert (bird.state, bird.last.at) == (State.FAILED, Stage.ALARM)
    assert "ntfy (line 1)" in bird.standing["canary_failed"]
    assert bird.on.journal.control(SUNG) is None


@pytest.mark.asyncio
async def test_canary__when_the_daemon_ends_in_the_middle__then_followed_on_if_signed_else_put_off(
    bird: Bird,
) -> None:
    await bird.tick()
    looking = await bird.begun()
    (plan,) = (await bird.tick()).plans
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
    unsigned = Bird(bird.on)
    assert unsigned.last.state.value == "RUNNING"
    await unsigned.cage.look()
    assert unsigned.last.state.value == "PUT_OFF"
    bird.on.journal.set_control(LAST, to_text(replace(unsigned.last, state=State.RUNNING)), "test", "")
    bird.signed(plan)
    bird.becomes(plan, IntentState.INCLUDED)
    bird.becomes(plan, IntentState.SETTLED)
    signed = Bird(bird.on)
    await signed.cage.look()
    assert signed.state is State.SUCCEEDED


@pytest.mark.asyncio
async def test_canary__when_cut_short_and_its_position_renamed__then_failed_and_alarmed_once_all_are_watched(
    bird: Bird, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bird.tick()
    looking = await bird.begun()
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
    bird.on.journal.set_control(LAST, to_text(replace(bird.last, position="old name")), "test", "")
    after, watched = Bird(bird.on), bird.on.loop
    # it may be on a chain that has not started yet
    monkeypatch.setattr(bird.on, "loop", None)
    await after.cage.look()
    assert (after.state, after.standing) == (State.RUNNING, {})
    monkeypatch.setattr(bird.on, "loop", watched)
    await after.cage.look()
    assert after.state is State.FAILED
    assert "no position of that name" in after.standing["canary_failed"]
    assert "keeper ack" in str((await after.cage.answer({"now": True}))["why"])
    bird.on.journal.set_control(ACK, repr(bird.on.clock.now_s() + 1), "ann", "renamed")
    assert (await after.cage.answer({"now": True}))["ok"] is True


@pytest.mark.asyncio
async def test_canary__when_it_is_due_in_quiet_hours_or_waits_a_day__then_nobody_is_woken_or_it_is_told(
    bird: Bird,
) -> None:
    await bird.tick()
    bird.voice.quiet = True
    await bird.cage.look()
    assert (bird.state, bird.cage.waiting) == (None, "quiet hours")
    bird.on.clock.advance(cages.OVERDUE_S + 1)
    await bird.cage.look()
    assert ("WARNING", "canary_waits") in bird.on.said
    assert "quiet hours" in bird.standing["canary_waits"]


@pytest.mark.asyncio
async def test_canary__when_only_asked_for__then_no_schedule_begins_one_and_a_wish_does(on: Loop) -> None:
    bird = Bird(on, replace(SETTINGS, every_s=None))
    await bird.tick()
    await bird.cage.look()
    assert bird.state is None
    answer = await bird.cage.answer({"now": True, "actor": "ann", "why": "new endpoint"})
    assert answer["ok"] is True
    looking = await bird.begun()
    assert bird.last.by == "ann"
    assert "under way" in str((await bird.cage.answer({"now": True}))["why"])
    looking.cancel()


@pytest.mark.asyncio
async def test_canary__when_dry__then_as_far_as_the_simulation_and_no_success_is_claimed(
    tmp_path: Path,
) -> None:
    on = loop(tmp_path, dry=True, accounts=(build.ALICE, build.BOB))
    bird = Bird(on)
    await bird.tick()
    looking = await bird.begun()
    tick = await bird.tick()
    (plan,) = tick.plans
    on.journal.open_intent(plan, dry=True)
    await on.running.act(plan, tick.snapshot)
    assert on.facts.filled == [], "no shadow, so that the next one is simulated on the chain's own position"
    await ended(looking)
    assert on.running.policies[plan.key.position] == build.policy()
    assert bird.state is State.REHEARSED
    assert [s for s, _ in bird.last.passed] == [Stage.PLAN, Stage.SIMULATION, Stage.ALARM]
    assert "nothing was signed or sent" in bird.voice.told[0]
    assert bird.cage.figures().success_s == 0.0
    on.journal.close()


def test_policy__when_practised__then_the_lower_of_both_caps_and_never_only_if_it_pays() -> None:
    own = replace(build.policy(), act="break_even")
    policy = practised(own, SETTINGS)
    assert policy.act == "always"
    assert policy.caps.per_action_usd == min(own.caps.per_action_usd, 500)
    assert policy.caps.per_day_usd == min(own.caps.per_day_usd, 500)
    assert policy.caps.gas_usd_emergency == policy.caps.gas_usd_max == min(own.caps.gas_usd_max, 50)
    small = practised(own, replace(SETTINGS, spend_usd_max=10**9, gas_usd_max=10**9))
    assert small.caps.per_day_usd == own.caps.per_day_usd
    assert small.caps.gas_usd_max == own.caps.gas_usd_max


def test_yielding__when_another_is_low_or_unread__then_the_canary_has_its_own_lines() -> None:
    alice, bob = build.position_id(build.ALICE), build.position_id(build.BOB)
    raised, own = replace(build.policy(), trigger_wad=9 * WAD), build.policy()
    policies, mine = {alice: raised, bob: own}, {alice: own}
    calm = build.snapshot((vault(owed=SAFE), vault(owed=SAFE, account=build.BOB)))
    assert yielded(policies, mine, calm)[alice] is raised
    assert yielded(policies, {}, calm) is policies
    low = build.snapshot((vault(owed=SAFE), vault(owed=LOW, account=build.BOB)))
    assert yielded(policies, mine, low)[alice] is own
    lost = replace(build.snapshot((vault(owed=SAFE),)), unreadable=(build.unreadable(build.BOB),))
    assert yielded(policies, mine, lost)[alice] is own


@pytest.mark.parametrize(
    ("who", "code", "at"),
    [
        ("signer", "unsigned", Stage.SIGNER),
        ("lane", "broken", Stage.SIGNER),
        ("simulation", "simulation_reverted", Stage.SIMULATION),
        ("lane", "unreachable", Stage.SIMULATION),
        ("lane", "disputed", Stage.SIGNER),
        ("fees", "gas_cap", Stage.PLAN),
    ],
)
def test_stage__when_nothing_was_signed__then_whoever_refused_names_it(
    who: str, code: str, at: Stage
) -> None:
    seen = standing(Sight(not_sent={"who": who, "code": code, "why": "no"}), ())
    assert (seen.at, seen.refused, seen.signed) == (at, True, False)
    assert seen.why == f"{code}: no"


@pytest.mark.parametrize("state", [IntentState.ABANDONED, IntentState.EXPIRED])
def test_stage__when_a_crash_left_it_unsigned__then_no_bytes_and_another_block_plans_it(
    state: IntentState,
) -> None:
    plan = plans.plan()
    seen = standing(Sight(intent=Intent(key=plan.key, plan=plan, state=state, why="crashed")), ())
    assert (seen.at, seen.failed, seen.signed) == (Stage.PLAN, False, False)


def test_stage__when_the_chain_reverts_it_or_keeps_no_promise__then_the_effect() -> None:
    plan = plans.plan()
    reverted = Intent(key=plan.key, plan=plan, state=IntentState.REVERTED, why="reverted")
    seen = standing(Sight(intent=reverted), ())
    assert (seen.at, seen.failed) == (Stage.EFFECT, True)
    settled = Intent(key=plan.key, plan=plan, state=IntentState.SETTLED)
    seen = standing(Sight(intent=settled, surprise="health 1.1 is below the promised 1.2"), ())
    assert (seen.at, seen.failed) == (Stage.EFFECT, True)
    lost = Intent(key=plan.key, plan=plan, state=IntentState.CANCELLED, why="gave up")
    assert standing(Sight(intent=lost), (Stage.SEND,)).at is Stage.INCLUSION
    assert standing(Sight(intent=lost), ()).at is Stage.SEND


def test_run__when_kept_as_text__then_the_same_again_and_another_versions_is_none() -> None:
    run = Run(
        state=State.FAILED,
        position="tiny",
        begun_s=1.5,
        to_wad=2 * WAD,
        seq=3,
        by="ann",
        at=Stage.SEND,
        why="no",
        passed=((Stage.PLAN, 2.0),),
        ended_s=9.0,
        gas_usd=0.5,
        moved_usd=2,
        health_wad=WAD,
        tx_hash="0xabc",
    )
    assert from_text(to_text(run)) == run
    assert from_text("{}") is None
    assert from_text("nonsense") is None


def test_goal__when_only_an_executor_pays__then_its_own_target_else_a_little_more_health() -> None:
    position = vault()
    mandate = mandates.mandate(terms=mandates.terms(trigger_wad=17 * WAD // 10, target_wad=175 * WAD // 100))
    sells, pays = replace(build.policy(), strategies=("deleverage",)), build.policy()
    assert calm.goal_wad(position, mandate, sells, SETTINGS) == 175 * WAD // 100
    little = (position.health_wad or 0) + SETTINGS.gain_wad
    assert calm.goal_wad(position, mandate, pays, SETTINGS) == little
    assert calm.goal_wad(position, None, sells, SETTINGS) == little


@pytest.mark.asyncio
async def test_canary__when_it_is_begun_and_put_off_again_and_again__then_it_is_overdue_all_the_same(
    bird: Bird,
) -> None:
    await bird.tick()
    bird.voice.quiet = True
    await bird.cage.look()
    bird.voice.quiet = False
    looking = await bird.begun()
    await bird.tick(other=LOW)
    await ended(looking)
    assert bird.state is State.PUT_OFF
    await bird.tick()
    bird.on.clock.advance(cages.OVERDUE_S + 1)
    bird.voice.quiet = True
    await bird.cage.look()
    assert "due for 24 h" in bird.standing["canary_waits"]


@pytest.mark.asyncio
async def test_canary__when_its_transactions_reverted_too_often__then_it_waits_instead_of_dying_at_the_plan(
    bird: Bird,
) -> None:
    id = build.position_id(build.ALICE)
    for n in range(3):
        plan = plans.plan(n + 1, position=id, at=bird.on.lay(vault(owed=SAFE)))
        bird.signed(plan, nonce=4 + n)
        bird.becomes(plan, IntentState.REVERTED)
    await bird.tick()
    await bird.cage.look()
    assert bird.state is None
    assert "reverts: 3 of its transactions reverted" in bird.cage.waiting


@pytest.mark.asyncio
async def test_practise__when_a_look_breaks__then_alarmed_and_over_once_one_goes_through(bird: Bird) -> None:
    given = settings(bird.on.journal.path.parent)
    made, looks, through = Announcer(given, bird.on.journal, bird.on.clock), list[int](), asyncio.Event()

    async def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("an index")
        assert [a.code for a in made.alarms.standing] == ["canary_broken"]
        through.set()

    bird.cage.look = look  # type: ignore[method-assign]
    task = asyncio.create_task(practise(bird.cage, made))
    await asyncio.wait_for(through.wait(), 60)
    await bird.turn()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(looks) == 2
    assert made.alarms.standing == ()
    told = [e for e in bird.on.journal.entries("alarm") if e.data["code"] == "canary_broken"]
    assert [e.data["severity"] for e in told] == ["CRITICAL", "CLEARED"]
    assert "an index" in told[0].why
