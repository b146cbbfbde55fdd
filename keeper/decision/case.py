"""One guarded position at one block, as deciding sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from keeper.decision.legs import Relief
from keeper.decision.levels import level_after, level_of
from keeper.decision.memory import PositionMemory
from keeper.decision.optimise import solve
from keeper.decision.problem import Problem, Solution
from keeper.model import (
    Amount,
    Decision,
    Level,
    Outlook,
    Plan,
    Policy,
    Position,
    PositionId,
    Proposal,
    Refusal,
    Rejection,
    Snapshot,
    Stake,
    Step,
)
from keeper.phrases import health_text
from keeper.seams import Strategy, Venue
from keeper.triggers import SEVERITY, crossed, emergency, goal_wad, liquidation_chance
from keeper.units import UINT256_MAX, wad_float


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What deciding needs beside the facts."""

    venues: Mapping[str, Venue]
    """By ``Venue.id``."""
    strategies: tuple[Strategy, ...]
    open_intents: frozenset[PositionId] = frozenset()
    """Positions with an intent that may still have an effect: no second action on them."""
    replaceable: Mapping[PositionId, Plan] = field(default_factory=dict)
    """Open plans, among those, that a larger one may still replace under the same nonce; the earliest of each."""
    behind: Mapping[PositionId, tuple[Step, ...]] = field(default_factory=dict)
    """What later open plans of these do besides: counted in what is reached, and given up for a larger one."""
    promised: tuple[Amount, ...] = ()
    """What the open intents that are not replaceable may still spend from the wallet; not offered again."""
    paid_in: tuple[Step, ...] = ()
    """Their steps: what they may still take of an Executor's reserve."""
    spent_today_usd: Mapping[PositionId, float] = field(default_factory=dict)
    armed: bool = True
    """Disarmed still decides, every block anew; only an armed choice starts a cooldown."""
    solver: Callable[[Problem], Solution | Refusal] = solve
    """Finds the cheapest way for several positions, or for several ways on one. Raises Broken when it gives up."""
    reliefs: Mapping[PositionId, Relief] = field(default_factory=dict)
    """By loan: what may be done with the short that hedges it."""

    def waiting(self, id: PositionId) -> tuple[Step, ...]:
        """What the open plans of a position do together, where a larger one may take their place."""
        plan = self.replaceable.get(id)
        return () if plan is None else (*plan.steps, *self.behind.get(id, ()))

    def venue(self, id: PositionId) -> Venue | None:
        """The venue that holds the position."""
        return next((v for v in self.venues.values() if v.position_id(id.account) == id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The snapshot, what the risk core says of it, and the memory, each by position."""

    block: int
    positions: Mapping[PositionId, Position]
    outlooks: Mapping[PositionId, Outlook]
    unreadable: Mapping[PositionId, str]
    remembered: Mapping[PositionId, PositionMemory]

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        outlooks: Mapping[PositionId, Outlook],
        rows: Mapping[PositionId, PositionMemory],
    ) -> Facts:
        """Everything by position."""
        return cls(
            block=snapshot.block.number,
            positions=snapshot.by_id(),
            outlooks=outlooks,
            unreadable={u.id: u.why for u in snapshot.unreadable},
            remembered=rows,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One guarded position at this block."""

    id: PositionId
    policy: Policy
    """With the target that a rescue of this health restores, where it has a ladder."""
    position: Position | None
    outlook: Outlook
    before: PositionMemory
    after: PositionMemory
    unread: str

    @property
    def health_wad(self) -> int | None:
        """The protocol's own."""
        return self.position.health_wad if self.position is not None else None

    @property
    def changed(self) -> bool:
        """Whether the level is another than at the block before."""
        return self.before.level is not self.after.level

    @property
    def order(self) -> int:
        """Lowest health first; what cannot be read last, for nothing can be done about it here."""
        return UINT256_MAX + 1 if self.health_wad is None else self.health_wad

    @property
    def acts(self) -> bool:
        """Whether a rescue is looked for."""
        return self.position is not None and SEVERITY.get(self.after.level, 0) >= SEVERITY[Level.ACT]

    @property
    def situation(self) -> str:
        """``health 1.1789 < trigger 1.25``, the nearest threshold that health is below."""
        health, policy = self.health_wad, self.policy
        if health is None:
            return f"level {self.after.level.value}"
        if emergency(health, policy):
            return f"health {health_text(health)} < emergency {health_text(policy.emergency_wad)}"
        if policy.moved:
            return f"health {health_text(health)}, {'; '.join(policy.moved)}"
        sign = "<" if crossed(health, policy) else ">="
        return f"health {health_text(health)} {sign} trigger {health_text(policy.trigger_wad)}"

    @property
    def change(self) -> str:
        """A level that changed without anything to do."""
        turn = f"{self.before.level.value} -> {self.after.level.value}"
        if self.after.level is not Level.UNKNOWN:
            return f"{turn}: health {health_text(self.health_wad)}, warn {health_text(self.policy.warn_wad)}"
        last, block = self.before.last_health_wad, self.before.last_health_block
        old = f"; last known health {health_text(last)} at block {block}" if last is not None else ""
        return f"{turn}: {self.unread}{old}"

    @property
    def stake(self) -> Stake:
        """What doing nothing is expected to cost."""
        chance = liquidation_chance(self.health_wad, self.policy)
        return Stake(chance=chance, loss_usd=self.outlook.loss_usd)


def case_of(id: PositionId, policy: Policy, facts: Facts) -> Case:
    """The position's facts, and its level after hysteresis."""
    before, number = facts.remembered.get(id) or PositionMemory(id=id), facts.block
    position, outlook = facts.positions.get(id), facts.outlooks.get(id)
    raw = level_of(position, outlook, policy) if position is not None else Level.UNKNOWN
    health = position.health_wad if position is not None else None
    level = level_after(before, raw, health, policy)
    after = replace(
        before,
        level=level,
        known_level=before.known_level if level is Level.UNKNOWN else level,
        since_block=number if level is not before.level or not before.since_block else before.since_block,
        last_health_wad=before.last_health_wad if health is None else health,
        last_health_block=before.last_health_block if health is None else number,
        marks=policy.trail_marks,
        pulses=policy.pulses,
        peak_usd_wad=policy.peak_usd_wad,
    )
    missing = facts.unreadable.get(id, "it is missing from the snapshot")
    unread = (outlook.why if outlook else "") or "the risk core does not vouch for it"
    return Case(
        id=id,
        policy=replace(policy, target_wad=goal_wad(health, policy)) if policy.ladder else policy,
        position=position,
        outlook=outlook or outlook_without_core(id, health, raw),
        before=before,
        after=after,
        unread=missing if position is None else unread,
    )


def plain_outlook(position: Position, policy: Policy, why: str) -> Outlook:
    """What is said of a position over which the risk core broke: its own health, and the reason."""
    level = level_of(position, None, policy)
    return replace(
        outlook_without_core(position.id, position.health_wad, level), why=f"risk core broke: {why}"
    )


def outlook_without_core(id: PositionId, health_wad: int | None, level: Level) -> Outlook:
    """The least that a strategy must be told when the risk core said nothing: the rescue must not wait for
    it.
    """
    debtless = health_wad is None or health_wad == UINT256_MAX
    return Outlook(
        id=id,
        health=None if debtless or health_wad is None else wad_float(health_wad),
        margin_usd=0.0,
        leverage=None,
        health_under=(),
        distance=(),
        nearest_shock=None,
        level=level,
    )


def decision(
    case: Case, *, chosen: tuple[Proposal, ...] = (), rejected: tuple[Rejection, ...] = (), why: str
) -> Decision:
    """What is wished for the case."""
    return Decision(
        owner=case.position.owner if case.position is not None else case.id.account,
        id=case.id,
        level=case.after.level,
        health_wad=case.health_wad,
        chosen=chosen,
        rejected=rejected,
        why=why,
        stake=case.stake if case.acts else None,
    )
