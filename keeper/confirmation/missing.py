"""A nonce that is used while no receipt of ours is there: believed to be another's at depth, on several looks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from keeper.confirmation.needs import AsksEach
from keeper.confirmation.receipt import quantity_of
from keeper.errors import Transient
from keeper.model import Block, Intent, PlanKey
from keeper.seams import Priority, Transport

DEPTH = 2
LOOKS = 2
OWN_DEPTH = 4
"""Where no endpoint keeps the state of two blocks ago: over so many blocks our own photographs, one after the other,
must have shown the nonce as used. Twice the depth, because each was of the newest block of its time."""
EVERYBODY = 64
"""Endpoints asked for a receipt before it is believed that nobody has one: all there are."""
WAIT_S = 1.0
"""For the slower ones, once one has answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How often the nonce was seen used with no receipt of ours, in which block first and in which last."""

    count: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Whether it is believed; else what keeps it open, where that is more than time."""

    believed: bool
    trouble: str = ""


class Missing:
    """What one key's nonces have told so far."""

    def __init__(self, transport: Transport, address: str) -> None:
        self._transport = transport
        self._address = address
        self._looks: dict[PlanKey, Looks] = {}

    def found(self, key: PlanKey) -> None:
        """There is a receipt, or the nonce is not used: whatever was seen before counts no more."""
        self._looks.pop(key, None)

    async def look(self, intent: Intent, block: Block) -> Told:
        """One more look at ``block``, whose photograph shows the nonce of ``intent`` as used."""
        key, nonce = intent.key, intent.attempts[-1].nonce
        before = self._looks.get(key) or Looks(count=0, first=block.number, last=-1)
        looks = Looks(
            count=before.count + (block.number > before.last), first=before.first, last=block.number
        )
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
        if used is None or used <= nonce:
            return Told(believed=False, trouble="" if used is not None else trouble)
        if await self._anybody_has(intent):
            why = f"nonce {nonce} is used; one endpoint has a receipt of ours, another has none"
            return Told(believed=False, trouble=why)
        self.found(key)
        return Told(believed=True)

    async def _anybody_has(self, intent: Intent) -> bool:
        """Whether any endpoint tells a receipt: the first in order may be behind, and answers for all otherwise."""
        each = self._transport
        if not isinstance(each, AsksEach):
            return False
        asked = [
            each.request_each("eth_getTransactionReceipt", [a.hash], EVERYBODY, wait_s=WAIT_S)
            for a in intent.attempts
        ]
        told = await asyncio.gather(*asked, return_exceptions=True)
        return any(isinstance(a, dict) for answers in told if isinstance(answers, tuple) for a in answers)

    async def _count(self, tag: str) -> int | None:
        """Transactions of the key at that block; None where no node can say."""
        try:
            answer = await self._transport.request(
                "eth_getTransactionCount", [self._address, tag], priority=Priority.RECEIPT
            )
            return quantity_of(answer)
        except Transient:
            return None
