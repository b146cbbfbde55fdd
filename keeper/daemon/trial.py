"""A rehearsal: a node runs what is queued in an ``eth_call``, at the time at which it may land, and our reader looks.

Two looks at the same block and the same time, without the payload and with it, by the venue's own reader, which holds
every number against the venue's own views: so the difference is the payload's alone. Nothing is ever sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper import kinds
from keeper.daemon.camera import Camera
from keeper.errors import KeeperError, Transient, Unread
from keeper.governance import effect
from keeper.governance.effect import Effect
from keeper.governance.timelocks import Queued
from keeper.model import Block, Call, PositionId, Snapshot
from keeper.seams import Priority, Transport, Venue
from keeper.snapshot import GatherRequest, gather
from keeper.sockets import Delays
from keeper.words import Words, from_hex

Read = Callable[[Sequence[Call]], Awaitable[Words]]
"""One batch of a scene. Raises Transient, Unread."""
Load = Callable[[str, Read], Awaitable[Venue]]
"""(venue id, who reads) -> that market with its static facts as they are there. Raises ConfigError, Transient."""
AGGREGATE = keccak(text="aggregate3((address,bool,bytes)[])")[:4]
TIMEOUT_S = 10.0
AT_ONCE = 100
"""Accounts of each venue in one rehearsal: one request must carry all that is asked."""
NOT_TRIED = frozenset(kind.name for kind in kinds.KINDS if kind.perpetual)
"""Kinds whose reading needs more than one batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """Where a rehearsal is made: the block with a later time, who calls, and what is called before anybody looks."""

    block: Block
    to: str
    code: str = ""
    """Code that the caller is given for the time of the call; empty: its own."""
    lead: tuple[Call, ...] = ()
    loaded: dict[str, Venue] = field(default_factory=dict)
    """Markets whose static facts are others here than those known."""


class Trial:
    """Rehearses payloads on one chain at one block."""

    def __init__(
        self,
        transport: Transport,
        multicall: str,
        camera: Camera,
        accounts: Mapping[str, tuple[str, ...]],
        load: Load | None = None,
    ) -> None:
        """``load``: for a payload that changes what a market is known by; None: such a market stays unread."""
        self._transport = transport
        self._multicall = multicall
        self._camera = camera
        self._accounts = accounts
        self._load = load

    async def run(
        self, queued: Queued, block: Block, venues: Mapping[str, Venue]
    ) -> tuple[dict[PositionId, Effect], str]:
        """The effect on every guarded position that could be seen, and why the others could not."""
        if any(a.value_wei for a in queued.actions):
            return {}, "it sends ether, which no rehearsal has"
        later = replace(block, timestamp_s=max(block.timestamp_s, queued.eta_s) + 1)
        found: dict[PositionId, Effect] = {}
        try:
            scene = await self._scene(queued, later)
            before = replace(scene, lead=(), loaded={})
            for part in self._parts(venues):
                calm = await self._look(before, venues, part)
                then = await self._look(scene, venues, part)
                for position in calm.positions:
                    seen = effect.rehearsed(position, then.position(position.id), (calm.means, then.means))
                    if isinstance(seen, Effect):
                        found[position.id] = seen
        except KeeperError as error:
            return {}, f"no rehearsal: {error}"
        return found, ""

    async def _scene(self, queued: Queued, later: Block) -> _Scene:
        """Whoever may run it does; where only an admin may, the timelock makes the calls itself. Raises Transient."""
        if queued.run is not None:
            return _Scene(block=later, to=self._multicall, lead=(queued.run,))
        code = await self._transport.request("eth_getCode", [self._multicall, hex(later.number)])
        if not isinstance(code, str) or len(code) <= 2:
            raise Transient("the multicall's code could not be read")
        lead = tuple(Call(target=a.target, data=a.data) for a in queued.actions)
        return _Scene(block=later, to=queued.timelock.address, code=code, lead=lead)

    def _parts(self, venues: Mapping[str, Venue]) -> list[dict[str, tuple[str, ...]]]:
        cut = {
            v: [self._accounts[v][i : i + AT_ONCE] for i in range(0, len(self._accounts[v]), AT_ONCE)]
            for v, venue in venues.items()
            if venue.kind not in NOT_TRIED and self._accounts.get(v)
        }
        return [
            {v: some for v, some in zip(cut, row, strict=True) if some is not None}
            for row in zip_longest(*cut.values())
        ]

    async def _look(
        self, scene: _Scene, venues: Mapping[str, Venue], accounts: Mapping[str, tuple[str, ...]]
    ) -> Snapshot:
        """What our reader sees in a scene. A payload that changes what a market is known by (ratio, listing, code)
        makes what was loaded stale: it is loaded in the scene, as a reload would once it has landed.
        """
        while True:
            here = {v: scene.loaded.get(v, venues[v]) for v in accounts}
            snapshot, seen = await gather(
                GatherRequest(
                    chain_id=scene.block.chain_id,
                    block=scene.block,
                    venues=tuple((here[v], some) for v, some in accounts.items()),
                    multicall=self._multicall,
                    read=self._reader(scene),
                    seen={v: self._camera.seen(v) for v in accounts if v not in scene.loaded},
                )
            )
            stale = [v for v in accounts if v not in scene.loaded and seen[here[v].id].stale]
            if not stale or self._load is None:
                return snapshot
            for v in stale:
                scene.loaded[v] = fresh = await self._load(v, self._reader(scene))
                known = venues[v]
                if isinstance(known, Delays) and isinstance(fresh, Delays):
                    fresh.foreseen_wad = known.foreseen_wad

    def _reader(self, scene: _Scene) -> Read:
        async def read(calls: Sequence[Call]) -> Words:
            every = (*scene.lead, *calls)
            rows = [(c.target, True, c.data) for c in every]
            data = AGGREGATE + encode(["(address,bool,bytes)[]"], [rows])
            answer = await self._transport.request(
                "eth_call",
                [
                    {"to": scene.to, "data": f"0x{data.hex()}"},
                    {"blockHash": scene.block.hash, "requireCanonical": True},
                    {scene.to: {"code": scene.code}} if scene.code else {},
                    {"time": hex(scene.block.timestamp_s)},
                ],
                priority=Priority.PAGE,
                timeout_s=TIMEOUT_S,
            )
            if not isinstance(answer, str) or not answer.startswith("0x"):
                raise Transient("eth_call answered something that is not hex")
            words = Words([from_hex(memoryview(answer.encode())[2:], len(every))], [len(every)])
            for i in range(len(scene.lead)):
                if not words.ok[i]:
                    raise Unread(f"call {i + 1} of it would fail ({_reason(words.data(i))})")
            return words.part(len(scene.lead), len(every))

        return read


def _reason(data: bytes) -> str:
    """A revert's own words where it has any, else its selector."""
    if data[:4] == bytes.fromhex("08c379a0") and len(data) >= 68:
        text = data[68 : 68 + min(int.from_bytes(data[36:68]), 120)].decode("utf-8", "replace")
        return "".join(c for c in text if c.isprintable())
    return f"0x{data[:4].hex()}" if data else "no reason"
