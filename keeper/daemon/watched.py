"""What may be asked of a chain's daemon, and why something of it is not known at this moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from keeper.chain.endpoint import EndpointStatus
from keeper.config import ChainSettings
from keeper.daemon.loop import ChainLoop
from keeper.daemon.stops import Stop
from keeper.daemon.tick import Tick
from keeper.model import Level, Outlook, PositionId
from keeper.notify.alarm import Alarms


@dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """A chain unseen: why, and since when (wall time)."""

    why: str
    since_s: float


class Watched(Protocol):
    """What is asked of a chain's daemon."""

    chain: ChainSettings
    loop: ChainLoop | None
    blind: Blind | None

    def endpoint_status(self) -> tuple[EndpointStatus, ...]:
        """Each endpoint as it stands; none before the start."""
        ...


class Heard(Watched, Protocol):
    """The same, with what it alarms, also before its loop was ever made."""

    alarms: Alarms


def endpoint_rows(watched: Watched) -> list[dict[str, object]]:
    """Each endpoint by name with its state; also of a chain that has no loop yet."""
    return [
        {
            "name": s.name,
            "state": str(s.state),
            "latency_ms": s.latency_ms,
            "head": s.head_number,
            "error": s.last_error,
        }
        for s in watched.endpoint_status()
    ]


def stopped(loop: ChainLoop) -> dict[PositionId, Stop]:
    """What keeps single positions of a chain from being acted for now; the others are left out."""
    return loop.stops.standing(loop.policies, loop.last.block if loop.last is not None else None)


def why_not_sent(loop: ChainLoop) -> str:
    """Why nothing at all is sent on a chain, whoever needs it; empty while plans are acted on."""
    if loop.armed:
        return ""
    if why := loop.broken or loop.stops.unwritable:
        return f"stopped acting: {why}"
    pause = loop.stops.pause
    return pause.why if pause is not None else "disarmed (`keeper arm`)"


def why_not_known(tick: Tick | None, blind: Blind | None, unread: str, outlook: Outlook | None) -> str:
    """Why what the last tick says of a position is not known at this moment; empty when it is."""
    if blind is not None:
        return f"the chain cannot be seen: {blind.why}"
    if tick is None:
        return "no block has been seen yet"
    if unread:
        return unread
    if outlook is None or outlook.level is Level.UNKNOWN:
        # it was read, and the risk core could not vouch for what was read
        return outlook.why if outlook is not None and outlook.why else "it could not be judged"
    return ""
