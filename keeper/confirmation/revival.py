"""What a reorganisation may bring back: a plan that ended in vain, and acts after a later one took its place.

Signed bytes cannot be recalled, nor those that a larger replacement took the place of. So a plan that presumed
the failure of an earlier one, or an act by its smaller bytes, is given up as soon as that turns out to be otherwise,
and where both have acted it is said. ``docs/decisions/double-act.md``.
"""

from __future__ import annotations

from collections.abc import Mapping

from keeper.confirmation.needs import Record
from keeper.model import Entry, Intent, IntentState, PlanKey, Snapshot

ACTED = (IntentState.INCLUDED, IntentState.SETTLED)
"""States of a plan that had its effect."""
_OUTCOMES_MAX = 1000
"""Entries of one plan's outcomes; each reorganisation adds one or two."""


def needless(journal: Record, late: Intent, snapshot: Snapshot) -> PlanKey | None:
    """The earlier plan that did what ``late`` is for after all, or does it now; None while ``late`` is still wanted.

    It is wanted still when the position, with the earlier plan's effect, stands no better than when ``late``
    was planned, or cannot be read.
    """
    for early in journal.open_intents(late.key.position.chain_id):
        if not _older(early, late) or not early.may_act:
            continue
        # under a nonce that is used no larger bytes of it can act: the chain holds what did
        used = early.signer == late.signer and early.attempts[-1].nonce < snapshot.means.nonce
        if not used and _outgrown(journal, early, late):
            return early.key
    position = snapshot.position(late.key.position)
    before_wad = late.plan.health_before_wad
    if position is None or position.health_wad is None or before_wad is None:
        return None
    if position.health_wad <= before_wad:
        return None
    for early in journal.followed_intents(late.key.position.chain_id):
        acted = _older(early, late) and early.state in ACTED
        if acted and presumed_otherwise(journal, early.key, late.key, late.attempts[-1].n):
            return early.key
    return None


def acted_twice(journal: Record, key: PlanKey, acted: Mapping[PlanKey, int]) -> PlanKey | None:
    """Another plan of ``key``'s position among ``acted`` (by which of its attempts), where the later of both presumed
    that the earlier had failed, or had done less; None when there is none.
    """
    for other in acted:
        if other.position != key.position or other.seq == key.seq:
            continue
        early, late = sorted((key, other), key=lambda k: k.seq)
        if presumed_otherwise(journal, early, late, acted[late]):
            return other
    return None


def presumed_otherwise(journal: Record, early: PlanKey, late: PlanKey, n: int) -> bool:
    """Whether what attempt ``n`` of ``late`` carries was planned upon another end of ``early`` than the chain holds:
    without its effect, or upon an act by smaller bytes than those that have acted since.
    """
    planned = _planned(journal, late, n)
    told = journal.entries("outcome", str(early), limit=_OUTCOMES_MAX)
    then = [e for e in told if planned is not None and e.id < planned.id]
    if not then:
        return False
    if then[-1].told("state", IntentState) not in ACTED:
        return True
    return told[-1].told("state", IntentState) in ACTED and _larger(journal, early, then[-1], told[-1])


def _older(early: Intent, late: Intent) -> bool:
    return early.key.position == late.key.position and early.key.seq < late.key.seq


def _planned(journal: Record, key: PlanKey, n: int) -> Entry | None:
    """Where the plan that attempt ``n`` carries was journaled: the first one, or one that took its place."""
    larger = [e for e in journal.entries("replan", str(key)) if e.told("n", int) <= n]
    found = larger[-1:] or journal.entries("plan", str(key), limit=1)
    return found[0] if found else None


def _outgrown(journal: Record, early: Intent, late: Intent) -> bool:
    """Whether ``early``, open again, is for more than ``late`` presumed: a larger plan took its place when ``late``
    was there already, or its smaller bytes had acted by then, and it is the larger ones that are sent again.
    """
    planned = _planned(journal, late.key, late.attempts[-1].n)
    if planned is None:
        return False
    if any(e.id > planned.id for e in journal.entries("replan", str(early.key))):
        return True
    then = [e for e in journal.entries("outcome", str(early.key), limit=_OUTCOMES_MAX) if e.id < planned.id]
    if not then or then[-1].told("state", IntentState) not in ACTED:
        return False
    return _carry_more(journal, early, then[-1].data.get("tx_hash"), early.attempts[-1].hash)


def _larger(journal: Record, key: PlanKey, before: Entry, now: Entry) -> bool:
    """Whether the bytes that acted ``now`` replaced those of ``before`` and carry another size: then a larger one.

    The other way round less was done than the later plan presumed, which is wanted all the more; and of bytes that no
    attempt has nothing is known.
    """
    hashes = [before.data.get("tx_hash"), now.data.get("tx_hash")]
    intent = next((i for i in journal.intents(key.position) if i.key == key), None)
    return intent is not None and hashes[0] != hashes[1] and _carry_more(journal, intent, *hashes)


def _carry_more(journal: Record, intent: Intent, first: object, second: object) -> bool:
    """Whether the attempt with hash ``second`` carries a plan that took the place of ``first``'s."""
    n = {a.hash: a.n for a in intent.attempts}
    if first not in n or second not in n or n[str(second)] <= n[str(first)]:
        return False
    return journal.carried(intent, n[str(first)]).steps != journal.carried(intent, n[str(second)]).steps
