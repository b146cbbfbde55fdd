"""The event loop that a daemon runs on: libuv's, by uvloop.

A rescue is some hundred wake-ups of the loop between a head and a broadcast; docs/decisions/event-loop.md has what it
gains.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """``asyncio.run`` on that loop."""
    # libuv would open a ring for files, which nothing here reads through the loop: less of the kernel to trust
    os.environ.setdefault("UV_USE_IO_URING", "0")
    # here, because every command's --help would wait for it
    import uvloop

    return uvloop.run(work, debug=debug)
