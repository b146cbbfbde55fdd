"""Health promised against health found: the very bounds are kept promises, and an order promises nothing yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.confirmation.promise import broken_promise
from keeper.model import AddMargin, Amount, CancelOrder, GrowPerp, PlaceStop, ReducePerp, Step
from keeper.units import UINT256_MAX, WAD
from tests.plans import USDC, plan

pytestmark = pytest.mark.unit
LEAST, MOST = WAD * 12 // 10, WAD * 2
AMOUNT = Amount(token=USDC, units=10**6)
ORDERS: tuple[Step, ...] = (
    AddMargin(amount=AMOUNT, fee_wei=1),
    ReducePerp(amount=AMOUNT, size_usd=1, worst_price=1, fee_wei=1),
    PlaceStop(amount=AMOUNT, size_usd=1, trigger_price=1, worst_price=1, fee_wei=1),
    CancelOrder(amount=AMOUNT, order="0x1"),
    GrowPerp(amount=AMOUNT, size_usd=1, worst_price=1, fee_wei=1),
)


@pytest.mark.parametrize(
    ("health_wad", "words"),
    [
        (LEAST, ""),
        (MOST, ""),
        (LEAST - 1, "health 1.1999 is below the promised 1.2"),
        (MOST + 1, "health 2 is above the promised 2"),
        (MOST + WAD // 10**4, "health 2.0001 is above the promised 2"),
        (0, "health 0 is below the promised 1.2"),
        # nobody can tell, and nothing is owed
        (None, ""),
        (UINT256_MAX, ""),
        (UINT256_MAX - 1, "above the promised 2"),
    ],
)
def test_promise__when_health_is_found__then_broken_only_outside_the_bounds(
    health_wad: int | None, words: str
) -> None:
    told = broken_promise(plan(), health_wad)
    assert told == words if words.startswith("health") or not words else told.endswith(words)


@pytest.mark.parametrize("order", ORDERS)
def test_promise__when_the_plan_only_ordered__then_none_is_broken_before_the_venue_executes_it(
    order: Step,
) -> None:
    low = WAD
    assert broken_promise(replace(plan(), steps=(order,)), low) == ""
    assert broken_promise(replace(plan(), steps=(*plan().steps, order)), low) == ""
    assert broken_promise(plan(), low) != ""
