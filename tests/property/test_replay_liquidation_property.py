"""Liquidation rules of the paper market: no more than there is, bad debt named, as the venues' integer rules say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.model import Refusal
from keeper.replay import liquidation
from keeper.replay.liquidation import AAVE_V2, AAVE_V3_0, AAVE_V3_3, Halves, Side
from keeper.risk.loss import MakerRule, comet_loss_usd, maker_loss_usd
from keeper.units import WAD
from keeper.venues.aave_v2 import rules as aave_v2
from keeper.venues.aave_v3 import rules as aave_v3
from keeper.venues.aave_v3.math import LINE_3_0, LINE_3_5
from keeper.venues.morpho_blue import rules as morpho_blue
from keeper.venues.morpho_blue.math import Totals

pytestmark = pytest.mark.property
USD = st.floats(1.0, 5e7)
SMALL_USD = st.floats(1.0, 6_000.0)
BONUS = st.integers(10_100, 11_500)
LTV = st.floats(0.5, 1.6)
UNIT = 10**8
RULES: tuple[Halves, ...] = (AAVE_V2, AAVE_V3_0, AAVE_V3_3)


def case(side: Side, bonus_bps: int, cover_usd: float | None = None) -> aave_v3.Case:
    """The same in the venue's words, one token a dollar, 8 decimals."""
    return aave_v3.Case(
        health_wad=round(side.health * 1e12) * 10**6,
        collateral_units=round(side.have * UNIT),
        collateral_price=UNIT,
        collateral_unit=UNIT,
        debt_units=round(side.owed * UNIT),
        debt_price=UNIT,
        debt_unit=UNIT,
        total_debt_base=round(side.all_owed * UNIT),
        bonus_bps=bonus_bps,
        bonus_fee_bps=0,
        cover_units=2**200 if cover_usd is None else int(cover_usd * UNIT),
    )


@given(
    st.one_of(USD, SMALL_USD), LTV, st.floats(0.3, 0.999), st.floats(0.0, 3e6), BONUS, st.sampled_from(RULES)
)
def test_halves__of_any_account__then_they_are_what_the_venues_integers_say(
    have: float, ltv: float, health: float, others: float, bonus_bps: int, rule: Halves
) -> None:
    side = Side(health=health, have=have, owed=have * ltv, all_owed=have * ltv + others)
    bonus = bonus_bps / 10_000 - 1.0
    found = liquidation.halves(side, bonus, rule)
    assert 0.0 <= found.taken <= side.have
    assert 0.0 <= found.repaid <= side.owed * (1.0 + 1e-12)
    assert found.taken == pytest.approx(found.repaid * (1.0 + bonus))
    if abs(health - 0.95) < 1e-9 or min(abs(x - 2_000.0) for x in (side.have, side.owed)) < 1e-6:
        return
    if rule is AAVE_V2:
        exact = aave_v2.liquidate(case(side, bonus_bps))
    else:
        # the most that is allowed may leave dust: what is covered then is the most that leaves none
        line = LINE_3_5 if rule is AAVE_V3_3 else LINE_3_0
        exact = aave_v3.liquidate(line, case(side, bonus_bps))
        if isinstance(exact, Refusal):
            assert exact.code == "must_not_leave_dust"
            assert aave_v3.closable_units(line, case(side, bonus_bps)) > found.repaid * UNIT
            exact = aave_v3.liquidate(line, case(side, bonus_bps, found.repaid - 1e-6))
    assert not isinstance(exact, Refusal)
    assert exact.repaid_units / UNIT == pytest.approx(found.repaid, rel=1e-6, abs=1e-4)
    assert exact.seized_units / UNIT == pytest.approx(found.taken, rel=1e-6, abs=1e-4)


def test_halves__when_one_debt_of_several_is_taken__then_v3_3_leaves_no_dust_and_v3_0_halves_that_debt() -> (
    None
):
    side = Side(health=0.97, have=9_000.0, owed=2_500.0, all_owed=4_000.0)
    assert liquidation.halves(side, 0.05, AAVE_V3_3).repaid == pytest.approx(1_500.0)
    assert liquidation.halves(side, 0.05, AAVE_V3_0).repaid == pytest.approx(1_250.0)
    # 2,400 less half of 4,000 leaves 400: the most that leaves a thousand is repaid
    dusty = Side(health=0.97, have=9_000.0, owed=2_400.0, all_owed=4_000.0)
    assert liquidation.halves(dusty, 0.05, AAVE_V3_3).repaid == pytest.approx(1_400.0)
    assert liquidation.halves(dusty, 0.05, liquidation.Halves(of_all=True, full_below=0.95)).repaid == 2_000.0


@pytest.mark.parametrize(("health", "repaid"), [(0.9501, 5_000.0), (0.9499, 10_000.0)])
def test_halves__at_95_hundredths__then_all_may_go_but_never_on_aave_v2(health: float, repaid: float) -> None:
    side = Side(health=health, have=20_000.0, owed=10_000.0, all_owed=10_000.0)
    for rule in (AAVE_V3_0, AAVE_V3_3):
        assert liquidation.halves(side, 0.05, rule).repaid == pytest.approx(repaid)
    assert liquidation.halves(side, 0.05, AAVE_V2).repaid == pytest.approx(5_000.0)


@given(USD, LTV, st.integers(50, 98))
def test_morpho__of_any_account__then_all_goes_at_once_and_the_rest_is_named(
    have: float, ltv: float, lltv_pct: int
) -> None:
    owed, lltv_wad = have * max(ltv, lltv_pct / 100 + 1e-6), lltv_pct * WAD // 100
    found = liquidation.morpho(have, owed, lltv_pct / 100)
    incentive = morpho_blue.incentive(lltv_wad) / WAD
    assert found.taken == pytest.approx(min(have, owed * incentive), rel=1e-9)
    assert found.repaid + found.bad == pytest.approx(owed, rel=1e-9)
    assert (found.bad > 0.0) == (owed * incentive > have * (1.0 + 1e-12))
    # the contract, one token a dollar of six decimals: seizing what is held, or repaying what is owed
    one = 10**6
    totals = Totals(
        supply_assets=10**20,
        supply_shares=10**26,
        borrow_assets=10**19,
        borrow_shares=10**25,
        updated_s=0,
        fee_wad=0,
    )
    shares = round(owed * one) * 10**6
    position = morpho_blue.Case(
        totals=totals, borrow_shares=shares, collateral=round(have * one), price=10**36, lltv_wad=lltv_wad
    )
    covered = owed * incentive <= have
    exact = morpho_blue.liquidate(
        position, **({"shares": shares} if covered else {"seized": round(have * one)})
    )
    assert not isinstance(exact, Refusal)
    assert exact.seized_units / one == pytest.approx(found.taken, rel=1e-5, abs=1e-4)
    assert exact.repaid_units / one == pytest.approx(found.repaid, rel=1e-5, abs=1e-4)
    if not covered:
        assert exact.bad_debt_shares / 10**12 == pytest.approx(found.bad, rel=1e-3, abs=1e-2)


@given(st.lists(st.tuples(USD, st.floats(0.8, 1.0)), min_size=1, max_size=4), USD)
def test_absorb__of_any_account__then_it_is_whole_and_nothing_is_lost_on_the_way(
    lots: list[tuple[float, float]], owed: float
) -> None:
    have, factors = [v for v, _ in lots], [f for _, f in lots]
    found = liquidation.absorb(have, factors, owed)
    assert found.taken == tuple(have)
    assert found.cleared == owed
    assert min(found.credited, found.bad) == 0.0
    # what the owner loses beyond his debt is what the factors take, whatever he owed
    lost = sum(have) - found.credited - (found.cleared - found.bad)
    assert lost == pytest.approx(comet_loss_usd(have, factors, True), rel=1e-9, abs=1e-3)


@given(USD, LTV, st.floats(1.0, 1.3), st.floats(0.0, 0.4))
def test_auctioned__of_any_vault__then_the_penalty_is_paid_and_what_is_missing_is_named(
    have: float, ltv: float, chop: float, discount: float
) -> None:
    owed = have * ltv
    rule = MakerRule(chop=chop, dust_usd=0.0, discount=discount)
    found = liquidation.auctioned(have, owed, rule)
    assert 0.0 <= found.taken <= have
    assert found.repaid + found.bad == pytest.approx(owed)
    if found.bad < 1e-9 * owed:
        assert found.taken - found.repaid == pytest.approx(
            maker_loss_usd(have, owed, False, rule), abs=1e-6 * have
        )
    else:
        assert found.taken == have
        assert found.repaid == pytest.approx(have * (1.0 - discount))


def test_auctioned__when_the_systems_room_is_short__then_only_so_much_is_barked() -> None:
    rule = MakerRule(chop=1.13, dust_usd=100.0, discount=0.0, hole_usd=1_130.0)
    found = liquidation.auctioned(20_000.0, 10_000.0, rule)
    assert (found.repaid, found.bad) == (pytest.approx(1_000.0), 0.0)
    # a rest below dust goes with it
    assert liquidation.auctioned(20_000.0, 1_050.0, rule).repaid == pytest.approx(1_050.0)
    assert math.isclose(found.taken, 1_130.0)
