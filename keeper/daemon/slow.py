"""Slow jobs in lanes of their own, each with a deadline: one that hangs holds up no other, and is said by age."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from keeper.daemon.chores import EVERY_S
from keeper.errors import Transient
from keeper.schedule import SlowJobs
from keeper.seams import Alarm, Clock, Severity

LANES = (
    ("oracle",),
    ("refresh", "executors", "prune", "finality"),
    ("governance",),
    ("discover", "capacity"),
    ("second_look",),
)
"""One at a time within a lane; a market that must be loaded anew waits for nobody's logs."""
DEADLINE_S = {"oracle": 20.0, "refresh": 60.0, "executors": 60.0, "second_look": 60.0, "finality": 60.0}
DEADLINE_ELSE_S = 300.0
AGE_S = 90.0
"""So old may the last good end of a job be, or thrice its interval, before its failures are an alarm."""
CODE = "slow_job"
_log = structlog.get_logger("keeper")


class Slow:
    """Does the due jobs of one chain; remembers when each was last done."""

    def __init__(self, chain: str, jobs: SlowJobs, clock: Clock, alarms: Alarm) -> None:
        self._chain = chain
        self._jobs = jobs
        self._clock = clock
        self._alarms = alarms
        self._done_s: dict[str, float] = {}
        """Job -> when it last ended well; at first when it was asked for first."""

    async def run(self, do: Callable[[str], Awaitable[None]]) -> None:
        """For ever; a failure costs that job only."""
        queues = {lane: asyncio.Queue[str]() for lane in LANES}
        waiting: set[str] = set()
        async with asyncio.TaskGroup() as group:
            for queue in queues.values():
                group.create_task(self._lane(queue, waiting, do))
            while True:
                job = await self._jobs.next()
                self._done_s.setdefault(job, self._clock.monotonic_s())
                if job not in waiting:
                    waiting.add(job)
                    queues[next((lane for lane in LANES if job in lane), LANES[-1])].put_nowait(job)

    async def _lane(
        self, queue: asyncio.Queue[str], waiting: set[str], do: Callable[[str], Awaitable[None]]
    ) -> None:
        while True:
            job = await queue.get()
            waiting.discard(job)
            await self._one(job, do)

    async def _one(self, job: str, do: Callable[[str], Awaitable[None]]) -> None:
        within_s, subject = DEADLINE_S.get(job, DEADLINE_ELSE_S), f"{self._chain} {job}"
        try:
            async with asyncio.timeout(within_s):
                await do(job)
        except (Transient, TimeoutError) as e:
            self._late(job, str(e) or f"it took longer than {within_s:.0f} s")
        except Exception as e:  # the supervisor: a job beside the loop must not end the watch
            _log.exception("slow job failed", chain=self._chain, job=job)
            self._alarms.raise_alarm(Severity.CRITICAL, CODE, subject, f"{type(e).__name__}: {e}")
        else:
            self._done_s[job] = self._clock.monotonic_s()
            self._alarms.clear(CODE, subject)

    def _late(self, job: str, why: str) -> None:
        """A failure that passes is a line in the log; a job that never ends well must not look calm."""
        _log.warning("slow job failed", chain=self._chain, job=job, why=why)
        age_s = self._clock.monotonic_s() - self._done_s[job]
        if age_s > max(AGE_S, 3 * EVERY_S.get(job, 0.0)):
            said = f"not done for {age_s:.0f} s: {why}; what it would have said is not known"
            self._alarms.raise_alarm(Severity.WARNING, CODE, f"{self._chain} {job}", said)
