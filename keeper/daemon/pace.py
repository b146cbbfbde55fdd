"""How often a mined transaction is looked at again: every block while it is young, then ever more rarely.

A thousand rescues in one block would otherwise be a thousand receipts a block until they are final, in the
very hour in which the endpoints are busiest. What could take a receipt back (a reorganisation, a gap in the
heads, a nonce that falls) has them all looked at in the next block; a reorganisation before anything is planned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from keeper.chain.line import HeadKind
from keeper.confirmation import SETTLED_DEPTH
from keeper.errors import Transient
from keeper.journal.write import Journal
from keeper.model import Block, Intent, IntentState, Outcome, PlanKey
from keeper.seams import Priority, Transport

ASK_S = 1.0
WAIT_S = 0.2
"""The finalized height seals a record and saves nobody: a tick that has its photograph waits no longer."""
LOOKS = 2
"""Tendings that go before the plans after a reorganisation: an endpoint may not have followed it in the first."""
STEP_BLOCKS_MAX = 16
"""Longest interval until 64 blocks lie on top: a quarter of the depth at which a transaction is final where the chain
names no finalized block. After that, where finality is slow or stands still, a quarter of its own depth: a night's
plans are then asked ever more rarely, for as long as it takes."""


class Pace:
    """Which followed intents are due at the block last begun."""

    def __init__(self) -> None:
        self._block: Block | None = None
        self._nonce = 0
        self._finalized = -1
        self._learning: asyncio.Task[None] | None = None
        self._asked: dict[PlanKey, tuple[int, int]] = {}
        """Plan -> (block in which it was last due, blocks until it is again)."""
        self._said: dict[PlanKey, bool] = {}
        """Answers given at this block: what is learned meanwhile must not change them half way."""
        self.newer: Callable[[], Awaitable[None]] | None = None
        """Returns when a newer block waits to be judged; None where nobody tells."""
        self._moves, self._ahead = 0, LOOKS
        """How often the chain moved so far, and how many tendings still go before the plans because of it."""
        self.begun = 0
        """How often it had moved by the block that was begun."""
        self._behind: asyncio.Task[tuple[Outcome, ...]] | None = None
        """A tending for which a newer block did not wait."""

    def begin(self, block: Block, nonce: int) -> None:
        """The block that is tended next, and the wallet's nonce there."""
        last, self._block = self._block, block
        fell, self._nonce = nonce < self._nonce, nonce
        if last is not None and last.hash == block.hash:
            return
        self._said.clear()
        follows = last is None or (
            block.number > last.number and (block.number > last.number + 1 or block.parent_hash == last.hash)
        )
        if fell or not follows:
            self.shake()
        self.begun = self._moves

    @property
    def moved(self) -> bool:
        """Whether the chain may have taken something back that tendings have not looked for often enough."""
        return self._ahead > 0

    def tended(self, begun: int) -> None:
        """A tending ended, with ``begun`` as it was for its block; what moved meanwhile is for the next ones.

        Also one whose time was over, or that failed: plans wait for so many and no longer.
        """
        if begun == self._moves:
            self._ahead = max(0, self._ahead - 1)

    def learn_beside(self, transport: Transport) -> None:
        """``learn`` beside whatever comes next, once at a time; nothing waits for it, nothing cuts it short."""
        if self._asked and (self._learning is None or self._learning.done()):
            # a request that is cancelled costs its connection, which the next send would have to make anew
            self._learning = asyncio.ensure_future(self.learn(transport))

    async def learned(self) -> None:
        """What was asked beside has come, or will be known in the next block."""
        if self._learning is not None and not self._learning.done():
            await asyncio.wait([self._learning], timeout=WAIT_S)

    async def unless_newer(
        self, tending: Coroutine[object, object, tuple[Outcome, ...]]
    ) -> tuple[Outcome, ...]:
        """Its outcomes; where a newer block waits before it ends it goes on beside that one, and
        ``caught_up`` tells them. For what no plan depends on. Raises what it raised.
        """
        self._behind = asyncio.ensure_future(tending)
        return await self.caught_up()

    async def caught_up(self) -> tuple[Outcome, ...]:
        """What the tending that was left behind came to, unless a newer block waits again before its end."""
        if self._behind is None:
            return ()
        if self.newer is not None and not self._behind.done():
            newer = asyncio.ensure_future(self.newer())
            try:
                await asyncio.wait([self._behind, newer], return_when=asyncio.FIRST_COMPLETED)
            finally:
                newer.cancel()
                await asyncio.gather(newer, return_exceptions=True)
            if not self._behind.done():
                return ()
        behind, self._behind = self._behind, None
        return await behind

    async def quiet(self) -> tuple[Outcome, ...]:
        """The same to its end, whatever waits: before anything that depends on it."""
        behind, self._behind = self._behind, None
        return () if behind is None else await behind

    @property
    def late(self) -> bool:
        """Whether a tending is under way that a newer block did not wait for."""
        return self._behind is not None

    def drop(self) -> None:
        """Nothing is left running; what was concluded is journaled."""
        if self._behind is not None:
            self._behind.cancel()

    async def learn(self, transport: Transport) -> None:
        """Where the chain is final by now."""
        try:
            told = await transport.request(
                "eth_getBlockByNumber", ["finalized", False], priority=Priority.RECEIPT, timeout_s=ASK_S
            )
            self._finalized = int(str(told["number"]), 16) if isinstance(told, dict) else -1
        except (Transient, KeyError, ValueError):
            return

    def reset(self) -> None:
        """Something may have been missed: everything is due in the next block."""
        self._asked.clear()

    def shake(self) -> None:
        """The chain changed behind what was seen: everything is due in the next block, and before its plans."""
        self.reset()
        self._moves, self._ahead = self._moves + 1, LOOKS

    def told(self, kind: HeadKind) -> None:
        """What the line of heads has to say."""
        if kind is HeadKind.REORG:
            self.shake()
        elif kind is HeadKind.GAP:
            self.reset()

    def due(self, intent: Intent, included_block: int | None) -> bool:
        """Whether the intent is to be asked at this block; the same answer however often it is asked."""
        if intent.key not in self._said:
            self._said[intent.key] = self._judge(intent, included_block)
        return self._said[intent.key]

    def _judge(self, intent: Intent, included_block: int | None) -> bool:
        number = self._block.number if self._block is not None else 0
        if included_block is None or (depth := number - included_block) < SETTLED_DEPTH:
            return True
        if intent.state is IntentState.INCLUDED or included_block <= self._finalized:
            return True
        if intent.key not in self._asked:
            self._asked[intent.key] = (number, 1)
            return True
        asked, step = self._asked[intent.key]
        if number < asked + step:
            # after a reorganisation, until tendings have looked: a block without a photograph had none
            return self.moved
        self._asked[intent.key] = (number, min(2 * step, max(STEP_BLOCKS_MAX, depth // 4)))
        return True

    def forget(self, kept: set[PlanKey]) -> None:
        """Drop what is followed no more."""
        self._asked = {key: when for key, when in self._asked.items() if key in kept}


def paced(journal: Journal, pace: Pace) -> Any:
    """The journal as confirmation sees it: of what is followed, only what is due."""
    return _Paced(journal, pace)


class _Paced:
    """A journal, whole but for ``followed_intents``."""

    def __init__(self, journal: Journal, pace: Pace) -> None:
        self._journal = journal
        self._pace = pace

    def followed_intents(self, chain_id: int | None = None) -> tuple[Intent, ...]:
        """Intents included, not yet final, and due at this block."""
        followed = self._journal.followed_intents(chain_id)
        self._pace.forget({i.key for i in followed})
        return tuple(i for i in followed if self._pace.due(i, self._included(i.key)))

    def _included(self, key: PlanKey) -> int | None:
        place = self._journal.inclusion(key)
        return None if place is None else place.block_number

    def __getattr__(self, name: str) -> Any:
        # everything else is the journal's own, whatever confirmation comes to need of it
        return getattr(self._journal, name)
