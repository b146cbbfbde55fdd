"""What decision remembers between two blocks; a frozen record that the journal stores as plain JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keeper.exits import Marks
from keeper.model import Level, PositionId, Pulse


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionMemory:
    """The last judgement of one position."""

    id: PositionId
    level: Level = Level.SAFE
    known_level: Level = Level.SAFE
    """The last level that was not UNKNOWN: hysteresis goes on from here when the position is read again."""
    since_block: int = 0
    """Block at which ``level`` began."""
    last_action_block: int | None = None
    """Block of the last action chosen while armed."""
    last_health_wad: int | None = None
    last_health_block: int | None = None
    marks: Marks = ()
    """The best prices seen of what a trailing stop follows."""
    pulses: tuple[Pulse, ...] = ()
    """How its feeds have moved lately, where its thresholds follow that."""
    peak_usd_wad: int = 0
    """The highest equity seen, where a floor follows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One record per position, in the order in which they were first seen."""

    by_id: Mapping[PositionId, PositionMemory] = field(default_factory=dict)
    """Never written into: a changed memory is another one."""

    def of(self, id: PositionId) -> PositionMemory:
        """What is remembered of a position; a new one starts SAFE, so its first danger is a change."""
        return self.by_id.get(id) or PositionMemory(id=id)

    def levels(self) -> dict[PositionId, Level]:
        """The level of every position after hysteresis."""
        return {id: p.level for id, p in self.by_id.items()}

    def with_(self, changed: Mapping[PositionId, PositionMemory]) -> Memory:
        """The memory with those positions replaced or added."""
        return Memory(by_id={**self.by_id, **changed})

    def with_action(self, id: PositionId, block_number: int | None) -> Memory:
        """The memory in which the last action stood at that block.

        None (or the block before) frees the cooldown of an action that was chosen and never broadcast.
        """
        return self.with_({id: replace(self.of(id), last_action_block=block_number)})

    def without_actions(self, ids: Collection[PositionId]) -> Memory:
        """``with_action(id, None)`` of several at once: a thousand plans may stay on paper in one tick."""
        if not ids:
            return self
        return self.with_({id: replace(self.of(id), last_action_block=None) for id in ids})

    def rows(self) -> Mapping[PositionId, PositionMemory]:
        """Each position's record, as the journal keeps them."""
        return self.by_id

    @classmethod
    def restore(cls, rows: Mapping[PositionId, Mapping[str, object]]) -> Memory:
        """The memory from plain JSON, whose large integers are decimal text. Raises ValueError, KeyError."""
        return cls(by_id={id: _restored(id, row) for id, row in rows.items()})


def _restored(id: PositionId, row: Mapping[str, object]) -> PositionMemory:
    return PositionMemory(
        id=id,
        level=Level(str(row["level"])),
        known_level=Level(str(row["known_level"])),
        since_block=_whole(row["since_block"]) or 0,
        last_action_block=_whole(row["last_action_block"]),
        last_health_wad=_whole(row["last_health_wad"]),
        last_health_block=_whole(row["last_health_block"]),
        marks=tuple(_mark(m) for m in _listed(row.get("marks", ()))),
        pulses=tuple(_pulse(p) for p in _listed(row.get("pulses", ()))),
        peak_usd_wad=_whole(row.get("peak_usd_wad")) or 0,
    )


def _listed(value: object) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"no list: {value!r}")
    return value


def _pulse(value: object) -> Pulse:
    if not isinstance(value, Mapping):
        raise ValueError(f"no record: {value!r}")
    return Pulse(
        feed=str(value["feed"]),
        price_base=int(str(value["price_base"])),
        at_s=int(str(value["at_s"])),
        variance_h=float(str(value["variance_h"])),
        samples=int(str(value["samples"])),
        doubt_base=int(str(value.get("doubt_base", 0))),
        doubt_s=int(str(value.get("doubt_s", 0))),
    )


def _mark(value: object) -> tuple[str, int, int]:
    symbol, side, best = _listed(value)
    return str(symbol), int(str(side)), int(str(best))


def _whole(value: object) -> int | None:
    return None if value is None else int(str(value))
