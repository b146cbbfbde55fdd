"""What is equal at every venue that acts within the transaction: inclusion is the effect."""

from __future__ import annotations

from keeper.model import PERP_STEPS, Deleverage, Intent, IntentState, Refusal, Repay, Snapshot, Step, Supply
from keeper.seams import Effect, Progress


def lent(step: Step) -> Supply | Repay | Deleverage:
    """The step as one of a lending market's. ValueError for a perpetual position's."""
    if isinstance(step, PERP_STEPS):
        raise ValueError(f"{type(step).__name__} is no step of a lending market")
    return step


def foreign(step: Step, who: str) -> Refusal | None:
    """Why a lending market takes no step of a perpetual position's."""
    if not isinstance(step, PERP_STEPS):
        return None
    return Refusal(who=who, code="no_such_step", why=f"{who} lends: it knows no {type(step).__name__}")


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
