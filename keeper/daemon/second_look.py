"""Each endpoint's own reading of the guarded positions at one block: the same block must show the same health.

What a tick decides on is read from whoever answers first. One endpoint that shows a health from before the fall would
keep the keeper calm; so once a minute every usable one is asked by itself, behind everybody else in its lane.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, chain

from keeper.chain.batch import Batch
from keeper.chain.endpoints import Endpoints
from keeper.chain.single import Single
from keeper.daemon import carried
from keeper.daemon.absent import Absent
from keeper.daemon.camera import Camera
from keeper.daemon.facts import Guarded
from keeper.daemon.isolation import alone
from keeper.errors import Transient
from keeper.model import Block, Call, PositionId
from keeper.phrases import health_text
from keeper.seams import Alarm, Priority, Reading, Seen, Severity, Venue
from keeper.words import Words

CODE = "endpoints_disagree"
QUORUM = 2
READ_S = 10.0
"""Of one endpoint: nobody waits for it."""
TOLD_MAX = 20
"""Positions named one by one: an endpoint on an older state contradicts the others about all of them at once."""

Healths = Mapping[PositionId, int]
"""In wad, as the venue tells it; 2**256 - 1 without debt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What is asked of one venue."""

    venue: Venue
    accounts: tuple[str, ...]
    seen: Seen
    calls: tuple[Call, ...]


class SecondLook:
    """Compares the endpoints of one chain; remembers the batch, and what stands as an alarm."""

    def __init__(
        self, endpoints: Endpoints, camera: Camera, guarded: Sequence[Guarded], alarms: Alarm
    ) -> None:
        self._endpoints, self._camera, self._alarms = endpoints, camera, alarms
        self._guarded = tuple(guarded)
        self._batch: tuple[tuple[Call, ...], Batch] | None = None
        self._standing = carried.whys(alarms, CODE)

    async def look(self, block: Block, venues: Mapping[str, Venue]) -> None:
        """One reading by each usable endpoint at ``block``, and what differs.

        One that is silent, or has no such block, has no word. With fewer than two words nothing is taken back, and
        what stands is said again.
        """
        asked = [Single(e) for e in self._endpoints.each if e.well]
        parts = [self._part(v) for v in venues.values() if not isinstance(v, Absent)]
        said: dict[str, Healths] = {}
        if len(asked) >= QUORUM and any(p.calls for p in parts):
            read = await asyncio.gather(*(self._healths(one, block, parts) for one in asked))
            said = {one.name: found for one, found in zip(asked, read, strict=True) if found is not None}
        self._tell(said, block)

    def _part(self, venue: Venue) -> _Part:
        accounts = tuple([g.id.account for g in self._guarded if g.venue_id == venue.id])
        seen = self._camera.seen(venue.id)
        # what cannot be asked is UNKNOWN in the photograph
        calls, _ = alone(partial(venue.calls, accounts, seen))
        return _Part(venue=venue, accounts=accounts, seen=seen, calls=calls if calls and accounts else ())

    async def _healths(self, one: Single, block: Block, parts: Sequence[_Part]) -> Healths | None:
        """Of everybody whom this endpoint could show; None where it has no word at all."""
        try:
            words = await self._read(
                one, block, self._batch_of(tuple(chain.from_iterable(p.calls for p in parts)))
            )
        except Transient:
            return None
        found: dict[PositionId, int] = {}
        for part, end in zip(parts, accumulate(len(p.calls) for p in parts), strict=True):
            if not part.calls:
                continue
            reading = _decoded(part, block, words.part(end - len(part.calls), end), part.seen)
            if reading is not None and reading.again:
                # it shows assets that the others did not: its own word on them, too
                calls = part.venue.calls(part.accounts, reading.seen)
                try:
                    more = await self._read(one, block, Batch(calls))
                except Transient:
                    continue
                reading = _decoded(part, block, more, reading.seen)
            for position in () if reading is None else reading.positions:
                if position.health_wad is not None:
                    found[position.id] = position.health_wad
        return found

    async def _read(self, one: Single, block: Block, batch: Batch) -> Words:
        return await batch.read(
            one, self._endpoints.chain.multicall, block.hash, timeout_s=READ_S, priority=Priority.PAGE
        )

    def _batch_of(self, calls: tuple[Call, ...]) -> Batch:
        """Encoded once while the same is asked: five thousand calls take longer than their answers."""
        if self._batch is None or self._batch[0] != calls:
            self._batch = calls, Batch(calls)
        return self._batch[1]

    def _tell(self, said: Mapping[str, Healths], block: Block) -> None:
        """CRITICAL for each position of which two say different things; over where all who showed it agree."""
        found: dict[str, str] = {}
        heard: set[str] = set()
        for g in self._guarded:
            words = sorted((healths[g.id], name) for name, healths in said.items() if g.id in healths)
            if len(words) < QUORUM:
                continue
            heard.add(str(g.id))
            if words[0][0] != words[-1][0]:
                found[str(g.id)] = _why(g.label, block, words)
        gone = len(self._endpoints.each) < QUORUM
        mine = {str(g.id) for g in self._guarded}
        for subject in sorted(self._standing):
            if subject not in found and (gone or subject in heard or subject not in mine):
                self._alarms.clear(CODE, subject)
                del self._standing[subject]
        named = [s for s in found if s in self._standing]
        named += [s for s in found if s not in self._standing]
        self._standing |= {s: found[s] for s in named[:TOLD_MAX]}
        for subject, why in self._standing.items():
            self._alarms.raise_alarm(Severity.CRITICAL, CODE, subject, why)


def _decoded(part: _Part, block: Block, words: Words, seen: Seen) -> Reading | None:
    """What cannot be decoded is no word; a photograph of it would be UNKNOWN, and says so itself."""
    reading, _ = alone(partial(part.venue.decode, block, part.accounts, words, seen, {}))
    return reading


def _why(label: str, block: Block, words: Sequence[tuple[int, str]]) -> str:
    (low, lower), (high, higher) = words[0], words[-1]
    return (
        f"endpoints contradict each other: {label} at block {block.number} has health {health_text(low)} by {lower}, "
        f"{health_text(high)} by {higher} ({low} and {high} wad). One of them is wrong, and a tick may be read from "
        "either: take the lower one for true, compare with the protocol's own page, and take the endpoint that is "
        "wrong out of the configuration"
    )
