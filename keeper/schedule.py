"""Slow jobs, and only here: APScheduler puts a word on a bounded queue, the daemon does the work.

A job never runs work itself: APScheduler cancels running coroutine jobs at shutdown, and an action must not
be cancelled half way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from apscheduler.schedulers.asyncio import AsyncIOScheduler

NONE: Mapping[str, int] = {}


class SlowJobs:
    """Named jobs at fixed intervals; each due job is a word on ``queue`` (dropped while one still waits)."""

    def __init__(
        self, every_s: Mapping[str, float], daily_minute: Mapping[str, int] = NONE, zone: str = "UTC"
    ) -> None:
        """``every_s``: job name -> interval in seconds; ``daily_minute``: -> minute of the day in ``zone``."""
        self.queue: asyncio.Queue[str] = asyncio.Queue(maxsize=max(1, len(every_s) + len(daily_minute)))
        self._waiting: set[str] = set()
        self._scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        )
        for name, seconds in every_s.items():
            self._scheduler.add_job(self._due, "interval", seconds=seconds, args=[name], id=name)
        for name, minute in daily_minute.items():
            at = {"hour": minute // 60, "minute": minute % 60, "timezone": zone}
            self._scheduler.add_job(self._due, "cron", args=[name], id=name, **at)

    def start(self) -> None:
        """Begin; must be called inside the running loop."""
        self._scheduler.start()

    async def next(self) -> str:
        """The next due job's name."""
        name = await self.queue.get()
        self._waiting.discard(name)
        return name

    def stop(self) -> None:
        """Stop scheduling; what is on the queue stays the daemon's business."""
        self._scheduler.shutdown(wait=False)

    def ask(self, *names: str) -> None:
        """Make jobs due now."""
        for name in names:
            if name in self._waiting:
                continue
            with contextlib.suppress(asyncio.QueueFull):
                self.queue.put_nowait(name)
                self._waiting.add(name)

    async def _due(self, name: str) -> None:
        self.ask(name)
