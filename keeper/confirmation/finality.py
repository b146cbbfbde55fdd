"""Where the chain is final: as it says itself, and by depth only where it says that it names no such block.

An endpoint that fails, or that knows of no finalized block just now, is not a chain without finality: while that is
unknown nothing is final, and what was sent stays followed. Depth seals nothing early: 64 blocks are sixteen seconds
on a fast chain, and while finality stands still no number of blocks is enough.
"""

from __future__ import annotations

import re

from keeper.confirmation.branch import HEADER_S
from keeper.confirmation.needs import AsksEach
from keeper.confirmation.receipt import object_of, quantity_of
from keeper.errors import Rejected, Transient
from keeper.model import Block
from keeper.seams import Priority, Transport

FINAL_DEPTH = 64
"""Blocks on top that are final where a chain names no finalized block: two epochs."""
DEPTH_MIN = 8
"""Deeper than any reorganisation that is prepared for: an endpoint that calls its head final is not believed sooner.
What is final is watched no more, and taken back unwatched it leaves a gap behind which nothing can be mined."""
DENIED_S = 600
"""By the chain's own clock, so long must it be denied before it is believed: a node that starts knows of none yet."""
COUNT = 64
"""Endpoints asked: all there are."""
WAIT_S = 0.5
"""For the slower ones, once one has answered."""
METHOD = "eth_getBlockByNumber"
TAG = ["finalized", False]
_DENIES = re.compile(
    r"finali[sz]ed.{0,40}(not|unknown|unsupported|unavailable)|unknown block|without 0x prefix", re.IGNORECASE
)
_DENIES_CODES = frozenset({-39001, -32601, -32602, -32004})
"""Unknown block; method not found; invalid params (the tag is none to it); method not supported (EIP-1474)."""


class Finality:
    """What one chain said of its finalized block so far."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._named = False
        """Whether any endpoint ever named one: then depth decides nothing, whatever is denied later."""
        self._denied_s: int | None = None
        """The chain's time when it was first denied."""

    async def height(self, block: Block, lowest: int) -> int:
        """The highest block that cannot be taken back, at ``block``; -1 where that is not known.

        ``lowest``: of the blocks that are asked about; everybody is asked only where depth could decide on it.
        """
        deep = block.number - FINAL_DEPTH
        try:
            told = await finalized(self._transport)
            if told is None:
                if not self._by_depth(block) or lowest > deep:
                    return -1
                told = await self._everybody()
        except Transient:
            return -1
        self._named = self._named or told is not None
        return min(deep if told is None else told, block.number - DEPTH_MIN)

    def _by_depth(self, block: Block) -> bool:
        """Whether the chain was never heard to name one, and has denied it for long enough at ``block``."""
        if self._denied_s is None:
            self._denied_s = block.timestamp_s
        return not self._named and block.timestamp_s - self._denied_s >= DENIED_S

    async def _everybody(self) -> int | None:
        """The lowest height that any names; None where each denies it. Raises Transient where one is silent."""
        if not isinstance(self._transport, AsksEach):
            return None  # a transport of one voice has spoken already
        heights: list[int] = []
        silent: Transient | None = None
        each = await self._transport.request_each(METHOD, TAG, COUNT, timeout_s=HEADER_S, wait_s=WAIT_S)
        for answer in each:
            # where another was asked in its place, what it had said is the cause
            denied = answer.__cause__ if isinstance(answer, Transient) else None
            try:
                height = named(denied if isinstance(denied, Rejected) else answer)
            except Transient as error:
                silent = error
            else:
                heights += [] if height is None else [height]
        if silent is not None and not heights:
            raise silent
        return min(heights, default=None)


async def finalized(transport: Transport, priority: Priority = Priority.RECEIPT) -> int | None:
    """The finalized height as the first endpoint names it; None where it names none. Raises Transient."""
    try:
        return named(await transport.request(METHOD, TAG, priority=priority, timeout_s=HEADER_S))
    except Rejected as error:
        return named(error)


def named(answer: object) -> int | None:
    """The height in an answer, or in its error; None where it says that there is none. Raises Transient otherwise."""
    if isinstance(answer, Rejected) and (answer.code in _DENIES_CODES or _DENIES.search(answer.message)):
        return None
    if isinstance(answer, BaseException):
        raise answer
    return None if answer is None else quantity_of(object_of(answer).get("number"))
