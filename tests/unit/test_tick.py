"""One block through the loop: what is journaled, which alarms stand and fall, which plans stay on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.daemon.discovery import reload_changed
from keeper.errors import Broken, ConfigError, Disputed, Raced, Transient
from keeper.model import Block, IntentState, Level, Outcome, PlanKey, Refusal
from tests import build
from tests.loop_double import DIGEST, Loop, loop, vault

pytestmark = [pytest.mark.unit]

SAFE, WATCH, DANGER = "2400", "1600", "1400"


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Loop]:
    made = loop(tmp_path)
    yield made
    made.journal.close()


@pytest.fixture
def armed(on: Loop) -> Loop:
    on.journal.set_control("armed", DIGEST, "test", "")
    return on


async def block(on: Loop, price: str, wallet: tuple[str, ...] = ("20000",)) -> int:
    """One block as the daemon lives it: tick, hand over, act. How many plans were acted on."""
    at = on.lay(vault(price), wallet=wallet)
    return await lived(on, at)


async def lived(on: Loop, at: Block) -> int:
    tick = await on.running.tick(at)
    given = on.running.hand(tick)
    for plan in given:
        await on.running.act(plan, tick.snapshot)
        on.running.lane.waiting.pop(plan.key.position)
    return len(given)


async def unread(on: Loop) -> None:
    on.number += 1
    on.facts.next = build.snapshot(unreadable=[build.unreadable()], at=build.block(on.number))
    await lived(on, build.block(on.number))


@pytest.mark.asyncio
async def test_tick__when_all_is_well__then_one_row_and_a_digest(on: Loop) -> None:
    await block(on, SAFE)
    (row,) = on.journal.entries("tick")
    assert row.why == "1 positions, worst SAFE, lowest health 1.992"
    assert (row.block_number, row.data["digest"]) == (101, "digest of 101")
    assert on.journal.digest(build.CHAIN_ID, row.data["block_hash"]) == "digest of 101"  # type: ignore[arg-type]
    assert on.journal.snapshot(build.CHAIN_ID, 101) is None
    assert on.said == []


@pytest.mark.asyncio
async def test_tick__when_the_level_changes__then_the_way_is_told_and_the_snapshot_kept(on: Loop) -> None:
    await block(on, SAFE)
    await block(on, WATCH)
    (row,) = on.journal.entries("level")
    assert row.why.startswith("SAFE -> WATCH at health 1.328")
    assert on.journal.snapshot(build.CHAIN_ID, 102) is not None
    assert on.said == [("INFO", "watch")]
    await block(on, SAFE)
    assert on.said == [("INFO", "watch"), ("CLEARED", "watch")]


@pytest.mark.asyncio
async def test_unread__when_it_lasts__then_one_alarm_since_its_first_block_and_cleared_when_read(
    on: Loop,
) -> None:
    await block(on, SAFE)
    await unread(on)
    await unread(on)
    assert on.said == [("CRITICAL", "unknown")]
    await block(on, SAFE)
    assert on.said == [("CRITICAL", "unknown"), ("CLEARED", "unknown")]


@pytest.mark.asyncio
async def test_unseen__when_no_block_could_be_read__then_every_position_is_unknown_since_then(
    on: Loop,
) -> None:
    await block(on, SAFE)
    first = on.running.unseen(build.block(102), "the batch failed")
    again = on.running.unseen(build.block(103), "the batch failed")
    assert [o.level for o in again.outlooks] == [Level.UNKNOWN]
    assert [u.since_block for t in (first, again) for u in t.snapshot.unreadable] == [102, 102]
    assert again.plans == ()
    assert on.said == [("CRITICAL", "unknown")]
    await block(on, SAFE)
    later = on.running.unseen(build.block(110), "once more")
    # an earlier darkness that ended is not this one
    assert [u.since_block for u in later.snapshot.unreadable] == [110]


@pytest.mark.asyncio
async def test_plan__when_disarmed__then_on_paper_loudly_until_the_danger_is_over(on: Loop) -> None:
    assert await block(on, DANGER) == 0
    assert await block(on, DANGER) == 0
    assert on.sender.asked == []
    assert [s for s in on.said if s[1] == "not_acting"] == [("CRITICAL", "not_acting")]
    said = next(e for e in on.journal.entries("alarm") if e.data["code"] == "not_acting")
    assert "`keeper arm`" in said.why
    # unread is not over
    await unread(on)
    assert ("CLEARED", "not_acting") not in on.said
    await block(on, SAFE)
    assert ("CLEARED", "not_acting") in on.said


@pytest.mark.asyncio
async def test_plan__when_armed_for_another_configuration__then_on_paper(on: Loop) -> None:
    on.journal.set_control("armed", "another digest", "test", "")
    assert await block(on, DANGER) == 0
    on.journal.set_control("armed", DIGEST, "test", "")
    assert await block(on, DANGER) == 1


@pytest.mark.asyncio
async def test_refusal__when_the_wallet_is_empty__then_critical_by_code_until_it_can_be_done(
    armed: Loop,
) -> None:
    assert await block(armed, DANGER, wallet=()) == 0
    assert await block(armed, DANGER, wallet=()) == 0
    assert [s for s in armed.said if s[1] == "empty_wallet"] == [("CRITICAL", "empty_wallet")]
    said = next(e for e in armed.journal.entries("alarm") if e.data["code"] == "empty_wallet")
    # one alarm a code, with every strategy's reason in it
    assert "repay: the wallet holds no USDC" in said.why
    assert "add_collateral: the wallet holds no WETH" in said.why
    # unread: nobody can say that it is over
    await unread(armed)
    assert ("CLEARED", "empty_wallet") not in armed.said
    assert await block(armed, DANGER) == 1
    codes = [s for s in armed.said if s[1] == "empty_wallet"]
    # repaying works now; that adding collateral does not is worth a word, no more
    assert codes == [("CRITICAL", "empty_wallet"), ("WARNING", "empty_wallet")]
    await block(armed, SAFE)
    assert armed.said[-1] == ("CLEARED", "empty_wallet") or ("CLEARED", "empty_wallet") in armed.said


@pytest.mark.asyncio
async def test_refusal__when_it_comes_again_later__then_it_is_said_again(armed: Loop) -> None:
    for price in (DANGER, SAFE, SAFE, DANGER):
        await block(armed, price, wallet=())
    codes = [severity for severity, code in armed.said if code == "empty_wallet"]
    assert codes == ["CRITICAL", "CLEARED", "CRITICAL"]


@pytest.mark.asyncio
async def test_guard__when_it_refuses__then_the_next_block_tries_anew_without_a_cooldown(armed: Loop) -> None:
    for _ in range(3):
        assert await lived(armed, armed.lay(vault(DANGER), native="0")) == 0
    refused = [(e.block_number, e.data["code"]) for e in armed.journal.entries("refusal")]
    assert refused == [(101, "gas_tank"), (102, "gas_tank"), (103, "gas_tank")]
    assert [s for s in armed.said if s[1] == "gas_tank"] == [("CRITICAL", "gas_tank")]
    assert await block(armed, DANGER) == 1
    assert ("CLEARED", "gas_tank") in armed.said


@pytest.mark.parametrize(
    ("answer", "code", "alarmed"),
    [
        (Refusal(who="simulate", code="reverts", why="paused"), "reverts", True),
        (Raced("the chain moved"), "raced", False),
        (Transient("nobody answers"), "unreachable", True),
        (Disputed("one says more"), "disputed", True),
        (Broken("a second nonce"), "broken", True),
    ],
)
@pytest.mark.asyncio
async def test_act__when_nothing_was_sent__then_why_is_journaled_and_no_cooldown_starts(
    armed: Loop, answer: Refusal | Exception, code: str, alarmed: bool
) -> None:
    armed.sender.answer = answer
    assert await block(armed, DANGER) == 1
    (row,) = armed.journal.entries("refusal")
    assert (row.data["who"], row.data["code"]) == ("simulate" if code == "reverts" else "lane", code)
    assert (("CRITICAL", "not_sent") in armed.said) is alarmed
    assert armed.running.remembered(build.position_id()).last_action_block is None
    # Broken stops acting; everything else is tried again in the next block
    armed.sender.answer = None
    assert await block(armed, DANGER) == (0 if code == "broken" else 1)
    if code != "broken":
        assert (("CLEARED", "not_sent") in armed.said) is alarmed


@pytest.mark.asyncio
async def test_broken__when_it_stands__then_said_again_by_age_while_watching_goes_on(armed: Loop) -> None:
    armed.running.stop_acting("a foreign nonce")
    await block(armed, SAFE)
    armed.clock.advance(301)
    await block(armed, SAFE)
    assert [s for s in armed.said if s[1] == "broken"] == [("CRITICAL", "broken")] * 2
    assert len(armed.journal.entries("tick")) == 2


@pytest.mark.asyncio
async def test_outcome__when_the_promise_was_not_kept__then_alarmed_under_its_plan(armed: Loop) -> None:
    key = PlanKey(position=build.position_id(), seq=1)
    armed.facts.outcomes = (
        Outcome(
            key=key,
            state=IntentState.INCLUDED,
            block_number=100,
            tx_hash="0x01",
            gas_used=1,
            gas_price_wei=1,
            health_after_wad=1,
            promised_min_wad=2,
            surprise="health is below the promised",
        ),
    )
    await block(armed, SAFE)
    (alarm,) = armed.journal.entries("alarm")
    assert (alarm.subject, alarm.data["code"]) == (str(key), "surprise")


class Markets:
    """A camera as ``refresh`` sees it."""

    def __init__(self, answer: object) -> None:
        self.stale = {build.VENUE: "the market's oracle changed"}
        self.answer = answer

    async def load(self, settings: object, block: Block) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.asyncio
async def test_refresh__when_the_market_changed__then_loaded_or_alarmed_but_never_fatal(on: Loop) -> None:
    await block(on, SAFE)
    before = on.running.venues[build.VENUE]
    refused = Markets(ConfigError(("POOL_REVISION 99 is not known",)))
    await reload_changed(on.running, refused, {build.VENUE: None})  # type: ignore[arg-type, dict-item]
    assert on.running.venues[build.VENUE] is before
    assert on.said == [("CRITICAL", "market_changed")]
    assert "POOL_REVISION 99" in on.journal.entries("alarm")[0].why
    fresh = object()
    await reload_changed(on.running, Markets(fresh), {build.VENUE: None})  # type: ignore[arg-type, dict-item]
    assert on.running.venues[build.VENUE] is fresh
    assert on.said[-1] == ("CLEARED", "market_changed")
