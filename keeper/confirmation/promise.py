"""Health promised against health found. Pure."""

from __future__ import annotations

from keeper.model import PERP_STEPS, Plan
from keeper.units import UINT256_MAX, WAD, decimal_text


def broken_promise(plan: Plan, health_wad: int | None) -> str:
    """How the health found differs from the plan's bounds; empty when it lies within."""
    if any(isinstance(step, PERP_STEPS) for step in plan.steps):
        return ""  # the order was created: its effect comes when the venue's keeper executes it
    bounds = plan.bounds
    if health_wad is None or health_wad == UINT256_MAX:
        return ""
    if health_wad < bounds.health_after_min_wad:
        return f"health {_health(health_wad)} is below the promised {_health(bounds.health_after_min_wad)}"
    if health_wad > bounds.health_after_max_wad:
        return f"health {_health(health_wad)} is above the promised {_health(bounds.health_after_max_wad)}"
    return ""


def _health(wad: int) -> str:
    return decimal_text(wad // (WAD // 10**4), 4)
