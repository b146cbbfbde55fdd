"""The policy as it stands at one block: what the owner allowed to move, moved; each move said as a difference.

Only what a policy opted into moves. A policy that asks for nothing is returned itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keeper import exits
from keeper.decision import depeg, exposure, floor
from keeper.decision.band import banded
from keeper.decision.memory import PositionMemory
from keeper.decision.smaller import ROOM_WAD, lifted_for
from keeper.decision.storm import pulses_after, widened
from keeper.decision.tighten import tightened, wants_warning
from keeper.model import Means, Omen, Policy, Position, PositionId, Pulse, Quoted, Reduce, Snapshot
from keeper.phrases import health_text
from keeper.triggers import goal_wad
from keeper.units import UINT256_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a policy follows besides its own position."""

    highest_wad: int | None = None
    """The health that the owner's Executor lets no sale pass; None where there is no Executor."""
    quoted: tuple[Quoted, ...] = ()
    omen: Omen | None = None
    over: tuple[Reduce, ...] = ()
    """What the owner's limits want smaller here, counted over all that he holds."""

    @classmethod
    def of(cls, means: Means, id: PositionId, over: tuple[Reduce, ...]) -> Beside:
        """From what a snapshot shows."""
        mandate = means.mandate(id)
        highest = None if mandate is None else mandate.terms.max_wad
        return cls(highest_wad=highest, quoted=means.quoted, omen=means.omen, over=over)


def moves(policy: Policy) -> bool:
    """Whether anything of it may be another at another block."""
    follows = policy.trail_pct or policy.close_above_trigger
    reduces = policy.exposure_max_usd or policy.depeg_ppm or policy.floor_usd
    raised = policy.leverage_max_wad or wants_warning(policy)
    return bool(follows or reduces or raised) or policy.storm_times_max > 1.0


def standing(
    policy: Policy,
    kept: PositionMemory,
    position: Position | None,
    at_s: int,
    beside: Beside | None = None,
) -> Policy:
    """``policy`` at the block of ``position``, whose time is ``at_s``, by what is remembered of it."""
    if not moves(policy):
        return policy
    stormy, around = policy.storm_times_max > 1.0, beside or Beside()
    marked = replace(
        policy,
        trail_marks=exits.marks_after(kept.marks, position, policy),
        pulses=pulses_after(kept.pulses, position, at_s) if stormy else (),
        peak_usd_wad=floor.peak_after(kept.peak_usd_wad, position, policy),
    )
    if position is None:
        return marked
    widest = banded(widened(marked, position) if stormy else marked, position)
    highest = around.highest_wad
    raised = _within(tightened(widest, position, around.omen, at_s), policy, highest)
    raised = _with_own(raised, policy, position.health_wad)
    wanted = (
        *depeg.reduces(raised, position, around.quoted, at_s),
        *floor.reduces(raised, position),
        *around.over,
    )
    raised = replace(raised, reduces=wanted) if wanted else raised
    out = lifted(raised, position) if policy.close_above_trigger else raised
    # out of everything comes before less of something
    return out if out is not raised else lifted_for(raised, position, highest)


def _with_own(raised: Policy, plain: Policy, health_wad: int | None) -> Policy:
    """The same, knowing what a rescue of this health would have to reach had nothing been raised."""
    same = (raised.trigger_wad, raised.target_wad) == (plain.trigger_wad, plain.target_wad)
    if same or health_wad is None or health_wad >= plain.trigger_wad:
        return raised
    return replace(raised, own_target_wad=goal_wad(health_wad, plain), own_max_wad=plain.max_health_wad)


def _within(raised: Policy, plain: Policy, highest_wad: int | None) -> Policy:
    """The same with a target that a sale may reach: one above the Executor's own highest would refuse every sale."""
    if highest_wad is None or raised.target_wad <= plain.target_wad:
        return raised
    target = max(plain.target_wad, min(raised.target_wad, highest_wad - ROOM_WAD))
    if target >= raised.target_wad:
        return raised
    told = (
        f"target {health_text(raised.target_wad)} -> {health_text(target)}: the Executor lets no sale pass "
    )
    return replace(
        raised,
        trigger_wad=max(plain.trigger_wad, min(raised.trigger_wad, target - raised.hysteresis_wad)),
        target_wad=target,
        moved=(*raised.moved, told + health_text(highest_wad)),
    )


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
    here, over = snapshot.by_id(), exposure.over(policies, snapshot.positions)
    at_s, changed = snapshot.block.timestamp_s, {}
    for id in moving:
        known = rows.get(id) or PositionMemory(id=id)
        beside = Beside.of(snapshot.means, id, over.get(id, ()))
        changed[id] = standing(policies[id], known, here.get(id), at_s, beside)
    return {**policies, **changed}


Kept = tuple[exits.Marks, tuple[Pulse, ...], int]


def _kept(row: PositionMemory) -> Kept:
    return row.marks, row.pulses, row.peak_usd_wad


def marks_of(rows: Mapping[PositionId, PositionMemory]) -> dict[PositionId, Kept]:
    """What moving policies follow, of everybody who has such a policy."""
    return {id: _kept(row) for id, row in rows.items() if row.marks or row.pulses or row.peak_usd_wad}


def newly_marked(
    before: Mapping[PositionId, Kept], rows: Mapping[PositionId, PositionMemory]
) -> Mapping[PositionId, PositionMemory]:
    """The rows that follow something else than ``before``: worth writing down though nothing else is."""
    return {id: row for id, row in rows.items() if _kept(row) != before.get(id, ((), (), 0))}
