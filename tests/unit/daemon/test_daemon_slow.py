"""A slow job that hangs or never ends well delays no other lane, and does not look calm."""

from __future__ import annotations

import asyncio

import pytest

from keeper.clock import ManualClock
from keeper.daemon import chores, slow
from keeper.daemon.slow import LANES, Slow
from keeper.errors import Transient
from keeper.schedule import SlowJobs
from keeper.seams import Severity
from tests.virtual_time import virtual

pytestmark = pytest.mark.unit


class Bell:
    def __init__(self) -> None:
        self.rung: dict[tuple[str, str], tuple[Severity, str]] = {}

    def raise_alarm(self, severity: Severity, code: str, subject: str, why: str) -> None:
        self.rung[code, subject] = severity, why

    def clear(self, code: str, subject: str) -> None:
        self.rung.pop((code, subject), None)


class Work:
    """Governance never ends; ``failing`` jobs raise; the rest is written down."""

    def __init__(self) -> None:
        self.jobs = SlowJobs(chores.EVERY_S)
        self.clock = ManualClock(now_s=1_000.0)
        self.bell = Bell()
        self.failing: dict[str, Exception] = {}
        self.done: list[str] = []

    async def do(self, job: str) -> None:
        if job == "governance":
            await asyncio.Event().wait()
        if job in self.failing:
            raise self.failing[job]
        self.done.append(job)

    async def __aenter__(self) -> Work:
        self._task = asyncio.create_task(Slow("c", self.jobs, self.clock, self.bell).run(self.do))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def ask(self, *names: str) -> None:
        self.jobs.ask(*names)
        await asyncio.sleep(0.02)


def test_lanes__every_job__then_it_has_exactly_one() -> None:
    assert sorted(j for lane in LANES for j in lane) == sorted(chores.EVERY_S)


@virtual
async def test_slow__when_governance_hangs__then_the_oracle_look_and_the_urgent_reload_do_not_wait() -> None:
    async with Work() as work:
        await work.ask("governance", "oracle", "refresh", "oracle")
        assert work.done == ["oracle", "refresh"]
        await work.ask("oracle")
        assert work.done[-1] == "oracle"


@virtual
async def test_slow__when_a_job_hangs_or_fails_for_long__then_its_age_is_an_alarm_until_it_ends_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slow, "DEADLINE_ELSE_S", 0.001)
    async with Work() as work:
        work.failing["oracle"] = Transient("nobody answers")
        await work.ask("oracle", "governance")
        assert not work.bell.rung
        work.clock.advance(361.0)
        await work.ask("oracle", "governance")
        assert work.bell.rung.keys() == {("slow_job", "c oracle"), ("slow_job", "c governance")}
        severity, why = work.bell.rung["slow_job", "c oracle"]
        assert (severity, "361 s" in why, "nobody answers" in why) == (Severity.WARNING, True, True)
        del work.failing["oracle"]
        await work.ask("oracle")
        assert work.bell.rung.keys() == {("slow_job", "c governance")}


@virtual
async def test_slow__when_a_job_breaks__then_it_is_critical_at_once_and_its_lane_goes_on() -> None:
    async with Work() as work:
        work.failing["refresh"] = ValueError("x")
        await work.ask("refresh", "executors")
        assert work.bell.rung["slow_job", "c refresh"][0] is Severity.CRITICAL
        assert work.done == ["executors"]
