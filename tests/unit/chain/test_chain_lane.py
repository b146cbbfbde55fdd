"""One endpoint's queue: order, weights, rate, penalty, bounds."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from asyncio_throttle import throttler

from keeper.chain import lane as lanes
from keeper.chain.lane import Lane
from keeper.clock import ManualClock, SystemClock
from keeper.errors import Transient
from keeper.seams import Priority
from tests.virtual_time import VirtualClock, now_s, virtual

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The throttler's windows are of the loop's own seconds, simulated ones included."""
    monkeypatch.setattr(throttler, "time", SimpleNamespace(monotonic=now_s))


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def _queue(lane: Lane, asks: list[tuple[str, Priority, int]], done: list[str]) -> list[asyncio.Task[None]]:
    async def one(name: str, priority: Priority, weight: int) -> None:
        await lane.acquire(priority, weight)
        done.append(name)

    return [asyncio.create_task(one(*ask)) for ask in asks]


@pytest.mark.asyncio
async def test_lane__when_one_slot_is_free__then_priority_first_and_arrival_within_it() -> None:
    lane, done = Lane("a", 10_000, 1, SystemClock()), list[str]()
    await lane.acquire(Priority.PAGE)
    asks = [("p1", Priority.PAGE, 1), ("r1", Priority.RECEIPT, 1), ("t1", Priority.TRIGGER, 1)]
    asks += [("p2", Priority.PAGE, 1), ("t2", Priority.TRIGGER, 1)]
    tasks = _queue(lane, asks, done)
    await _settle()
    assert done == []
    for _ in asks:
        lane.release(Priority.PAGE)
        await _settle()
    assert done == ["t1", "t2", "r1", "p1", "p2"]
    await asyncio.gather(*tasks)
    await lane.close()


@pytest.mark.asyncio
async def test_lane__when_every_slot_hangs__then_a_send_goes_all_the_same() -> None:
    lane, done = Lane("a", 10_000, 1, SystemClock()), list[str]()
    await lane.acquire(Priority.TRIGGER)
    tasks = _queue(lane, [("read", Priority.TRIGGER, 1), ("send", Priority.SEND, 1)], done)
    await asyncio.wait_for(tasks[1], 60)
    assert done == ["send"]
    lane.release(Priority.SEND)
    await _settle()
    assert done == ["send"], "a SEND holds no slot, so its release frees none"
    await lane.close()
    await asyncio.gather(*tasks, return_exceptions=True)


@virtual
async def test_lane__when_asked_for_more_than_the_rate__then_nine_tenths_of_it_in_a_window() -> None:
    lane, granted = Lane("a", 20, 1_000, VirtualClock()), list[float]()

    async def one() -> None:
        await lane.acquire(Priority.TRIGGER)
        granted.append(now_s())

    await asyncio.gather(*(one() for _ in range(24)))
    assert granted[17] - granted[0] < 0.5
    assert 1.0 <= granted[18] - granted[0] <= granted[-1] - granted[0] < 1.2
    await lane.close()


@virtual
async def test_lane__when_a_request_weighs_the_whole_rate__then_the_next_waits_a_window() -> None:
    lane = Lane("a", 20, 1_000, VirtualClock())
    await lane.acquire(Priority.TRIGGER, 18)
    started = now_s()
    await lane.acquire(Priority.TRIGGER)
    assert 0.9 <= now_s() - started < 1.2
    await lane.close()


@virtual
async def test_lane__when_a_heavy_page_gathers_tokens__then_an_urgent_request_takes_them() -> None:
    lane, done = Lane("a", 20, 1_000, VirtualClock()), list[str]()
    await lane.acquire(Priority.TRIGGER, 9)
    tasks = _queue(lane, [("heavy page", Priority.PAGE, 18)], done)
    await asyncio.sleep(0.05)
    started = now_s()
    tasks += _queue(lane, [("trigger", Priority.TRIGGER, 1)], done)
    await tasks[1]
    assert now_s() - started < 0.5, "a token in hand was not given to the urgent one"
    assert done == ["trigger"]
    await lane.close()
    await asyncio.gather(*tasks, return_exceptions=True)


@virtual
async def test_lane__when_rate_limited__then_reads_rest_for_that_long_and_a_send_does_not() -> None:
    lane, done = Lane("a", 10_000, 8, VirtualClock()), list[str]()
    assert lane.penalise(0.3) == 0.3
    started = now_s()
    tasks = _queue(lane, [("read", Priority.TRIGGER, 1)], done)
    await lane.acquire(Priority.SEND)
    assert now_s() - started < 0.2
    assert done == []
    await tasks[0]
    assert 0.29 <= now_s() - started < 0.4
    await lane.close()


@pytest.mark.asyncio
async def test_lane__when_rate_limits_follow_each_other__then_pauses_double_up_to_the_cap() -> None:
    clock = ManualClock(100)
    lane = Lane("a", 10, 1, clock)
    pauses = []
    for _ in range(7):
        pauses.append(lane.penalise(None))
        assert lane.penalise(None) == pytest.approx(pauses[-1]), "one burst is one offence"
        clock.advance(pauses[-1])
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    clock.advance(lanes.PENALTY_MEMORY_S + 30)
    assert lane.penalise(None) == 1
    await lane.close()


@pytest.mark.asyncio
async def test_lane__when_the_queue_is_full__then_the_least_urgent_is_shed() -> None:
    lane = Lane("a", 10_000, 1, SystemClock())
    await lane.acquire(Priority.TRIGGER)
    pages = [asyncio.create_task(lane.acquire(Priority.PAGE)) for _ in range(lanes.WAITING_MAX)]
    await _settle()
    assert lane.waiting == lanes.WAITING_MAX
    with pytest.raises(Transient, match="wait already"):
        await lane.acquire(Priority.PAGE)
    urgent = asyncio.create_task(lane.acquire(Priority.TRIGGER))
    await _settle()
    assert lane.waiting == lanes.WAITING_MAX
    with pytest.raises(Transient, match="shed"):
        await pages[-1]
    lane.release(Priority.TRIGGER)
    await asyncio.wait_for(urgent, 60)
    await lane.close()
    await asyncio.gather(*pages, return_exceptions=True)


@pytest.mark.asyncio
async def test_lane__when_waiters_are_cancelled__then_no_slot_is_lost() -> None:
    lane = Lane("a", 10_000, 1, SystemClock())
    for _ in range(5):
        await asyncio.wait_for(lane.acquire(Priority.TRIGGER), 60)
        waiting = asyncio.create_task(lane.acquire(Priority.TRIGGER))
        granted = asyncio.create_task(lane.acquire(Priority.TRIGGER))
        await _settle()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        lane.release(Priority.TRIGGER)
        # its turn is set but the task has not run yet
        for _ in range(10):
            if lane.waiting:
                await asyncio.sleep(0)
        granted.cancel()
        if not isinstance((await asyncio.gather(granted, return_exceptions=True))[0], BaseException):
            lane.release(Priority.TRIGGER)
        assert lane.waiting == 0
    await asyncio.wait_for(lane.acquire(Priority.TRIGGER), 60)
    await lane.close()


@pytest.mark.asyncio
async def test_lane__when_closed__then_waiters_are_told_and_nothing_runs_on() -> None:
    lane = Lane("a", 10_000, 1, SystemClock())
    await lane.acquire(Priority.TRIGGER)
    waiting = asyncio.create_task(lane.acquire(Priority.TRIGGER))
    await _settle()
    await lane.close()
    with pytest.raises(Transient, match="closed"):
        await waiting
    with pytest.raises(Transient, match="closed"):
        await lane.acquire(Priority.SEND)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.asyncio
async def test_lane__when_nobody_waits__then_a_turn_is_taken_at_once_within_every_bound() -> None:
    lane = Lane("a", 10_000, 2, SystemClock())
    for _ in range(2):
        with pytest.raises(StopIteration):
            lane.acquire(Priority.TRIGGER).send(None)
    waiting = asyncio.create_task(lane.acquire(Priority.TRIGGER))
    await _settle()
    assert not waiting.done(), "more turns at a time than the endpoint takes"
    lane.release(Priority.TRIGGER)
    await _settle()
    assert waiting.done()
    await lane.close()


@virtual
async def test_lane__when_a_slot_is_free_but_others_wait__then_nobody_passes_them() -> None:
    lane, done = Lane("a", 20, 1_000, VirtualClock()), list[str]()
    await lane.acquire(Priority.TRIGGER, 18)
    tasks = _queue(lane, [("first", Priority.TRIGGER, 1), ("second", Priority.TRIGGER, 1)], done)
    await _settle()
    assert done == []
    await asyncio.sleep(1.1)
    await asyncio.gather(*tasks)
    assert done == ["first", "second"]
    await lane.close()


@virtual
async def test_lane__when_rate_limited__then_a_lone_read_waits_too() -> None:
    lane = Lane("a", 10_000, 8, VirtualClock())
    lane.penalise(0.2)
    started = now_s()
    await lane.acquire(Priority.TRIGGER)
    assert 0.19 <= now_s() - started < 0.3
    await lane.close()


@virtual
async def test_lane__when_a_request_was_made_beside_it__then_it_counts_against_the_rate() -> None:
    lane = Lane("a", 20, 1_000, VirtualClock())
    for _ in range(3):
        lane.owe()
    started = now_s()
    for _ in range(15):
        await lane.acquire(Priority.TRIGGER)
    assert now_s() - started < 0.5
    await lane.acquire(Priority.TRIGGER)
    assert 0.9 <= now_s() - started < 1.2, "three requests were made for nothing"
    await lane.close()


@pytest.mark.asyncio
async def test_lane__when_a_slot_came_free_for_another__then_a_newcomer_does_not_take_it() -> None:
    lane, done = Lane("a", 10_000, 1, SystemClock()), list[str]()
    await lane.acquire(Priority.TRIGGER)

    async def first() -> None:
        await lane.acquire(Priority.TRIGGER)
        done.append("first")
        lane.release(Priority.TRIGGER)

    waiting = asyncio.create_task(first())
    await _settle()
    lane.release(Priority.TRIGGER)
    # in this very step, before the dispatcher has run
    await lane.acquire(Priority.TRIGGER)
    done.append("newcomer")
    await waiting
    assert done == ["first", "newcomer"]
    await lane.close()
