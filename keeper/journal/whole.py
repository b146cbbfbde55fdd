"""Whether a journal can be started on: what a start reads of it is read once, before anything is built on it."""

from __future__ import annotations

from keeper.errors import Broken
from keeper.journal.read import Queries
from keeper.model import PERP_STEPS, Intent

NEWEST = 32
"""Intents of a position on a venue that acts in two steps, whose orders a start looks for."""


def refuse_damaged(journal: Queries) -> None:
    """Raises Broken, naming the file, for a row that is no record and for bytes that are not what was signed: SQLite
    has no checksums. Whoever starts then watches, and signs nothing until a whole journal lies there."""
    journal.refuse_unreadable()
    journal.memories()
    journal.shadows()
    for id in journal.last_seqs():
        newest = journal.intents(id, limit=1)
        if any(isinstance(step, PERP_STEPS) for i in newest for step in i.plan.steps):
            journal.intents(id, limit=NEWEST)
    for intent in sendable(journal):
        refuse_altered(journal, intent)


def sendable(journal: Queries, chain_id: int | None = None) -> tuple[Intent, ...]:
    """What is open, and what was mined and is not final yet: a reorganisation would have it sent again."""
    found = (*journal.open_intents(chain_id), *journal.followed_intents(chain_id))
    return tuple({i.key: i for i in found}.values())


def refuse_altered(journal: Queries, intent: Intent) -> None:
    """Raises Broken for stored bytes that are not what was signed."""
    for attempt in intent.attempts:
        if attempt.altered:
            raise Broken(
                f"journal {journal.path} is damaged: the bytes of {intent.key} attempt {attempt.n} are not "
                f"those of {attempt.hash}; restore it"
            )
