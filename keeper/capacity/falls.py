"""A position as it would be at a stress's prices."""

from __future__ import annotations

from dataclasses import replace

from keeper.capacity.records import Stress
from keeper.model import Holding, Position
from keeper.sizing import debt_base_up, health_down, value_base_down, value_base_up, weighted_base_wad
from keeper.units import UINT256_MAX, mul_div_down, mul_div_up

PPM = 1_000_000


def stressed(position: Position, stress: Stress) -> Position:
    """The position at the stress's prices; collateral is rounded down, debt up."""
    collateral = tuple(_moved(h, stress.factors_ppm.get(h.feed, PPM), up=False) for h in position.collateral)
    debt = tuple(_moved(h, stress.debt_factors_ppm.get(h.feed, PPM), up=True) for h in position.debt)
    moved = replace(position, collateral=collateral, debt=debt)
    owed = debt_base_up(moved)
    return replace(moved, health_wad=health_down(weighted_base_wad(moved), owed) if owed else UINT256_MAX)


def _moved(held: Holding, factor_ppm: int, *, up: bool) -> Holding:
    price = (mul_div_up if up else mul_div_down)(held.price_base, factor_ppm, PPM)
    units, decimals = held.amount.units, held.amount.token.decimals
    value = (value_base_up if up else value_base_down)(units, price, decimals)
    return replace(held, price_base=price, value_base=value)
