"""What every endpoint by itself says of a receipt, before it is believed that nobody has one.

The first in order answers for all otherwise, and one that is behind, or keeps no receipts, denies what others have.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from keeper.confirmation.branch import Branch
from keeper.confirmation.needs import AsksEach
from keeper.confirmation.receipt import Receipt, receipt_of
from keeper.errors import Transient
from keeper.model import Attempt, Block, Intent
from keeper.seams import Transport

COUNT = 64
"""Endpoints asked: all there are."""
WAIT_S = 0.5
"""For the slower ones, once one has answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What they said together."""

    receipt: Receipt | None
    """One of ours, on the photograph's branch."""
    sure: bool
    """Whether each that was asked denies every receipt."""


async def everybody(transport: Transport, branch: Branch, address: str, intent: Intent, block: Block) -> Word:
    """The word of each endpoint on each attempt of ``intent``; a transport of one voice has spoken already."""
    if not isinstance(transport, AsksEach):
        return Word(receipt=None, sure=True)
    words = await asyncio.gather(*(_each(transport, a) for a in intent.attempts))
    sure = True
    for attempt, answers in zip(intent.attempts, words, strict=True):
        for answer in answers:
            if answer is None:
                continue
            receipt = _receipt(answer, attempt, address)
            if receipt is not None and await branch.holds(receipt, block):
                return Word(receipt=receipt, sure=False)
            sure = False
    return Word(receipt=None, sure=sure)


async def _each(transport: AsksEach, attempt: Attempt) -> tuple[object, ...]:
    try:
        return await transport.request_each("eth_getTransactionReceipt", [attempt.hash], COUNT, wait_s=WAIT_S)
    except Transient as error:
        return (error,)


def _receipt(answer: object, attempt: Attempt, address: str) -> Receipt | None:
    try:
        return receipt_of(answer, attempt, address)
    except Transient:
        return None
