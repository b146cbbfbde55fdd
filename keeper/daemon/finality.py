"""Whether the chain still becomes final: a finalized block that stands still while heads come is told.

Until it moves a reorganisation may reach back to it, everything that was sent stays followed, and a step of which two
landings would do harm waits behind whatever ended in vain.
"""

from __future__ import annotations

from keeper.confirmation import finalized
from keeper.model import Block
from keeper.seams import Alarm, Priority, Severity, Transport

CODE = "finality_stalled"
STALL_S = 1_800
"""By the chain's own clock: Ethereum finalizes every 6.4 minutes, and a rollup as often as its batches do there."""
STALL_BLOCKS = 64
"""So many heads must have come as well: a clock that jumps, as on a test chain, is no stall."""


class Finalizing:
    """Watches the finalized block of one chain; what it knew ends with the process, and is learned anew."""

    def __init__(self, chain: str, transport: Transport, alarms: Alarm) -> None:
        self._chain = chain
        self._transport = transport
        self._alarms = alarms
        self._seen: tuple[int, Block] | None = None
        """The highest finalized block, and the head at which it was first seen."""

    async def look(self, head: Block) -> None:
        """Ask once; say that it stands still, or that this is over. A chain that names none has nothing that could
        stand still. Raises Transient.
        """
        told = await finalized(self._transport, Priority.PAGE)
        if told is None:
            return
        if self._seen is None or told > self._seen[0]:
            if self._seen is not None:
                self._alarms.clear(CODE, self._chain)
            self._seen = told, head
            return
        height, since = self._seen
        stood_s, came = head.timestamp_s - since.timestamp_s, head.number - since.number
        if stood_s >= STALL_S and came >= STALL_BLOCKS:
            why = (
                f"block {height} has been the newest final one for {stood_s // 60} minutes, in which {came} blocks "
                "came: a reorganisation may reach back to it, and what was sent stays followed until it moves"
            )
            self._alarms.raise_alarm(Severity.WARNING, CODE, self._chain, why)
