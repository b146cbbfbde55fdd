"""What a plan takes from the wallet, in money."""

from __future__ import annotations

from keeper.model import Means, Plan
from keeper.units import mul_div_up


def spend_usd_up(plan: Plan, means: Means) -> int:
    """Whole USD that the steps take from the wallet, rounded up; the cost bound where no price is known."""
    total = 0
    for step in plan.steps:
        token = step.amount.token
        found = next((r for r in means.reserves if r.token == token), None)
        if found is None:
            return plan.bounds.cost_usd_max
        scale = 10 ** (token.decimals + found.base_decimals)
        total += mul_div_up(step.amount.units, found.price_base, scale)
    return total
