"""How a command ends: one clear message on stderr and the exit code that says what must happen next."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import typer

from keeper.errors import (
    EXIT_BROKEN,
    EXIT_CONFIG,
    EXIT_FINDINGS,
    EXIT_UNREACHABLE,
    Broken,
    ConfigError,
    KeeperError,
    Transient,
)

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""
FILES = (".csv", ".csv.gz", ".parquet", ".json", ".jsonl", ".toml")
"""Endings of the files that people give beside a configuration."""
T = TypeVar("T")


def exit_code_of(error: BaseException) -> int:
    """Say ``error`` on stderr and return the exit code that stands for it."""
    error = _first(error)
    if isinstance(error, ConfigError):
        n = len(error.problems)
        say(error.problems[0] if n == 1 else f"{n} problems in {_file(error.problems)}:")
        for problem in error.problems if n > 1 else ():
            say(f"  {problem}", prefix="")
        return EXIT_CONFIG
    if isinstance(error, Transient):
        say(f"{error}")
        return EXIT_UNREACHABLE
    if isinstance(error, Broken):
        say(f"an invariant failed: {error}")
        return EXIT_BROKEN
    if isinstance(error, KeeperError):
        say(f"{error}")
        return EXIT_FINDINGS
    text = " ".join(str(error).split())
    say(f"unexpected {type(error).__name__}: {text or 'no message'}; run with --debug for the traceback")
    return EXIT_BROKEN


def _file(problems: tuple[str, ...]) -> str:
    """The file that every problem begins with, else the configuration, whose problems name keys."""
    first = problems[0].partition(": ")[0]
    same = first.endswith(FILES) and all(p.startswith(f"{first}: ") for p in problems)
    return first if same else "the configuration"


def say(message: str, *, prefix: str = "keeper: ") -> None:
    """One line for a person on stderr, with anything that could be a secret masked."""
    with contextlib.suppress(BrokenPipeError):
        print(prefix + _masked(message), file=sys.stderr)


def drive(work: Coroutine[Any, Any, T], run: Callable[[Coroutine[Any, Any, T]], T] = asyncio.run) -> T:
    """Run an async body to its end on ``run``'s event loop; Ctrl-C ends the command with 130."""
    try:
        return run(work)
    except KeyboardInterrupt:
        say("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def usage(argument: str, problem: str) -> typer.BadParameter:
    """A wrong argument: the message names it, exit code 2."""
    return typer.BadParameter(_masked(problem), param_hint=f"'{argument}'")


def _masked(text: str) -> str:
    # here, because the configuration's records cost --help a third of its time
    from keeper.config.wording import masked

    return masked(text)


def _first(error: BaseException) -> BaseException:
    """The first of ours inside an exception group (a TaskGroup wraps what its tasks raise)."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_first(e) for e in error.exceptions]
    return next((e for e in leaves if isinstance(e, KeeperError)), leaves[0])
