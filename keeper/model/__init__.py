"""The records that pass between the rooms: frozen, slotted, keyword-only, holding tuples.

Snapshot and Outcome are facts; Decision and Plan are wishes. A failed read is an ``Unreadable`` record, never
a zero debt and never an infinite health factor.
"""

from keeper.model.life import Attempt, Entry, Fee, Intent, IntentState, Outcome
from keeper.model.outlook import Level, LiquidationPrice, Outlook, Shock
from keeper.model.position import (
    WHOLE_BPS_AVERAGE,
    Allowance,
    Amount,
    Block,
    BookRow,
    Holding,
    Means,
    Position,
    PositionId,
    Reserve,
    Snapshot,
    Token,
    Unreadable,
)
from keeper.model.wish import (
    Bounds,
    Call,
    Caps,
    Decision,
    Plan,
    PlanKey,
    Policy,
    Proposal,
    Refusal,
    Rejection,
    Repay,
    Step,
    Supply,
)

__all__ = [
    "WHOLE_BPS_AVERAGE",
    "Allowance",
    "Amount",
    "Attempt",
    "Block",
    "BookRow",
    "Bounds",
    "Call",
    "Caps",
    "Decision",
    "Entry",
    "Fee",
    "Holding",
    "Intent",
    "IntentState",
    "Level",
    "LiquidationPrice",
    "Means",
    "Outcome",
    "Outlook",
    "Plan",
    "PlanKey",
    "Policy",
    "Position",
    "PositionId",
    "Proposal",
    "Refusal",
    "Rejection",
    "Repay",
    "Reserve",
    "Shock",
    "Snapshot",
    "Step",
    "Supply",
    "Token",
    "Unreadable",
]
