"""EIP-1559 fees by urgency, capped in wei: start high, raise by steps that every client's pool accepts. Pure.

Over-bidding maxFeePerGas is free (only balance is reserved); under-bidding in a crash is what killed keepers.
The base fee rises at most 12.5 % a block, so 2.6x covers eight full blocks and 4x eleven.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.model import Attempt, Block, Fee, Means, Refusal
from keeper.units import mul_div_up

WHO = "fees"
BUMPS_MAX = 10
"""After that the highest attempt is held and only broadcast again."""
PATIENCE_BLOCKS = 2
"""So long what pays for a block may be left out of one before it gives way to an urgent one behind it."""
_BASE_NORMAL_PERMILLE = 2_600
_BASE_URGENT_PERMILLE = 4_000
_STEP_NORMAL_PERMILLE = 1_270
_STEP_URGENT_PERMILLE = 1_300
_STEP_LEAST_PERMILLE = 1_125
"""Geth and reth ask 10 % on both fields, others 12.5 %; rounded up, this passes them all."""
_TIP_URGENT = 2
_TIP_WEI_MIN = 1_000_000
"""A tip of 0 can never be raised by a percentage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What block space costs now."""

    base_fee_wei: int
    tip_wei: int


def market_of(block: Block, means: Means | None, old: Fee) -> Market:
    """Of the photograph; the tip of ``old`` where none was taken."""
    return Market(base_fee_wei=block.base_fee_wei, tip_wei=old.tip_wei if means is None else means.tip_wei)


def first_fee(market: Market, gas_limit: int, cap_wei: int, *, urgent: bool) -> Fee | Refusal:
    """Fee of a first attempt. Refusal ``gas_cap`` when not even base fee + tip fits ``cap_wei``.

    The higher tip of an urgent one is a wish: it gets what of that fits, and is refused where a calm one would be.
    """
    limit_wei = cap_wei // gas_limit
    least_wei = market.base_fee_wei + _tip(market, urgent=False)
    if least_wei > limit_wei:
        return _beyond_cap(least_wei * gas_limit, cap_wei)
    tip_wei = min(_tip(market, urgent), limit_wei - market.base_fee_wei)
    return Fee(gas_limit=gas_limit, max_fee_wei=min(_wish(market, urgent), limit_wei), tip_wei=tip_wei)


def raised_fee(
    old: Fee, market: Market, cap_wei: int, *, urgent: bool, at_least: Fee | None = None
) -> Fee | Refusal:
    """Fee that replaces ``old`` in every client's pool; the gas limit is ``old``'s.

    Both fields rise by at least ``ceil(1.125x)``, and to ``at_least`` where that is given. Refusal
    ``gas_cap`` when that does not fit ``cap_wei``.
    """
    gas_limit = old.gas_limit
    limit_wei = cap_wei // gas_limit
    step = _STEP_URGENT_PERMILLE if urgent else _STEP_NORMAL_PERMILLE
    max_floor_wei = mul_div_up(old.max_fee_wei, _STEP_LEAST_PERMILLE, 1000)
    tip_floor_wei = mul_div_up(max(old.tip_wei, _TIP_WEI_MIN), _STEP_LEAST_PERMILLE, 1000)
    if at_least is not None:
        max_floor_wei = max(max_floor_wei, at_least.max_fee_wei)
        tip_floor_wei = max(tip_floor_wei, at_least.tip_wei)
    least_wei = max(max_floor_wei, tip_floor_wei)
    if least_wei > limit_wei:
        return _beyond_cap(least_wei * gas_limit, cap_wei)
    max_wish_wei = max(mul_div_up(old.max_fee_wei, step, 1000), _wish(market, urgent), least_wei)
    tip_wish_wei = max(mul_div_up(old.tip_wei, step, 1000), _tip(market, urgent), tip_floor_wei)
    max_fee_wei = min(max_wish_wei, limit_wei)
    return Fee(gas_limit=gas_limit, max_fee_wei=max_fee_wei, tip_wei=min(tip_wish_wei, max_fee_wei))


def outbid(fee: Fee, market: Market) -> bool:
    """Whether the base fee leaves this attempt less than its tip, so that builders pass it over."""
    return market.base_fee_wei + fee.tip_wei > fee.max_fee_wei


def _wish(market: Market, urgent: bool) -> int:
    multiple = _BASE_URGENT_PERMILLE if urgent else _BASE_NORMAL_PERMILLE
    return mul_div_up(market.base_fee_wei, multiple, 1000) + _tip(market, urgent)


def _tip(market: Market, urgent: bool) -> int:
    return max(market.tip_wei * (_TIP_URGENT if urgent else 1), _TIP_WEI_MIN)


def _beyond_cap(needed_wei: int, cap_wei: int) -> Refusal:
    why = f"gas would cost at least {needed_wei} wei, the cap is {cap_wei} wei"
    if not cap_wei:
        why += ": the wallet holds nothing for gas, or its cap is 0"
    return Refusal(who=WHO, code="gas_cap", why=why)


def holds_up(stuck: Attempt, urgent: Attempt) -> bool:
    """Whether a transaction stands before an urgent one and pays less, so that builders reach neither."""
    cheaper = stuck.fee.max_fee_wei < urgent.fee.max_fee_wei or stuck.fee.tip_wei < urgent.fee.tip_wei
    return stuck.nonce < urgent.nonce and cheaper


def pays_its_way(fee: Fee, market: Market) -> bool:
    """Whether the next block, its base fee an eighth above the market's at most, leaves it half of the tip that is
    suggested now, and so is likely to take it."""
    left_wei = fee.max_fee_wei - mul_div_up(market.base_fee_wei, _STEP_LEAST_PERMILLE, 1000)
    return 2 * min(fee.tip_wei, left_wei) >= market.tip_wei and left_wei > 0
