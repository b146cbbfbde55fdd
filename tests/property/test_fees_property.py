"""Fees for whatever market, cap and urgency: the cap holds, pools accept each raise, haste never bids less."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.model import Fee, Refusal
from keeper.transaction.fees import Market, first_fee, raised_fee
from keeper.transaction.fees_urgency import PRESSING_BLOCKS, Urgency, blocks_left, cap_wei, money_cap_usd
from keeper.units import GWEI, WAD

pytestmark = pytest.mark.property
MARKETS = st.builds(
    Market,
    base_fee_wei=st.integers(min_value=0, max_value=100_000 * GWEI),
    tip_wei=st.integers(min_value=0, max_value=1_000 * GWEI),
)
GAS = st.integers(min_value=21_000, max_value=16_000_000)
CAPS = st.integers(min_value=0, max_value=10**21)
LOGS = st.floats(min_value=1e-6, max_value=3.0)
SIGMAS = st.floats(min_value=0.0, max_value=0.5)
PAST = st.lists(st.floats(min_value=0.0, max_value=3.0), max_size=8).map(
    lambda found: [(n, was) for n, was in enumerate(found, 1)]
)


@dataclass(frozen=True)
class Ladder:
    """A fee raised until it is refused."""

    fees: tuple[Fee, ...]


def climbed(market: Market, gas: int, cap: int, *, urgent: bool) -> Ladder:
    fees: list[Fee] = []
    fee = first_fee(market, gas, cap, urgent=urgent)
    while isinstance(fee, Fee) and len(fees) < 12:
        fees.append(fee)
        fee = raised_fee(fee, market, cap, urgent=urgent)
    return Ladder(fees=tuple(fees))


@given(market=MARKETS, gas=GAS, cap=CAPS, urgent=st.booleans())
def test_fees__whatever_is_bid__then_the_cap_is_never_exceeded(
    market: Market, gas: int, cap: int, urgent: bool
) -> None:
    for fee in climbed(market, gas, cap, urgent=urgent).fees:
        assert fee.gas_limit * fee.max_fee_wei <= cap
        assert 0 < fee.tip_wei <= fee.max_fee_wei


@given(market=MARKETS, gas=GAS, cap=CAPS, urgent=st.booleans())
def test_fees__whatever_is_raised__then_both_fields_rise_as_every_pool_asks(
    market: Market, gas: int, cap: int, urgent: bool
) -> None:
    fees = climbed(market, gas, cap, urgent=urgent).fees
    for old, new in itertools.pairwise(fees):
        assert new.max_fee_wei * 1000 >= old.max_fee_wei * 1125
        assert new.tip_wei * 1000 >= old.tip_wei * 1125
        # go-ethereum core/txpool/legacypool/list.go: at least 10 % on each, and strictly more
        assert new.max_fee_wei * 100 >= old.max_fee_wei * 110
        assert new.tip_wei > old.tip_wei


@given(market=MARKETS, gas=GAS, tips=st.floats(min_value=0.0, max_value=3.0))
def test_fees__in_haste__then_never_bid_less(market: Market, gas: int, tips: float) -> None:
    # a cap beside what it turns on: the base fee and so many tips
    cap = gas * (market.base_fee_wei + int(tips * market.tip_wei))
    calm, haste = (first_fee(market, gas, cap, urgent=urgent) for urgent in (False, True))
    # what a calm one may be sent for, one in haste may too
    assert isinstance(calm, Refusal) == isinstance(haste, Refusal)
    if isinstance(calm, Fee) and isinstance(haste, Fee):
        assert haste.max_fee_wei >= calm.max_fee_wei
        assert haste.tip_wei >= calm.tip_wei


@given(old=st.integers(min_value=1, max_value=10**14), market=MARKETS, gas=GAS, cap=CAPS)
def test_fees__raised_in_haste__then_never_less_than_raised_calmly(
    old: int, market: Market, gas: int, cap: int
) -> None:
    before = Fee(gas_limit=gas, max_fee_wei=old, tip_wei=old)
    calm, haste = (raised_fee(before, market, cap, urgent=urgent) for urgent in (False, True))
    assert isinstance(calm, Refusal) == isinstance(haste, Refusal)
    if isinstance(calm, Fee) and isinstance(haste, Fee):
        assert (haste.max_fee_wei, haste.tip_wei) >= (calm.max_fee_wei, calm.tip_wei)
        assert haste.tip_wei >= calm.tip_wei


@given(
    gas_usd=st.floats(min_value=0.01, max_value=1e6),
    loss_usd=st.floats(min_value=0.0, max_value=1e9),
    pct=st.integers(min_value=1, max_value=100),
    price=st.integers(min_value=1, max_value=10**13),
    market=MARKETS,
    gas=GAS,
)
def test_cap__outside_an_emergency__then_no_fee_costs_more_than_the_share_of_the_loss(
    gas_usd: float, loss_usd: float, pct: int, price: int, market: Market, gas: int
) -> None:
    usd = money_cap_usd(gas_usd, loss_usd, pct, emergency=False)
    assert usd <= min(gas_usd, loss_usd * pct / 100)
    assert usd <= money_cap_usd(gas_usd, loss_usd, pct, emergency=True) <= gas_usd
    for fee in climbed(market, gas, cap_wei(usd, price, 8), urgent=True).fees:
        cost_usd = fee.gas_limit * fee.max_fee_wei / WAD * price / 10**8
        assert cost_usd <= usd * (1 + 1e-9)


@given(log=LOGS, less=st.floats(min_value=0.0, max_value=1.0), sigma=SIGMAS, past=PAST)
def test_blocks_left__with_less_health_or_wilder_prices__then_never_more(
    log: float, less: float, sigma: float, past: list[tuple[int, float]]
) -> None:
    calm = blocks_left(log, sigma, ())
    assert blocks_left(log * (1 - less), sigma, ()) <= calm
    assert blocks_left(log, sigma * 2, ()) <= calm
    assert blocks_left(log, sigma, past) <= calm * (1 + 1e-9)


@given(log=LOGS, fall=st.floats(min_value=1e-4, max_value=1.0), blocks=st.integers(min_value=1, max_value=8))
def test_blocks_left__while_it_falls_steadily__then_at_most_what_the_line_says(
    log: float, fall: float, blocks: int
) -> None:
    past = [(n, log + n * fall) for n in range(1, blocks + 1)]
    assert blocks_left(log, 0.0, past) <= log / fall * (1 + 1e-6)


@pytest.mark.parametrize("log", [0.0, -0.1, -math.inf, math.nan])
def test_blocks_left__when_nothing_is_left_or_known__then_none(log: float) -> None:
    assert blocks_left(log, 0.01, ()) == 0.0
    assert blocks_left(0.2, 0.0, ()) == math.inf


@given(left=st.floats(min_value=0.0, max_value=1e9), emergency=st.booleans())
def test_urgency__by_blocks_or_emergency__then_pressing(left: float, emergency: bool) -> None:
    assert Urgency(blocks_left=left, emergency=emergency).pressing is (emergency or left <= PRESSING_BLOCKS)
