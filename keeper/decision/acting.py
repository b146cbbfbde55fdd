"""One position in need: whether it may act now, what its strategies offer, and which of it is taken by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from keeper.decision import stress
from keeper.decision.case import Case, Options, decision
from keeper.decision.ranking import deferral, rank, reaches
from keeper.decision.stretch import stretched
from keeper.model import (
    Block,
    Decision,
    Level,
    Means,
    Policy,
    Position,
    PositionId,
    Proposal,
    Refusal,
    Rejection,
    Snapshot,
    Step,
)
from keeper.phrases import health_text
from keeper.seams import StandsBy, Strategy, Venue
from keeper.triggers import cooldown_blocks, crossed, spend_cap_usd, useful_shortfall_wad
from keeper.units import mul_div_up

NOT_WANTED = "level_not_reached"
RESIZES_MAX = 3
"""Larger sizes tried until the stress set is survived: with one moving price the first is exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needy:
    """A position that is to be rescued at this block."""

    case: Case
    position: Position
    venue: Venue
    policy: Policy
    """Under what the day's cap leaves."""
    snapshot: Snapshot
    options: Options

    @property
    def id(self) -> PositionId:
        """The position's."""
        return self.position.id

    def after(self, steps: Sequence[Step]) -> Position:
        """The position after steps, by its venue's arithmetic."""
        return self.venue.after(steps, self.position)

    def grade(self, proposals: Sequence[Proposal]) -> int:
        """0: stays below target, 1: reaches it, 2: and survives the stress set."""
        if not proposals or not reaches(proposals[-1], self.policy):
            return 0
        return 1 + stress.survives(self.after([s for p in proposals for s in p.steps]), self.policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """What is taken for one position, and why nothing else is."""

    best: Proposal | None
    rejected: tuple[Rejection, ...]
    grade: int = 0
    """0: stays below target, 1: reaches it, 2: and survives the stress set."""
    offered: tuple[Proposal, ...] = ()
    """What it was chosen from, the gas cap apart."""
    then: tuple[Proposal, ...] = ()
    """Steps that follow when the first is confirmed; decided anew by then."""
    note: str = ""

    @property
    def whole(self) -> tuple[Proposal, ...]:
        """Every step of it."""
        return () if self.best is None else (self.best, *self.then)

    @property
    def settled(self) -> bool:
        """Whether nothing else is weighed against it: an exit of the owner's, or a limit of his that is as safe."""
        return self.best is not None and self.best.first and self.grade == 2

    @property
    def cost_usd(self) -> float:
        """Of all steps."""
        return sum(p.cost_usd for p in self.whole)


def needy(case: Case, position: Position, around: tuple[Venue, Snapshot, Options]) -> Needy:
    """The case with what may be spent for it."""
    venue, snapshot, options = around
    left_usd = spend_cap_usd(case.policy, options.spent_today_usd.get(case.id, 0.0))
    policy = replace(case.policy, caps=replace(case.policy.caps, per_action_usd=left_usd))
    return Needy(case=case, position=position, venue=venue, policy=policy, snapshot=snapshot, options=options)


def ask(need: Needy, name: str, means: Means) -> tuple[Proposal, int] | Refusal:
    """One strategy's answer under these means, and its grade: the least that reaches target and survives the stress
    set, where it can; else the least that reaches target; else what it says.
    """
    strategy = next((s for s in need.options.strategies if s.name == name), None)
    if strategy is None:
        return Refusal(who=name, code="unknown_strategy", why="the policy names it, but it is not loaded")
    policy, found = need.policy, list[Proposal]()
    rest = (means, need.venue, need.snapshot.block)
    for _ in range(RESIZES_MAX):
        answer = _again(strategy, need, rest, policy)
        if isinstance(answer, Refusal) or not reaches(answer, policy):
            if found:
                break
            return answer if isinstance(answer, Refusal) else (answer, 0)
        found.append(answer)
        low_wad = stress.lowest_wad(need.after(answer.steps), policy)
        if low_wad >= policy.emergency_wad:
            again = partial(_again, strategy, need, rest)
            return stretched(answer, policy, need.position, again), 2
        target_wad = mul_div_up(policy.target_wad, policy.emergency_wad, max(low_wad, 1)) + 1
        if target_wad >= policy.max_health_wad:
            break
        policy = replace(policy, target_wad=target_wad)
    return found[0], 1


def _again(
    strategy: Strategy, need: Needy, rest: tuple[Means, Venue, Block], policy: Policy
) -> Proposal | Refusal:
    """The same question under another policy."""
    return strategy.propose(need.position, need.case.outlook, policy, *rest)


def chosen_alone(need: Needy, means: Means) -> Pick:
    """The cheapest single step among what the policy's strategies offer, and every other with its cost and why."""
    names = need.policy.strategies
    answers = [ask(need, name, means) for name in names]
    graded = [a for a in answers if not isinstance(a, Refusal)]
    offered = tuple(p for p, _ in graded)
    refused = tuple(
        Rejection(strategy=name, code=a.code, why=a.why)
        for name, a in zip(names, answers, strict=True)
        # a stop-loss whose level is not reached is no alternative to anything
        if isinstance(a, Refusal) and not (offered and a.code == NOT_WANTED)
    )
    best, outranked = rank(graded, need.policy, need.case.health_wad)
    others = tuple(r for p in offered for r in p.others)
    rejected = (*outranked, *refused, *others)
    if best is None and not rejected:
        rejected = (Rejection(strategy="", code="no_strategy", why="the policy names no strategy"),)
    grade = next((g for p, g in graded if p is best), 0)
    return Pick(best=best, grade=grade, rejected=rejected, offered=offered)


def picked(need: Needy, means: Means) -> tuple[Needy, Pick]:
    """What is chosen alone, and under which target: where nothing reaches one that was raised, the one that the owner
    wrote. What moves a policy may ask for more, and takes no rescue away.
    """
    pick, own_wad = chosen_alone(need, means), need.policy.own_target_wad
    if not own_wad or (pick.best is not None and pick.grade and not deferred(need, pick.best)):
        return need, pick
    policy = replace(
        need.policy, target_wad=own_wad, max_health_wad=need.policy.own_max_wad, own_target_wad=0
    )
    written = replace(need, policy=policy)
    again = chosen_alone(written, means)
    if again.best is None:
        return need, pick
    if (
        pick.best is not None
        and pick.grade == 0
        and pick.best.health_after_wad >= again.best.health_after_wad
    ):
        again = replace(pick, grade=written.grade((pick.best,)))
    note = f"nothing reaches target {health_text(need.policy.target_wad)}, to which it was raised: "
    return written, replace(again, note=f"{note}{health_text(own_wad)} as written")


def deferred(need: Needy, best: Proposal) -> str:
    """Why ``break_even`` waits, or ""."""
    return deferral(best, need.position, need.policy, need.case.outlook.loss_usd)


def quiet(case: Case, snapshot: Snapshot, options: Options) -> str:
    """Why no action is looked for although the level is ACT or URGENT, or ""."""
    if case.health_wad is None:
        return "the venue gives no health integer, and nothing is spent without one"
    if case.id in options.open_intents and case.id not in options.replaceable:
        return "an intent is open, no second action until it ends"
    replaces = case.id in options.replaceable
    if replaces:
        reached_wad = _reached_wad(case, options)
        least_wad = case.policy.target_wad - useful_shortfall_wad(case.policy)
        if reached_wad >= least_wad and not _ends(case, snapshot, options):
            return f"an intent is open that reaches health {health_text(reached_wad)}, no second action"
    if (waits := _under_way(case)) is not None:
        return waits
    if not crossed(case.health_wad, case.policy):
        back = health_text(case.policy.trigger_wad + case.policy.hysteresis_wad)
        return f"not below trigger, nothing is spent; the level falls at {back}"
    if replaces:
        return ""  # the same action, larger: its cooldown has not begun
    last, number = case.before.last_action_block, snapshot.block.number
    wait = cooldown_blocks(case.health_wad, case.policy)
    # both ways: after a deep reorganisation an action "in the future" must not silence the position for long
    if last is not None and abs(number - last) < wait:
        return f"cooldown: acted at block {last}, next from block {last + wait}"
    return ""


def _under_way(case: Case) -> str | None:
    """The order that waits on the venue for its keeper: no second one until it ended, or its time is over."""
    perp = case.position.perp if case.position is not None else None
    if perp is None or (waits := perp.pending) is None or waits.age_s >= perp.order_expires_s:
        return None
    return f"order {waits.key[:10]} is under way on the venue since {waits.age_s} s, no second action until it ends"


def stands_by(case: Case, snapshot: Snapshot, options: Options) -> Decision | None:
    """What a strategy leaves on the venue in calm times (a stop), where it is not there yet; None where it is."""
    position, venue = case.position, options.venue(case.id)
    if position is None or position.perp is None or venue is None or case.id in options.open_intents:
        return None
    # what the risk core does not vouch for is no calm time, and its price no place for a stop
    unknown = case.outlook.level is Level.UNKNOWN
    if unknown or case.health_wad is None or crossed(case.health_wad, case.policy):
        return None
    for strategy in options.strategies:
        if strategy.name not in case.policy.strategies or not isinstance(strategy, StandsBy):
            continue
        around = (case.outlook, case.policy, snapshot.means, venue, snapshot.block)
        answer = strategy.propose(position, *around)
        if isinstance(answer, Proposal):
            return decision(case, chosen=(answer,), why=f"in calm times: {answer.why}")
    return None


def stands(case: Case, best: Proposal, snapshot: Snapshot, options: Options) -> str:
    """Why the open plan is not replaced by ``best``, or "" (also when there is none)."""
    if case.id not in options.replaceable or _ends(case, snapshot, options):
        return ""
    reached_wad = _reached_wad(case, options)
    if best.health_after_wad >= reached_wad + useful_shortfall_wad(case.policy):
        return ""
    return f"an intent is open that reaches health {health_text(reached_wad)}, and nothing reaches more"


def _ends(case: Case, snapshot: Snapshot, options: Options) -> bool:
    """Whether the open plan's time is over with the next block, while it is still wanted.

    Not where a later one stands behind it, which would be given up for a fresh one: that goes on alone.
    """
    over = snapshot.block.number >= options.replaceable[case.id].bounds.deadline_block - 1
    return over and not options.behind.get(case.id)


def _reached_wad(case: Case, options: Options) -> int:
    """Health that what is open would reach from the position as it stands now."""
    venue = options.venue(case.id)
    if venue is None or case.position is None:
        return 0
    return venue.after(options.waiting(case.id), case.position).health_wad or 0
