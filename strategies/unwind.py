"""A sale without a loan: cut into pieces that what is free of the collateral lets go, one after the other."""

from __future__ import annotations

from dataclasses import replace

from keeper.model import Deleverage, Refusal
from keeper.sizing import (
    debt_base_up,
    units_down,
    unwind_steps,
    value_base_down,
    value_base_up,
    weighted_base_wad,
)
from keeper.units import WAD, mul_div_down
from strategies.selling import Sale, loss_up, refused

STEPS_MAX = 24
"""Steps of one transaction: with 600,000 gas each and 500,000 besides it is within its limit (EIP-7825, 2^24)."""
TOO_MANY_STEPS = "too_many_steps"
STEP_FLOOR_WAD = WAD * 1002 // 1000
"""Health that a step may leave before what it brings is repaid; the pool refuses below 1."""


def in_steps(sale: Sale, step: Deleverage) -> Deleverage | Refusal:
    """The sale cut into pieces, each at most what is free above ``STEP_FLOOR_WAD`` when its turn comes."""
    collateral, position = sale.collateral, sale.need.position
    decimals, price = collateral.amount.token.decimals, collateral.price_base
    weighted, owed = weighted_base_wad(position), debt_base_up(position)
    left, sells = step.sell_max.units, list[int]()
    while left > 0 and len(sells) < STEPS_MAX:
        free_base = (weighted - STEP_FLOOR_WAD * owed) // collateral.threshold_wad
        units = min(left, units_down(max(0, free_base), price, decimals))
        if units <= 0:
            break
        sells.append(units)
        left -= units
        weighted -= value_base_up(units, price, decimals) * collateral.threshold_wad
        back = mul_div_down(step.repay.units, units, step.sell_max.units)
        owed -= value_base_down(back, sale.debt.price_base, sale.debt.amount.token.decimals)
    return _too_many(sale, step) if left > 0 else replace(step, sells=tuple(sells))


def _too_many(sale: Sale, step: Deleverage) -> Refusal:
    """How many steps it would take: the closed form of ``sizing``, at the worst price that the step allows."""
    position, token = sale.need.position, step.repay.token
    repay_base = value_base_up(
        min(step.repay.units, sale.debt.amount.units), sale.debt.price_base, token.decimals
    )
    many = unwind_steps(
        weighted_base_wad(position),
        debt_base_up(position),
        repay_base,
        STEP_FLOOR_WAD,
        (sale.collateral.threshold_wad, loss_up(sale, step)),
    )
    if isinstance(many, Refusal):
        return refused("infeasible", "nobody lends, and no number of steps unwinds enough")
    # counted in reals, the last step may be one more
    many = max(many, STEPS_MAX + 1)
    why = f"nobody lends: it takes {many} steps, {STEPS_MAX} of them fit into a transaction, so "
    why += f"{-(-many // STEPS_MAX)} transactions"
    return refused(TOO_MANY_STEPS, why)
