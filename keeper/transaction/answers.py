"""What a node meant by its answer to a broadcast: six clients' words in one table.

An answer is never "failed": the bytes left this machine, so only a receipt, or a nonce used up by something
else, ends an attempt. The verdict decides whether the fee is raised now.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from keeper.errors import POOL_HOLDS, Rejected


class Verdict(StrEnum):
    """How the pool answered, best first."""

    ACCEPTED = "accepted"
    KNOWN = "already known"
    NONCE_LOW = "nonce already used"
    UNDERPRICED = "replacement underpriced"
    FEE_LOW = "fee below what the pool takes"
    FUNDS = "wallet cannot pay for the gas"
    NONCE_HIGH = "earlier nonce missing"
    POOL_FULL = "pool is full"
    REFUSED = "refused for good by this node"
    UNKNOWN = "no telling"

    @property
    def reached(self) -> bool:
        """True when a pool holds the transaction."""
        return self in (Verdict.ACCEPTED, Verdict.KNOWN)

    @property
    def overtaken(self) -> bool:
        """True when the node has mined something under its nonce: a newer photograph shows what."""
        return self is Verdict.NONCE_LOW

    @property
    def wants_more(self) -> bool:
        """True when a higher fee would help."""
        return self in (Verdict.UNDERPRICED, Verdict.FEE_LOW)


_WORDS: tuple[tuple[Verdict, tuple[str, ...]], ...] = (
    (Verdict.KNOWN, POOL_HOLDS),
    (
        Verdict.NONCE_LOW,
        ("nonce too low", "oldnonce", "old nonce", "nonce is too low", "ownnoncealreadyused"),
    ),
    (
        Verdict.NONCE_HIGH,
        (
            "nonce too high",
            "noncegap",
            "gapped-nonce",
            "too distant from current",
            "noncetoofarinfuture",
            "future transaction tries to replace",
        ),
    ),
    (
        Verdict.UNDERPRICED,
        (
            "replacement transaction underpriced",
            "transaction replacement underpriced",
            "replacementnotallowed",
            "could not replace existing",
        ),
    ),
    (
        Verdict.FEE_LOW,
        (
            "underpriced",
            "less than block base fee",
            "lower than block base fee",
            "lower than the minimum",
            "feetoolow",
            "fee too low",
            "below configured minimum",
            "gas price below",
        ),
    ),
    (
        Verdict.FUNDS,
        (
            "insufficient funds",
            "insufficientfunds",
            "exceeds account balance",
            "insufficient balance",
            "overdraft",
        ),
    ),
    (
        Verdict.POOL_FULL,
        (
            "txpool is full",
            "pool is full",
            "account limit exceeded",
            "in-flight transaction limit",
            "too many transactions",
            "already reserved",
        ),
    ),
    (
        Verdict.REFUSED,
        (
            "intrinsic gas",
            "exceeds block gas limit",
            "gaslimitexceeded",
            "gas limit too high",
            "exceeds the configured cap",
            "invalid chain id",
            "invalid sender",
            "invalid signature",
            "oversized data",
            "tip higher than",
            "priority fee per gas higher",
            "type not supported",
        ),
    ),
)


def verdict(answer: str | Exception, tx_hash: str) -> Verdict:
    """One node's answer to the broadcast of the transaction with ``tx_hash``."""
    if isinstance(answer, str):
        # another hash than ours says that the node talks of another transaction
        return Verdict.ACCEPTED if answer.lower() == tx_hash.lower() else Verdict.UNKNOWN
    if not isinstance(answer, Rejected):
        return Verdict.UNKNOWN
    message = answer.message.lower()
    return next((v for v, words in _WORDS if any(w in message for w in words)), Verdict.UNKNOWN)


def best(answers: Sequence[str | Exception], tx_hash: str) -> Verdict:
    """The most informative of all nodes' answers: one pool that holds it suffices."""
    order = list(Verdict)
    return min((verdict(a, tx_hash) for a in answers), key=order.index, default=Verdict.UNKNOWN)
