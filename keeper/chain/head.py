"""Heads of a chain, newest only, into a mailbox of one place.

``newHeads`` brings them; polling over HTTP carries everything alone while the stream is silent, broken or not
configured. Every head is checked against the hashes already seen (``line.py``).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress

from keeper.chain.block import parse_block
from keeper.chain.endpoints import Endpoints
from keeper.chain.line import HeadEvent, HeadKind, Line, OnHeadEvent
from keeper.chain.rpc import WrongChain
from keeper.chain.stream import follow
from keeper.config import ChainSettings, EndpointSettings
from keeper.errors import Transient
from keeper.model import Block
from keeper.seams import Clock, Transport

POLL_S_MAX = 2.0
POLL_S_MIN = 0.2
BEHIND_S_MIN = 0.5
"""While a stream brings the heads, another endpoint's word is asked for twice a block, but no oftener."""
BACK_OFF_S = 0.5
BACK_OFF_S_MAX = 15.0
BACK_OFF_JITTER = 0.2


class Mailbox:
    """One place: a new head replaces one that nobody took, so a slow reader sees the newest, no backlog."""

    def __init__(self) -> None:
        self.skipped = 0
        """Heads that were replaced before anybody took them."""
        self._block: Block | None = None
        self._full = asyncio.Event()

    def put(self, block: Block) -> None:
        """Leave ``block`` for the reader."""
        if self._block is not None:
            self.skipped += 1
        self._block = block
        self._full.set()

    async def waits(self) -> None:
        """Returns when a head lies here that nobody has taken; takes nothing."""
        while self._block is None:
            self._full.clear()
            await self._full.wait()

    async def get(self) -> Block:
        """The newest head, once; waits for one. For a single reader."""
        await self.waits()
        assert self._block is not None
        block, self._block = self._block, None
        return block


async def latest(endpoints: Endpoints, *, timeout_s: float = 4.0) -> Block:
    """The newest head that an endpoint tells. Raises Transient."""
    told = await endpoints.request("eth_getBlockByNumber", ["latest", False], timeout_s=timeout_s)
    return parse_block(endpoints.chain.chain_id, told)


async def logs(
    transport: Transport, filter: Mapping[str, object], *, timeout_s: float = 10.0
) -> Sequence[Mapping[str, object]]:
    """Raw ``eth_getLogs``, for discovery and history: providers truncate, so nothing is decided by it."""
    told = await transport.request("eth_getLogs", [dict(filter)], timeout_s=timeout_s)
    if not isinstance(told, list) or not all(isinstance(entry, dict) for entry in told):
        raise Transient("eth_getLogs answered no list of logs")
    return told


class Heads:
    """Brings heads of one chain to a mailbox, whatever happens to its endpoints."""

    def __init__(
        self, chain: ChainSettings, endpoints: Endpoints, clock: Clock, on_event: OnHeadEvent
    ) -> None:
        self._chain = chain
        self._endpoints = endpoints
        self._clock = clock
        self._on_event = on_event
        self._random = random.Random(f"heads:{chain.chain_id}")
        self._stale_s = 2 * chain.block_time_s + 5
        self._poll_s = min(POLL_S_MAX, max(POLL_S_MIN, chain.block_time_s / 4))
        self._behind_s = max(BEHIND_S_MIN, chain.block_time_s / 2 - self._poll_s)
        self._poll_needed = asyncio.Event()
        self._poll_needed.set()
        self._mailbox = Mailbox()
        self._line = Line(endpoints, clock, self._stale_s, self._put, on_event)

    @property
    def last(self) -> Block | None:
        """The head delivered last."""
        return self._line.last

    @property
    def polling(self) -> bool:
        """Whether heads come by polling now."""
        return self._poll_needed.is_set()

    def fresh_age_s(self, clock: Clock) -> float:
        """Seconds since a new head was delivered; infinite before the first."""
        return clock.monotonic_s() - self._line.delivered_s

    @property
    def behind_s(self) -> float:
        """``Line.behind_s``: how old the last head was when it was delivered; 0 before one."""
        return self._line.behind_s

    async def run(self, mailbox: Mailbox) -> None:
        """Deliver heads until cancelled. Network trouble never ends it."""
        self._mailbox = mailbox
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll(), name=f"poll {self._chain.name}")
            group.create_task(self._streams(), name=f"newHeads {self._chain.name}")

    def _put(self, block: Block) -> None:
        self._mailbox.put(block)

    async def _poll(self) -> None:
        while True:
            # a stream that hangs or is late looks like one that is well: it is looked behind
            with suppress(TimeoutError):
                async with asyncio.timeout(self._behind_s):
                    await self._poll_needed.wait()
            before = self._line.last
            try:
                await self._line.accept(await latest(self._endpoints))
                if self._line.last is not before:
                    self._poll_needed.set()
            except Transient:
                # endpoints tell their own faults; the age of the last head tells how bad it is
                await asyncio.sleep(0)
            await self._clock.sleep(self._poll_s)

    async def _streams(self) -> None:
        """Follow one endpoint's stream after another; end only when none is usable."""
        failures, turn, again = 0, 0, False
        while streams := [e for e in self._chain.endpoints if e.ws_url and self._endpoints.usable(e.name)]:
            opened, heads, why = await self._follow(streams[turn % len(streams)], again)
            self._poll_needed.set()
            if opened or failures == 0:
                self._tell(HeadKind.STREAM_DOWN, why)
            again = again or opened
            failures = 0 if heads else failures + 1
            turn += 1
            back_off_s = min(BACK_OFF_S_MAX, BACK_OFF_S * 2 ** min(failures, 8))
            await self._clock.sleep(back_off_s * (1 + BACK_OFF_JITTER * (2 * self._random.random() - 1)))

    async def _follow(self, endpoint: EndpointSettings, again: bool) -> tuple[bool, int, str]:
        """One connection's life: whether it was opened, how many heads it brought, what ended it."""
        opened, heads = False, 0

        def on_open() -> None:
            nonlocal opened
            opened = True
            self._tell(HeadKind.STREAM_UP, f"{endpoint.name}: newHeads subscribed")
            if again:
                self._tell(HeadKind.GAP, f"{endpoint.name}: subscribed anew")

        async def on_head(header: object) -> None:
            nonlocal heads
            block = parse_block(self._chain.chain_id, header)
            if not self._endpoints.note_head(endpoint.name, block.number):
                raise Transient(f"{endpoint.name}: stream lags at block {block.number}")
            await self._line.accept(block)
            heads += 1
            if self._line.last is block:
                self._poll_needed.clear()

        try:
            await follow(endpoint, self._chain.chain_id, self._stale_s, on_open, on_head)
        except WrongChain as error:
            self._endpoints.rule_out(endpoint.name, error.told)
            return opened, heads, str(error)
        except Transient as error:
            return opened, heads, str(error)

    def _tell(self, kind: HeadKind, why: str) -> None:
        number = self.last.number if self.last else None
        self._on_event(HeadEvent(kind=kind, block_number=number, depth=None, why=why))


__all__ = ["HeadEvent", "HeadKind", "Heads", "Mailbox", "latest", "logs", "parse_block"]
