"""The perp forms against recorded answers of two venues' SDKs: liquidation prices, both ways. Prints what it checked.

Fees, impact and thresholds are computed from a case's inputs (``sdk_terms``, which also says where GMX's SDK and its
Reader differ); of the recorded answers they are then compared with theirs, and only the price is the answer sought.
Reads the same files, by the same environment variable, as ``test_risk_vectors``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from keeper.risk import perp
from keeper.venues.gmx_v2 import curves, rules
from tests.vectors import sdk_terms
from tests.vectors.test_gmx_v2_vectors import documents, held_of, market_of
from tests.vectors.test_risk_vectors import case_impact, lines

pytestmark = pytest.mark.vectors

USD = 1e30


def gmx(case: Mapping[str, Any]) -> tuple[perp.Leg, perp.Margin]:
    """The requirement is a share of the notional at entry, or the market's minimum where that is more."""
    market, position = case["market"], case["position"]
    size = int(position["size_in_usd_1e30"]) / USD
    tokens = int(position["size_in_tokens"]) / 10.0 ** case["index_token"]["decimals"]
    cap = -size * int(market["maxPositionImpactFactorForLiquidations"]) / USD
    impact = cap if position["use_max_price_impact"] else case_impact(case, cap)
    owed = int(position["pending_funding_fees_usd_1e30"]) + int(position["pending_borrowing_fees_usd_1e30"])
    owed += sdk_terms.closing_fee(case)
    least = int(position["min_collateral_usd_1e30"]) / USD
    leg = perp.Leg(
        feed="index",
        size=tokens if position["is_long"] else -tokens,
        entry=size / tokens,
        maintenance_rate=max(int(market["minCollateralFactorForLiquidation"]) / USD, least / size),
        on_entry=True,
        owed_usd=owed / USD - impact,
    )
    if case["collateral_token"]["same_as_index"]:
        amount = int(position["collateral_amount"]) / 10.0 ** case["collateral_token"]["decimals"]
        return leg, perp.Margin(feed="index", amount=amount)
    return leg, perp.Margin(feed="dollar", amount=int(position["collateral_usd_1e30"]) / USD)


def gains(case: Mapping[str, Any]) -> tuple[perp.Leg, perp.Margin]:
    """Liquidated when (1 - threshold) of the collateral is left; the spread worsens the entry, up to its cap."""
    trade = case["trade"]
    notional = trade["collateral"] * trade["leverage"]
    tokens = notional / trade["open_price"]
    spread, cap = case["spread_p"] / 2 + case["fixed_spread_p"], case["liquidation_params"]["maxLiqSpreadP"]
    spread = min(spread, cap) if cap > 0 else spread if case["fixed_spread_p"] > 0 else 0.0
    owed = notional * (case["fee_p"] + spread)
    owed += case["realized_trading_fees_collateral"] - case["realized_pnl_collateral"]
    leg = perp.Leg(
        feed="index",
        size=tokens if trade["long"] else -tokens,
        entry=trade["open_price"],
        maintenance_rate=(1.0 - sdk_terms.threshold(case)) / trade["leverage"],
        on_entry=True,
        owed_usd=owed,
    )
    return leg, perp.Margin(feed="dollar", amount=trade["collateral"])


def test_terms__of_both_sdks__equal_what_they_answered() -> None:
    checked = 0
    for case in lines("gmx_sdk*.jsonl*"):
        said = case["expected"]
        assert sdk_terms.closing_fee(case) == int(said["closing_fee_usd_1e30"]), case["id"]
        size = int(case["position"]["size_in_usd_1e30"])
        # powers in floating point
        assert abs(sdk_terms.closing_impact(case) - int(said["close_price_impact_usd_1e30"])) <= 1e-12 * size
        checked += 1
    for case in lines("gains_sdk*.jsonl*"):
        said = case["expected"]["liq_pnl_threshold_p"]
        assert sdk_terms.threshold(case) == pytest.approx(said, rel=1e-12), case["id"]
        checked += 1
    print(f"terms of both SDKs: {checked} cases")
    assert checked > 0


def test_fee__where_closing_improves_the_balance__is_the_readers_and_not_the_sdks() -> None:
    """States of GMX's own Reader that tell the two apart: the product's rule is the Reader's in all of them."""
    apart = total = 0
    for n, case in enumerate(c for document in documents() for c in document):
        market, held = market_of(case["m"]), held_of(case["p"])
        price = (market.prices.long if held.long_token else market.prices.short).min
        by_sdk = curves.applied(held.size, market.fee.of(False)) // price
        assert rules.standing(market, held).fee == case["reader"]["fee"], n
        apart += by_sdk != case["reader"]["fee"]
        total += 1
    print(f"closing fee: {apart} of {total} states of the Reader are not as the SDK would have it")
    assert apart > 0


def check(leg: perp.Leg, margin: perp.Margin, now: float, want: float | None, what: object) -> None:
    """The price that liquidates; and back: at that price nothing is missing and nothing left over."""
    row, at = perp.isolated(leg, (margin,)), {"index": now, "dollar": 1.0}
    found = perp.liquidation_price(row, at, "index")
    if want is None or want <= 0:
        assert math.isnan(found), what
        return
    assert found == pytest.approx(want, rel=1e-9), what
    missing = perp.margin_for_price(row, at, "index", want)
    assert missing == pytest.approx(0.0, abs=1e-8 * abs(leg.size) * max(want, leg.entry)), what


def test_liquidation_price__gmx_sdk__by_the_perp_form() -> None:
    checked = 0
    for case in lines("gmx_sdk*.jsonl*"):
        want = case["expected"]["liquidation_price_1e30"]
        now = int(case["index_token"]["min_price_1e30"]) / USD
        check(*gmx(case), now, None if want is None else int(want) / USD, case["id"])
        checked += 1
    print(f"gmx_sdk by the perp form: {checked} positions")
    assert checked > 0


def test_liquidation_price__gains_sdk__by_the_perp_form() -> None:
    checked = 0
    for case in lines("gains_sdk*.jsonl*"):
        want = case["expected"]["liquidation_price"]
        check(*gains(case), case["trade"]["open_price"], want, case["id"])
        checked += 1
    print(f"gains_sdk by the perp form: {checked} trades")
    assert checked > 0
