"""Waiting for what another task, thread or process does in its own time: long, because the machine may be busy.

The limit only ends a test that would hang; how fast something is belongs to a figure, never to a limit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

PATIENCE_S = 90.0
BEAT_S = 0.05


def until(holds: Callable[[], object], within_s: float = PATIENCE_S, every_s: float = 0.05) -> None:
    """Wait for something that a thread or a process does. Raises AssertionError."""
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(every_s)


async def becomes(holds: Callable[[], object], within_s: float = PATIENCE_S) -> None:
    """The same for what a task of this loop does. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 (whoever is waited for knows no event)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def standstill() -> AsyncIterator[Callable[[], float]]:
    """Seconds for which this loop was kept from running since: what a promise in seconds is not to blame for."""
    lost = [0.0]

    async def beat() -> None:
        while True:
            before_s = time.monotonic()
            await asyncio.sleep(BEAT_S)
            lost[0] += max(0.0, time.monotonic() - before_s - 2 * BEAT_S)

    beating = asyncio.create_task(beat())
    try:
        yield lambda: lost[0]
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
