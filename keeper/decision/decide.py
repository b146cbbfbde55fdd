"""Outlooks + memory -> decisions + memory: what is wished for each guarded position at one block, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from keeper.decision import stress
from keeper.decision.acting import Needy, Pick, deferred, needy, picked, quiet, stands, stands_by
from keeper.decision.case import Case, Facts, Options, case_of, decision
from keeper.decision.joint import together
from keeper.decision.legs import waits
from keeper.decision.memory import Memory
from keeper.decision.purse import Purse
from keeper.decision.relief import Relieved, relieved
from keeper.model import (
    Decision,
    Outlook,
    Policy,
    PositionId,
    Proposal,
    Rejection,
    Snapshot,
    from_wallet,
)
from keeper.phrases import usd_text
from keeper.seams import Venue


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
    facts = Facts.of(snapshot, {o.id: o for o in outlooks}, memory.rows())
    cases = [case_of(id, p, facts) for id, p in policies.items()]
    said, remembered = dict[PositionId, Decision](), {c.id: c.after for c in cases}
    needs = list[Needy]()
    ordered = sorted(cases, key=lambda c: (c.order, c.id))
    for case in ordered:
        found = _looked_at(case, snapshot, options)
        if isinstance(found, Needy):
            needs.append(found)
        elif found is not None:
            said[case.id] = found
    by_id = {c.id: c for c in cases}
    for need, alone in _picked(needs, snapshot, options):
        pick, help_ = _helped(need, alone, by_id, said)
        if help_ is not None:
            said |= help_
            continue
        made = _made(need, pick)
        said[need.id] = made
        if made.chosen and options.armed:
            after = remembered[need.id]
            remembered[need.id] = replace(after, last_action_block=snapshot.block.number)
    return tuple(said[c.id] for c in ordered if c.id in said), memory.with_(remembered)


def _looked_at(case: Case, snapshot: Snapshot, options: Options) -> Decision | Needy | None:
    """What is said without asking a strategy, or who needs one; None where nothing is worth saying."""
    if (calm := stands_by(case, snapshot, options)) is not None:
        return calm
    if not case.acts or case.position is None:
        return decision(case, why=case.change) if case.changed else None
    if why := quiet(case, snapshot, options):
        return decision(case, why=f"{case.situation}: {why}")
    if why := waits(options.reliefs.get(case.id), case.health_wad, case.policy):
        return decision(case, why=f"{case.situation}: {why}")
    venue = options.venue(case.id)
    if venue is None:
        homeless = Rejection(strategy="", code="no_venue", why="no venue of the configuration holds it")
        return decision(case, rejected=(homeless,), why=f"{case.situation}: {homeless.why}")
    return needy(case, case.position, (venue, snapshot, options))


def _picked(asking: Sequence[Needy], snapshot: Snapshot, options: Options) -> tuple[tuple[Needy, Pick], ...]:
    """What each takes by itself, lowest health first; then what is better for all of them together."""
    purse, paid = _purse(snapshot, options, ()), list[_Paid]()
    needs, picks = list[Needy](), list[Pick]()
    for each in asking:
        replaces = each.id in options.replaceable
        offered = _purse(snapshot, options, paid, but=each.id) if replaces else purse
        need, pick = picked(each, offered.means)
        needs.append(need)
        picks.append(pick)
        if pick.best is not None and not _waits(need, pick.best):
            paid.append(((pick.best,), need.venue))
            # what was promised before stays promised beside the larger plan: either may be mined
            purse = purse.paying(*paid[-1], snapshot.block)
    # a perpetual's orders take nothing from a loan's ways, and no loan's way helps it
    loans = [i for i, need in enumerate(needs) if need.position.perp is None]
    now = [i for i in loans if (b := picks[i].best) is None or not _waits(needs[i], b)]
    # an exit of one owner's bars nobody else from what is better together
    alone = [((b,), needs[i].venue) for i in now if picks[i].settled and (b := picks[i].best) is not None]
    now = [i for i in now if not picks[i].settled]
    joint = together([needs[i] for i in now], tuple(picks[i] for i in now), _purse(snapshot, options, alone))
    for i, pick in zip(now, joint, strict=True):
        picks[i] = pick
    return tuple(zip(needs, picks, strict=True))


def _helped(
    need: Needy, pick: Pick, cases: Mapping[PositionId, Case], said: Mapping[PositionId, Decision]
) -> tuple[Pick, dict[PositionId, Decision] | None]:
    """The decisions of a loan and of the short whose profit repays it, where that is better; else the pick, with the
    joint plan among what was rejected.
    """
    relief = need.options.reliefs.get(need.id)
    short = None if relief is None else cases.get(relief.short)
    if short is None or short.id in said or short.acts or need.id in need.options.replaceable:
        return pick, None
    found = relieved(need, pick, relief)
    if not isinstance(found, Relieved):
        return (pick if found is None else replace(pick, rejected=(*pick.rejected, found))), None
    why = f"{need.case.situation}: the hedge pays: {found.why}"
    others = "".join(f"; {r.strategy} {_other(r)}" for r in found.rejected)
    return pick, {
        need.id: decision(need.case, why=why),
        short.id: decision(
            short, chosen=(found.order,), rejected=found.rejected, why=f"for {need.id}: {why}{others}"
        ),
    }


_Paid = tuple[tuple[Proposal, ...], Venue | None]


def _purse(
    snapshot: Snapshot, options: Options, paid: Sequence[_Paid], but: PositionId | None = None
) -> Purse:
    """The wallet less what is promised and ``paid``; the plan of ``but`` still owns its own promise."""
    others = {id: options.waiting(id) for id in options.replaceable if id != but}
    open_steps = [a for steps in others.values() for a in from_wallet(steps)]
    drawn = [s for steps in (options.paid_in, *others.values()) for s in steps]
    purse = Purse(means=snapshot.means).without((*options.promised, *open_steps)).paid_in(drawn)
    for id, steps in others.items():
        # an open sale leaves with a market's cash, which is everybody's there
        if (at := options.venue(id)) is not None:
            purse = purse.leaving(steps, at)
    for chosen, venue in paid:
        purse = purse.paying(chosen, venue, snapshot.block)
    return purse


def _waits(need: Needy, best: Proposal) -> str:
    """Why the choice is not carried out now, or ""."""
    return stands(need.case, best, need.snapshot, need.options) or deferred(need, best)


def _made(need: Needy, pick: Pick) -> Decision:
    """The decision of a position at ACT or URGENT."""
    case, best, rejected = need.case, pick.best, pick.rejected
    if best is None:
        whys = "; ".join(f"{r.strategy}: {r.code}: {r.why}" for r in rejected)
        why = f"{case.situation}: NOTHING CAN BE DONE: {whys}{_noted(pick)}"
        return decision(case, rejected=rejected, why=why)
    if why := stands(case, best, need.snapshot, need.options):
        return decision(case, why=f"{case.situation}: {why}")
    if why := deferred(need, best):
        later = Rejection(strategy=best.strategy, code="break_even", why=why, cost_usd=best.cost_usd)
        return decision(case, rejected=(later, *rejected), why=f"{case.situation}: {why}")
    others = "".join(f"; {r.strategy} {_other(r)}" for r in rejected)
    note = ""
    if pick.grade == 1:
        after = need.after([s for p in pick.whole for s in p.steps])
        note = f" - {stress.fragile_text(after, need.policy)}"
    why = f"{case.situation}: {best.why}{_follows(pick)}{note}{others}{_noted(pick)}"
    return decision(case, chosen=(best,), rejected=rejected, why=why)


def _follows(pick: Pick) -> str:
    """The rest of a rescue in several transactions."""
    if not pick.then:
        return ""
    rest = "; then ".join(p.why for p in pick.then)
    steps, cost = 1 + len(pick.then), usd_text(pick.cost_usd)
    return f" - FIRST OF {steps} STEPS, {cost} together; when it is confirmed, decided anew: {rest}"


def _noted(pick: Pick) -> str:
    return f" ({pick.note})" if pick.note else ""


def _other(rejection: Rejection) -> str:
    """How an alternative is told behind the choice."""
    return rejection.why if rejection.cost_usd is not None else f"refused: {rejection.code}"


__all__ = ["Options", "decide"]
