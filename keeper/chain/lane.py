"""One endpoint's queue: a single dispatcher decides who may ask next.

``asyncio_throttle`` polls in every waiter (300 waiters burn 25 % of a core), keeps no order and knows no
weights. So exactly one task waits on it, and picks the most urgent request only when a token is in hand: a
rescue never stands behind a page of history. A request that finds nobody waiting and a token free has no need
of that task.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Coroutine
from dataclasses import dataclass, field

from asyncio_throttle.throttler import Throttler

from keeper.errors import Transient
from keeper.seams import Clock, Priority

WAITING_MAX = 1024
"""More than a tick can need; beyond it the least urgent request is shed."""
RATE_SHARE = 0.9
"""Share of the plan's rate that is used: jitter moves requests across the provider's window."""
RETRY_INTERVAL_S = 0.005
PENALTY_S = 1.0
"""Pause after a rate limit that does not say how long; doubled while they follow each other."""
PENALTY_S_MAX = 30.0
PENALTY_MEMORY_S = 60.0
"""A rate limit this long after the last one starts again from the shortest pause."""


@dataclass(slots=True, order=True)
class _Waiting:
    priority: int
    number: int
    weight: int = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)


class Lane:
    """Turns at one endpoint, by priority and then first come first served. Built inside the running loop."""

    def __init__(self, name: str, rate_per_s: float, concurrency: int, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        share = rate_per_s * RATE_SHARE
        whole, period_s = (int(share), 1.0) if share >= 1 else (1, 1.0 / share)
        self._throttler = Throttler(whole, period_s, RETRY_INTERVAL_S)
        self._weight_max = whole
        self._free = concurrency
        self._held = 0
        """Tokens in hand for whoever is most urgent when they are enough; below zero: owed."""
        self._queue: list[_Waiting] = []
        self._numbers = itertools.count()
        self._wake = asyncio.Event()
        self._paused_until_s = 0.0
        self._paused_at_s = float("-inf")
        self._pause_s = 0.0
        self._task = asyncio.create_task(self._dispatch(), name=f"lane {name}")

    @property
    def waiting(self) -> int:
        """Requests that have no turn yet."""
        return len(self._queue)

    @property
    def paused_s(self) -> float:
        """Seconds for which ordinary requests are still held back after a rate limit."""
        return max(0.0, self._paused_until_s - self._clock.monotonic_s())

    async def acquire(self, priority: Priority, weight: int = 1) -> None:
        """Wait for a turn; pair it with ``release``. Raises Transient when the queue is full."""
        if self._task.done():
            raise Transient(f"{self.name}: lane is closed")
        weight = min(max(1, weight), self._weight_max)
        if weight == 1 and self._at_once(priority):
            return
        self._make_room(priority)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = _Waiting(int(priority), next(self._numbers), weight, turn)
        heapq.heappush(self._queue, entry)
        self._wake.set()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release(priority)
            elif entry in self._queue:
                self._queue.remove(entry)
                heapq.heapify(self._queue)
            raise

    def release(self, priority: Priority) -> None:
        """Give a turn back."""
        if priority != Priority.SEND:
            self._free += 1
            if self._queue:
                self._wake.set()

    def owe(self) -> None:
        """Count a request that was made outside the lane: the next turn costs one token more."""
        self._held -= 1

    def penalise(self, retry_after_s: float | None) -> float:
        """Hold ordinary requests back after a rate limit; returns for how many seconds."""
        now_s = self._clock.monotonic_s()
        if retry_after_s is None and now_s < self._paused_until_s:
            # the same burst hit the limit several times: one offence
            return self._paused_until_s - now_s
        again = now_s - self._paused_at_s < PENALTY_MEMORY_S
        self._pause_s = min(self._pause_s * 2, PENALTY_S_MAX) if again and self._pause_s else PENALTY_S
        self._paused_at_s = now_s
        pause_s = self._pause_s if retry_after_s is None else retry_after_s
        self._paused_until_s = max(self._paused_until_s, now_s + pause_s)
        return pause_s

    async def close(self) -> None:
        """Stop the dispatcher; whoever waits gets Transient."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for entry in self._queue:
            if not entry.turn.done():
                entry.turn.set_exception(Transient(f"{self.name}: lane is closed"))
        self._queue.clear()

    def _at_once(self, priority: Priority) -> bool:
        """Take a turn now, if nobody waits, no rule holds it back and the rate has a token free."""
        if self._queue or self._held:
            return False
        if priority != Priority.SEND and (self._free <= 0 or self.paused_s > 0):
            return False
        token = self._throttler.acquire()  # type: ignore[no-untyped-call]
        try:
            token.send(None)
        except StopIteration:
            if priority != Priority.SEND:
                self._free -= 1
            return True
        # it would have to wait: that is the dispatcher's business
        token.close()
        return False

    def _make_room(self, priority: Priority) -> None:
        if len(self._queue) < WAITING_MAX:
            return
        worst = max(self._queue)
        if worst.priority <= int(priority):
            raise Transient(f"{self.name}: {WAITING_MAX} requests wait already")
        self._queue.remove(worst)
        heapq.heapify(self._queue)
        if not worst.turn.done():
            worst.turn.set_exception(Transient(f"{self.name}: shed for a more urgent request"))

    def _may_go(self) -> bool:
        """Whether the most urgent request could go, but for the rate.

        A SEND needs no free slot and ignores the pause: one refused broadcast costs nothing, one that waited
        behind hanging reads or a provider's displeasure costs the position.
        """
        if not self._queue:
            return False
        if self._queue[0].priority == Priority.SEND:
            return True
        return self._free > 0 and self.paused_s <= 0

    async def _dispatch(self) -> None:
        while True:
            self._wake.clear()
            self._held = self._held if self._queue else min(0, self._held)
            if not self._may_go():
                await self._until_something_changes()
            elif self._held < self._queue[0].weight:
                # one token at a time: whoever is most urgent when enough are in hand gets them
                got = await self._token(interruptible=self._held > 0)
                # not in one step: a debt may have come while it waited
                self._held += got
            else:
                entry = heapq.heappop(self._queue)
                if entry.turn.done():
                    continue
                self._held -= entry.weight
                if entry.priority != Priority.SEND:
                    self._free -= 1
                entry.turn.set_result(None)

    async def _token(self, *, interruptible: bool) -> int:
        """One token of the rate, or none when something changed while tokens in hand could serve it."""
        token = self._throttler.acquire()  # type: ignore[no-untyped-call]
        if not interruptible:
            await token
            return 1
        return 1 if await self._unless_woken(token) else 0

    async def _until_something_changes(self) -> None:
        pause_s = self.paused_s
        if not self._queue or pause_s <= 0:
            await self._wake.wait()
        else:
            await self._unless_woken(self._clock.sleep(pause_s))

    async def _unless_woken(self, wait: Coroutine[object, object, None]) -> bool:
        """Whether ``wait`` ended before the queue changed; it is cancelled when the queue was first."""
        waited, woken = asyncio.ensure_future(wait), asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({waited, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (waited, woken):
                task.cancel()
            await asyncio.gather(waited, woken, return_exceptions=True)
        return not waited.cancelled()
