"""An event loop whose time is simulated: a sleep costs nothing, and the same seed gives the same order."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class Deadlock(Exception):
    """Nothing is ready and nothing is scheduled: the code under test waits for ever."""


class _NoSelector(selectors.BaseSelector):
    """Never waits: whoever would have slept moves the loop's own time instead."""

    def __init__(self) -> None:
        self.loop: VirtualLoop | None = None
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, fd, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert self.loop is not None
        if timeout is None:
            raise Deadlock
        if timeout > 0:
            self.loop.now_s += timeout
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop over simulated seconds."""

    def __init__(self, now_s: float) -> None:
        selector = _NoSelector()
        selector.loop = self
        self.now_s = now_s
        super().__init__(selector)
        # a timer is due when its time has come to the microsecond, so that float rounding never spins
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Simulated seconds."""
        return self.now_s


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
