"""What a key signed before another took its place: followed to its end, and never pressed.

Its nonces are its own, and nobody here can sign for them any more: nothing of it is raised, cancelled or sent again,
and nobody else's nonce says anything of it. A position of which such a plan is open waits, alone, for its end.
"""

from __future__ import annotations

from dataclasses import replace

from keeper.confirmation.follow import Confirmation, WhyReverted
from keeper.confirmation.needs import Lane, Record
from keeper.confirmation.pressing import Failures
from keeper.confirmation.receipt import quantity_of
from keeper.errors import Transient
from keeper.model import Attempt, Block, Intent, Means, Outcome, PlanKey, PositionId, Refusal, Snapshot
from keeper.seams import Priority, Transport


class Following(Confirmation):
    """Follows the transactions of one key on one chain, and what the keys before it have left there."""

    def __init__(
        self, journal: Record, transport: Transport, lane: Lane, address: str, why: WhyReverted | None = None
    ) -> None:
        """As ``Confirmation``: ``address`` is the present key's."""
        super().__init__(journal, transport, lane, address, why)
        self._before: dict[str, _Former] = {}
        self._kept: list[Outcome] = []
        """Concluded and not returned yet: what comes after them may fail."""

    async def tend(self, block: Block, snapshot: Snapshot) -> tuple[Outcome, ...]:
        """As ``Confirmation.tend``; then the same of each former key, by its own nonce."""
        failed = Failures()
        with failed.kept():
            self._kept += await super().tend(block, snapshot)
        for address in dict.fromkeys(i.signer for i in self._left(block.chain_id)):
            former = self._before.get(address)
            if former is None:
                former = _Former(self._journal, self._transport, _Unpressed(), address, self._why)
                former._finality = self._finality
                self._before[address] = former
            with failed.kept():
                self._kept += await former.tend(block, snapshot)
            self.troubles |= former.troubles
        if failed.worst is not None:
            raise failed.worst
        told, self._kept = tuple(self._kept), []
        return told

    def pending(self, chain_id: int, nonce: int, *, moved: bool) -> frozenset[PositionId]:
        """As ``Confirmation.pending``; of a former key only where the chain may have taken back what it did: what is
        open of it has its position wait anyway."""
        found = super().pending(chain_id, nonce, moved=moved)
        return found | {i.key.position for i in self._left(chain_id)} if moved else found

    def _left(self, chain_id: int) -> list[Intent]:
        found = (*self._journal.open_intents(chain_id), *self._journal.followed_intents(chain_id))
        return [i for i in found if not self._mine(i)]


class _Former(Confirmation):
    """Follows what one key has left, of which the keeper has no signatures any more."""

    async def tend(self, block: Block, snapshot: Snapshot) -> tuple[Outcome, ...]:
        """As ``Confirmation.tend``, with the nonce that this key had at ``block``; nothing while no node tells it."""
        try:
            nonce = await self._nonce_at(block)
            means = replace(snapshot.means, wallet=self._address, nonce=nonce)
            return await super().tend(block, replace(snapshot, means=means))
        except Transient:
            return ()
        finally:
            opened = self._journal.open_intents(block.chain_id)
            self.troubles = {i.key: _waits(i) for i in opened if self._mine(i)}

    def _mine(self, intent: Intent) -> bool:
        return intent.signer == self._address

    def _unless_done(self, intent: Intent, block: Block, snapshot: Snapshot) -> Intent:
        """Wanted or not, nobody can give it up."""
        return intent

    def _trouble(self, key: PlanKey, block: Block, why: str) -> None:
        """Not one more row in every block: it may be open for days, and what is said of it does not change."""

    async def _nonce_at(self, block: Block) -> int:
        asked = [self._address, hex(block.number)]
        return quantity_of(
            await self._transport.request("eth_getTransactionCount", asked, priority=Priority.RECEIPT)
        )


class _Unpressed:
    """The lane of a key that signs nothing more."""

    @property
    def unsure(self) -> bool:
        """No signer is left to be asked."""
        return False

    @property
    def reached(self) -> bool:
        """As the answer to a broadcast: there is nothing to be done about it."""
        return True

    @property
    def wants_more(self) -> bool:
        """Nothing can be raised."""
        return False

    @property
    def overtaken(self) -> bool:
        """Nothing was asked."""
        return False

    async def settle(self, chain_id: int, at_block: int = 0) -> None:
        """Nothing is known besides what is journaled."""

    async def bump(self, key: PlanKey, block: Block, means: Means | None) -> Attempt | Refusal:
        """Not with another key's signature."""
        return _no(key)

    async def cancel(self, key: PlanKey, block: Block, means: Means | None) -> Attempt | Refusal:
        """Not with another key's signature."""
        return _no(key)

    async def clear(self, key: PlanKey, behind: PlanKey, block: Block, means: Means) -> Attempt | Refusal:
        """It stands in nobody's way: another key's nonces are counted apart."""
        return _no(key)

    async def rebroadcast(self, intent: Intent) -> _Unpressed:
        """It is sent no more: who changed the key may not want it to act, and nobody could take it back."""
        return self


def _no(key: PlanKey) -> Refusal:
    return Refusal(who="confirmation", code="other_key", why=f"{key} was signed by another key")


def _waits(intent: Intent) -> str:
    return (
        f"signed by {intent.signer}, which is not the present key, under nonce {intent.attempts[-1].nonce}: it may "
        "still act, and this key can neither raise nor cancel it. Nothing else is planned for this position until a "
        "transaction of that key has used the nonce, this one or any other, or `keeper adopt --give-up`"
    )
