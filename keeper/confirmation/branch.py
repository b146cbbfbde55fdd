"""Where a block lies: on the branch that a photograph was taken of, or on one that the chain has left."""

from __future__ import annotations

from keeper.confirmation.needs import Inclusion
from keeper.confirmation.receipt import Receipt, object_of, text_of
from keeper.errors import Transient
from keeper.model import Block
from keeper.seams import Priority, Transport

HEADER_S = 1.5
"""A receipt and its header together take less than a tending has: what can be pressed is pressed after them."""


class Branch:
    """The chain's headers, asked by number."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def holds(self, answer: object, block: Block) -> bool:
        """Whether a receipt's block is ``block`` or an ancestor of it.

        A newer one waits for its own; what is no receipt, or cannot be placed now, is not.
        """
        if not isinstance(answer, Receipt):
            return False
        try:
            return await self._on(answer, block)
        except Transient:
            return False

    async def may_hold(self, was: Inclusion, block: Block) -> bool:
        """Whether the chain may still have the block in which a plan was seen: not where another stands in its place.

        Where no node knows a block of that height, or says which, it may.
        """
        if was.block_number > block.number:
            return False
        try:
            header = await self._header(hex(was.block_number))
            return header is None or text_of(header, "hash").lower() == was.block_hash.lower()
        except Transient:
            return True

    async def _on(self, receipt: Receipt, block: Block) -> bool:
        if receipt.block_number >= block.number:
            return receipt.block_number == block.number and receipt.block_hash == block.hash.lower()
        if receipt.block_number == block.number - 1:
            return receipt.block_hash == block.parent_hash.lower()
        header = await self._header(hex(receipt.block_number))
        return header is not None and text_of(header, "hash").lower() == receipt.block_hash

    async def _header(self, tag: str) -> dict[str, object] | None:
        answer = await self._transport.request(
            "eth_getBlockByNumber", [tag, False], priority=Priority.RECEIPT, timeout_s=HEADER_S
        )
        return None if answer is None else object_of(answer)
