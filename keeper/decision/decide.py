"""Outlooks + memory -> decisions + memory: what is wished for each guarded position at one block, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from keeper.decision.levels import level_after, level_of
from keeper.decision.memory import Memory, PositionMemory
from keeper.decision.purse import Purse
from keeper.decision.ranking import deferral, rank
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
    from_wallet,
)
from keeper.phrases import health_text
from keeper.seams import Strategy, Venue
from keeper.triggers import (
    SEVERITY,
    cooldown_blocks,
    crossed,
    emergency,
    spend_cap_usd,
    useful_shortfall_wad,
)
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
    """Open plans, among those, that a larger one may still replace under the same nonce."""
    promised: tuple[Amount, ...] = ()
    """What the open intents that are not replaceable may still spend from the wallet; not offered again."""
    spent_today_usd: Mapping[PositionId, float] = field(default_factory=dict)
    armed: bool = True
    """Disarmed still decides, every block anew; only an armed choice starts a cooldown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """The snapshot, what the risk core says of it, and the memory, each by position."""

    block: int
    positions: Mapping[PositionId, Position]
    outlooks: Mapping[PositionId, Outlook]
    unreadable: Mapping[PositionId, str]
    remembered: Mapping[PositionId, PositionMemory]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One guarded position at this block."""

    id: PositionId
    policy: Policy
    position: Position | None
    outlook: Outlook
    before: PositionMemory
    after: PositionMemory
    unread: str

    @property
    def health_wad(self) -> int | None:
        return self.position.health_wad if self.position is not None else None

    @property
    def changed(self) -> bool:
        return self.before.level is not self.after.level


def decide(
    snapshot: Snapshot,
    outlooks: Sequence[Outlook],
    policies: Mapping[PositionId, Policy],
    memory: Memory,
    options: Options,
) -> tuple[tuple[Decision, ...], Memory]:
    """Decisions for the positions of which something is worth saying, lowest health first, and the new
    memory.

    Worth saying: a level changed, or stands at ACT or URGENT. Money reserved for one position is not offered
    to the next. Pure: the same arguments give the same answer.
    """
    facts = _Facts(
        block=snapshot.block.number,
        positions=snapshot.by_id(),
        outlooks={o.id: o for o in outlooks},
        unreadable={u.id: u.why for u in snapshot.unreadable},
        remembered=memory.rows(),
    )
    cases = [_case(id, p, facts) for id, p in policies.items()]
    purse = _purse(snapshot, options, ())
    decisions, remembered, paid = [], {}, list[_Paid]()
    for case in sorted(cases, key=lambda c: (_order(c), c.id)):
        after = case.after
        if case.position is not None and SEVERITY.get(after.level, 0) >= SEVERITY[Level.ACT]:
            replaces = case.id in options.replaceable
            offered = _purse(snapshot, options, paid, but=case.id) if replaces else purse
            decision = _acting(case, case.position, snapshot, offered, options)
            if decision.chosen:
                paid.append((decision.chosen, _venue(case.id, options)))
                # what was promised before stays promised beside the larger plan: either may be mined
                purse = purse.paying(*paid[-1], snapshot.block)
                if options.armed:
                    after = replace(after, last_action_block=snapshot.block.number)
            decisions.append(decision)
        elif case.changed:
            decisions.append(_decision(case, why=_change(case)))
        remembered[case.id] = after
    return tuple(decisions), memory.with_(remembered)


_Paid = tuple[tuple[Proposal, ...], Venue | None]


def _purse(
    snapshot: Snapshot, options: Options, paid: Sequence[_Paid], but: PositionId | None = None
) -> Purse:
    """The wallet less what is promised and ``paid``; the plan of ``but`` still owns its own promise."""
    open_steps = [a for id, plan in options.replaceable.items() if id != but for a in from_wallet(plan.steps)]
    purse = Purse(means=snapshot.means).without((*options.promised, *open_steps))
    for chosen, venue in paid:
        purse = purse.paying(chosen, venue, snapshot.block)
    return purse


def _order(case: _Case) -> int:
    """Lowest health first; what cannot be read last, for nothing can be done about it here."""
    return UINT256_MAX + 1 if case.health_wad is None else case.health_wad


def _case(id: PositionId, policy: Policy, facts: _Facts) -> _Case:
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
    )
    missing = facts.unreadable.get(id, "it is missing from the snapshot")
    unread = (outlook.why if outlook else "") or "the risk core does not vouch for it"
    return _Case(
        id=id,
        policy=policy,
        position=position,
        outlook=outlook or _outlook_without_core(id, health, raw),
        before=before,
        after=after,
        unread=missing if position is None else unread,
    )


def plain_outlook(position: Position, policy: Policy, why: str) -> Outlook:
    """What is said of a position over which the risk core broke: its own health, and the reason."""
    level = level_of(position, None, policy)
    return replace(
        _outlook_without_core(position.id, position.health_wad, level), why=f"risk core broke: {why}"
    )


def _outlook_without_core(id: PositionId, health_wad: int | None, level: Level) -> Outlook:
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


def _acting(case: _Case, position: Position, snapshot: Snapshot, purse: Purse, options: Options) -> Decision:
    """The decision of a position at ACT or URGENT."""
    quiet = _quiet(case, snapshot, options)
    if quiet:
        return _decision(case, why=f"{_situation(case)}: {quiet}")
    venue = _venue(case.id, options)
    if venue is None:
        homeless = Rejection(strategy="", code="no_venue", why="no venue of the configuration holds it")
        return _decision(case, rejected=(homeless,), why=f"{_situation(case)}: {homeless.why}")
    answers = [
        _ask(name, case, position, purse, (venue, snapshot, options)) for name in case.policy.strategies
    ]
    refused = tuple(
        Rejection(strategy=name, code=a.code, why=a.why)
        for name, a in zip(case.policy.strategies, answers, strict=True)
        if isinstance(a, Refusal)
    )
    best, outranked = rank([a for a in answers if isinstance(a, Proposal)], case.policy, case.health_wad)
    rejected = (*outranked, *refused)
    if best is None:
        none = Rejection(strategy="", code="no_strategy", why="the policy names no strategy")
        rejected = rejected or (none,)
        whys = "; ".join(f"{r.strategy}: {r.code}: {r.why}" for r in rejected)
        return _decision(case, rejected=rejected, why=f"{_situation(case)}: NOTHING CAN BE DONE: {whys}")
    stands = _stands(case, best, snapshot, options)
    if stands:
        return _decision(case, why=f"{_situation(case)}: {stands}")
    waits = deferral(best, position, case.policy, case.outlook.loss_usd)
    if waits:
        deferred = Rejection(strategy=best.strategy, code="break_even", why=waits, cost_usd=best.cost_usd)
        return _decision(case, rejected=(deferred, *rejected), why=f"{_situation(case)}: {waits}")
    others = "".join(f"; {r.strategy} {_other(r)}" for r in rejected)
    why = f"{_situation(case)}: {best.why}{others}"
    return _decision(case, chosen=(best,), rejected=rejected, why=why)


def _other(rejection: Rejection) -> str:
    """How an alternative is told behind the choice."""
    return rejection.why if rejection.cost_usd is not None else f"refused: {rejection.code}"


def _quiet(case: _Case, snapshot: Snapshot, options: Options) -> str:
    """Why no action is looked for although the level is ACT or URGENT, or ""."""
    if case.health_wad is None:
        return "the venue gives no health integer, and nothing is spent without one"
    if case.id in options.open_intents and case.id not in options.replaceable:
        return "an intent is open, no second action until it ends"
    if (open_plan := options.replaceable.get(case.id)) is not None:
        reached_wad = _reached_wad(open_plan, case, options)
        least_wad = case.policy.target_wad - useful_shortfall_wad(case.policy)
        if reached_wad >= least_wad and not _ends(open_plan, snapshot):
            return f"an intent is open that reaches health {health_text(reached_wad)}, no second action"
    if not crossed(case.health_wad, case.policy):
        back = health_text(case.policy.trigger_wad + case.policy.hysteresis_wad)
        return f"not below trigger, nothing is spent; the level falls at {back}"
    if open_plan is not None:
        return ""  # the same action, larger: its cooldown has not begun
    last, number = case.before.last_action_block, snapshot.block.number
    wait = cooldown_blocks(case.health_wad, case.policy)
    # both ways: after a deep reorganisation an action "in the future" must not silence the position for long
    if last is not None and abs(number - last) < wait:
        return f"cooldown: acted at block {last}, next from block {last + wait}"
    return ""


def _stands(case: _Case, best: Proposal, snapshot: Snapshot, options: Options) -> str:
    """Why the open plan is not replaced by ``best``, or "" (also when there is none)."""
    open_plan = options.replaceable.get(case.id)
    if open_plan is None or _ends(open_plan, snapshot):
        return ""
    reached_wad = _reached_wad(open_plan, case, options)
    if best.health_after_wad >= reached_wad + useful_shortfall_wad(case.policy):
        return ""
    return f"an intent is open that reaches health {health_text(reached_wad)}, and nothing reaches more"


def _ends(open_plan: Plan, snapshot: Snapshot) -> bool:
    """Whether the open plan's time is over with the next block, while it is still wanted."""
    return snapshot.block.number >= open_plan.bounds.deadline_block - 1


def _reached_wad(open_plan: Plan, case: _Case, options: Options) -> int:
    """Health that the open plan would reach from the position as it stands now."""
    venue = _venue(case.id, options)
    if venue is None or case.position is None:
        return 0
    return venue.after(open_plan.steps, case.position).health_wad or 0


def _ask(
    name: str, case: _Case, position: Position, purse: Purse, around: tuple[Venue, Snapshot, Options]
) -> Proposal | Refusal:
    """One strategy's answer, under what the day's cap and the money already promised leave."""
    venue, snapshot, options = around
    strategy = next((s for s in options.strategies if s.name == name), None)
    if strategy is None:
        return Refusal(who=name, code="unknown_strategy", why="the policy names it, but it is not loaded")
    left_usd = spend_cap_usd(case.policy, options.spent_today_usd.get(case.id, 0.0))
    policy = replace(case.policy, caps=replace(case.policy.caps, per_action_usd=left_usd))
    return strategy.propose(position, case.outlook, policy, purse.means, venue, snapshot.block)


def _venue(id: PositionId, options: Options) -> Venue | None:
    return next((v for v in options.venues.values() if v.position_id(id.account) == id), None)


def _situation(case: _Case) -> str:
    """``health 1.1789 < trigger 1.25``, the nearest threshold that health is below."""
    health, policy = case.health_wad, case.policy
    if health is None:
        return f"level {case.after.level.value}"
    if emergency(health, policy):
        return f"health {health_text(health)} < emergency {health_text(policy.emergency_wad)}"
    sign = "<" if crossed(health, policy) else ">="
    return f"health {health_text(health)} {sign} trigger {health_text(policy.trigger_wad)}"


def _change(case: _Case) -> str:
    """A level that changed without anything to do."""
    turn = f"{case.before.level.value} -> {case.after.level.value}"
    if case.after.level is not Level.UNKNOWN:
        return f"{turn}: health {health_text(case.health_wad)}, warn {health_text(case.policy.warn_wad)}"
    last, block = case.before.last_health_wad, case.before.last_health_block
    old = f"; last known health {health_text(last)} at block {block}" if last is not None else ""
    return f"{turn}: {case.unread}{old}"


def _decision(
    case: _Case,
    *,
    chosen: tuple[Proposal, ...] = (),
    rejected: tuple[Rejection, ...] = (),
    why: str,
) -> Decision:
    return Decision(
        owner=case.position.owner if case.position is not None else case.id.account,
        id=case.id,
        level=case.after.level,
        health_wad=case.health_wad,
        chosen=chosen,
        rejected=rejected,
        why=why,
    )
