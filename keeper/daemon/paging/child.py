"""The daemon's side of the status page: a process is started, fed, and allowed one thing, to acknowledge.

The page faces a network and holds no key: it is told, down one pipe, and can ask nothing but that alarms be taken as
known, up another. Whatever becomes of it costs the daemon a restart of it and an alarm.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson

import keeper
from keeper.config import Settings
from keeper.daemon.announcing import Announcer
from keeper.daemon.paging import sheet
from keeper.daemon.paging.sheet import Shown
from keeper.daemon.secrecy import exposed
from keeper.seams import Clock, Severity

LOOK_S = 0.25
"""How often the loops are looked at for a new tick."""
BEAT_S = 1.0
"""Everything but the positions is told at least this often: silence means that the daemon is gone."""
TAKES_S_MAX = 10.0
"""A page that takes nothing for so long hangs, and is started anew."""
START_S_MAX = 30.0
STOP_S = 3.0
LINE_MAX = 4096
TOKEN_MIN = 16
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
"""Of the environment; what leads to credentials or to systemd's watchdog is not the page's business."""
MODULE = "keeper.daemon.paging.process"

Acknowledge = Callable[[dict[str, object]], Awaitable[dict[str, object]]]
"""The daemon's own answer to ``{"do": "ack", ...}``."""


class PageFailed(Exception):
    """The page's process could not be started, hangs or has ended."""


class PageChild:
    """The page of one daemon; ``run`` is one life of it."""

    def __init__(
        self, settings: Settings, announcer: Announcer, acknowledge: Acknowledge, clock: Clock
    ) -> None:
        self._settings = settings
        self._announcer = announcer
        self._acknowledge = acknowledge
        self._clock = clock
        self.port = 0
        """Where it listens; 0 while it does not."""

    async def run(self, chains: Callable[[], Sequence[Shown]]) -> None:
        """Start it and feed it until it ends. Raises PageFailed, OSError."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", MODULE),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_MAX,
            env={name: os.environ[name] for name in KEPT if name in os.environ},
        )
        try:
            await self._send(process, self._setup())
            async with asyncio.timeout(START_S_MAX):
                await self._started(process)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed(process, chains))
                group.create_task(self._heed(process))
        except TimeoutError as e:
            raise PageFailed(f"it did not listen within {START_S_MAX:.0f} s") from e
        except BaseExceptionGroup as e:
            raise PageFailed(str(e.exceptions[0])) from e
        finally:
            self.port = 0
            await _end(process)

    def _setup(self) -> dict[str, object]:
        """What it must know; the token travels here, never by environment or argument."""
        page = self._settings.page
        return {
            "host": page.host,
            "port": page.port,
            "hosts": page.hosts,
            "token": self._token(),
            "journal": str(self._settings.journal_path),
            "version": keeper.__version__,
            "mode": self._settings.mode,
            "ladder_pct": self._settings.shocks_pct,
        }

    def _token(self) -> str:
        """What acknowledges; empty where there is none, or none that can be used, which is alarmed."""
        path, alarms = self._settings.page.token_file, self._announcer.alarms
        if path is None:
            return ""
        try:
            token = path.read_text(encoding="ascii").strip()
            why = "" if len(token) >= TOKEN_MIN else f"holds fewer than {TOKEN_MIN} characters"
            why = why or exposed(path)
        except (OSError, ValueError) as e:
            why = (e.strerror or type(e).__name__) if isinstance(e, OSError) else "is not ASCII text"
        if why:
            told = f"page.token_file: {path}: {why}; nothing can be acknowledged on the page"
            alarms.raise_alarm(Severity.WARNING, "page_token", "", told)
            return ""
        alarms.clear("page_token", "")
        return token

    async def _started(self, process: asyncio.subprocess.Process) -> None:
        told = await _heard(process)
        if told.get("kind") != "listening":
            raise PageFailed(str(told.get("why", "it said nothing that is understood")))
        self.port = int(told["port"])
        self._announcer.alarms.clear("page", "")

    async def _feed(self, process: asyncio.subprocess.Process, chains: Callable[[], Sequence[Shown]]) -> None:
        """The positions after each tick, everything else every second."""
        seen: dict[str, tuple[object, object]] = {}
        beaten_s = -BEAT_S
        while True:
            fresh = False
            for watched in chains():
                tick = watched.loop.last if watched.loop is not None else None
                now, before = (tick, watched.blind), seen.get(watched.chain.name)
                if before is None or now[0] is not before[0] or now[1] is not before[1]:
                    seen[watched.chain.name], fresh = now, True
                    await self._positions(process, watched)
            if fresh or self._clock.monotonic_s() - beaten_s >= BEAT_S:
                beaten_s = self._clock.monotonic_s()
                await self._send(process, {"kind": "state", **self._state(chains())})
            await self._clock.sleep(LOOK_S)

    def _state(self, chains: Sequence[Shown]) -> dict[str, object]:
        told = self._announcer
        told.look(chains)
        own = (told.alarms, told.courier)
        ages, loud = told.judged_age_s(chains), told.escalation.unacknowledged
        return sheet.state(self._settings, chains, sheet.moment(self._clock, ages, loud, own))

    async def _positions(self, process: asyncio.subprocess.Process, watched: Shown) -> None:
        """One chain's, a slice at a time; between two slices the loop is free."""
        loop, name = watched.loop, watched.chain.name
        tick = loop.last if loop is not None else None
        feeds = list(sheet.feeds(tick).values())
        head = {"feeds": feeds, "shocks": sheet.shocks(tick), "policies": sheet.policies(loop)}
        await self._send(process, {"kind": "begin", "chain": name, **head})
        for rows in sheet.positions(self._settings, watched):
            await self._send(process, {"kind": "rows", "chain": name, "rows": rows})
            await asyncio.sleep(0)
        block = tick.block.number if tick is not None else None
        await self._send(process, {"kind": "end", "chain": name, "block": block})

    async def _heed(self, process: asyncio.subprocess.Process) -> None:
        """What it asks: acknowledgements, and nothing else whatever it says."""
        while True:
            asked = await _heard(process)
            if asked.get("kind") != "ack":
                raise PageFailed("it asked for what is not its business")
            why = str(asked.get("why") or "")[:200]
            answer = await self._acknowledge({"do": "ack", "actor": "page", "why": why})
            await self._send(process, {"kind": "answer", "n": asked.get("n"), **answer})

    async def _send(self, process: asyncio.subprocess.Process, message: Mapping[str, object]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(orjson.dumps(message) + b"\n")
            async with asyncio.timeout(TAKES_S_MAX):
                await process.stdin.drain()
        except TimeoutError as e:
            raise PageFailed(f"it took nothing for {TAKES_S_MAX:.0f} s") from e
        except (ConnectionError, RuntimeError) as e:
            raise PageFailed("it has ended") from e


async def _heard(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        if not line:
            raise PageFailed("it has ended")
        told = orjson.loads(line)
    except ValueError as e:  # too long a line as well
        raise PageFailed("it said what is no line of JSON") from e
    if not isinstance(told, dict):
        raise PageFailed("it said what is no object")
    return told


async def _end(process: asyncio.subprocess.Process) -> None:
    """It ends when its pipe does; if it does not, it is killed."""
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_S):
            await process.wait()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
