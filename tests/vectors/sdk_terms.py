"""What two venues' SDKs take from a position before they solve for its liquidation price: computed from the inputs
of the recorded cases, so that of an answer only the price, and these terms as a cross-check, are read.

GMX's SDK and GMX's own Reader are not of one mind. Closing: the SDK always charges the fee of a balance not
improved; the Reader charges the other one where closing improves it. Impact: the SDK moves open interest by the size
in dollars and takes the factor of improving as it is; the Reader moves it by tokens where the market balances by
tokens, and never lets improving win more than worsening costs. The product (``keeper/venues/gmx_v2``) goes by the
Reader, as liquidations do; here it is the SDK's turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

USD = 10**30
OLD_THRESHOLD = 0.9
"""Of Gains' trades from before there were liquidation parameters: all of theirs are 0."""


def closing_fee(case: Mapping[str, Any]) -> int:
    """USD (1e30) for closing all of it by GMX's SDK."""
    factor = int(case["market"]["positionFeeFactorForBalanceWasNotImproved"])
    fee: int = int(case["position"]["size_in_usd_1e30"]) * factor // USD
    return fee


def closing_impact(case: Mapping[str, Any]) -> int:
    """USD (1e30) that closing all of it wins by GMX's SDK, before caps and without what is pending."""
    market = {k: int(v) for k, v in case["market"].items()}
    size, is_long = int(case["position"]["size_in_usd_1e30"]), case["position"]["is_long"]
    longs, shorts = _balance(case, market)
    change = _moved(market, longs, shorts, (size, is_long))
    inventory = market["virtualInventoryForPositions"]
    if change > 0 or not inventory:
        return change
    longs, shorts = (max(-inventory, 0) + size, max(inventory, 0) + size)
    return min(change, _moved(market, longs, shorts, (size, is_long)))


def _balance(case: Mapping[str, Any], market: Mapping[str, int]) -> tuple[int, int]:
    """(longs, shorts) in USD."""
    if not market["useOpenInterestInTokensForBalance"]:
        return market["longInterestUsd"], market["shortInterestUsd"]
    token = case["index_token"]
    mid = (int(token["min_price_1e30"]) + int(token["max_price_1e30"])) // 2
    unit = 10 ** token["decimals"]
    return market["longInterestInTokens"] * mid // unit, market["shortInterestInTokens"] * mid // unit


def _moved(market: Mapping[str, int], longs: int, shorts: int, closed: tuple[int, bool]) -> int:
    size, is_long = closed
    after_longs, after_shorts = longs - size * is_long, shorts - size * (not is_long)
    if after_longs < 0 or after_shorts < 0:
        return 0
    before, after = abs(longs - shorts), abs(after_longs - after_shorts)

    def curve(usd: int, side: str) -> int:
        exponent = market[f"positionImpactExponentFactor{side}"] / 1e30
        # the SDK raises in floating point
        return round((float(usd) / 1e30) ** exponent * 1e30) * market[f"positionImpactFactor{side}"] // USD

    if (longs < shorts) == (after_longs < after_shorts):
        side = "Positive" if after < before else "Negative"
        change = abs(curve(before, side) - curve(after, side))
        return change if after < before else -change
    return curve(before, "Positive") - curve(after, "Negative")


def threshold(case: Mapping[str, Any]) -> float:
    """Share of the collateral whose loss liquidates a trade on Gains: a line of leverage between two ends."""
    given, leverage = case["liquidation_params"], case["trade"]["leverage"]
    start, end = given["startLiqThresholdP"], given["endLiqThresholdP"]
    low, high = given["startLeverage"], given["endLeverage"]
    if not high:
        return OLD_THRESHOLD
    if leverage <= low or leverage >= high:
        return float(start if leverage <= low else end)
    return float(start - (leverage - low) * (start - end) / (high - low))
