"""Days until interest alone liquidates: of positions as read, and what is unknown."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from keeper.model import BookRow
from keeper.risk.clocks import interest_days, position_days
from tests import build
from tests.build import USDC, WETH, collateral, debt

pytestmark = pytest.mark.unit

RAY = 10**27


def test_position_days__rates_of_its_market__by_hand() -> None:
    vault = build.position([collateral(WETH, "10", price="2000", threshold="0.8")], [debt(USDC, "10000")])
    venue = f"{vault.id.venue}:{vault.id.chain_id}:{vault.id.key}"
    means = build.means()
    reserves = tuple(
        replace(r, venue=venue, supply_rate_ray=RAY // 100, borrow_rate_ray=RAY // 10)
        for r in (build.reserve(WETH), build.reserve(USDC))
    )
    prices = {h.feed: h.price_base / 1e8 for h in (*vault.collateral, *vault.debt)}
    found = position_days(vault, replace(means, reserves=reserves), prices)
    assert found == pytest.approx(math.log(1.6) / 0.09 * 365)
    assert position_days(vault, replace(means, reserves=reserves[:1]), prices) is None, "a rate was not read"
    assert position_days(replace(vault, debt=()), replace(means, reserves=reserves), prices) is None
    assert position_days(vault, replace(means, reserves=reserves), {}) == 0.0, "unknown is never far"


def test_interest_days__sides_without_anything__have_their_answers() -> None:
    row = BookRow(feeds=("E", "U"), a=(1.0, 0.0), b=(0.0, 100.0))
    at = {"E": 200.0, "U": 1.0}
    assert interest_days(row, at, (0.0, math.nan)) == 0.0
    assert interest_days(replace(row, b=(0.0, 0.0)), at, (0.0, 0.1)) == math.inf
    assert interest_days(replace(row, a=(0.0, 0.0)), at, (0.0, 0.1)) == 0.0
    assert interest_days(replace(row, a=(0.4, 0.0)), at, (0.5, 0.1)) == 0.0, "liquidatable already"
    assert interest_days(row, at, (0.1, 0.1)) == math.inf
