"""How far a rescue for practice has come: read off the tick, the lane's refusal, the intent and its outcome. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from keeper.daemon.canary.record import Stage
from keeper.model import Intent, IntentState
from keeper.transaction.answers import Verdict

SETTLED = frozenset({IntentState.SETTLED, IntentState.FINAL})
ENDED = frozenset({IntentState.CANCELLED, IntentState.REPLACED})
NOT_SENT_AT = {"simulation": Stage.SIMULATION, "signer": Stage.SIGNER}
"""Who refused a plan -> the stage at which it stayed; by its code where it was the lane."""
LANE_AT = {"unreachable": Stage.SIMULATION, "disputed": Stage.SIGNER, "broken": Stage.SIGNER}
OVERTAKEN = ("raced", "overtaken")
"""Codes of the lane that say nothing of the canary: the next block decides anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is seen of it at one moment."""

    refused: str = ""
    """Why the newest block has no plan for it."""
    not_sent: Mapping[str, object] | None = None
    """The lane's newest refusal since it began: ``who``, ``code``, ``why``."""
    intent: Intent | None = None
    """Its newest."""
    surprise: str = ""
    """How the outcome differs from what was promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where it stands."""

    at: Stage
    why: str = ""
    """What keeps it there, or ended it."""
    failed: bool = False
    """It will not go on by itself."""
    refused: bool = False
    """Somebody said no, and may say something else at the next block."""
    signed: bool = False
    """Bytes exist: it may have an effect whatever becomes of us."""


def standing(sight: Sight, passed: Collection[Stage]) -> Standing:
    """The stage reached, given those that were seen behind it before."""
    intent = sight.intent
    if intent is None or intent.state in (IntentState.ABANDONED, IntentState.EXPIRED):
        return _unsigned(sight)
    state = intent.state
    if state is IntentState.DRY or state in SETTLED:
        # what differs is an end of its own, however deep it lies
        return _effect(sight, Stage.ALARM)
    if state is IntentState.PLANNED:
        return Standing(at=Stage.SIMULATION, why="being simulated and signed")
    if state is IntentState.INCLUDED:
        return _effect(sight, Stage.EFFECT, "included; waits for blocks on top")
    if state is IntentState.REVERTED:
        return Standing(at=Stage.EFFECT, why=sight.surprise or intent.why, failed=True, signed=True)
    sent = state is IntentState.SENT and _reached(intent.why)
    at = Stage.INCLUSION if sent or Stage.SEND in passed else Stage.SEND
    why = f"sent, and not in a block: {intent.why}" if at is Stage.INCLUSION else f"signed: {intent.why}"
    return Standing(at=at, why=why, failed=state in ENDED, signed=True)


def _unsigned(sight: Sight) -> Standing:
    told = sight.not_sent
    if told is not None and told.get("code") not in OVERTAKEN:
        who, code = str(told.get("who")), str(told.get("code"))
        at = NOT_SENT_AT.get(who) or LANE_AT.get(code, Stage.PLAN)
        return Standing(at=at, why=f"{code}: {told.get('why')}", refused=True)
    if sight.refused:
        return Standing(at=Stage.PLAN, why=sight.refused, refused=True)
    return Standing(at=Stage.PLAN, why="no block has planned it yet")


def _effect(sight: Sight, at: Stage, why: str = "") -> Standing:
    if sight.surprise:
        return Standing(at=Stage.EFFECT, why=sight.surprise, failed=True, signed=True)
    return Standing(at=at, why=why, signed=True)


def _reached(why: str) -> bool:
    """Whether a pool holds it, by the words under which the intent was sent."""
    return any(why == v.value and v.reached for v in Verdict)
