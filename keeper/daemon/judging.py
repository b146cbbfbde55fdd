"""Outlooks and decisions of one snapshot, in which a position that breaks our code stops itself only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from keeper.daemon.isolation import alone, without_culprits
from keeper.daemon.watching import Watching
from keeper.decision import Memory, Options, decide, plain_outlook
from keeper.decision.standing import moves
from keeper.model import (
    Block,
    Decision,
    Intent,
    IntentState,
    Outlook,
    Plan,
    Policy,
    Position,
    PositionId,
    Refusal,
    Shock,
    Snapshot,
    Unreadable,
)
from keeper.plan import Case, Relieves, check
from keeper.risk.outlook import assess
from keeper.seams import Venue

_NEVER_SENT = (IntentState.ABANDONED, IntentState.EXPIRED)


class Movers:
    """Whose policies may be others at another block; asked of the same thousand several times a block."""

    def __init__(self) -> None:
        self._of: tuple[Policy, ...] = ()
        self._found: tuple[PositionId, ...] = ()

    def among(self, policies: Mapping[PositionId, Policy]) -> tuple[PositionId, ...]:
        """Those of ``policies`` (always the same ids) that ``standing_all`` has to look at."""
        now = tuple(policies.values())
        if now != self._of:
            self._found = tuple([id for id, policy in policies.items() if moves(policy)])
            self._of = now
        return self._found


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is decided on."""

    snapshot: Snapshot
    outlooks: tuple[Outlook, ...]
    policies: Mapping[PositionId, Policy]
    options: Options


def outlooks_of(
    snapshot: Snapshot,
    shocks: Sequence[Shock],
    policies: Mapping[PositionId, Policy],
    watching: Watching | None = None,
) -> tuple[Outlook, ...]:
    """The risk room; a position over which it breaks is judged by the protocol's own health alone.

    ``watching``: what earlier blocks of this chain have certified need not be judged again.
    """
    split = None
    if watching is not None:
        split, _ = alone(partial(watching.split, snapshot.positions, snapshot.prices, shocks, policies))
    due, kept = (snapshot.positions, {}) if split is None else (split.due, split.kept)

    def run(chosen: Sequence[Position]) -> tuple[Outlook, ...]:
        return assess(chosen, snapshot.unreadable, snapshot.prices, shocks, policies)

    outlooks, broken = without_culprits(run, due)
    if watching is not None:
        watching.keep(outlooks)
    if kept:
        found = {**kept, **{o.id: o for o in outlooks}}
        ids = (*(p.id for p in snapshot.positions), *(u.id for u in snapshot.unreadable))
        outlooks = tuple(found[id] for id in ids if id in found)
    if not broken:
        return outlooks
    return (*outlooks, *(plain_outlook(p, policies[p.id], why) for p, why in broken.items()))


def decided(
    world: World, memory: Memory
) -> tuple[tuple[Decision, ...], Memory, tuple[tuple[PositionId, Refusal], ...]]:
    """The decision room; a position over which it breaks is refused by name, and the others go on."""

    def run(chosen: Sequence[PositionId]) -> tuple[tuple[Decision, ...], Memory]:
        policies = {id: world.policies[id] for id in chosen}
        return decide(world.snapshot, world.outlooks, policies, memory, world.options)

    (decisions, after), broken = without_culprits(run, tuple(world.policies))
    return decisions, after, tuple((id, broken_position("decision", why)) for id, why in broken.items())


def broken_position(who: str, why: str) -> Refusal:
    """Our own code broke over one position: CRITICAL, and tried again with the next block."""
    return Refusal(who=who, code="broken_position", why=f"{who} broke: {why}")


def unseen_since(
    before: Snapshot | None, ids: Iterable[PositionId], why: str, block: Block
) -> tuple[Unreadable, ...]:
    """Everybody unreadable, each since the last block that could read it."""
    since = {u.id: u.since_block for u in before.unreadable} if before else {}
    return tuple(Unreadable(id=id, why=why, since_block=since.get(id, block.number)) for id in ids)


class Kept(Protocol):
    """What the journal keeps of a position."""

    def memories(self) -> dict[PositionId, dict[str, object]]: ...
    def intents(self, position: PositionId | None = None, limit: int = 100) -> tuple[Intent, ...]: ...
    def last_seqs(self) -> dict[PositionId, int]: ...


def remembered(journal: Kept) -> Memory:
    """Decision's memory as the last process left it, its cooldowns as the intents tell them.

    A crash may fall between a decision and its intent, between an end without effect and the memory of it, or
    between an intent and the memory of its decision (those in need are handed over before the rest of their block
    is written down): the position must not wait for something that nobody did, and must rest after what was done.
    """
    memory = Memory.restore(journal.memories())
    known = memory.rows()
    undone = {id for id, kept in known.items() if kept.last_action_block is not None}
    for id in journal.last_seqs():
        newest = journal.intents(id, limit=1)
        if not newest or newest[0].state.in_vain or newest[0].state in _NEVER_SENT:
            continue
        acted, kept = newest[0].plan.block.number, known.get(id)
        last = None if kept is None else kept.last_action_block
        if last is None or last <= acted:
            undone.discard(id)
            memory = memory.with_action(id, acted)
    return memory.without_actions(undone)


def overtaken(
    plan: Plan, now: Snapshot, venue: Venue, policy: Policy, relieves: Relieves | None = None
) -> Refusal | None:
    """Why a plan of another block no longer holds at ``now``: trigger, health bounds, means or deadline."""
    if now.block.hash == plan.block.hash or now.block.number < plan.block.number:
        # its own block, or one that its photograph has left behind; another of its height has taken its place
        return None
    position = now.position(plan.key.position)
    if position is None:
        return Refusal(who="lane", code="overtaken", why="the position cannot be read any more")
    case = Case(
        position=position, venue=venue, policy=policy, snapshot=now, seq=plan.key.seq, relieves=relieves
    )
    no = check(plan, case)
    if no is None:
        return None
    return Refusal(who="lane", code="overtaken", why=f"block {now.block.number}: {no.code}: {no.why}")
