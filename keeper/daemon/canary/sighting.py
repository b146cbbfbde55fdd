"""What is to be seen of a rescue for practice: in the last tick, the lane's refusals, its intent and outcome."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.daemon.canary.record import Run
from keeper.daemon.canary.stages import Sight, Standing, standing
from keeper.daemon.loop import ChainLoop
from keeper.model import Entry, Intent, IntentState, Level, PositionId
from keeper.units import WAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighted:
    """Where it stands, and what is known of its effect."""

    standing: Standing
    dry: bool
    gas_usd: float | None = None
    """None: not included yet, or no feed prices gas."""
    moved_usd: int | None = None
    health_wad: int | None = None
    tx_hash: str = ""


def sighted(run: Run, loop: ChainLoop, id: PositionId) -> Sighted:
    """At this moment."""
    journal = loop.parts.journal
    newest = journal.intents(id, limit=1)
    intent = newest[0] if newest and newest[0].key.seq > run.seq else None
    outcome = None if intent is None else _newest(loop, "outcome", str(intent.key), 0.0)
    told = {} if outcome is None else outcome.data
    no = _newest(loop, "refusal", str(id), run.begun_s)
    sight = Sight(
        refused=_refused(loop, id),
        not_sent=None if no is None else {**no.data, "why": no.why},
        intent=intent,
        surprise=str(told.get("surprise") or ""),
    )
    found = standing(sight, [stage for stage, _ in run.passed])
    health = told.get("health_after_wad")
    return Sighted(
        standing=found,
        dry=intent is not None and intent.state is IntentState.DRY,
        gas_usd=_gas_usd(loop, outcome),
        moved_usd=None if intent is None or not found.signed else journal.spend_usd(intent.key),
        health_wad=None if health is None else int(str(health)),
        tx_hash=_hash(intent),
    )


def _refused(loop: ChainLoop, id: PositionId) -> str:
    """Why the last tick decided on nothing for it, although it is below the line drawn for it."""
    tick = loop.last
    decision = next((d for d in tick.decisions if d.id == id), None) if tick is not None else None
    if decision is None or decision.chosen or decision.level not in (Level.ACT, Level.URGENT):
        return ""
    return decision.why if decision.rejected else ""


def _newest(loop: ChainLoop, kind: str, subject: str, since_s: float) -> Entry | None:
    rows = loop.parts.journal.entries(kind, subject, limit=1, newest=True)
    return rows[-1] if rows and rows[-1].at_s >= since_s else None


def _gas_usd(loop: ChainLoop, outcome: Entry | None) -> float | None:
    means = loop.last.snapshot.means if loop.last is not None else None
    if outcome is None or means is None or means.native_price_base is None:
        return None
    wei = int(str(outcome.data["gas_used"])) * int(str(outcome.data["gas_price_wei"]))
    price: float = means.native_price_base / 10**means.native_price_decimals
    return wei / WAD * price


def _hash(intent: Intent | None) -> str:
    return intent.attempts[-1].hash if intent is not None and intent.attempts else ""
