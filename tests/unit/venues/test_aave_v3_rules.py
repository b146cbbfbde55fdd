"""Liquidation rules by hand-made cases, each at its threshold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.model import Refusal
from keeper.units import WAD
from keeper.venues.aave_v3.math import LINE_3_0, LINE_3_5
from keeper.venues.aave_v3.rules import (
    FULL_CLOSE_HEALTH,
    Case,
    Liquidation,
    closable_units,
    liquidate,
    loss_base_up,
    worst_loss_base_up,
)
from tests.aave_market import ALICE, FakeUser, market
from tests.aave_snapshot import snapshot_of

pytestmark = pytest.mark.unit

BIG = Case(
    health_wad=WAD - 1,
    collateral_units=10 * 10**18,
    collateral_price=2_000 * 10**8,
    collateral_unit=10**18,
    debt_units=16_000 * 10**6,
    debt_price=10**8,
    debt_unit=10**6,
    total_debt_base=16_000 * 10**8,
    bonus_bps=10_500,
    bonus_fee_bps=1_000,
    cover_units=10**18,
)


def test_close__big_and_just_below_one__is_half_of_all_debt() -> None:
    assert closable_units(LINE_3_5, BIG) == 8_000 * 10**6
    assert closable_units(LINE_3_5, replace(BIG, total_debt_base=20_000 * 10**8)) == 10_000 * 10**6
    assert closable_units(LINE_3_0, replace(BIG, total_debt_base=20_000 * 10**8)) == 8_000 * 10**6


def test_close__at_the_threshold_health__is_everything() -> None:
    deep = replace(BIG, health_wad=FULL_CLOSE_HEALTH)
    assert closable_units(LINE_3_5, deep) == closable_units(LINE_3_0, deep) == BIG.debt_units
    assert closable_units(LINE_3_5, replace(deep, health_wad=FULL_CLOSE_HEALTH + 1)) == 8_000 * 10**6


def test_close__either_side_below_2000_usd__is_everything_since_3_3() -> None:
    small = replace(BIG, debt_units=1_999 * 10**6, total_debt_base=1_999 * 10**8)
    assert closable_units(LINE_3_5, small) == small.debt_units
    assert closable_units(LINE_3_0, small) == small.debt_units // 2
    exact = replace(BIG, debt_units=2_000 * 10**6, total_debt_base=2_000 * 10**8)
    assert closable_units(LINE_3_5, exact) == 1_000 * 10**6


def test_liquidate__half__seizes_debt_plus_bonus_and_splits_the_fee() -> None:
    done = liquidate(LINE_3_5, BIG)
    assert isinstance(done, Liquidation)
    assert done.repaid_units == 8_000 * 10**6
    assert done.seized_units + done.fee_units == 42 * 10**17
    assert done.fee_units == 2 * 10**17 // 10
    assert loss_base_up(BIG, done) == 400 * 10**8


def test_liquidate__more_than_there_is__takes_all_and_repays_less() -> None:
    poor = replace(BIG, health_wad=9 * 10**17, collateral_units=10**18)
    done = liquidate(LINE_3_5, poor)
    assert isinstance(done, Liquidation)
    assert done.seized_units + done.fee_units == 10**18
    assert done.repaid_units == 1_904_761_905
    older = liquidate(LINE_3_0, poor)
    assert isinstance(older, Liquidation)
    assert older.repaid_units == 1_904_761_905


def test_liquidate__healthy__is_refused() -> None:
    refused = liquidate(LINE_3_5, replace(BIG, health_wad=WAD))
    assert isinstance(refused, Refusal)
    assert refused.code == "healthy"


def test_liquidate__leaving_less_than_1000_usd_of_debt__is_dust_only_in_the_new_line() -> None:
    case = replace(BIG, health_wad=9 * 10**17, cover_units=15_001 * 10**6)
    refused = liquidate(LINE_3_5, case)
    assert isinstance(refused, Refusal)
    assert refused.code == "must_not_leave_dust"
    assert isinstance(liquidate(LINE_3_0, case), Liquidation)
    assert isinstance(liquidate(LINE_3_5, replace(case, cover_units=15_000 * 10**6)), Liquidation)


def test_worst_loss__of_a_position__is_bonus_of_the_largest_call() -> None:
    chain = market(users={ALICE: FakeUser(collateral={0: 10 * 10**18}, debt={1: 20_000 * 10**6})})
    venue = chain.venue()
    found = snapshot_of(chain, venue, ALICE).positions[0]
    just = worst_loss_base_up(LINE_3_5, found)
    deep = worst_loss_base_up(LINE_3_5, found, health_wad=9 * 10**17)
    debt = found.debt[0].value_base
    assert just == pytest.approx(debt * 0.5 * 0.05, rel=1e-6)
    assert deep == pytest.approx(debt * 0.05, rel=1e-6)


def test_worst_loss__without_debt__is_nothing() -> None:
    chain = market(users={ALICE: FakeUser(collateral={0: 10**18})})
    found = snapshot_of(chain, chain.venue(), ALICE).positions[0]
    assert worst_loss_base_up(LINE_3_5, found) == 0
