"""An event loop whose time is simulated: a sleep costs nothing, and the same seed gives the same order."""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any

DUE_S = 1e-6
"""A timer is due when its time has come to the microsecond, so that float rounding never spins."""
_TASKS_MAX = 512


class Deadlock(Exception):
    """Nothing is ready and nothing is scheduled: the code under test waits for ever."""


class _NoSelector(selectors.BaseSelector):
    """Nothing outside ever becomes ready."""

    def __init__(self) -> None:
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, fd, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop over simulated seconds: whoever would have slept moves the time instead."""

    _scheduled: list[asyncio.TimerHandle]
    _ready: Any

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        self.tasks: list[asyncio.Task[Any]] = []
        """Every task that may not be done; asyncio's own list is of the whole process."""
        super().__init__(_NoSelector())

    def time(self) -> float:
        """Simulated seconds."""
        return self.now_s

    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """As asyncio does, and remembered."""
        made: asyncio.Task[Any] = asyncio.Task(coro, loop=self, context=context)
        if len(self.tasks) > _TASKS_MAX:
            self.tasks = self.undone()
        self.tasks.append(made)
        return made

    def undone(self) -> list[asyncio.Task[Any]]:
        """The tasks that are not done."""
        return [t for t in self.tasks if not t.done()]

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio does, without its checks for threads and slow callbacks."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _run_once(self) -> None:
        """One turn: the due timers, in order, behind what is ready. Raises Deadlock."""
        scheduled, ready = self._scheduled, self._ready
        while scheduled and scheduled[0].cancelled():
            heapq.heappop(scheduled)
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            if not scheduled:
                raise Deadlock
            self.now_s = max(self.now_s, scheduled[0].when())
        due_s = self.now_s + DUE_S
        while scheduled and scheduled[0].when() < due_s:
            ready.append(heapq.heappop(scheduled))
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()


class VirtualClock:
    """The Clock seam over whichever virtual loop runs now."""

    def now_s(self) -> float:
        """Simulated seconds, which are the chain's own."""
        return asyncio.get_running_loop().time()

    def monotonic_s(self) -> float:
        """The same."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Until then."""
        await asyncio.sleep(seconds)
