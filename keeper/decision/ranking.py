"""Which of several proposals is taken, and why each other is not."""

from __future__ import annotations

import math
from collections.abc import Sequence

from keeper.model import Policy, Position, Proposal, Rejection
from keeper.phrases import health_text, usd_text
from keeper.triggers import emergency, gas_cap_usd

TIE_USD = 0.01
"""Costs within one cent are equal; equal costs repay, which also lowers what can be liquidated."""
PREFERRED = "repay"


def rank(
    proposals: Sequence[Proposal], policy: Policy, health_wad: int | None
) -> tuple[Proposal | None, tuple[Rejection, ...]]:
    """The proposal to take (None when none may be) and the others with their cost and why.

    First what the gas cap allows; then what reaches target before any partial; among those the least cost, a
    tie repays. Among partials the one that lifts health most.
    """
    cap_usd = gas_cap_usd(health_wad, policy)
    dear = [
        _rejected(p, "gas_cap", f"gas {usd_text(p.gas_usd)} > cap ${cap_usd}")
        for p in _over(proposals, cap_usd)
    ]
    allowed = [p for p in proposals if p.gas_usd <= cap_usd]
    if not allowed:
        return None, tuple(dear)
    full = [p for p in allowed if p.health_after_wad >= policy.target_wad]
    best = (
        _cheapest(full) if full else max(allowed, key=lambda p: (p.health_after_wad, -p.cost_usd, p.strategy))
    )
    rest = [_outranked(p, best, policy) for p in allowed if p is not best]
    return best, (*dear, *rest)


def expected_loss_usd(position: Position, policy: Policy, loss_usd: float | None) -> float:
    """What a liquidation would cost (``loss_usd``, by its venue's rule), weighted by how near it is; used by
    ``break_even`` only.

    The chance is taken as linear in health: 0 at trigger, 1 at emergency. A loss that nobody knows may be all.
    """
    health = position.health_wad
    if health is None or health >= policy.trigger_wad:
        return 0.0
    span = policy.trigger_wad - policy.emergency_wad
    chance = min(1.0, (policy.trigger_wad - health) / span)
    return math.inf if loss_usd is None else chance * loss_usd


def deferral(best: Proposal, position: Position, policy: Policy, loss_usd: float | None) -> str:
    """Why ``break_even`` waits, or "" when the action is to be taken; it never waits below emergency."""
    if policy.act != "break_even" or emergency(position.health_wad, policy):
        return ""
    expected_usd = expected_loss_usd(position, policy, loss_usd)
    if best.cost_usd <= expected_usd:
        return ""
    cost, loss = usd_text(best.cost_usd), usd_text(expected_usd)
    return f"DEFERRED by act = break_even: {best.strategy} costs {cost}, the loss expected is {loss}"


def _over(proposals: Sequence[Proposal], cap_usd: int) -> list[Proposal]:
    return [p for p in proposals if p.gas_usd > cap_usd]


def _cheapest(full: Sequence[Proposal]) -> Proposal:
    least = min(p.cost_usd for p in full)
    tied = [p for p in full if p.cost_usd <= least + TIE_USD]
    return min(tied, key=lambda p: (p.strategy != PREFERRED, p.cost_usd, p.strategy))


def _outranked(p: Proposal, best: Proposal, policy: Policy) -> Rejection:
    if p.health_after_wad < policy.target_wad:
        return _rejected(p, "partial", f"would reach only {health_text(p.health_after_wad)}")
    if p.cost_usd <= best.cost_usd + TIE_USD:
        return _rejected(p, "tie", f"would cost {usd_text(p.cost_usd)}, the same to a cent: a tie repays")
    return _rejected(p, "dearer", f"would cost {usd_text(p.cost_usd)}")


def _rejected(p: Proposal, code: str, why: str) -> Rejection:
    return Rejection(strategy=p.strategy, code=code, why=why, cost_usd=p.cost_usd)
