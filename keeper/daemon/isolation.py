"""One position that breaks our own code must not stop the others: find it, leave it out, say so.

This is the supervisor's net for pure code: whatever is thrown, the rest goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from keeper.errors import KeeperError, Transient

Key = TypeVar("Key")
Result = TypeVar("Result")


def without_culprits(
    run: Callable[[Sequence[Key]], Result], keys: Sequence[Key]
) -> tuple[Result, dict[Key, str]]:
    """``run`` over all ``keys``, or over those that do not make it raise alone; and why each other one does.

    Raises what ``run`` raised when no single key is to blame.
    """
    try:
        return run(keys), {}
    except Exception:  # the supervisor: passed on where nobody alone is to blame
        culprits = {key: why for key in keys if (why := _why(run, key))}
        if not culprits:
            raise
        return run([k for k in keys if k not in culprits]), culprits


async def read_without_culprits(
    run: Callable[[Sequence[Key]], Awaitable[Result]], keys: Sequence[Key]
) -> tuple[Result, dict[Key, str]]:
    """``without_culprits`` for a reading; a network failure is nobody's fault and passes as Transient.

    Finds them by halves, so that one of a thousand costs ten readings.
    """
    try:
        return await run(keys), {}
    except Transient:
        raise
    except Exception as error:
        culprits = await _search(run, keys, error)
        return await run([k for k in keys if k not in culprits]), culprits


async def read_alone(run: Callable[[], Awaitable[Result | None]]) -> Result | None:
    """What ``run`` found, or None where it broke: whoever looks at everybody finds by whose fault. A network
    failure passes as Transient."""
    try:
        return await run()
    except Transient:
        raise
    except Exception:  # the supervisor: the full look finds the culprit and says so
        return None


def alone(run: Callable[[], Result]) -> tuple[Result | None, str]:
    """(result, "") of ``run``, or (None, why it broke)."""
    try:
        return run(), ""
    except Exception as error:
        return None, _words(error)


async def _search(
    run: Callable[[Sequence[Key]], Awaitable[Result]], keys: Sequence[Key], error: Exception
) -> dict[Key, str]:
    """Those of ``keys``, which broke together with ``error``, that break by themselves."""
    if len(keys) <= 1:
        return dict.fromkeys(keys, _words(error))
    found: dict[Key, str] = {}
    for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
        try:
            await run(half)
        except Transient:
            raise
        except Exception as broke:
            found |= await _search(run, half, broke)
    return found


def _why(run: Callable[[Sequence[Key]], object], key: Key) -> str:
    return alone(lambda: run([key]))[1]


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


async def apart(work: Awaitable[None]) -> str:
    """Why a room that no rescue depends on broke; empty where it did not. Errors that we have names for pass."""
    try:
        await work
    except KeeperError:
        raise
    except Exception as e:  # the supervisor: it ends itself, never the watch
        # without frames: one of them may hold a password
        structlog.get_logger("keeper").error("a room beside the watch broke", why=type(e).__name__)
        return f"{type(e).__name__}: {e}"
    return ""


def aside(tell: Callable[[], None]) -> str:
    """Why a notice on which nothing hangs broke; empty where it did not. Errors that we have names for pass."""
    try:
        tell()
    except KeeperError:
        raise
    except Exception as e:  # the supervisor: it ends what was to be said, never the photograph
        structlog.get_logger("keeper").exception("a notice broke")
        return _words(e)
    return ""


async def kept(part: Callable[[], Awaitable[None]], broke: Callable[[str], Awaitable[None]]) -> None:
    """``part`` for ever: whenever it breaks ``broke`` is told why, and it begins anew once that has returned."""
    while True:
        try:
            await part()
        except Exception as e:  # the supervisor: one part of many, which go on meanwhile
            structlog.get_logger("keeper").exception("a part broke")
            await broke(_words(e))
