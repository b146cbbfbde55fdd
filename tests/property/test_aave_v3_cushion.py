"""A unit that an Executor keeps for good: with it no withdrawal of the 3.0 line lacks the last one, and it stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.units import RAY
from keeper.venues.aave_v3.cushion import UNITS
from keeper.venues.aave_v3.math import ray_div, ray_mul

pytestmark = pytest.mark.property
INDICES = st.integers(RAY, 19 * RAY)
AMOUNTS = st.integers(10, 10**27)


@given(amount=AMOUNTS, index=INDICES, later=INDICES)
def test_withdrawal__with_the_cushion__never_lacks_a_unit_and_leaves_it(
    amount: int, index: int, later: int
) -> None:
    kept = ray_div(UNITS, min(index, later))
    assert kept, "what is given is no scaled unit"
    there = kept + ray_div(amount, later)
    assert ray_mul(there, later) >= amount
    assert there - ray_div(amount, later) == kept


def test_withdrawal__without_it__lacks_a_unit_as_often_as_is_said() -> None:
    index, amounts = 105 * RAY // 100 + 1_234_567 * 10**18, range(10**18, 10**18 + 10_000)
    short = sum(ray_mul(ray_div(a, index), index) < a for a in amounts)
    assert 0.02 < short / len(amounts) < 0.03, "one in forty, (1 - 1 / index) / 2"
