"""From decisions to bounded plans, and what deciding must know beside the facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from keeper.daemon.foresight import Asks, plainly
from keeper.daemon.isolation import alone
from keeper.daemon.judging import broken_position
from keeper.daemon.pairs import Pairs
from keeper.daemon.parts import Parts
from keeper.daemon.safe import no_solver
from keeper.daemon.urgency import Healths, hastened
from keeper.decision import Options
from keeper.decision.optimise import solve
from keeper.model import (
    Decision,
    Intent,
    Plan,
    Policy,
    PositionId,
    Proposal,
    Refusal,
    Snapshot,
    Step,
    from_wallet,
)
from keeper.plan import Case, compile_plan
from keeper.seams import Venue

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """Plans, and of the other choices why there is none."""

    plans: tuple[Plan, ...]
    refusals: tuple[tuple[PositionId, Refusal], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What plans are built with."""

    parts: Parts
    policies: Mapping[PositionId, Policy]
    venue_of: Callable[[PositionId], Venue]
    healths: Healths
    pairs: Pairs
    ask: Asks = plainly


def built(bench: Bench, decisions: Sequence[Decision], snapshot: Snapshot, options: Options) -> Built:
    """A bounded plan for every chosen proposal, or why there is none."""
    plans: list[Plan] = []
    refusals: list[tuple[PositionId, Refusal]] = []
    positions = snapshot.by_id()
    seqs = bench.parts.journal.last_seqs() if any(d.chosen for d in decisions) else {}
    open_seqs = {id: plan.key.seq for id, plan in options.replaceable.items()}
    for decision in decisions:
        for proposal in decision.chosen:
            position = positions.get(decision.id)
            if position is None:
                continue
            case = Case(
                position=position,
                venue=bench.venue_of(decision.id),
                policy=bench.policies[decision.id],
                snapshot=snapshot,
                seq=open_seqs.get(decision.id) or 1 + seqs.get(decision.id, 0),
                spent_today_usd=options.spent_today_usd.get(decision.id, 0.0),
                relieves=bench.pairs.relieves(decision.id, proposal.strategy, snapshot, bench.policies),
            )
            found, why = alone(partial(_compiled, bench, proposal, case))
            found = found or broken_position("plan", why)
            if isinstance(found, Refusal):
                refusals.append((decision.id, found))
            else:
                plans.append(found)
    return Built(plans=tuple(plans), refusals=tuple(refusals))


def options_of(
    parts: Parts, venues: Mapping[str, Venue], in_lane: Mapping[PositionId, Plan], *, armed: bool
) -> Options:
    """What the journal and the lane hold open, and what was spent today."""
    opened = parts.journal.open_intents(parts.chain.chain_id)
    ours = [i for i in opened if parts.address is None or i.is_of(parts.address)]
    larger, behind, fixed = _sorted_out(ours, in_lane)
    # what another key signed has its position wait, grows no more, and takes nothing from this one's wallet
    others = [i.plan for i in opened if i not in ours]
    spent_usd = dict(parts.journal.spent_usd_each_since(parts.clock.now_s() - DAY_S))
    for id, plan in larger.items():
        # the larger plan is judged as if the one in whose place it steps did not exist
        spent_usd[id] = max(0, spent_usd.get(id, 0) - parts.journal.spend_usd(plan.key))
    return Options(
        venues=venues,
        strategies=parts.strategies,
        open_intents=frozenset({*(i.key.position for i in opened), *in_lane}),
        replaceable=larger,
        behind=behind,
        promised=tuple(a for plan in fixed for a in from_wallet(plan.steps)),
        paid_in=tuple(s for plan in (*fixed, *others) for s in plan.steps),
        spent_today_usd=spent_usd,
        armed=armed,
        solver=no_solver if parts.safe_mode else solve,
    )


def _compiled(bench: Bench, proposal: Proposal, case: Case) -> Plan | Refusal:
    """The plan under its own haste and its money for gas, or the first no."""
    plan = bench.ask(("plan", case.position.id, proposal.strategy), compile_plan, proposal, case)
    if isinstance(plan, Refusal):
        return plan
    return hastened(plan, case, bench.parts.chain.block_time_s, bench.healths, bench.ask)


def _sorted_out(
    opened: Sequence[Intent], in_lane: Mapping[PositionId, Plan]
) -> tuple[dict[PositionId, Plan], dict[PositionId, tuple[Step, ...]], tuple[Plan, ...]]:
    """(plans that may grow, what later ones do behind them, all others, which may act as they are).

    A reorganisation may open a plan again upon which a later one was made. The earlier acts first, so it is the one
    that may grow, and none may while the earliest is being cancelled: its bytes may act all the same.
    """
    larger: dict[PositionId, Plan] = {}
    behind: dict[PositionId, tuple[Step, ...]] = {}
    fixed = {p.key: p for p in in_lane.values()}
    barred = set(in_lane)
    for intent in opened:
        id, plan = intent.key.position, intent.plan
        if id in larger and intent.may_act:
            behind[id] = (*behind.get(id, ()), *plan.steps)
        elif id not in barred and intent.may_act:
            larger[id] = plan
        else:
            barred.add(id)
            fixed.setdefault(intent.key, plan)
    return larger, behind, tuple(fixed.values())
