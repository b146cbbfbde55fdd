"""Chains without a mempool: no fee outbids another there, so the same bytes are sent again instead of dearer ones.

A sequencer that takes transactions as they come (Arbitrum) reads no tip and keeps no queue in which a replacement
could overtake: dearer bytes only add a signature and a hash to follow. What it does look at is the base fee: where
that has left the transaction behind, only a higher fee can be taken, and then it is raised as elsewhere.
"""

from __future__ import annotations

from keeper.journal.read import Queries
from keeper.model import Attempt, Block, Intent, Means, PlanKey, Refusal
from keeper.transaction.answers import Verdict
from keeper.transaction.fees import Market, outbid
from keeper.transaction.send import Live


class Unpooled:
    """The lane that confirmation presses, on a chain without a mempool."""

    def __init__(self, live: Live, journal: Queries) -> None:
        self._live = live
        self._journal = journal

    async def bump(self, key: PlanKey, block: Block, means: Means | None) -> Attempt | Refusal:
        """The same bytes again; dearer ones only where the base fee has left them behind."""
        intent = self._journal.intent(key)
        if intent is None or not intent.attempts:
            return await self._live.bump(key, block, means)
        top = intent.attempts[-1]
        if outbid(top.fee, Market(base_fee_wei=block.base_fee_wei, tip_wei=0)):
            return await self._live.bump(key, block, means)
        verdict = await self._live.rebroadcast(intent)
        if verdict.reached or verdict is Verdict.NONCE_LOW:
            return top
        return Refusal(who="lane", code="not_taken", why=f"the sequencer does not take it: {verdict}")

    async def cancel(self, key: PlanKey, block: Block, means: Means | None) -> Attempt | Refusal:
        """As elsewhere: a plan past its time must not fire when the sequencer comes back."""
        return await self._live.cancel(key, block, means)

    async def clear(self, key: PlanKey, behind: PlanKey, block: Block, means: Means) -> Attempt | Refusal:
        """What stands before an urgent transaction waits for no fee here: it is sent again."""
        return await self.bump(key, block, means)

    @property
    def unsure(self) -> bool:
        """Whether the signer must be asked what it signed."""
        return self._live.unsure

    async def settle(self, chain_id: int, at_block: int = 0) -> None:
        """As the live sender does."""
        await self._live.settle(chain_id, at_block)

    async def rebroadcast(self, intent: Intent) -> Verdict:
        """As the live sender does."""
        return await self._live.rebroadcast(intent)
