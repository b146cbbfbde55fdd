"""Slow jobs: a word on a bounded queue, never work of its own."""

from __future__ import annotations

import asyncio

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
