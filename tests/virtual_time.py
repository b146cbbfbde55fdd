"""Seconds that cost nothing and that a busy machine cannot steal, for tests of code without a socket or a thread.

A sleep ends when nothing else is left to run, never because the process was kept from its core meanwhile: what is
said here about half a second holds on every machine.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from tests.chaos.sim.virtual import VirtualClock, VirtualLoop

P = ParamSpec("P")
T = TypeVar("T")
START_S = 1_000.0


def run(work: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``. Raises Deadlock where it would wait for ever."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(START_S)) as runner:
        return runner.run(work)


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Instead of ``pytest.mark.asyncio``: the test runs in simulated seconds."""

    @functools.wraps(test)
    def played(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return played


def now_s() -> float:
    """The simulated second."""
    return asyncio.get_running_loop().time()


__all__ = ["START_S", "VirtualClock", "now_s", "run", "virtual"]
