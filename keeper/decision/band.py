"""A band of leverage as thresholds of health: constant leverage downwards. It only ever tightens.

A loan of leverage L = C / (C - D) on collateral whose average threshold is l has the health H = l L / (L - 1),
exactly (``risk.leverage.ratios.health_of_ratio``); so the top of the band is a trigger and its middle a target.
"""

from __future__ import annotations

from dataclasses import replace

from keeper.model import Policy, Position
from keeper.phrases import health_text
from keeper.sizing import weighted_base_wad
from keeper.units import WAD, decimal_text, mul_div_up


def banded(policy: Policy, position: Position) -> Policy:
    """``policy`` with trigger and target raised to where the band asks for them; itself where they stand higher, and
    for a perpetual position, whose health is no such ratio.
    """
    total = sum(h.value_base for h in position.collateral)
    if not policy.leverage_max_wad or position.perp is not None or not position.debt or total <= 0:
        return policy
    average_wad = weighted_base_wad(position) // total
    trigger = max(policy.trigger_wad, health_at_up(policy.leverage_max_wad, average_wad))
    target = health_at_up(policy.leverage_target_wad, average_wad)
    target = max(policy.target_wad, target, trigger + policy.hysteresis_wad)
    if (trigger, target) == (policy.trigger_wad, policy.target_wad):
        return policy
    pairs = (("trigger", policy.trigger_wad, trigger), ("target", policy.target_wad, target))
    said = ", ".join(f"{n} {health_text(old)} -> {health_text(new)}" for n, old, new in pairs if old != new)
    highest, middle = (decimal_text(x, 18)[:6] for x in (policy.leverage_max_wad, policy.leverage_target_wad))
    return replace(
        policy,
        warn_wad=max(policy.warn_wad, trigger + policy.hysteresis_wad),
        trigger_wad=trigger,
        target_wad=target,
        max_health_wad=target + policy.max_health_wad - policy.target_wad,
        moved=(*policy.moved, f"{said} for leverage {middle}, at most {highest}"),
    )


def health_at_up(leverage_wad: int, threshold_wad: int) -> int:
    """H = l L / (L - 1), rounded up; ``leverage_wad`` above 1."""
    return mul_div_up(threshold_wad, leverage_wad, leverage_wad - WAD)
