"""How often a mined transaction is looked at again: every block while it is young, then ever more rarely.

A thousand rescues in one block would otherwise be a thousand receipts a block until they are final, in the
very hour in which the endpoints are busiest. What could take a receipt back (a reorganisation, a gap in the
heads, a nonce that falls) has them all looked at in the next block.
"""

from __future__ import annotations

from typing import Any

from keeper.confirmation import SETTLED_DEPTH
from keeper.journal.write import Journal
from keeper.model import Block, Intent, IntentState, PlanKey

STEP_BLOCKS_MAX = 16
"""Longest interval: a quarter of the depth at which a transaction is final without the chain's word."""


class Pace:
    """Which followed intents are due at the block last begun."""

    def __init__(self) -> None:
        self._block: Block | None = None
        self._nonce = 0
        self._asked: dict[PlanKey, tuple[int, int]] = {}
        """Plan -> (block in which it was last due, blocks until it is again)."""

    def begin(self, block: Block, nonce: int) -> None:
        """The block that is tended next, and the wallet's nonce there."""
        last, self._block = self._block, block
        fell, self._nonce = nonce < self._nonce, nonce
        if last is None or last.hash == block.hash:
            return
        follows = block.number > last.number and (
            block.number > last.number + 1 or block.parent_hash == last.hash
        )
        if fell or not follows:
            self.reset()

    def reset(self) -> None:
        """The chain may have changed behind what was seen: everything is due in the next block."""
        self._asked.clear()

    def due(self, intent: Intent, included_block: int | None) -> bool:
        """Whether the intent is to be asked at this block; the same answer however often it is asked."""
        number = self._block.number if self._block is not None else 0
        young = included_block is None or number - included_block < SETTLED_DEPTH
        if young or intent.state is IntentState.INCLUDED:
            self._asked.pop(intent.key, None)
            return True
        asked, step = self._asked.get(intent.key, (number - 1, 1))
        if asked != number and number < asked + step:
            return False
        if asked != number:
            grown = min(2 * step, STEP_BLOCKS_MAX) if intent.key in self._asked else step
            self._asked[intent.key] = (number, grown)
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
