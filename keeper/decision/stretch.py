"""A sale that goes on above target where gas is dear: the fixed cost of an action is paid once, not again and again.

Of an action that costs a gas of K whatever its size, and a sale of X that loses c(X), the cheapest size for a need
that comes in parts lies near c(X) = K: below it gas is paid too often, above it the sale costs more than the action
that it saves (the lot-size argument of Harris 1913). Only the owner's own range from target to max_health is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from keeper.model import Deleverage, Policy, Position, Proposal, Refusal
from keeper.sizing import value_base_up
from keeper.units import BPS, WAD, mul_div_down

SELLER = "deleverage"
"""The strategy that sizes a sale; a close has no size to choose."""
SHARES = (4, 3, 2, 1)
"""Quarters of the way from target to the highest aim, the farthest first."""
BELOW_MAX_WAD = WAD // 50
"""An aim stays so far below max_health, for at the quoted price health ends above the aim."""


def stretched(
    found: Proposal, policy: Policy, position: Position, ask: Callable[[Policy], Proposal | Refusal]
) -> Proposal:
    """``found``, or the farthest sale of the same strategy whose swap loses no more than its gas costs.

    Against the oracle, and against the price that ``found`` gets: where the market stands above a late feed, the
    first says that nothing is lost however large the sale. ``ask`` proposes under another policy. Without
    ``policy.stretch``, or where nothing is sold, ``found`` itself.
    """
    # a price that rises until the sale is included must not carry it past max_health
    highest_wad = mul_div_down(policy.max_health_wad, BPS - policy.lead_bps, BPS + policy.lead_bps)
    room = highest_wad - BELOW_MAX_WAD - policy.target_wad
    sells = found.strategy == SELLER and found.health_after_wad < policy.max_health_wad
    if not policy.stretch or room <= 0 or not sells:
        return found
    for quarters in SHARES:
        target_wad = policy.target_wad + mul_div_down(room, quarters, max(SHARES))
        more = ask(replace(policy, target_wad=target_wad))
        if not isinstance(more, Proposal) or more.health_after_wad < target_wad:
            continue
        if max(more.swap_usd, worse_usd(found, more, position)) <= more.gas_usd:
            return replace(
                more, why=f"{more.why}; sold on above target because it costs less than the gas saved"
            )
    return found


def worse_usd(small: Proposal, large: Proposal, position: Position) -> float:
    """What the larger sale loses to its size: dearer than at the smaller's price; 0 where other things are sold."""
    a, b = _sale(small), _sale(large)
    if a is None or b is None or (a.sell_max.token, a.repay.token) != (b.sell_max.token, b.repay.token):
        return 0.0
    held = next((h for h in position.collateral if h.amount.token == b.sell_max.token), None)
    extra = b.sold - mul_div_down(a.sold, b.repay.units, a.repay.units) if a.repay.units else 0
    if held is None or extra <= 0:
        return 0.0
    base = value_base_up(extra, held.price_base, b.sell_max.token.decimals)
    return float(base) / 10.0**position.base_decimals


def _sale(proposal: Proposal) -> Deleverage | None:
    return next((s for s in proposal.steps if isinstance(s, Deleverage)), None)
