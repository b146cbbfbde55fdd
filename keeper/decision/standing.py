"""The policy as it stands at one block: what the owner allowed to move, moved; each move said as a difference.

Only what a policy opted into moves. A policy that asks for nothing is returned itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from keeper import exits
from keeper.decision.band import banded
from keeper.decision.memory import PositionMemory
from keeper.model import Policy, Position, PositionId, Snapshot
from keeper.phrases import health_text
from keeper.units import UINT256_MAX, WAD

ROOM_WAD = WAD // 50
"""From target to max_health, as a configuration needs it."""


def moves(policy: Policy) -> bool:
    """Whether anything of it may be another at another block."""
    return bool(policy.trail_pct or policy.close_above_trigger or policy.leverage_max_wad)


def standing(policy: Policy, kept: PositionMemory, position: Position | None) -> Policy:
    """``policy`` at the block of ``position``, by what is remembered of it."""
    if not moves(policy):
        return policy
    marked = replace(policy, trail_marks=exits.marks_after(kept.marks, position, policy))
    if position is None:
        return marked
    raised = banded(marked, position)
    return lifted(raised, position) if policy.close_above_trigger else raised


def lifted(policy: Policy, position: Position) -> Policy:
    """The same with its trigger just above health where an exit by price is reached, and nothing else to do.

    Every rule that holds below trigger holds then, caps and gas among them; the Executor's own trigger on chain
    is not moved by it. An exit waits for no ``break_even``: it is the owner's wish, not a rescue.
    """
    health = position.health_wad
    if health is None or health == UINT256_MAX or health < policy.trigger_wad:
        return policy
    found = tuple(exits.reached(position, policy))
    if not found:
        return policy
    trigger = health + 1
    target = max(policy.target_wad, trigger + policy.hysteresis_wad)
    why = "; ".join(why for _, why in found)
    return replace(
        policy,
        warn_wad=max(policy.warn_wad, trigger + 1),
        trigger_wad=trigger,
        target_wad=target,
        max_health_wad=max(policy.max_health_wad, target + ROOM_WAD),
        strategies=tuple(name for name, _ in found),
        act="always",
        ladder=False,
        moved=(
            *policy.moved,
            f"trigger {health_text(policy.trigger_wad)} -> {health_text(trigger)} to close: {why}",
        ),
    )


def standing_all(
    policies: Mapping[PositionId, Policy],
    rows: Mapping[PositionId, PositionMemory],
    snapshot: Snapshot,
    ids: Sequence[PositionId],
) -> Mapping[PositionId, Policy]:
    """Every policy, those of ``ids`` as they stand; the mapping itself where none of these moves."""
    moving = [id for id in ids if moves(policies[id])]
    if not moving:
        return policies
    here = snapshot.by_id()
    changed = {
        id: standing(policies[id], rows.get(id) or PositionMemory(id=id), here.get(id)) for id in moving
    }
    return {**policies, **changed}


def newly_marked(
    marks: Mapping[PositionId, exits.Marks], rows: Mapping[PositionId, PositionMemory]
) -> Mapping[PositionId, PositionMemory]:
    """The rows whose best prices are others than ``marks``: worth writing down though nothing else is."""
    return {id: row for id, row in rows.items() if row.marks != marks.get(id, ())}
