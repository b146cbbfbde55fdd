"""Which nonce comes next: the journal's word and the chain's must agree, or nothing is signed."""

from __future__ import annotations

from keeper import voices
from keeper.errors import Broken, Disputed, Transient
from keeper.model import Block
from keeper.seams import Transport
from keeper.transaction.ledger import Ledger
from keeper.units import QUANTITY_CHARS_MAX

OUTVOTED_BLOCKS = 2
OUTVOTED_S = 5
"""Over so many blocks, and so long, two must have said again and again that a third is wrong: theirs may have been
the older block. Nothing is signed meanwhile."""
FORGOTTEN_S = 60
"""A doubt that nobody asked about for so long begins anew."""


class Nonces:
    """Which nonce a key signs next, on one chain."""

    def __init__(self, ledger: Ledger, transport: Transport) -> None:
        self._ledger = ledger
        self._transport = transport
        self._first: Block | None = None
        """Where one endpoint's word was first heard against the others'."""
        self._last: Block | None = None

    async def next(self, block: Block, address: str) -> int:
        """max(chain's latest, journal's highest + 1) for ``address``, for a plan of ``block``.

        Raises Broken when the chain is ahead of the journal, or when a transaction that is not ours was mined under
        a nonce that we had signed for: somebody else signs with this key, or the journal was lost or restored from
        an old copy. Of several endpoints two must say so; Disputed while one alone does. Raises Transient when
        the chain does not answer.
        """
        taken = self._ledger.taken_nonce(block.chain_id, address)
        if taken is not None:
            raise Broken(
                f"foreign nonce: nonce {taken} of {address} was used by a transaction that this keeper did not sign, "
                "in the place of its own; another program uses this key. Nothing is signed until a person has looked "
                "(`keeper adopt`)"
            )
        latest = count(await self._transport.request("eth_getTransactionCount", [address, "latest"]))
        known = self._ledger.next_nonce(block.chain_id, address)
        if known is not None and latest > known:
            told = await voices.counts(self._transport, address, "latest")
            if told is not None and told.above(known) < voices.QUORUM:
                return self._outvoted(told, block, known, f"{address} has sent {latest} transactions")
        else:
            self._first = None
        return agreed(known, latest, address)

    def _outvoted(self, told: voices.Counts, block: Block, known: int, claim: str) -> int:
        """The journal's next nonce, where two have long denied what one says. Raises Disputed until then."""
        denied = len(told.told) - told.above(known)
        stale = self._last is None or block.timestamp_s - self._last.timestamp_s > FORGOTTEN_S
        if self._first is None or stale or denied < voices.QUORUM:
            self._first = block
        self._last = block
        blocks, seconds = block.number - self._first.number, block.timestamp_s - self._first.timestamp_s
        if blocks >= OUTVOTED_BLOCKS and seconds >= OUTVOTED_S:
            return known
        raise Disputed(
            f"one of {told.configured} endpoints says that {claim}; {denied} say {known} or less, as the journal "
            "does: nothing new is signed until two say the same. An endpoint that lies, or is far behind, must leave "
            "the configuration; if that one is right, another program uses this key"
        )


def agreed(known: int | None, latest: int, address: str) -> int:
    """The journal's next nonce, unless the chain's ``latest`` contradicts it. Raises Broken."""
    if known is None:
        raise Broken(f"no nonce was adopted for {address}: recovery must run before anything is signed")
    if latest > known:
        raise Broken(
            f"foreign nonce: {address} has sent {latest} transactions, this journal accounts for {known}; "
            "another program uses this key, or the journal is not the newest. Nothing is signed until a "
            "person has looked (`keeper adopt`)"
        )
    # behind is harmless: our own transactions are in flight, or the endpoint lags
    return known


def count(answer: object) -> int:
    """A transaction count as the node answered it. Raises Transient on anything but a hex quantity."""
    if not isinstance(answer, str) or not answer.startswith("0x") or len(answer) > QUANTITY_CHARS_MAX:
        raise Transient(f"transaction count answered as {type(answer).__name__}")
    try:
        return int(answer, 16)
    except ValueError:
        raise Transient("transaction count is no hex quantity") from None
