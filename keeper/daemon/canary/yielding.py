"""How everybody else goes first: a canary's higher trigger holds only while nobody is in need. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from keeper.model import Level, Policy, PositionId, Snapshot

IN_NEED = frozenset({Level.ACT, Level.URGENT, Level.UNKNOWN})
"""Unknown is never healthy: who cannot be read may be in need."""


def yielded(
    policies: Mapping[PositionId, Policy], yielding: Mapping[PositionId, Policy], snapshot: Snapshot
) -> Mapping[PositionId, Policy]:
    """``policies``, with ``yielding``'s in their places while another position of the snapshot is in need."""
    if not yielding:
        return policies
    unread = any(u.id not in yielding for u in snapshot.unreadable)
    low = unread or any(
        p.health_wad is not None and p.health_wad < policies[p.id].trigger_wad
        for p in snapshot.positions
        if p.id not in yielding and p.id in policies
    )
    return {**policies, **yielding} if low else policies


def others_first(
    id: PositionId, levels: Iterable[tuple[PositionId, Level | None]], under_way: Collection[PositionId]
) -> str:
    """Why a canary's plan is not sent now; empty where nobody is in need and nothing else is under way."""
    waits = next((at for at, level in levels if at != id and level in IN_NEED), None)
    if waits is not None:
        return f"the canary waits: {waits} is in need"
    other = next((at for at in under_way if at != id), None)
    return "" if other is None else f"the canary waits: a plan for {other} is under way"
