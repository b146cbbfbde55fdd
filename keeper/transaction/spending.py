"""What a plan takes from the wallet, in money and for gas."""

from __future__ import annotations

from collections.abc import Iterable

from keeper.model import Intent, Means, Plan
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


def affordable_wei(
    plan: Plan, means: Means | None, opened: Iterable[Intent], frees: int | None = None
) -> int:
    """The plan's cap, or what the wallet can pay beside the value of its call and its other open transactions.

    ``frees``: the nonce of a self-send, which carries no value. What waits behind it can only be mined after it, so
    keeps no money from it. A pool and a sequencer ask for gas limit x maxFeePerGas and the value together.
    """
    if means is None:
        return plan.bounds.fee_wei_max
    others = [i for i in opened if i.key != plan.key and i.attempts]
    reserved_wei = sum(_leaves_wei(i) for i in others if frees is None or i.attempts[-1].nonce < frees)
    own_wei = plan.call.value_wei if frees is None else 0
    return max(0, min(plan.bounds.fee_wei_max, means.native_wei - own_wei - reserved_wei))


def _leaves_wei(intent: Intent) -> int:
    """Most that an open transaction takes out of the wallet: its gas, and what it sends. Room for data keeps nothing
    from the others: each is charged what it used, one after the other."""
    top = intent.attempts[-1]
    return min(top.fee.gas_limit, intent.plan.bounds.gas_limit) * top.fee.max_fee_wei + (
        0 if top.cancel else intent.plan.call.value_wei
    )
