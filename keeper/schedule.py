"""Slow jobs, and only here: APScheduler puts a word on a bounded queue, the daemon does the work.

A job never runs work itself: APScheduler cancels running coroutine jobs at shutdown, and an action must not
be cancelled half way.

APScheduler goes by the wall clock, which people and NTP set: intervals are moved along with it, so that they
run by monotonic time; what is daily keeps to the wall.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from keeper.clock import SystemClock
from keeper.seams import Clock

NONE: Mapping[str, int] = {}
STEP_S = 1.0
"""By so much the wall clock must leave monotonic time before intervals follow it."""
LOOK_S = 5.0
"""The clocks are compared at least this often."""


class _Steady(AsyncIOScheduler):  # type: ignore[misc]  # APScheduler ships no types
    """Keeps the jobs of ``every_s`` where they are in monotonic time before it looks what is due."""

    def __init__(self, every_s: Mapping[str, float], clock: Clock, **options: object) -> None:
        super().__init__(**options)
        self._every_s = every_s
        self._clock = clock
        self._ahead_s = clock.now_s() - clock.monotonic_s()

    def wakeup(self) -> None:
        """Whenever a job is due, or the scheduler was told to look."""
        step_s = self._clock.now_s() - self._clock.monotonic_s() - self._ahead_s
        if abs(step_s) > STEP_S:
            # first: each change wakes the scheduler up again
            self._ahead_s += step_s
            now = datetime.fromtimestamp(self._clock.now_s(), UTC)
            for name, seconds in self._every_s.items():
                due = self.get_job(name).next_run_time + timedelta(seconds=step_s)
                # one that was found due between the step and this look goes by the new time already
                self.modify_job(name, next_run_time=min(due, now + timedelta(seconds=seconds)))
        super().wakeup()


class SlowJobs:
    """Named jobs at fixed intervals; each due job is a word on ``queue`` (dropped while one still waits)."""

    def __init__(
        self,
        every_s: Mapping[str, float],
        daily_minute: Mapping[str, int] = NONE,
        zone: str = "UTC",
        clock: Clock | None = None,
    ) -> None:
        """``every_s``: job name -> interval in seconds; ``daily_minute``: -> minute of the day in ``zone``."""
        self.queue: asyncio.Queue[str] = asyncio.Queue(maxsize=max(1, len(every_s) + len(daily_minute)))
        self._waiting: set[str] = set()
        self._scheduler = _Steady(
            every_s,
            clock or SystemClock(),
            timezone="UTC",
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        self._looking: asyncio.TimerHandle | None = None
        for name, seconds in every_s.items():
            self._scheduler.add_job(self._due, "interval", seconds=seconds, args=[name], id=name)
        for name, minute in daily_minute.items():
            at = {"hour": minute // 60, "minute": minute % 60, "timezone": zone}
            self._scheduler.add_job(self._due, "cron", args=[name], id=name, **at)

    def start(self) -> None:
        """Begin; must be called inside the running loop."""
        self._scheduler.start()
        self._look()

    async def next(self) -> str:
        """The next due job's name."""
        name = await self.queue.get()
        self._waiting.discard(name)
        return name

    def stop(self) -> None:
        """Stop scheduling; what is on the queue stays the daemon's business."""
        if self._looking is not None:
            self._looking.cancel()
        self._scheduler.shutdown(wait=False)

    def ask(self, *names: str) -> None:
        """Make jobs due now."""
        for name in names:
            if name in self._waiting:
                continue
            with contextlib.suppress(asyncio.QueueFull):
                self.queue.put_nowait(name)
                self._waiting.add(name)

    def _look(self) -> None:
        """A step while the scheduler reckoned would otherwise be seen at a time reckoned by the old clock."""
        self._scheduler.wakeup()
        self._looking = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    async def _due(self, name: str) -> None:
        self.ask(name)
