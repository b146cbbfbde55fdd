"""One message to many viewers: each has a place for the newest of a kind, so a slow one skips, and none waits."""

from __future__ import annotations

import asyncio

VIEWERS_MAX = 64


class Viewer:
    """What one viewer has not read yet: at most one message of each kind."""

    def __init__(self) -> None:
        self._waiting: dict[str, bytes] = {}
        self._there = asyncio.Event()

    def put(self, kind: str, data: bytes) -> None:
        """The newest of its kind; what it replaces was never read."""
        self._waiting[kind] = data
        self._there.set()

    async def take(self) -> bytes:
        """The next message, oldest kind first."""
        await self._there.wait()
        kind = next(iter(self._waiting))
        data = self._waiting.pop(kind)
        if not self._waiting:
            self._there.clear()
        return data


class Fanout:
    """Every viewer of one page."""

    def __init__(self, viewers_max: int = VIEWERS_MAX) -> None:
        self._viewers_max = viewers_max
        self._viewers: set[Viewer] = set()
        self._last: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._viewers)

    def join(self) -> Viewer | None:
        """A new viewer, who finds the newest of each kind waiting; None when there are too many."""
        if len(self._viewers) >= self._viewers_max:
            return None
        viewer = Viewer()
        for kind, data in self._last.items():
            viewer.put(kind, data)
        self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Nothing is kept for it any more; safe to call twice."""
        self._viewers.discard(viewer)

    def publish(self, kind: str, body: bytes) -> None:
        """To everybody, without waiting for anybody; ``body`` is one line."""
        data = b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"
        self._last[kind] = data
        for viewer in self._viewers:
            viewer.put(kind, data)

    def newest(self, kind: str) -> bytes | None:
        """The body published last of that kind."""
        data = self._last.get(kind)
        return None if data is None else data.split(b"data: ", 1)[1][:-2]
