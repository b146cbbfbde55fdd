"""Slow jobs: a word on a bounded queue, never work of its own."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, tzinfo

import pytest

from keeper.schedule import SlowJobs
from tests.patience import becomes

pytestmark = pytest.mark.unit


@pytest.mark.asyncio
async def test_job__when_due__then_its_name_waits_once_however_often_it_was_due() -> None:
    jobs = SlowJobs({"discover": 0.02, "refresh": 3600.0})
    jobs.start()
    await becomes(jobs.queue.qsize)
    await asyncio.sleep(0.1)
    assert jobs.queue.qsize() == 1
    assert await jobs.next() == "discover"
    # taken, it may become due again
    assert await asyncio.wait_for(jobs.next(), 60) == "discover"
    jobs.stop()


@pytest.mark.asyncio
async def test_ask__when_a_tick_needs_it__then_due_now_and_once() -> None:
    jobs = SlowJobs({"discover": 3600.0, "refresh": 3600.0})
    for _ in range(5):
        jobs.ask("refresh")
    jobs.ask("discover")
    assert [await jobs.next(), await jobs.next()] == ["refresh", "discover"]
    assert jobs.queue.empty()


@pytest.mark.asyncio
async def test_stop__when_jobs_wait__then_nothing_more_becomes_due() -> None:
    jobs = SlowJobs({"discover": 0.02})
    jobs.start()
    await jobs.next()
    jobs.stop()
    await asyncio.sleep(0.1)
    assert jobs.queue.qsize() <= 1


class Wall:
    """A wall clock that a test sets; monotonic time goes on as it does."""

    def __init__(self) -> None:
        self.set_by_s = 0.0

    def now_s(self) -> float:
        return time.time() + self.set_by_s

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def given_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """APScheduler reads it as well."""
        wall = self

        class Told(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + timedelta(seconds=wall.set_by_s)

        for module in ("schedulers.base", "triggers.interval"):
            monkeypatch.setattr(f"apscheduler.{module}.datetime", Told)


def left_s(jobs: SlowJobs, wall: Wall) -> float:
    """Until ``refresh`` is due, by the scheduler's own reckoning."""
    return float(jobs._scheduler.get_job("refresh").next_run_time.timestamp()) - wall.now_s()


@pytest.mark.parametrize("step_s", [-3_600.0, -86_400.0, 3_600.0])
@pytest.mark.asyncio
async def test_job__when_the_wall_clock_is_set__then_it_is_due_again_within_seconds(
    monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    wall = Wall()
    wall.given_to(monkeypatch)
    jobs = SlowJobs({"oracle": 0.05}, clock=wall)
    jobs.start()
    assert await asyncio.wait_for(jobs.next(), 60) == "oracle"
    wall.set_by_s = step_s
    for _ in range(3):
        assert await asyncio.wait_for(jobs.next(), 10) == "oracle"
    jobs.stop()


@pytest.mark.parametrize("step_s", [-1_800.0, 1_800.0])
@pytest.mark.asyncio
async def test_job__when_the_wall_clock_is_set__then_a_long_one_is_due_no_sooner_and_no_later(
    monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    wall = Wall()
    wall.given_to(monkeypatch)
    jobs = SlowJobs({"oracle": 0.05, "refresh": 3_600.0}, clock=wall)
    jobs.start()
    before_s = left_s(jobs, wall)
    wall.set_by_s = step_s
    for _ in range(3):
        assert await asyncio.wait_for(jobs.next(), 10) == "oracle"
    assert before_s - 30 < left_s(jobs, wall) < before_s + 1
    jobs.stop()


@pytest.mark.asyncio
async def test_job__when_the_wall_clock_was_set_back_before_the_start__then_it_is_due_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wall = Wall()
    wall.given_to(monkeypatch)
    jobs = SlowJobs({"oracle": 0.05}, clock=wall)
    wall.set_by_s = -3_600.0
    jobs.start()
    assert await asyncio.wait_for(jobs.next(), 10) == "oracle"
    jobs.stop()
