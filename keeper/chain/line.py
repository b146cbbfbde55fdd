"""The line of heads already seen: which head is new, which is old, and how deep a reorganisation went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from keeper.chain.block import parse_block
from keeper.errors import Transient
from keeper.model import Block
from keeper.seams import Clock, Transport

RING = 256
"""Headers remembered; a reorganisation deeper than this is told as at least this deep."""
FORK_TIMEOUT_S = 4.0
"""Most that measuring a reorganisation may hold a head back."""


class HeadKind(StrEnum):
    """What happened to the stream of heads."""

    STREAM_UP = "stream_up"
    STREAM_DOWN = "stream_down"
    GAP = "gap"
    """The stream was away: whatever it would have told since ``block_number`` is missing."""
    REORG = "reorg"
    """``depth`` blocks up to the head delivered last are no longer of the chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadEvent:
    """A change in how heads come, or in the chain behind them."""

    kind: HeadKind
    block_number: int | None
    """GAP: the last head before it. REORG: the new head, which is delivered right after."""
    depth: int | None
    """REORG only; None when it could not be measured."""
    why: str


OnHeadEvent = Callable[[HeadEvent], None]


class Line:
    """Hashes of the last heads by number; hands a head on when it is new."""

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        stale_s: float,
        on_new: Callable[[Block], None],
        on_event: OnHeadEvent,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._stale_s = stale_s
        self._on_new = on_new
        self._on_event = on_event
        self._accepting = asyncio.Lock()
        self._ring: dict[int, str] = {}
        self._behind: str | None = None
        self.last: Block | None = None
        self.delivered_s = float("-inf")
        self.behind_s = 0.0
        """Seconds by which the last head's own time lay behind the wall clock when it was delivered; below 0 where it
        lay ahead."""

    async def accept(self, block: Block) -> None:
        """Hand ``block`` on unless it is known, or older than what was delivered on the same chain."""
        async with self._accepting:
            last = self.last
            if last is None:
                self._deliver(block)
            elif block.hash == last.hash:
                self._behind = None
            elif block.number == last.number + 1 and block.parent_hash == last.hash:
                self._deliver(block)
            elif block.number < min(self._ring) or self._ring.get(block.number) == block.hash:
                self._older(last, block)
            else:
                await self._off_the_line(last, block)

    async def _off_the_line(self, last: Block, block: Block) -> None:
        """A head that is not the child of the last: some were skipped, or the chain was reorganised."""
        depth: int | None = None
        try:
            async with asyncio.timeout(FORK_TIMEOUT_S):
                if block.number > last.number + 1 and await self._still_there(last):
                    depth = 0
                else:
                    depth = await self._depth(last, block)
        except (Transient, TimeoutError):
            if block.number <= last.number:
                return
        if depth != 0:
            self._reorg(last, block, depth)
        self._deliver(block)

    async def _still_there(self, block: Block) -> bool:
        told = await self._transport.request("eth_getBlockByNumber", [hex(block.number), False])
        return parse_block(block.chain_id, told).hash == block.hash

    async def _depth(self, last: Block, block: Block) -> int:
        """How many of our blocks are gone: walk from ``block`` down its parents to one that we know."""
        floor = min(self._ring)
        number, parent = block.number - 1, block.parent_hash
        while number >= floor:
            if self._ring.get(number) == parent:
                return max(0, last.number - number)
            told = await self._transport.request("eth_getBlockByHash", [parent, False])
            number, parent = number - 1, parse_block(block.chain_id, told).parent_hash
        return last.number - floor + 1

    def _older(self, last: Block, block: Block) -> None:
        """An older head of the same chain: a lagging replica, unless it stays all there is."""
        stale = self._clock.monotonic_s() - self.delivered_s > self._stale_s
        if stale and self._behind == block.hash:
            self._reorg(last, block, last.number - block.number)
            self._deliver(block)
        else:
            self._behind = block.hash

    def _reorg(self, last: Block, block: Block, depth: int | None) -> None:
        ancestor = last.number - depth if depth is not None else block.number - 1
        self._ring = {n: h for n, h in self._ring.items() if n <= ancestor}
        many = f"{depth}" if depth is not None else "an unknown number of"
        why = f"head {block.number} is not built on head {last.number}: {many} blocks are gone"
        self._on_event(HeadEvent(kind=HeadKind.REORG, block_number=block.number, depth=depth, why=why))

    def _deliver(self, block: Block) -> None:
        self.last = block
        self._behind = None
        self._ring[block.number] = block.hash
        while len(self._ring) > RING:
            del self._ring[min(self._ring)]
        self.delivered_s = self._clock.monotonic_s()
        self.behind_s = self._clock.now_s() - block.timestamp_s
        self._on_new(block)
