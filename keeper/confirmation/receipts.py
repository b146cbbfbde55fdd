"""The receipts of everything that is open or followed, in one look."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from keeper.confirmation.branch import Branch
from keeper.confirmation.receipt import Receipt, Sight, receipt_of
from keeper.errors import Transient
from keeper.model import Attempt, Block, Intent, PlanKey
from keeper.seams import Priority, Transport

RECEIPT_S = 2.0
"""Half of what a tending has: where no receipt can be read, bytes are sent again and raised all the same."""


class Receipts:
    """Of one key's transactions on one chain."""

    def __init__(self, transport: Transport, branch: Branch, address: str) -> None:
        self._transport = transport
        self._branch = branch
        self._address = address

    async def look(self, intents: Sequence[Intent], block: Block, nonce: int) -> dict[PlanKey, Sight]:
        """The receipts of all attempts at once, kept only where they lie on the branch of ``block``.

        ``nonce``: the key's at ``block``, which a transaction of that branch has passed: what says of one beyond it
        that it was mined is no sight. Raises what is no network's failure.
        """
        wanted = [(i, a) for i in intents for a in i.attempts]
        answers = await asyncio.gather(*(self._receipt(a) for _, a in wanted), return_exceptions=True)
        found: dict[PlanKey, Receipt] = {}
        unsure: set[PlanKey] = set()
        # all at once: a night's followed plans, asked one after another, would hold the next photograph up
        branches = await asyncio.gather(*(self._branch.holds(a, block) for a in answers))
        for (intent, attempt), answer, on_branch in zip(wanted, answers, branches, strict=True):
            if isinstance(answer, Receipt):
                if on_branch and attempt.nonce < nonce:
                    found[intent.key] = answer
                else:
                    unsure.add(intent.key)
            elif isinstance(answer, Transient):
                unsure.add(intent.key)
            elif isinstance(answer, BaseException):
                raise answer
        return {i.key: Sight(receipt=found.get(i.key), sure=i.key not in unsure) for i in intents}

    async def _receipt(self, attempt: Attempt) -> Receipt | None:
        answer = await self._transport.request(
            "eth_getTransactionReceipt", [attempt.hash], priority=Priority.RECEIPT, timeout_s=RECEIPT_S
        )
        return None if answer is None else receipt_of(answer, attempt, self._address)
