"""Which of several proposals is taken, and why each other is not."""

from __future__ import annotations

import math
from collections.abc import Sequence

from keeper.model import Policy, Position, Proposal, Rejection
from keeper.phrases import health_text, usd_text
from keeper.triggers import emergency, gas_cap_usd, liquidation_chance, useful_shortfall_wad

TIE_USD = 0.01
"""Costs within one cent are equal; equal costs repay, which also lowers what can be liquidated."""
Graded = tuple[Proposal, int]
PREFERRED = ("repay", "repay_from_reserve")


def rank(
    graded: Sequence[Graded], policy: Policy, health_wad: int | None
) -> tuple[Proposal | None, tuple[Rejection, ...]]:
    """The proposal to take (None when none may be) and the others with their cost and why; each comes with its grade
    (0: stays below target, 1: reaches it, 2: and survives the stress set).

    First what the gas cap allows; then a stop-loss; then what reaches target and survives the stress set, then what
    reaches target, then any partial; among equals the least cost, a tie repays. Among partials the one that lifts
    health most. What a rule of ``policy.reduces`` sells is weighed only where it is as good a rescue as what would be
    taken without it: a limit is no reason to be less safe.
    """
    cap_usd = gas_cap_usd(health_wad, policy)
    dear = [
        _rejected(p, "gas_cap", f"gas {usd_text(p.gas_usd)} > cap ${cap_usd}")
        for p, _ in graded
        if p.gas_usd > cap_usd
    ]
    allowed = [(p, g) for p, g in graded if p.gas_usd <= cap_usd]
    if not allowed:
        return None, tuple(dear)
    wanted = {r.by for r in policy.reduces}
    plain = [(p, g) for p, g in allowed if p.strategy not in wanted]
    without = _best(plain) if plain else None
    best, grade = _best([x for x in allowed if without is None or x in plain or _as_good(x, without, policy)])
    rest = [_outranked(p, g, (best, grade), policy) for p, g in allowed if p is not best]
    return best, (*dear, *rest)


def _best(graded: Sequence[Graded]) -> Graded:
    top = max((p.first, g) for p, g in graded)
    equals = [p for p, g in graded if (p.first, g) == top]
    return (_cheapest(equals) if top[1] else max(equals, key=_lift)), top[1]


def _as_good(found: Graded, without: Graded, policy: Policy) -> bool:
    """Whether it reaches what would be reached without it, and as much to a thousandth of target."""
    least = without[0].health_after_wad - useful_shortfall_wad(policy)
    return found[1] >= without[1] and found[0].health_after_wad >= least


def reaches(p: Proposal, policy: Policy) -> bool:
    """Whether it ends at target or above."""
    return p.health_after_wad >= policy.target_wad


def expected_loss_usd(position: Position, policy: Policy, loss_usd: float | None) -> float:
    """What a liquidation would cost (``loss_usd``, by its venue's rule), weighted by how near it is. A loss that
    nobody knows may be all.
    """
    chance = liquidation_chance(position.health_wad, policy)
    if chance == 0.0:
        return 0.0
    return math.inf if loss_usd is None else chance * loss_usd


def deferral(best: Proposal, position: Position, policy: Policy, loss_usd: float | None) -> str:
    """Why ``break_even`` waits, or "" when the action is to be taken; it never waits below emergency."""
    if policy.act != "break_even" or emergency(position.health_wad, policy):
        return ""
    if best.first and best.strategy in {r.by for r in policy.reduces}:
        return ""  # a limit is the owner's wish, as it is above trigger; the cheaper rescue would not have waited
    expected_usd = expected_loss_usd(position, policy, loss_usd)
    if best.cost_usd <= expected_usd:
        return ""
    cost, loss = usd_text(best.cost_usd), usd_text(expected_usd)
    return f"DEFERRED by act = break_even: {best.strategy} costs {cost}, the loss expected is {loss}"


def _lift(p: Proposal) -> tuple[int, float, str]:
    return p.health_after_wad, -p.cost_usd, p.strategy


def _cheapest(full: Sequence[Proposal]) -> Proposal:
    least = min(p.cost_usd for p in full)
    tied = [p for p in full if p.cost_usd <= least + TIE_USD]
    return min(tied, key=lambda p: (p.strategy not in PREFERRED, p.cost_usd, p.strategy))


def _outranked(p: Proposal, grade: int, top: Graded, policy: Policy) -> Rejection:
    best, best_grade = top
    cost = usd_text(p.cost_usd)
    if best.first and best.strategy in {r.by for r in policy.reduces}:
        return _rejected(
            p, "limit", f"would cost {cost}, but {best.strategy} rescues as well, and comes first"
        )
    if best.first:
        return _rejected(
            p, "stop_loss", f"would cost {cost}, but {best.strategy} comes before every other way"
        )
    if p.first:
        after = health_text(p.health_after_wad)
        return _rejected(p, "lower", f"would cost {cost} and reach {after}, which is less safe")
    if not reaches(p, policy):
        return _rejected(p, "partial", f"would reach only {health_text(p.health_after_wad)}")
    if grade < best_grade:
        return _rejected(
            p, "stress", f"would cost {cost}, and would not survive a further {policy.stress_pct:g} %"
        )
    if p.cost_usd <= best.cost_usd + TIE_USD:
        return _rejected(p, "tie", f"would cost {cost}, the same to a cent: a tie repays")
    return _rejected(p, "dearer", f"would cost {cost}")


def _rejected(p: Proposal, code: str, why: str) -> Rejection:
    return Rejection(strategy=p.strategy, code=code, why=why, cost_usd=p.cost_usd)
