"""Several positions, one wallet, several ways at once: taken when it is better for all than one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from keeper.decision.acting import Needy, Pick, ask
from keeper.decision.problem import Solution, Taken
from keeper.decision.purse import Purse
from keeper.decision.ranking import expected_loss_usd
from keeper.decision.ways import Lot, problem_of
from keeper.errors import Broken
from keeper.model import Mandate, Means, Proposal, Refusal, Rejection, from_wallet
from keeper.phrases import usd_text
from keeper.triggers import emergency, gas_cap_usd

SAVES_SHARE = 0.01
"""A plan of several steps, or one that gives a position a dearer way than its own, must save at least so much ..."""
SAVES_USD = 1.0
"""... and at least so many dollars: less is noise, and a second transaction is a second risk."""
LOTS_MAX = 120
NEEDS_MAX = 12
"""More ways or positions than this are not weighed together: the block does not wait."""
SOLVED_MAX = 5
"""So often is a problem solved, each time without a way that was refused: one frozen token ends no combination."""


def together(needs: Sequence[Needy], picks: tuple[Pick, ...], purse: Purse) -> tuple[Pick, ...]:
    """``picks``, or what brings more positions to target, leaves fewer fragile, or costs clearly less in all.

    No position ends worse than it would by itself, and whatever is taken was sized by its strategy and judged by
    its venue's own arithmetic. Where nothing could be weighed, the picks say so.
    """
    if len(needs) > NEEDS_MAX:
        return _noted(picks, f"{len(needs)} positions are too many to weigh together: each by itself")
    if not _worth_it(needs, picks):
        return picks
    problem, lots = problem_of(needs, picks, purse.means)
    if len(lots) > LOTS_MAX:
        return _noted(picks, f"{len(lots)} ways are too many to weigh together: each by itself")
    note, solver = "", needs[0].options.solver
    for _ in range(SOLVED_MAX):
        try:
            found = solver(problem)
        except Broken as e:
            return _noted(picks, f"plain ranking, the optimiser gave up: {e}")
        if isinstance(found, Refusal) or not all(found.reaches):
            break  # not all can be helped: lowest health first, as by itself
        by_name = {(lot.way.position, lot.way.name): lot for lot in lots}
        made = _realised(needs, _shares(needs, found, by_name), purse)
        if not isinstance(made, _No):
            return _better(needs, picks, made)
        note = note or made.why
        if made.lot is None:
            break
        # what the venue or the Executor does not take now is no way: the others are weighed without it
        problem = replace(problem, ways=tuple(w for w in problem.ways if w is not made.lot.way))
    return _noted(picks, note) if note else picks


def _worth_it(needs: Sequence[Needy], picks: Sequence[Pick]) -> bool:
    """Whether there is something to combine: without it, each takes its own way and nothing is solved.

    One position whose cheapest step costs less than the gas of two cannot do better by two.
    """
    if not needs or any(n.id in n.options.replaceable for n in needs) or any(p.settled for p in picks):
        return False
    if any(p.grade < 2 for p in picks):
        return True
    if len(needs) > 1:
        return sum(bool(p.best and from_wallet(p.best.steps)) for p in picks) > 0
    (pick,) = picks
    gas = sorted(p.gas_usd for p in pick.offered)
    return (
        pick.best is not None
        and len(gas) > 1
        and sum(gas[:2]) < pick.cost_usd * (1 - SAVES_SHARE) - SAVES_USD
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """What the solution gives one position: its lots in the order in which they are done."""

    lots: tuple[Lot, ...]
    usd: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _No:
    """Why a solution cannot be done in exact integers, and for which of its ways; None where for no single one."""

    why: str = ""
    """For who reads the decision; empty where there is nothing to tell."""
    lot: Lot | None = None


def _shares(needs: Sequence[Needy], found: Solution, lots: dict[tuple[int, str], Lot]) -> tuple[_Share, ...]:
    """From the wallet first: cheapest, and a sale must end at target above emergency."""
    shares = []
    for i, _ in enumerate(needs):
        taken: list[Taken] = [t for t in found.taken if t.way.position == i]
        mine = sorted(
            ((lots[i, t.way.name], t.usd) for t in taken), key=lambda x: (_rank(x[0]), x[0].way.name)
        )
        shares.append(_Share(lots=tuple(x for x, _ in mine), usd=tuple(u for _, u in mine)))
    return tuple(shares)


def _rank(lot: Lot) -> int:
    return 2 if lot.route is not None else 1 if lot.via_executor else 0


def _realised(
    needs: Sequence[Needy], shares: Sequence[_Share], purse: Purse
) -> tuple[tuple[Proposal, ...], ...] | _No:
    """Every position's steps in exact integers, or why they cannot be done so."""
    made = list[tuple[Proposal, ...]]()
    for need, share in zip(needs, shares, strict=True):
        steps = _steps(need, share, purse)
        if isinstance(steps, _No):
            return steps
        for proposal in steps:
            purse = purse.paying((proposal,), need.venue, need.snapshot.block)
        made.append(steps)
    return tuple(made)


def _steps(need: Needy, share: _Share, purse: Purse) -> tuple[Proposal, ...] | _No:
    """One after the other: each from where the one before leaves the position, all but the last below trigger."""
    steps, at, means = list[Proposal](), need, purse.means
    for k, (lot, usd) in enumerate(zip(share.lots, share.usd, strict=True)):
        last = k + 1 == len(share.lots)
        narrowed = lot.narrowed(means, None if last else usd, need.position.base_decimals)
        said = ask(at, lot.strategy, narrowed)
        if isinstance(said, Refusal):
            many = len(share.lots) > 1
            why = f"a plan in {len(share.lots)} steps is refused: {lot.way.name}: {said.why}" if many else ""
            return _No(why=why, lot=lot)
        answer = said[0]
        if answer.gas_usd > gas_cap_usd(need.case.health_wad, need.policy):
            return _No(lot=lot)
        steps.append(answer)
        if last:
            break
        at = replace(at, position=at.after(answer.steps))
        if (at.position.health_wad or 0) >= _still_open(need, share.lots[k + 1 :], means):
            return _No(
                why=f"a plan in {len(share.lots)} steps would stop after {lot.way.name}, above trigger"
            )
        means = _moved_on(purse.paying((answer,), need.venue, need.snapshot.block).means, lot)
    if not steps or need.grade(steps) == 0:
        return _No()
    return tuple(steps)


def _still_open(need: Needy, rest: Sequence[Lot], means: Means) -> int:
    """Health below which the next step is still allowed."""
    mandate = means.mandate(need.id)
    asked = [mandate.terms.trigger_wad] if mandate is not None and any(x.via_executor for x in rest) else []
    return min(need.policy.trigger_wad, *asked) if asked else need.policy.trigger_wad


def _moved_on(means: Means, lot: Lot) -> Means:
    """The Executor counts one more action, and its cooldown is over by then."""
    if not lot.via_executor:
        return means

    def later(m: Mandate) -> Mandate:
        return replace(m, terms=replace(m.terms, seq=m.terms.seq + 1, last_block=0))

    return replace(means, mandates=tuple(later(m) for m in means.mandates))


def _better(
    needs: Sequence[Needy], picks: tuple[Pick, ...], made: Sequence[tuple[Proposal, ...]]
) -> tuple[Pick, ...]:
    """The joint plan where it is better, with each position's own choice among what was rejected."""
    before = [p.grade for p in picks]
    after = [n.grade(steps) for n, steps in zip(needs, made, strict=True)]
    costs = sum(p.cost_usd for p in picks), sum(p.cost_usd for steps in made for p in steps)
    waits_usd = sum(_waiting_usd(n, steps) for n, steps, a in zip(needs, made, before, strict=True) if a > 0)
    saves = costs[0] - costs[1] - waits_usd > max(SAVES_USD, SAVES_SHARE * costs[0])
    told = f"{usd_text(costs[1])} in all instead of {usd_text(costs[0])}"
    if waits_usd:
        risk = usd_text(waits_usd) if math.isfinite(waits_usd) else "a loss that nobody knows"
        told += f", and chance x loss while the rest waits: {risk}"
    worse = any(b < a for a, b in zip(before, after, strict=True))
    hasty = any(
        len(steps) > 1 and a > 0 and emergency(n.case.health_wad, n.policy)
        for n, steps, a in zip(needs, made, before, strict=True)
    )
    if worse or hasty or not (sum(after) > sum(before) or saves):
        return tuple(_weighed(p, steps, told) for p, steps in zip(picks, made, strict=True))
    return tuple(
        _taken(pick, steps, grade, told) for pick, steps, grade in zip(picks, made, after, strict=True)
    )


def _waiting_usd(need: Needy, steps: Sequence[Proposal]) -> float:
    """What a liquidation is expected to take while the steps after the first wait, which one step would spare."""
    waiting = [replace(need.position, health_wad=p.health_after_wad) for p in steps[:-1]]
    loss_usd = need.case.outlook.loss_usd
    return sum(expected_loss_usd(at, need.policy, loss_usd) for at in waiting)


def _taken(pick: Pick, steps: tuple[Proposal, ...], grade: int, told: str) -> Pick:
    same = pick.best is not None and steps[0].steps == pick.best.steps
    if same and len(steps) == 1:
        return pick
    kept = tuple(r for r in pick.rejected if r.strategy != steps[0].strategy)
    own = () if pick.best is None else (_passed_over(pick.best, told),)
    note = f"weighed together: {told}"
    return Pick(best=steps[0], then=steps[1:], grade=grade, rejected=(*own, *kept), note=note)


def _passed_over(best: Proposal, told: str) -> Rejection:
    why = f"would cost {usd_text(best.cost_usd)} by itself, but together it is {told}"
    return Rejection(strategy=best.strategy, code="together", why=why, cost_usd=best.cost_usd)


def _weighed(pick: Pick, steps: tuple[Proposal, ...], told: str) -> Pick:
    """The pick, with the plan that was weighed against it among what was rejected."""
    if pick.best is not None and len(steps) == 1 and steps[0].steps == pick.best.steps:
        return pick
    name = " + ".join(p.strategy for p in steps)
    cost = sum(p.cost_usd for p in steps)
    why = f"would cost {usd_text(cost)}; weighed together: {told}"
    return replace(
        pick, rejected=(*pick.rejected, Rejection(strategy=name, code="together", why=why, cost_usd=cost))
    )


def _noted(picks: tuple[Pick, ...], note: str) -> tuple[Pick, ...]:
    return tuple(replace(p, note=note) for p in picks)
