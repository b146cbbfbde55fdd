"""The trigger terms of docs/decisions/triggers.md, each written once; strategies, decision and plan all ask
here.

Comparisons are on exact integers: a trigger is crossed when health < trigger, strictly; a target is reached
when health >= target.
"""

from __future__ import annotations

import math

from keeper.model import Level, Policy, Refusal
from keeper.phrases import health_text
from keeper.units import UINT256_MAX, mul_div_up

EMERGENCY_COOLDOWN_BLOCKS = 1
"""Below emergency the cooldown is this long: relaxed, never removed."""

EMERGENCY_GAIN_DIVISOR = 1000
"""Below emergency a partial rescue must lift health by at least one part in this many (0.1 %)."""

SEVERITY: dict[Level, int] = {Level.SAFE: 0, Level.WATCH: 1, Level.ACT: 2, Level.URGENT: 3}
"""Order of the known levels; UNKNOWN stands outside it."""


def raw_level(health_wad: int, policy: Policy) -> Level:
    """The level that health alone gives, before hysteresis; every comparison is strictly below."""
    if health_wad < policy.emergency_wad:
        return Level.URGENT
    if health_wad < policy.trigger_wad:
        return Level.ACT
    return Level.WATCH if health_wad < policy.warn_wad else Level.SAFE


def crossed(health_wad: int, policy: Policy) -> bool:
    """Whether money may be spent: health < trigger."""
    return health_wad < policy.trigger_wad


def emergency(health_wad: int | None, policy: Policy) -> bool:
    """Whether the relaxed limits hold: health < emergency."""
    return health_wad is not None and health_wad < policy.emergency_wad


def cooldown_blocks(health_wad: int | None, policy: Policy) -> int:
    """Blocks between two actions on one position; one below emergency."""
    if emergency(health_wad, policy):
        return min(policy.cooldown_blocks, EMERGENCY_COOLDOWN_BLOCKS) or EMERGENCY_COOLDOWN_BLOCKS
    return policy.cooldown_blocks


def gas_cap_usd(health_wad: int | None, policy: Policy) -> int:
    """Most that one action's gas may cost: ``gas_usd_max``, or the hard ceiling below emergency."""
    caps = policy.caps
    return (
        max(caps.gas_usd_max, caps.gas_usd_emergency) if emergency(health_wad, policy) else caps.gas_usd_max
    )


def goal_wad(health_wad: int | None, policy: Policy) -> int:
    """The health that a rescue from ``health_wad`` restores: target, or with a ladder part of the way to it.

    In a straight line from trigger + hysteresis at the trigger (the least that is of use: the level leaves ACT) to
    target at emergency; rounded up.
    """
    least = lowest_rung_wad(policy)
    if not policy.ladder or health_wad is None or health_wad <= policy.emergency_wad:
        return policy.target_wad
    span = policy.trigger_wad - policy.emergency_wad
    fallen = max(0, policy.trigger_wad - health_wad)
    return min(policy.target_wad, least + mul_div_up(max(0, policy.target_wad - least), fallen, span))


def lowest_rung_wad(policy: Policy) -> int:
    """Where a ladder begins: the health restored by a rescue just below the trigger."""
    return policy.trigger_wad + policy.hysteresis_wad


def liquidation_chance(health_wad: int | None, policy: Policy) -> float:
    """How likely a liquidation is taken to be: 0 at trigger, 1 at emergency, a straight line between."""
    if health_wad is None or health_wad >= policy.trigger_wad:
        return 0.0
    return min(1.0, (policy.trigger_wad - health_wad) / (policy.trigger_wad - policy.emergency_wad))


def spend_cap_usd(policy: Policy, spent_today_usd: float) -> int:
    """Whole dollars that the next action may move: the cap per action within what the day still allows."""
    return max(0, min(policy.caps.per_action_usd, math.floor(policy.caps.per_day_usd - spent_today_usd)))


def useful_gain_wad(before_wad: int, policy: Policy) -> int:
    """Least health that a partial rescue paid from the keeper's own wallet must bring.

    Above emergency the hysteresis (less would drown in the noise that hysteresis is there for, and pay gas
    for it); below emergency 0.1 % of health.
    """
    if emergency(before_wad, policy):
        return before_wad // EMERGENCY_GAIN_DIVISOR + 1
    return policy.hysteresis_wad


def useful_shortfall_wad(policy: Policy) -> int:
    """How far below target an open plan must end before a larger one replaces it (0.1 % of target): every
    replacement costs a higher fee.
    """
    return policy.target_wad // EMERGENCY_GAIN_DIVISOR + 1


def kept(before_wad: int, after_wad: int, policy: Policy, *, selling: bool = False) -> Refusal | None:
    """None when ``after`` is a result that the table allows, else a refusal that says which rule it breaks.

    Strictly up; at least target, or a useful partial; at most max_health unless no debt is left. Steps that
    sell the owner's collateral may stay below target in an emergency only.
    """
    if after_wad <= before_wad:
        return _no(
            "not_better", f"health would go from {health_text(before_wad)} to {health_text(after_wad)}"
        )
    if after_wad > policy.max_health_wad and after_wad != UINT256_MAX:
        return _no(
            "above_max", f"health {health_text(after_wad)} > max_health {health_text(policy.max_health_wad)}"
        )
    goal = goal_wad(before_wad, policy)
    partial = after_wad < min(goal, policy.own_target_wad or goal)
    if partial and selling and not emergency(before_wad, policy):
        return _no(
            "partial_too_small", f"a sale that reaches only {health_text(after_wad)} waits for emergency"
        )
    if partial and after_wad - before_wad < useful_gain_wad(before_wad, policy):
        return _no(
            "partial_too_small", f"health {health_text(before_wad)} would reach only {health_text(after_wad)}"
        )
    return None


def _no(code: str, why: str) -> Refusal:
    return Refusal(who="triggers", code=code, why=why)
