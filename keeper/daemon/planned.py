"""Plans that the journal took on and endpoints as they stand, as rows for whoever shows them."""

from __future__ import annotations

from keeper.errors import KeeperError
from keeper.journal.read import Queries
from keeper.model import Intent

PLANS_MAX = 5
"""Of one chain, in an answer that is asked for every second."""


def plan_row(intent: Intent) -> dict[str, object]:
    """A plan, why it was made, and what became of it; the signed bytes stay in the journal."""
    return {
        "key": str(intent.key),
        "id": str(intent.key.position),
        "state": intent.state.value,
        "open": intent.state.open,
        "strategy": intent.plan.strategy,
        "why": intent.plan.why,
        "became": intent.why,
        "block": intent.plan.block.number,
        "tries": len(intent.attempts),
        "hash": intent.attempts[-1].hash if intent.attempts else "",
    }


def plan_rows(journal: Queries, chain_id: int) -> list[dict[str, object]] | None:
    """A chain's newest plans, newest first; None where the journal cannot be read, which is not "none"."""
    try:
        return [plan_row(i) for i in reversed(journal.intents_on(chain_id, limit=PLANS_MAX))]
    except KeeperError:
        # what is known of the positions is shown all the same; the disk has its own alarm
        return None
