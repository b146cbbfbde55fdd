"""The journal's part of the page: read-only, a bounded look at a time, on a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from keeper.cli.explain import story_lines
from keeper.daemon.planned import plan_row
from keeper.errors import KeeperError
from keeper.journal.read import Reader
from keeper.model import Entry, PositionId

ENTRIES_MAX = 400
INTENTS_MAX = 20
LINES_MAX = 120
PLANS_MAX = 15
WAIT_S = 5.0
MARKS = frozenset({"level", "plan", "outcome", "refusal"})
T = TypeVar("T")


class Story:
    """Why what was done was done, in the words of ``keeper explain``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: Reader | None = None
        # SQLite connections belong to one thread
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    def close(self) -> None:
        """Nothing is asked any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def of(self, id: str) -> dict[str, object]:
        """One position: its story, newest last; its marks and healths in time; its plans."""
        try:
            position = PositionId.parse(id)
        except ValueError:
            return {"lines": [], "marks": [], "healths": [], "why": ""}
        return await self._ask(
            lambda reader: _story(reader, position), {"lines": [], "marks": [], "healths": []}
        )

    async def plans(self) -> dict[str, object]:
        """The newest plans of all positions, newest first."""
        return await self._ask(
            lambda reader: {"plans": [plan_row(i) for i in reader.intents(limit=PLANS_MAX)[::-1]]},
            {"plans": []},
        )

    async def _ask(
        self, question: Callable[[Reader], dict[str, object]], nothing: dict[str, object]
    ) -> dict[str, object]:
        """The answer; where the journal cannot be read, nothing and why."""
        try:
            async with asyncio.timeout(WAIT_S):
                loop = asyncio.get_running_loop()
                return {**await loop.run_in_executor(self._thread, self._answer, question), "why": ""}
        except KeeperError as e:
            return {**nothing, "why": f"the journal cannot be read: {e}"}
        except TimeoutError:
            return {**nothing, "why": f"the journal did not answer within {WAIT_S:.0f} s"}

    def _answer(self, question: Callable[[Reader], T]) -> T:
        if self._reader is None:
            self._reader = Reader.open(self._path)
        try:
            return question(self._reader)
        except KeeperError:
            # moved away, or brought forward meanwhile: opened anew next time
            self._reader.close()
            self._reader = None
            raise


def _story(reader: Reader, id: PositionId) -> dict[str, object]:
    entries = list(reader.entries(subject=str(id), limit=ENTRIES_MAX, newest=True))
    intents = reader.intents(id, limit=INTENTS_MAX)
    for intent in intents[-3:]:
        entries += reader.entries(subject=str(intent.key), limit=ENTRIES_MAX // 4, newest=True)
    told = tuple(sorted(entries, key=lambda e: e.id))
    return {
        "lines": story_lines(told, intents)[-LINES_MAX:],
        "marks": [{"at_s": e.at_s, "kind": e.kind, "why": e.why} for e in told if e.kind in MARKS][-40:],
        "healths": [point for e in told if (point := _health(e)) is not None],
    }


def _health(entry: Entry) -> tuple[float, float] | None:
    """(time, health) of a decision: what the journal itself knows of the time before the page started."""
    wad = entry.data.get("health_wad")
    if entry.kind != "decision" or not isinstance(wad, str) or not wad.isdecimal():
        return None
    return entry.at_s, int(wad) / 1e18
