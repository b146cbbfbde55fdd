"""The page's process: hears the daemon on stdin, serves what it heard, and ends when the daemon does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from keeper.clock import SystemClock
from keeper.daemon.paging.board import Board
from keeper.daemon.paging.story import Story
from keeper.notify.page.fanout import Fanout

LINE_MAX = 16 * 1024 * 1024
BEAT_S = 2.0
"""Viewers are told how old everything is this often, also when the daemon is silent."""
PLANS_S = 5.0
ANSWER_S = 5.0
DATA_MAX = 1024**3
"""A page that needs more memory ends, before it takes the daemon's."""
NICE = 5
OOM_SCORE = b"500"


class Desk:
    """``keeper.notify.page.serving.Desk`` over what the daemon tells."""

    def __init__(self, board: Board, story: Story) -> None:
        self.fanout = Fanout()
        self._board = board
        self._story = story
        self._clock = SystemClock()
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Mapping[str, Any]]] = {}

    def told(self) -> Mapping[str, Any]:
        """``Board.told`` at this moment."""
        return self._board.told(self._clock.now_s())

    def positions(self) -> Mapping[str, Any]:
        """``Board.positions``."""
        return self._board.positions()

    async def position(self, id: str) -> Mapping[str, Any] | None:
        """What is known of one position, here and in the journal."""
        found = self._board.position(id)
        return None if found is None else {**found, "story": await self._story.of(id)}

    async def surface(self, id: str, x: str, y: str) -> Mapping[str, Any] | None:
        """``Board.surface``."""
        return self._board.surface(id, x, y)

    async def acknowledge(self, why: str) -> Mapping[str, Any]:
        """The daemon's answer."""
        n = next(self._numbers)
        asked: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[n] = asked
        try:
            _say({"kind": "ack", "n": n, "why": why[:200]})
            async with asyncio.timeout(ANSWER_S):
                return await asked
        except TimeoutError:
            return {"ok": False, "why": "the daemon did not answer"}
        finally:
            del self._asked[n]

    def hear(self, message: Mapping[str, Any]) -> None:
        """One word of the daemon's, and who must know of it."""
        if message["kind"] == "answer":
            asked = self._asked.get(message["n"])
            if asked is not None and not asked.done():
                asked.set_result({"ok": message.get("ok") is True, "why": str(message.get("why") or "")})
            return
        if self._board.hear(message, self._clock.now_s()):
            self.fanout.publish("positions", orjson.dumps(self.positions()))
        if message["kind"] == "state":
            self.beat()

    def beat(self) -> None:
        """Tell everybody how things stand and how old that is."""
        self.fanout.publish("state", orjson.dumps(self.told()))

    async def keep_beating(self) -> None:
        """For ever: a daemon that is silent must not look like one that is well."""
        while True:
            await asyncio.sleep(BEAT_S)
            silent_s = self._board.silent_s(self._clock.now_s())
            if silent_s is None or silent_s >= BEAT_S:
                self.beat()

    async def keep_plans(self) -> None:
        """The newest plans, for as long as somebody looks."""
        while True:
            if len(self.fanout):
                self.fanout.publish("plans", orjson.dumps(await self._story.plans()))
            await asyncio.sleep(PLANS_S if len(self.fanout) else 0.5)


def main() -> int:
    """Until stdin ends."""
    _be_small()
    return asyncio.run(_serve())


async def _serve() -> int:
    reader = asyncio.StreamReader(limit=LINE_MAX)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    setup = orjson.loads(await reader.readline())
    try:
        from keeper.notify.page.serving import Place, served
    except ImportError as e:
        _say({"kind": "failed", "why": f"{e.name} is not installed: install keeper[page]"})
        return 1
    place = Place(host=setup["host"], port=setup["port"], hosts=tuple(setup["hosts"]), token=setup["token"])
    story = Story(Path(setup["journal"]))
    desk = Desk(Board(setup["version"], setup["mode"], setup["ladder_pct"]), story)
    try:
        async with served(place, desk, SystemClock()) as port:
            _say({"kind": "listening", "port": port})
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(desk.keep_beating()), group.create_task(desk.keep_plans())]
                while line := await reader.readline():
                    desk.hear(orjson.loads(line))
                for task in beside:
                    task.cancel()
    except OSError as e:
        _say({"kind": "failed", "why": f"{place.host}:{place.port} cannot be served: {e.strerror or e}"})
        return 1
    finally:
        story.close()
    return 0


def _say(message: Mapping[str, object]) -> None:
    """A short line; a pipe takes it at once, or the daemon does not read and is not there to be asked."""
    with contextlib.suppress(BlockingIOError):
        os.write(1, orjson.dumps(message) + b"\n")


def _be_small() -> None:
    """After the daemon in everything: processor, memory, and first when memory runs out. Where allowed."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (DATA_MAX, DATA_MAX))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(OOM_SCORE)


if __name__ == "__main__":
    sys.exit(main())
