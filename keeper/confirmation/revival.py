"""What a reorganisation may bring back: a plan that ended in vain, and acts after a later one took its place.

Signed bytes cannot be recalled. So a plan that presumed the failure of an earlier one is given up as soon as
that failure turns out to be none, and where both have acted it is said. ``docs/decisions/double-act.md``.
"""

from __future__ import annotations

from collections.abc import Iterable

from keeper.confirmation.needs import Record
from keeper.model import Intent, IntentState, PlanKey, Snapshot

_ACTED = (IntentState.INCLUDED, IntentState.SETTLED)
_OUTCOMES_MAX = 1000
"""Entries of one plan's outcomes; each reorganisation adds one or two."""


def needless(journal: Record, late: Intent, snapshot: Snapshot) -> PlanKey | None:
    """The earlier plan that did what ``late`` is for after all, or None while ``late`` is still wanted.

    It is wanted still when the position, with the earlier plan's effect, stands no better than when ``late``
    was planned, or cannot be read.
    """
    position = snapshot.position(late.key.position)
    before_wad = late.plan.health_before_wad
    if position is None or position.health_wad is None or before_wad is None:
        return None
    if position.health_wad <= before_wad:
        return None
    for early in journal.followed_intents(late.key.position.chain_id):
        older = early.key.position == late.key.position and early.key.seq < late.key.seq
        if older and early.state in _ACTED and presumed_vain(journal, early.key, late.key):
            return early.key
    return None


def acted_twice(journal: Record, key: PlanKey, acted: Iterable[PlanKey]) -> PlanKey | None:
    """Another plan of ``key``'s position among ``acted``, where the later of both presumed that the earlier
    had failed; None when there is none.
    """
    for other in acted:
        if other.position != key.position or other.seq == key.seq:
            continue
        early, late = sorted((key, other), key=lambda k: k.seq)
        if presumed_vain(journal, early, late):
            return other
    return None


def presumed_vain(journal: Record, early: PlanKey, late: PlanKey) -> bool:
    """Whether the last that was known of ``early`` when ``late`` was journaled is an end without effect."""
    planned = journal.entries("plan", str(late), limit=1)
    if not planned:
        return False
    told = [e for e in journal.entries("outcome", str(early), limit=_OUTCOMES_MAX) if e.id < planned[0].id]
    return bool(told) and told[-1].told("state", IntentState).in_vain
