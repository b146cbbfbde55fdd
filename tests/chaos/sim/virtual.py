"""An event loop whose time is simulated: a sleep costs nothing, and the same seed gives the same order."""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
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


class Turn:
    """A callback in line: as much of ``asyncio.Handle`` as tasks and timeouts use."""

    __slots__ = ("_args", "_callback", "_context", "_loop", "_when", "over")

    def __init__(self, loop: VirtualLoop, when_s: float, callback: Any, args: Any, context: Context) -> None:
        self._loop, self._when, self._context = loop, when_s, context
        self._callback, self._args = callback, args
        self.over = False

    def __lt__(self, other: Turn) -> bool:
        """Of two timers of one moment none is before the other, as with asyncio's own."""
        return False

    def cancel(self) -> None:
        """It will not be called."""
        self.over, self._callback, self._args = True, None, ()

    def cancelled(self) -> bool:
        """Whether it will not be called."""
        return self.over

    def when(self) -> float:
        """The simulated second in which it is due."""
        return self._when

    def run(self) -> None:
        """Its turn has come."""
        try:
            self._context.run(self._callback, *self._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._loop.call_exception_handler(
                {"message": f"callback {self._callback!r} failed", "exception": error}
            )


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop over simulated seconds: whoever would have slept moves the time instead."""

    _ready: Any

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        self.tasks: list[asyncio.Task[Any]] = []
        """Every task that may not be done; asyncio's own list is of the whole process."""
        self._timers: list[tuple[float, Turn]] = []
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

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Turn:
        """As asyncio does, without its checks for threads and slow callbacks."""
        if self._closed:  # type: ignore[attr-defined]
            raise RuntimeError("Event loop is closed")
        turn = Turn(self, self.now_s, callback, args, context or copy_context())
        self._ready.append(turn)
        return turn

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Turn:
        """As asyncio does."""
        if self._closed:  # type: ignore[attr-defined]
            raise RuntimeError("Event loop is closed")
        turn = Turn(self, when, callback, args, context or copy_context())
        heapq.heappush(self._timers, (when, turn))
        return turn

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Turn:
        """As asyncio does."""
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def _run_once(self) -> None:
        """Turn after turn, until it is stopped: the due timers, in order, behind what is ready.

        Raises Deadlock.
        """
        timers, ready, pop = self._timers, self._ready, heapq.heappop
        while True:
            while timers and timers[0][1].over:
                pop(timers)
            if not ready and not self._stopping:  # type: ignore[attr-defined]
                if not timers:
                    raise Deadlock
                self.now_s = max(self.now_s, timers[0][0])
            due_s = self.now_s + DUE_S
            while timers and timers[0][0] < due_s:
                ready.append(pop(timers)[1])
            for _ in range(len(ready)):
                turn = ready.popleft()
                if not turn.over:
                    turn.run()
            if self._stopping:  # type: ignore[attr-defined]
                return


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
