"""What waits for the act-lane is asked about again: a disarm and a newer block count at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keeper.errors import Unsigned
from keeper.model import Plan, Snapshot
from tests import build
from tests.loop_double import DIGEST, Loop, loop, vault
from tests.virtual_time import virtual

pytestmark = pytest.mark.unit
DANGER = "1450"
"""Health 1.2: below the trigger of the builders' policy."""


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Loop]:
    made = loop(tmp_path)
    made.journal.set_control("armed", DIGEST, "test", "")
    yield made
    made.journal.close()


async def waiting(on: Loop) -> tuple[Plan, Snapshot]:
    """A plan that was handed over while armed and has not been taken up yet."""
    tick = await on.running.tick(on.lay(vault(DANGER)))
    given = on.running.hand(tick)
    assert len(given) == 1
    return given[0], tick.snapshot


@virtual
async def test_plan__when_nothing_changed_while_it_waited__then_it_is_sent(on: Loop) -> None:
    plan, snapshot = await waiting(on)
    assert await on.running.act(plan, snapshot) is not None
    assert on.sender.asked == [plan]


@virtual
async def test_rest__when_a_block_is_read_or_acted_on__then_slow_jobs_wait_and_not_for_ever(on: Loop) -> None:
    reading = asyncio.Event()
    take = on.facts.take

    async def slow(*asked: Any) -> Any:
        await reading.wait()
        return await take(*asked)

    on.facts.take = slow  # type: ignore[method-assign,assignment]
    await on.running.rest(0.05)
    ticking = asyncio.create_task(on.running.tick(on.lay(vault(DANGER))))
    await asyncio.sleep(0)
    resting = asyncio.create_task(on.running.rest(5.0))
    await asyncio.sleep(0.05)
    assert not resting.done()
    reading.set()
    tick = await ticking
    on.running.hand(tick)
    await asyncio.sleep(0.05)
    # read, and now acted on
    assert not resting.done()
    await on.running.rest(0.05)
    on.running.lane.waiting.clear()
    await asyncio.wait_for(resting, 60)


@virtual
async def test_plan__when_disarmed_while_it_waited__then_it_is_not_sent(on: Loop) -> None:
    plan, snapshot = await waiting(on)
    on.journal.set_control("armed", None, "test", "")
    assert await on.running.act(plan, snapshot) is None
    assert on.sender.asked == []
    assert ("CRITICAL", "not_sent") in on.said


@virtual
async def test_plan__when_the_daemon_is_stopping__then_what_waits_is_sent_and_nothing_new_is_handed_over(
    on: Loop,
) -> None:
    plan, snapshot = await waiting(on)
    on.running.permit.closing = True
    assert await on.running.act(plan, snapshot) is not None
    on.running.lane.waiting.pop(plan.key.position)
    on.number += 20
    tick = await on.running.tick(on.lay(vault("1400")))
    assert len(tick.plans) == 1
    assert on.running.hand(tick) == ()


@virtual
async def test_plan__when_a_newer_block_shows_the_position_healthy__then_it_is_not_sent(on: Loop) -> None:
    plan, snapshot = await waiting(on)
    await on.running.tick(on.lay(vault("2000")))
    assert await on.running.act(plan, snapshot) is None
    assert on.sender.asked == []
    told = [e for e in on.journal.entries("refusal") if e.data["code"] == "overtaken"]
    assert "not_crossed" in told[0].why


@virtual
async def test_plan__when_its_deadline_passed_while_it_waited__then_it_is_not_sent(on: Loop) -> None:
    plan, snapshot = await waiting(on)
    on.number = plan.bounds.deadline_block
    await on.running.tick(on.lay(vault(DANGER)))
    assert await on.running.act(plan, snapshot) is None
    assert on.sender.asked == []


@virtual
async def test_plan__when_the_signer_refuses_it__then_only_this_plan_stops(on: Loop) -> None:
    plan, snapshot = await waiting(on)
    on.sender.answer = Unsigned("signer refuses: repay, argument 0")
    assert await on.running.act(plan, snapshot) is None
    assert on.running.broken == ""
    assert on.running.armed
    assert ("CRITICAL", "not_sent") in on.said
    # and the next block may try again at once
    assert on.running.remembered(build.position_id()).last_action_block is None
