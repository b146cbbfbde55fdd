"""Which nonce comes next: the journal's word and the chain's must agree, or nothing is signed."""

from __future__ import annotations

from keeper.errors import Broken, Transient
from keeper.seams import Transport
from keeper.transaction.ledger import Ledger


async def next_nonce(ledger: Ledger, transport: Transport, chain_id: int, address: str) -> int:
    """max(chain's latest, journal's highest + 1) for ``address``.

    Raises Broken when the chain is ahead of the journal, or when a transaction that is not ours was mined under
    a nonce that we had signed for: somebody else signs with this key, or the journal was lost or restored from
    an old copy. Raises Transient when the chain does not answer.
    """
    taken = ledger.taken_nonce(chain_id, address)
    if taken is not None:
        raise Broken(
            f"foreign nonce: nonce {taken} of {address} was used by a transaction that this keeper did not sign, "
            "in the place of its own; another program uses this key. Nothing is signed until a person has looked "
            "(`keeper adopt`)"
        )
    latest = count(await transport.request("eth_getTransactionCount", [address, "latest"]))
    return agreed(ledger.next_nonce(chain_id, address), latest, address)


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
    if not isinstance(answer, str) or not answer.startswith("0x"):
        raise Transient(f"transaction count answered as {type(answer).__name__}")
    try:
        return int(answer, 16)
    except ValueError:
        raise Transient("transaction count is no hex quantity") from None
