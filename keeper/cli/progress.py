"""A bar on stderr for work that takes longer than a person waits without one; only on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

AFTER_S = 2.0
"""Work that is done by then shows nothing."""


@contextmanager
def bar(
    total: int, what: str, clock_s: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int], None]]:
    """Yields ``advance(n)``; the bar appears at the first call after ``AFTER_S`` and is gone at the end."""
    begun_s = clock_s()
    done = 0
    shown: list[tuple[Progress, TaskID]] = []
    with ExitStack() as stack:

        def advance(n: int) -> None:
            nonlocal done
            done += n
            if not shown and sys.stderr.isatty() and clock_s() - begun_s >= AFTER_S and done < total:
                shown.append(stack.enter_context(_shown(total, what)))
            for progress, task in shown:
                progress.update(task, completed=done)

        yield advance


@contextmanager
def _shown(total: int, what: str) -> Iterator[tuple[Progress, TaskID]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield progress, progress.add_task(what, total=total)
