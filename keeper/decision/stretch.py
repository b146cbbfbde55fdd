"""A sale that goes on above target where gas is dear: the fixed cost of an action is paid once, not again and again.

Of an action that costs a gas of K whatever its size, and a sale of X that loses c(X), the cheapest size for a need
that comes in parts lies near c(X) = K: below it gas is paid too often, above it the sale costs more than the action
that it saves (the lot-size argument of Harris 1913). Only the owner's own range from target to max_health is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from keeper.model import Policy, Proposal, Refusal
from keeper.units import WAD, mul_div_down

SELLER = "deleverage"
"""The strategy that sizes a sale; a close has no size to choose."""
SHARES = (4, 3, 2, 1)
"""Quarters of the way from target to the highest aim, the farthest first."""
BELOW_MAX_WAD = WAD // 50
"""An aim stays so far below max_health, for at the quoted price health ends above the aim."""


def stretched(found: Proposal, policy: Policy, ask: Callable[[Policy], Proposal | Refusal]) -> Proposal:
    """``found``, or the farthest sale of the same strategy whose swap loses no more than its gas costs.

    ``ask`` proposes under another policy. Without ``policy.stretch``, or where nothing is sold, ``found`` itself.
    """
    room = policy.max_health_wad - BELOW_MAX_WAD - policy.target_wad
    sells = found.strategy == SELLER and found.health_after_wad < policy.max_health_wad
    if not policy.stretch or room <= 0 or not sells:
        return found
    for quarters in SHARES:
        target_wad = policy.target_wad + mul_div_down(room, quarters, max(SHARES))
        more = ask(replace(policy, target_wad=target_wad))
        if (
            isinstance(more, Proposal)
            and more.health_after_wad >= target_wad
            and more.swap_usd <= more.gas_usd
        ):
            return replace(
                more, why=f"{more.why}; sold on above target because it costs less than the gas saved"
            )
    return found
