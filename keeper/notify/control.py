"""The control socket: one JSON line asked, one JSON line answered, over a unix socket of mode 0600."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from keeper.errors import Held, KeeperError, Transient, unopened

Handler = Callable[[dict[str, object]], Awaitable[dict[str, object]]]
LINE_MAX = 64 * 1024
ANSWER_MAX = 16 * 1024 * 1024
"""A thousand positions are told in 0.4 MB; cut off they would read as "no daemon answers"."""


async def serve(path: Path, handler: Handler) -> asyncio.Server:
    """Listen at ``path``; the stale socket of a dead daemon is replaced, that of a living one never.

    Raises Held when another daemon (a dry-run beside a live one) listens there, ConfigError when no socket can be at
    that place, Unwritable when its disk takes none now.
    """

    async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(10):
                writer.write(json.dumps(await _answer(reader, handler)).encode() + b"\n")
                await writer.drain()
        writer.close()

    if await _listens(path):
        raise Held((f"{path}: another keeper answers here; stop it, or give this one its own state_dir",))
    old = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return await asyncio.start_unix_server(on_client, path=str(path), limit=LINE_MAX)
    except OSError as e:
        raise unopened(e, f"state_dir: the control socket {path} cannot be made: {e}") from e
    finally:
        os.umask(old)


async def _listens(path: Path) -> bool:
    """Whether a living process accepts connections at ``path``; one that hangs still does."""
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return False
    writer.close()
    return True


async def _answer(reader: asyncio.StreamReader, handler: Handler) -> dict[str, object]:
    try:
        request = json.loads(await reader.readline())
    except ValueError:
        return {"ok": False, "why": "the request is not one line of JSON"}
    if not isinstance(request, dict):
        return {"ok": False, "why": "the request is not a JSON object"}
    # a dropped connection would read as "no daemon runs", and somebody would start a second one
    return await answered(request, handler)


async def answered(request: dict[str, object], handler: Handler) -> dict[str, object]:
    """What ``handler`` answers, or why it could not: a disk that takes nothing is no end of whoever passes it on."""
    try:
        return await handler(request)
    except KeeperError as e:
        return {"ok": False, "why": str(e) or type(e).__name__}


async def ask(path: Path, request: dict[str, object], *, timeout_s: float = 10.0) -> dict[str, object]:
    """Send one request to the daemon. Raises Transient when no daemon answers at ``path``."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=ANSWER_MAX)
            try:
                writer.write(json.dumps(request).encode() + b"\n")
                await writer.drain()
                answer = json.loads(await reader.readline())
            finally:
                writer.close()
    except (OSError, ValueError, TimeoutError) as e:
        raise Transient(f"no daemon answers at {path}: is `keeper run` running with this config?") from e
    if not isinstance(answer, dict):
        raise Transient(f"the daemon at {path} answered {type(answer).__name__}, not an object")
    return answer
