"""One rescue for practice: its stages, how it stands, and the text in which the journal keeps it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """What a rescue goes through, in this order."""

    PLAN = "plan"
    SIMULATION = "simulation"
    SIGNER = "signer"
    SEND = "send"
    INCLUSION = "inclusion"
    EFFECT = "effect"
    ALARM = "alarm"


STAGES = tuple(Stage)


class State(StrEnum):
    """How one stands, or ended."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    REHEARSED = "REHEARSED"
    """A dry-run's: as far as the simulation, and told."""
    PUT_OFF = "PUT_OFF"
    """Nothing was signed: somebody else came first, or the daemon ended. No failure."""
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One rescue for practice."""

    state: State
    position: str
    """Its label."""
    begun_s: float
    """Wall time, as of all that follows."""
    to_wad: int
    seq: int
    """Of the position's newest plan when it began: its own has a higher one."""
    by: str
    """Who asked; ``schedule``."""
    at: Stage = Stage.PLAN
    """The stage in which it is, or at which it ended."""
    why: str = ""
    passed: tuple[tuple[Stage, float], ...] = ()
    """Each stage that is behind it, and when that was known."""
    ended_s: float | None = None
    gas_usd: float | None = None
    moved_usd: int | None = None
    """Paid into the position, which is no cost."""
    health_wad: int | None = None
    """Found when it was included."""
    tx_hash: str = ""


def to_text(run: Run) -> str:
    """As JSON."""
    return json.dumps(plain(run))


def plain(run: Run) -> dict[str, object]:
    """As JSON's own types; healths are strings."""
    return {
        "state": run.state.value,
        "position": run.position,
        "begun_s": run.begun_s,
        "to_wad": str(run.to_wad),
        "seq": run.seq,
        "by": run.by,
        "at": run.at.value,
        "why": run.why,
        "passed": {stage.value: at_s for stage, at_s in run.passed},
        "ended_s": run.ended_s,
        "gas_usd": run.gas_usd,
        "moved_usd": run.moved_usd,
        "health_wad": None if run.health_wad is None else str(run.health_wad),
        "tx_hash": run.tx_hash,
    }


def from_text(text: str) -> Run | None:
    """The run of such a text; None for what another version wrote."""
    try:
        told = json.loads(text)
        health_wad = told["health_wad"]
        return Run(
            state=State(told["state"]),
            position=str(told["position"]),
            begun_s=float(told["begun_s"]),
            to_wad=int(told["to_wad"]),
            seq=int(told["seq"]),
            by=str(told["by"]),
            at=Stage(told["at"]),
            why=str(told["why"]),
            passed=tuple((Stage(stage), float(at_s)) for stage, at_s in told["passed"].items()),
            ended_s=told["ended_s"],
            gas_usd=told["gas_usd"],
            moved_usd=told["moved_usd"],
            health_wad=None if health_wad is None else int(health_wad),
            tx_hash=str(told["tx_hash"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
