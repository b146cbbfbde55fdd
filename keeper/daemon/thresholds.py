"""What each position's liquidation thresholds were when it was read last: across unread blocks, and restarts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from keeper.errors import Broken
from keeper.model import Entry, PositionId, Snapshot
from keeper.oracle import drift
from keeper.oracle.drift import Was

KIND = "thresholds"
ENTRIES_MAX = 20_000
AGAIN_S = 7 * 86_400
"""Written again so often although nothing changed: the diary forgets after a month."""


class Diary(Protocol):
    """The journal, as far as it is needed here."""

    def entries(
        self, kind: str | None = None, subject: str | None = None, *, limit: int = 1000, newest: bool = False
    ) -> tuple[Entry, ...]: ...

    def record_all(self, entries: Iterable[Entry]) -> tuple[int, ...]: ...


class Thresholds:
    """Remembers each readable position, and writes down what changed."""

    def __init__(self, chain_id: int, diary: Diary | None) -> None:
        self._chain_id = chain_id
        self._diary = diary
        self._was: dict[PositionId, Was] = {}
        self._told: dict[str, Was] | None = None
        """By subject, what the diary knew at the start; None before it was asked."""
        self._written: dict[PositionId, tuple[Was, int]] = {}
        """(what, at which block time) the diary has."""

    def of(self, snapshot: Snapshot) -> Mapping[PositionId, Was]:
        """Each position of ``snapshot`` as when it was read last; one of which nothing is known is not in it."""
        if self._told is None:
            rows = (
                self._diary.entries(KIND, limit=ENTRIES_MAX, newest=True) if self._diary is not None else ()
            )
            read = ((e.subject, _read(e.data)) for e in rows)
            self._told = {subject: was for subject, was in read if was is not None}
        if self._told:
            # one that cannot be read yet is compared once it can
            for p in snapshot.positions:
                if p.id not in self._was and (found := self._told.pop(str(p.id), None)) is not None:
                    self._was[p.id] = found
        return self._was

    def keep(self, snapshot: Snapshot) -> None:
        """What the next look compares with; to be told once what was found has been said."""
        at_s = snapshot.block.timestamp_s
        rows: dict[PositionId, Entry] = {}
        for position in snapshot.positions:
            now = self._was[position.id] = drift.was(position, self._was.get(position.id))
            written, then_s = self._written.get(position.id, (None, 0))
            if self._diary is None or (now == written and at_s - then_s < AGAIN_S):
                continue
            data = {"mode": now.mode, "thresholds": {f: str(t) for f, t in now.thresholds.items()}}
            rows[position.id] = Entry(
                kind=KIND,
                chain_id=self._chain_id,
                block_number=snapshot.block.number,
                subject=str(position.id),
                why="as read",
                data=data,
            )
        if self._diary is None or not rows:
            return
        try:
            self._diary.record_all(rows.values())
        except Broken:
            # a disk that cannot be written is an alarm of its own; the next look tries again
            return
        self._written |= {id: (self._was[id], at_s) for id in rows}


def _read(data: Mapping[str, object]) -> Was | None:
    mode, thresholds = data.get("mode"), data.get("thresholds")
    if not isinstance(mode, str) or not isinstance(thresholds, Mapping):
        return None
    return Was(thresholds={str(f): int(t) for f, t in thresholds.items() if str(t).isdecimal()}, mode=mode)
