"""A start's recovery, and its repetition where a disk took no note of it."""

from __future__ import annotations

import asyncio

import structlog

from keeper.config import ChainSettings
from keeper.daemon.loop import ChainLoop
from keeper.daemon.senders import Sending
from keeper.errors import Broken, Transient, Unwritable
from keeper.journal.recover import recover
from keeper.journal.write import Journal
from keeper.seams import Clock

TRY_TIMEOUT_S = 10.0


class Recovery:
    """Signer, journal and chain of one key, brought together before anything is signed."""

    def __init__(self, chain: ChainSettings, journal: Journal, clock: Clock) -> None:
        self._chain, self._journal, self._clock = chain, journal, clock
        self._acting: Sending | None = None
        self.failed: Broken | None = None
        """Why they could not be brought together, so that everything is only watched; None when they were."""

    async def run(self, acting: Sending, at_block: int) -> None:
        """What was signed is taken over, what was left open is mended. Raises Transient: to be tried anew."""
        self._acting, self.failed = acting, None
        if acting.live is None or acting.signer_address is None:
            return
        chain_id = self._chain.chain_id
        try:
            await acting.live.settle(chain_id, at_block)
            found = await recover(
                self._journal, acting.outgoing, self._clock, chain_id, acting.signer_address
            )
        except Broken as e:
            self.failed = e
            return
        for finding in found:
            structlog.get_logger("keeper").warning("recovered", chain=self._chain.name, finding=str(finding))

    async def again(self, loop: ChainLoop, at_block: int) -> None:
        """Once more after a block, where a disk took no note of what a start found: signing waits for it."""
        why, acting = self.failed, self._acting
        if acting is None or not isinstance(why, Unwritable):
            return
        try:
            async with asyncio.timeout(TRY_TIMEOUT_S):
                await self.run(acting, at_block)
        except (Transient, TimeoutError):
            self.failed = why
        self.tell(loop)

    def tell(self, loop: ChainLoop) -> None:
        """The loop only watches where they are apart, or where that could not be written down."""
        loop.permit.unrecovered = self.failed is not None
        if self.failed is not None:
            loop.stop_acting(self.failed)
