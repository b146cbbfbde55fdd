"""Time as a parameter: the only two clocks of the project."""

import asyncio
import time


class SystemClock:
    """Wall time for records, monotonic time for deadlines."""

    def now_s(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def monotonic_s(self) -> float:
        """Seconds on a clock that never jumps."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Yield to the loop for ``seconds``."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that a test or a replay moves by hand."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        """The time last set."""
        return self._now_s

    def monotonic_s(self) -> float:
        """The same time, which only ``advance`` moves."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Move forward by ``seconds`` (never back)."""
        if seconds < 0:
            raise ValueError(f"seconds={seconds}: a clock does not go back")
        self._now_s += seconds

    async def sleep(self, seconds: float) -> None:
        """Advance at once and let other tasks run."""
        self.advance(seconds)
        await asyncio.sleep(0)
