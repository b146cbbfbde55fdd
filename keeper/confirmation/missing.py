"""A nonce that is used while no receipt of ours is there: believed to be another's at depth, on several looks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keeper import voices
from keeper.confirmation.branch import Branch
from keeper.confirmation.everybody import everybody
from keeper.confirmation.receipt import Receipt, quantity_of
from keeper.errors import Transient
from keeper.model import Block, Intent, PlanKey
from keeper.seams import Priority, Transport

DEPTH = 2
LOOKS = 2
OWN_DEPTH = 4
"""Where no endpoint keeps the state of two blocks ago: over so many blocks our own photographs, one after the other,
must have shown the nonce as used. Twice the depth, because each was of the newest block of its time."""
AGREED_S = 12
"""On a chain of fast blocks those looks lie so far apart at least: all who are asked may index receipts seconds later
than nonces. While it is open nothing is planned for its position; once it is believed, the whole key stops."""
SILENT_S = 60
"""So long it stays open where an endpoint says nothing, or what cannot be placed on the chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How often the nonce was seen used with no receipt of ours, in which block first and in which last."""

    count: int
    first_s: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Whether it is believed; else what keeps it open, where that is more than time, or the receipt that one had."""

    believed: bool
    trouble: str = ""
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Used:
    """How many transactions of the key there are."""

    agreed: int
    highest: int
    alone: bool
    """One endpoint of several said so, and no other says anything."""


class Missing:
    """What one key's nonces have told so far."""

    def __init__(self, transport: Transport, branch: Branch, address: str) -> None:
        self._transport = transport
        self._branch = branch
        self._address = address
        self._looks: dict[PlanKey, Looks] = {}

    def found(self, key: PlanKey) -> None:
        """There is a receipt, or the nonce is not used: whatever was seen before counts no more."""
        self._looks.pop(key, None)

    async def look(self, intent: Intent, block: Block) -> Told:
        """One more look at ``block``, whose photograph shows the nonce of ``intent`` as used."""
        key, nonce = intent.key, intent.attempts[-1].nonce
        before = self._looks.get(key) or Looks(
            count=0, first_s=block.timestamp_s, first=block.number, last=-1
        )
        looks = replace(before, count=before.count + (block.number > before.last), last=block.number)
        self._looks[key] = looks
        if looks.count < LOOKS:
            return Told(believed=False)
        used = await self._count(hex(max(block.number - DEPTH, 0)))
        trouble = ""
        if used is None:
            # pruned, or dead: our own photographs tell since when, and the newest state tells again
            deep = looks.count > OWN_DEPTH and looks.last - looks.first >= OWN_DEPTH
            used = await self._count("latest") if deep else None
            trouble = (
                f"no endpoint tells the wallet's nonce {DEPTH} blocks ago (endpoints_without_history); nonce {nonce} "
                f"is used and no receipt is ours, seen so from block {looks.first} to {looks.last}"
            )
        if used is None or used.agreed <= nonce:
            contradicted = used is not None and used.highest > nonce
            if contradicted:
                trouble = f"one endpoint says that nonce {nonce} is used, another that it is not (endpoints disagree)"
            return Told(believed=False, trouble=trouble if used is None or contradicted else "")
        word = await everybody(self._transport, self._branch, self._address, intent, block)
        sure = word.sure and not used.alone
        if word.receipt is not None:
            self.found(key)
            return Told(believed=False, receipt=word.receipt)
        waited_s = block.timestamp_s - looks.first_s
        if sure and waited_s < AGREED_S:
            return Told(believed=False)
        if not sure and waited_s < SILENT_S:
            why = f"nonce {nonce} is used, and not every endpoint says so and that none of ours has a receipt"
            return Told(believed=False, trouble=why)
        self.found(key)
        return Told(believed=True)

    async def _count(self, tag: str) -> _Used | None:
        """Transactions of the key at that block, as two of several bear out; None where no node can say."""
        told = await voices.counts(self._transport, self._address, tag)
        if told is not None:
            if not told.told:
                return None
            alone = told.agreed is None
            return _Used(agreed=told.told[0] if alone else told.told[1], highest=told.told[0], alone=alone)
        try:
            answer = await self._transport.request(
                "eth_getTransactionCount", [self._address, tag], priority=Priority.RECEIPT
            )
            n = quantity_of(answer)
        except Transient:
            return None
        return _Used(agreed=n, highest=n, alone=False)
