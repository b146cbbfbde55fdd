"""What is equal at every venue that acts within the transaction: inclusion is the effect."""

from __future__ import annotations

from keeper.model import Intent, IntentState, Snapshot
from keeper.seams import Effect, Progress


def effect(intent: Intent, snapshot: Snapshot) -> Effect:
    """Whether the intent's effect shows: PENDING until a snapshot newer than the plan's shows the account.

    Whether health rose as promised is judged by confirmation, at the block that included it.
    """
    if intent.state in (IntentState.REVERTED, IntentState.EXPIRED, IntentState.CANCELLED):
        return Effect(progress=Progress.FAILED, why=f"the transaction ended {intent.state}")
    if intent.state not in (IntentState.INCLUDED, IntentState.SETTLED, IntentState.FINAL):
        return Effect(progress=Progress.PENDING, why=f"the transaction is {intent.state}")
    seen, planned = snapshot.block.number, intent.plan.block.number
    if seen <= planned:
        return Effect(progress=Progress.PENDING, why=f"block {seen} is not newer than the plan's {planned}")
    if snapshot.position(intent.key.position) is None:
        return Effect(progress=Progress.PENDING, why=f"the position cannot be read at block {seen}")
    return Effect(progress=Progress.DONE, why=f"executed, and read again at block {seen}")
