"""Leverage and warning formulas against what they mean: inverses, bounds, brute force, no look ahead."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.risk import leverage, warning

pytestmark = pytest.mark.property

money = st.floats(1.0, 1e12)
share = st.floats(0.05, 0.95)


@given(money, st.floats(0.0, 0.999))
def test_ratio__when_all_assets_move__then_equity_moves_that_many_times(assets: float, owed: float) -> None:
    debt = assets * owed
    found = leverage.ratio(assets, debt)
    moved = (assets * 1.01 - debt) / (assets - debt) - 1.0
    assert moved == pytest.approx(0.01 * found, rel=1e-6)
    assert leverage.equity_ratio(assets, debt) == pytest.approx(1.0 / found, rel=1e-9)


@given(st.floats(1.01, 60.0), share)
def test_health_of_ratio__when_inverted__then_itself(ratio: float, threshold: float) -> None:
    health = leverage.health_of_ratio(ratio, threshold)
    assert leverage.ratio_of_health(health, threshold) == pytest.approx(ratio, rel=1e-9)
    # by hand: assets L, debt L - 1, equity 1
    assert health == pytest.approx(ratio * threshold / (ratio - 1.0))


def test_unknown__when_there_is_no_equity__then_nothing_reads_well() -> None:
    assert leverage.ratio(100.0, 100.0) == math.inf
    assert math.isnan(leverage.ratio(100.0, 101.0))
    assert math.isnan(leverage.account([5.0], -1.0))
    assert leverage.account([5.0, -5.0], 2.0) == 5.0
    assert math.isnan(leverage.hhi([]))
    assert math.isnan(leverage.skew(0.0, 0.0))
    assert math.isnan(leverage.sensitivity({"ETH": 5.0}, -1.0)[0].percent)
    assert leverage.regime([1.0, math.nan])[0] == "unknown"


@given(st.integers(0, 30), share)
def test_loops__when_borrowed_again_and_again__then_the_sum(times: int, ltv: float) -> None:
    assert leverage.loops(ltv, times) == pytest.approx(sum(ltv**k for k in range(times + 1)))
    assert leverage.loops(ltv, times) <= 1.0 / (1.0 - ltv)


@given(st.lists(money, min_size=1, max_size=12))
def test_hhi__when_measured__then_between_even_and_one_alone(values: list[float]) -> None:
    index = leverage.hhi(values)
    assert 1.0 / len(values) - 1e-12 <= index <= 1.0 + 1e-12
    assert leverage.hhi([-v for v in values]) == pytest.approx(index)
    assert leverage.effective([values[0]] * 5) == pytest.approx(5.0)


def test_band__by_the_page__then_its_number() -> None:
    low, high = leverage.band(2.0, 0.003)
    assert (high - low) / 2.0 == pytest.approx(0.2080, abs=1e-3)
    assert leverage.band(2.0, 0.03)[1] > high


@given(st.floats(1.1, 8.0), st.floats(0.1, 0.9), st.floats(0.0, 0.99))
def test_cppi__when_the_price_gaps_by_less_than_one_over_m__then_the_floor_holds(
    multiple: float, floor: float, part: float
) -> None:
    value = 1.0
    exposure = leverage.cppi(value, floor, multiple, most=100.0)
    after = value - exposure * part / multiple
    assert after >= floor - 1e-12
    assert leverage.cppi(floor * 0.9, floor, multiple, 3.0) == 0.0
    assert leverage.tipp(floor, 2.0, 0.8) >= floor


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(0, 10**6))
def test_debt_rank__when_spread__then_bounded_monotone_and_like_a_plain_loop(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.0, 0.6, (count, count)) * (rng.random((count, count)) < 0.5)
    np.fill_diagonal(weights, 0.0)
    shocked = rng.uniform(0.0, 0.5, count)
    found = leverage.debt_rank(weights, shocked)
    assert (found >= shocked - 1e-12).all()
    assert (found <= 1.0).all()
    more = leverage.debt_rank(weights, np.minimum(shocked + 0.1, 1.0))
    assert (more >= found - 1e-9).all()
    h, fresh = shocked.copy(), shocked.copy()
    for _ in range(300):
        nxt = [min(1.0, h[j] + sum(fresh[i] * weights[i, j] for i in range(count))) for j in range(count)]
        fresh, h = np.array(nxt) - h, np.array(nxt)
    np.testing.assert_allclose(found, h, atol=1e-6)


def test_debt_rank__when_the_shape_is_wrong__then_said() -> None:
    with pytest.raises(ValueError, match="shocked names 2 nodes"):
        leverage.debt_rank(np.zeros((3, 3)), np.zeros(2))
    with pytest.raises(ValueError, match="from 0 to 1"):
        leverage.debt_rank(np.full((2, 2), 1.5), np.zeros(2))


def test_days_to_trigger__when_health_falls_steadily__then_the_straight_line() -> None:
    healths = [1.50 - 0.01 * k for k in range(10)]
    assert leverage.days_to_trigger(healths, 86_400.0, 1.25) == pytest.approx((healths[-1] - 1.25) / 0.01)
    assert leverage.days_to_trigger(healths[::-1], 86_400.0, 1.25) == math.inf
    assert leverage.days_to_trigger([1.2], 86_400.0, 1.25) == 0.0
    assert math.isnan(leverage.days_to_trigger([], 86_400.0, 1.25))


def test_regime__when_prices_fall__then_named_by_the_page() -> None:
    assert leverage.regime([100.0, 95.0])[0] == "normal"
    assert leverage.regime([100.0, 90.0]) == ("correction", pytest.approx(0.10))
    assert leverage.regime([100.0, 79.0])[0] == "bear"


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(5, 40))
def test_z_score__when_the_future_changes__then_the_past_does_not(seed: int, window: int) -> None:
    rng = np.random.default_rng(seed)
    series = rng.normal(0, 1, 120)
    whole = warning.z_score(series, window)
    changed = series.copy()
    changed[80:] += 100.0
    np.testing.assert_array_equal(whole[:80], warning.z_score(changed, window)[:80])
    t = 60 + seed % 20
    past = series[t - window : t]
    assert whole[t] == pytest.approx((series[t] - past.mean()) / past.std(ddof=1))
    assert np.isnan(whole[:window]).all()


def test_score__when_nothing_is_known__then_no_all_clear() -> None:
    rule = warning.Rule(window=10)
    still = np.ones(50)
    assert np.isnan(warning.score([still], rule)).all()
    assert not warning.standing(warning.score([still], rule), rule).any()


def test_flushes__when_interest_price_and_funding_turn_together__then_once() -> None:
    price = np.concatenate([np.full(50, 100.0), np.full(50, 85.0)])
    interest = np.concatenate([np.full(50, 67.0), np.full(50, 33.0)])
    rate = np.concatenate([np.full(50, 1e-4), np.full(50, -1e-4)])
    assert warning.flushes(price, interest, rate, (0.2, 0.1, 3)) == (50,)
    assert warning.flushes(price, interest, np.full(100, 1e-4), (0.2, 0.1, 3)) == ()
    assert warning.flushes(np.full(100, 100.0), interest, rate, (0.2, 0.1, 3)) == ()


def test_crashes__when_a_fall_lasts__then_it_counts_once() -> None:
    price = np.array([100.0] * 20 + [85.0] * 5 + [100.0] * 30 + [80.0] * 3)
    assert warning.crashes(price, 0.10, 10) == (20, 55)


def test_measured__when_warnings_come__then_lead_and_false_alarms() -> None:
    stands = [False] * 10 + [True] * 5 + [False] * 20 + [True] * 3 + [False] * 12
    found = warning.measured(stands, (17, 49), limit=5, steps_per_year=50.0)
    assert found.leads == (7, None)
    assert found.false_alarms == 1
    assert found.false_alarms_per_year == 1.0


def test_adl__by_the_published_formula__then_its_number() -> None:
    assert warning.adl_index(110.0, 100.0, -5_000.0, 1_000.0) == pytest.approx(5.5)
    assert warning.adl_index(110.0, 100.0, 5_000.0, 0.0) == math.inf
    assert warning.pnl_headroom(40.0, 100.0, 0.45) == pytest.approx(1.0 - 0.4 / 0.45)
    assert warning.pnl_headroom(50.0, 100.0, 0.45) < 0.0
