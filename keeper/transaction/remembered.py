"""What a signer with a memory signed and the journal never got: a full disk or a death between the two."""

from __future__ import annotations

from keeper.model import Attempt, Fee, Intent
from keeper.seams import Remembers


async def missing(intent: Intent, signer: Remembers) -> tuple[Attempt, ...]:
    """The signer's transactions of ``intent`` that it does not hold, numbered on from those that it does. Raises
    Transient."""
    have = {a.hash for a in intent.attempts}
    kept = [k for k in await signer.stored(str(intent.key)) if k.signed.hash not in have]
    return tuple(
        Attempt(
            key=intent.key,
            nonce=k.nonce,
            n=n,
            raw=k.signed.raw,
            hash=k.signed.hash,
            fee=Fee(gas_limit=k.gas_limit, max_fee_wei=k.max_fee_wei, tip_wei=k.tip_wei),
            sent_block=intent.plan.block.number,
            cancel=k.cancel,
        )
        for n, k in enumerate(kept, start=len(intent.attempts))
    )
