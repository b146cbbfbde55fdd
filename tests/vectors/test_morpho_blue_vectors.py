"""Morpho's own SDK on random markets: accrual, debt, line and health to the wei, at once and after time."""

from __future__ import annotations

from typing import Any

import pytest

from keeper.units import BPS, WAD
from keeper.venues.morpho_blue import math, rules
from keeper.venues.morpho_blue.math import Totals
from tests.vectors.test_risk_vectors import lines

pytestmark = pytest.mark.vectors


def _totals(market: dict[str, str]) -> Totals:
    return Totals(
        supply_assets=int(market["total_supply_assets"]),
        supply_shares=int(market["total_supply_shares"]),
        borrow_assets=int(market["total_borrow_assets"]),
        borrow_shares=int(market["total_borrow_shares"]),
        updated_s=int(market["last_update"]),
        fee_wad=int(market["fee_wad"]),
    )


def _checked(case: dict[str, Any], totals: Totals, expected: dict[str, Any]) -> None:
    market, position = case["market"], case["position"]
    shares, collateral = int(position["borrow_shares"]), int(position["collateral"])
    owed = math.to_assets_up(shares, totals.borrow_assets, totals.borrow_shares)
    quoted = math.quoted_down(collateral, int(market["oracle_price_1e36"]))
    most = math.borrowable_down(quoted, int(market["lltv_wad"]))
    assert (owed, quoted, most) == tuple(
        int(expected[k]) for k in ("borrow_assets", "collateral_value", "max_borrow_assets")
    )
    if expected["health_factor_wad"] is not None:
        assert math.health_down(most, owed) == int(expected["health_factor_wad"])
    assert (most >= owed) == expected["is_healthy"]


def test_position__sdk_cases__debt_line_and_health_are_equal_now_and_after_time() -> None:
    n = 0
    for case in lines("morpho_blue_sdk*.jsonl"):
        market, expected = case["market"], case["expected"]
        totals = _totals(market)
        _checked(case, totals, expected["now"])
        after = expected["after"]
        rate, end = math.borrow_rate(int(market["rate_at_target_per_sec_wad"]), totals, after["dt"])
        then = math.accrue(totals, rate, totals.updated_s + after["dt"])
        assert end == int(after["rate_at_target"])
        assert [then.supply_assets, then.supply_shares, then.borrow_assets, then.borrow_shares] == [
            int(after[f"market_total_{k}"])
            for k in ("supply_assets", "supply_shares", "borrow_assets", "borrow_shares")
        ]
        _checked(case, then, after)
        incentive = int(expected["liquidation_incentive_factor_wad"])
        assert rules.incentive(int(market["lltv_wad"])) == incentive
        assert rules.bonus_bps_up(int(market["lltv_wad"]), ()) == -(-incentive * BPS // WAD)
        n += 1
    assert n >= 200


def test_accrual__left_out__is_noticed_by_most_cases() -> None:
    noticed = n = 0
    for case in lines("morpho_blue_sdk*.jsonl"):
        totals = _totals(case["market"])
        try:
            _checked(case, totals, case["expected"]["after"])
        except AssertionError:
            noticed += 1
        n += 1
    assert noticed > n // 2
