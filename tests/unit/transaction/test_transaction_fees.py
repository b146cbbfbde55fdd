"""Fees: high at once, raised by what every pool accepts, never above the cap in wei."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.model import Fee, Refusal
from keeper.transaction.fees import Market, first_fee, outbid, raised_fee
from keeper.units import GWEI

pytestmark = pytest.mark.unit
GAS = 300_000
AMPLE = 10**20


def market(base_gwei: int = 10, tip_gwei: int = 1) -> Market:
    return Market(base_fee_wei=base_gwei * GWEI, tip_wei=tip_gwei * GWEI)


def paid(fee: Fee | Refusal) -> Fee:
    assert isinstance(fee, Fee)
    return fee


@pytest.mark.parametrize("urgent, max_gwei, tip_gwei", [(False, 27, 1), (True, 42, 2)])
def test_first_fee__when_cap_is_ample__then_covers_many_full_blocks(
    urgent: bool, max_gwei: int, tip_gwei: int
) -> None:
    fee = paid(first_fee(market(), GAS, AMPLE, urgent=urgent))
    assert (fee.max_fee_wei, fee.tip_wei, fee.gas_limit) == (max_gwei * GWEI, tip_gwei * GWEI, GAS)


def test_first_fee__when_cap_is_tight__then_clipped_to_it() -> None:
    fee = paid(first_fee(market(), GAS, 12 * GWEI * GAS, urgent=True))
    assert fee.max_fee_wei == 12 * GWEI


def test_first_fee__when_base_and_tip_just_fit__then_sent_and_one_wei_less_refused() -> None:
    least = 11 * GWEI * GAS
    assert paid(first_fee(market(), GAS, least, urgent=False)).max_fee_wei == 11 * GWEI
    refused = first_fee(market(), GAS, least - 1, urgent=False)
    assert isinstance(refused, Refusal)
    assert refused.code == "gas_cap"


def test_first_fee__when_the_tip_of_haste_does_not_fit__then_as_much_of_it_as_does() -> None:
    fee = paid(first_fee(market(60, 40), GAS, 133 * GWEI * GAS, urgent=True))
    assert (fee.max_fee_wei, fee.tip_wei) == (133 * GWEI, 73 * GWEI)
    assert paid(first_fee(market(60, 40), GAS, 100 * GWEI * GAS, urgent=True)).tip_wei == 40 * GWEI
    assert isinstance(first_fee(market(60, 40), GAS, 99 * GWEI * GAS, urgent=True), Refusal)


def test_first_fee__when_node_suggests_no_tip__then_one_that_can_be_raised() -> None:
    assert paid(first_fee(market(tip_gwei=0), GAS, AMPLE, urgent=False)).tip_wei == 1_000_000


def test_raised_fee__when_market_moved_beyond__then_follows_the_market() -> None:
    old = Fee(gas_limit=GAS, max_fee_wei=27 * GWEI, tip_wei=GWEI)
    assert paid(raised_fee(old, market(200, 3), AMPLE, urgent=False)).max_fee_wei == 523 * GWEI


def test_raised_fee__when_the_least_step_does_not_fit__then_refused() -> None:
    old = Fee(gas_limit=GAS, max_fee_wei=27 * GWEI, tip_wei=GWEI)
    refused = raised_fee(old, market(), 30 * GWEI * GAS, urgent=True)
    assert isinstance(refused, Refusal)
    assert paid(raised_fee(old, market(), 31 * GWEI * GAS, urgent=True)).max_fee_wei == 31 * GWEI


def test_raised_fee__when_cancelling__then_less_gas_buys_a_higher_price() -> None:
    old = Fee(gas_limit=GAS, max_fee_wei=27 * GWEI, tip_wei=GWEI)
    cap = 27 * GWEI * GAS
    assert isinstance(raised_fee(old, market(100), cap, urgent=True), Refusal)
    fee = paid(raised_fee(replace(old, gas_limit=60_000), market(100), cap, urgent=True))
    assert fee.max_fee_wei == cap // 60_000
    assert fee.gas_limit == 60_000


@pytest.mark.parametrize(
    "urgent, max_fee_wei, tip_wei",
    [(False, 127_000_000_002, 12_700_000_002), (True, 130_000_000_002, 13_000_000_002)],
)
def test_raised_fee__when_the_market_is_calm__then_by_the_step_rounded_up(
    urgent: bool, max_fee_wei: int, tip_wei: int
) -> None:
    old = Fee(gas_limit=GAS, max_fee_wei=100 * GWEI + 1, tip_wei=10 * GWEI + 1)
    fee = paid(raised_fee(old, Market(base_fee_wei=GWEI, tip_wei=0), 10**20, urgent=urgent))
    assert (fee.max_fee_wei, fee.tip_wei) == (max_fee_wei, tip_wei)


@pytest.mark.parametrize("base_gwei, expected", [(25, False), (26, False), (27, True), (500, True)])
def test_outbid__when_the_base_fee_eats_the_tip__then_true(base_gwei: int, expected: bool) -> None:
    fee = Fee(gas_limit=GAS, max_fee_wei=27 * GWEI, tip_wei=GWEI)
    assert outbid(fee, market(base_gwei)) is expected


WEI = st.integers(0, 10**15)


@given(WEI, WEI, WEI, WEI, st.integers(21_000, 2**24), st.integers(0, 10**22), st.booleans())
def test_raised_fee__when_anything__then_every_pool_accepts_it_and_the_cap_holds(
    old_max: int, old_tip: int, base: int, tip: int, gas: int, cap: int, urgent: bool
) -> None:
    old = Fee(gas_limit=gas, max_fee_wei=max(old_max, old_tip), tip_wei=old_tip)
    new = raised_fee(old, Market(base_fee_wei=base, tip_wei=tip), cap, urgent=urgent)
    if isinstance(new, Refusal):
        return
    assert new.gas_limit * new.max_fee_wei <= cap
    assert new.tip_wei <= new.max_fee_wei
    for was, now in ((old.max_fee_wei, new.max_fee_wei), (old.tip_wei, new.tip_wei)):
        assert now * 1000 >= was * 1125
        assert now > was
        # reth: ceil(110 %); geth: floor(110 %) and strictly more
        assert now >= -(-was * 110 // 100)


@given(WEI, WEI, st.integers(21_000, 2**24), st.integers(0, 10**22), st.booleans())
def test_first_fee__when_anything__then_within_the_cap_or_refused_for_cause(
    base: int, tip: int, gas: int, cap: int, urgent: bool
) -> None:
    found = first_fee(Market(base_fee_wei=base, tip_wei=tip), gas, cap, urgent=urgent)
    if isinstance(found, Refusal):
        assert (base + max(tip * (2 if urgent else 1), 1_000_000)) * gas > cap
    else:
        assert found.gas_limit * found.max_fee_wei <= cap
        assert base + found.tip_wei <= found.max_fee_wei
