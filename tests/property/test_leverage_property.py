"""Leverage and warning formulas against what they mean: inverses, bounds, brute force, no look ahead."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.risk import adl
from keeper.risk.leverage import concentration, contagion, pace, ratios, warning

pytestmark = pytest.mark.property

money = st.floats(1.0, 1e12)
share = st.floats(0.05, 0.95)


@given(money, st.floats(0.0, 0.999))
def test_ratio__when_all_assets_move__then_equity_moves_that_many_times(assets: float, owed: float) -> None:
    debt = assets * owed
    found = ratios.ratio(assets, debt)
    moved = (assets * 1.01 - debt) / (assets - debt) - 1.0
    assert moved == pytest.approx(0.01 * found, rel=1e-6)
    assert ratios.equity_ratio(assets, debt) == pytest.approx(1.0 / found, rel=1e-9)


@given(st.floats(1.01, 60.0), share)
def test_health_of_ratio__by_hand__then_its_number(ratio: float, threshold: float) -> None:
    health = ratios.health_of_ratio(ratio, threshold)
    # by hand: assets L, debt L - 1, equity 1
    assert health == pytest.approx(ratio * threshold / (ratio - 1.0))


def test_unknown__when_there_is_no_equity__then_nothing_reads_well() -> None:
    assert ratios.ratio(100.0, 100.0) == math.inf
    assert math.isnan(ratios.ratio(100.0, 101.0))
    assert math.isnan(ratios.account([5.0], -1.0))
    assert ratios.account([5.0, -5.0], 2.0) == 5.0
    assert math.isnan(concentration.hhi([]))
    assert math.isnan(concentration.skew(0.0, 0.0))
    assert math.isnan(ratios.sensitivity({"ETH": 5.0}, -1.0)[0].percent)
    assert pace.regime([1.0, math.nan])[0] == "unknown"


@given(st.integers(0, 30), share)
def test_loops__when_borrowed_again_and_again__then_the_sum(times: int, ltv: float) -> None:
    reached = sum(ltv**k for k in range(times + 1))
    if ltv ** (times + 1) > 1e-9:
        assert ratios.loops_of(reached, ltv) == pytest.approx(times, abs=1e-5)
    assert ratios.loops_of(1.0 / (1.0 - ltv) + 0.01, ltv) == math.inf


@given(st.lists(money, min_size=1, max_size=12))
def test_hhi__when_measured__then_between_even_and_one_alone(values: list[float]) -> None:
    index = concentration.hhi(values)
    assert 1.0 / len(values) - 1e-12 <= index <= 1.0 + 1e-12
    assert concentration.hhi([-v for v in values]) == pytest.approx(index)
    assert concentration.effective([values[0]] * 5) == pytest.approx(5.0)


def test_band__by_the_page__then_its_number() -> None:
    low, high = ratios.band(2.0, 0.003)
    assert (high - low) / 2.0 == pytest.approx(0.2080, abs=1e-3)
    assert ratios.band(2.0, 0.03)[1] > high


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(0, 10**6))
def test_debt_rank__when_spread__then_bounded_monotone_and_like_a_plain_loop(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.0, 0.6, (count, count)) * (rng.random((count, count)) < 0.5)
    np.fill_diagonal(weights, 0.0)
    shocked = rng.uniform(0.0, 0.5, count)
    found = contagion.debt_rank(weights, shocked)
    assert (found >= shocked - 1e-12).all()
    assert (found <= 1.0).all()
    more = contagion.debt_rank(weights, np.minimum(shocked + 0.1, 1.0))
    assert (more >= found - 1e-9).all()
    h, fresh = shocked.copy(), shocked.copy()
    for _ in range(300):
        nxt = [min(1.0, h[j] + sum(fresh[i] * weights[i, j] for i in range(count))) for j in range(count)]
        fresh, h = np.array(nxt) - h, np.array(nxt)
    np.testing.assert_allclose(found, h, atol=1e-6)


def test_debt_rank__when_the_shape_is_wrong__then_said() -> None:
    with pytest.raises(ValueError, match="shocked names 2 nodes"):
        contagion.debt_rank(np.zeros((3, 3)), np.zeros(2))
    with pytest.raises(ValueError, match="from 0 to 1"):
        contagion.debt_rank(np.full((2, 2), 1.5), np.zeros(2))


def test_days_to_trigger__when_health_falls_steadily__then_the_straight_line() -> None:
    healths = [1.50 - 0.01 * k for k in range(10)]
    assert pace.days_to_trigger(healths, 86_400.0, 1.25) == pytest.approx((healths[-1] - 1.25) / 0.01)
    assert pace.days_to_trigger(healths[::-1], 86_400.0, 1.25) == math.inf
    assert pace.days_to_trigger([1.2], 86_400.0, 1.25) == 0.0
    assert math.isnan(pace.days_to_trigger([], 86_400.0, 1.25))


def test_regime__when_prices_fall__then_named_by_the_page() -> None:
    assert pace.regime([100.0, 95.0])[0] == "normal"
    kind, fall = pace.regime([100.0, 90.0])
    assert (kind, round(fall, 12)) == ("correction", 0.10)
    assert pace.regime([100.0, 79.0])[0] == "bear"


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


def test_flushing__when_interest_price_and_funding_turn_together__then_from_that_step() -> None:
    rule = warning.FlushRule(left=0.2, drop=0.1, window=3)
    price = np.concatenate([np.full(50, 100.0), np.full(50, 85.0)])
    interest = np.concatenate([np.full(50, 67.0), np.full(50, 33.0)])
    rate = np.concatenate([np.full(50, 1e-4), np.full(50, -1e-4)])
    assert np.flatnonzero(warning.flushing(price, interest, rate, rule)).tolist() == [50, 51, 52]
    assert warning.begins(warning.flushing(price, interest, rate, rule), 3) == (50,)
    assert not warning.flushing(price, interest, np.full(100, 1e-4), rule).any()
    assert not warning.flushing(np.full(100, 100.0), interest, rate, rule).any()
    assert not warning.flushing(price, np.full(100, 50.0), rate, rule).any()
    # without open interest the other two alone; what is not known is no flush
    assert warning.flushing(price, None, rate, rule)[50]
    assert not warning.flushing(price, np.full(100, math.nan), rate, rule).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_flushing__when_the_future_changes__then_the_past_does_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    price, interest = (100.0 * np.exp(np.cumsum(rng.normal(0, 0.05, 90))) for _ in range(2))
    rate = rng.normal(0, 1e-4, 90)
    whole = warning.flushing(price, interest, rate, warning.FlushRule())
    late = [np.concatenate([x[:60], x[60:] * -3.0]) for x in (price, interest, rate)]
    np.testing.assert_array_equal(
        whole[:60], warning.flushing(late[0], late[1], late[2], warning.FlushRule())[:60]
    )


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
    assert adl.adl_index(110.0, 100.0, -5_000.0, 1_000.0) == pytest.approx(5.5)
    assert adl.adl_index(110.0, 100.0, 5_000.0, 0.0) == math.inf
    assert adl.pnl_headroom(40.0, 100.0, 0.45) == pytest.approx(1.0 - 0.4 / 0.45)
    assert adl.pnl_headroom(50.0, 100.0, 0.45) < 0.0


@given(share, money)
def test_equity_left__when_health_is_one__then_what_is_ones_own(threshold: float, debt: float) -> None:
    assets = debt / threshold
    assert ratios.equity_left(debt, threshold) == pytest.approx(assets - debt, rel=1e-9, abs=1e-6)
    assert math.isnan(ratios.equity_left(debt, math.nan))


@given(st.floats(-3.0, 6.0), st.floats(0.05, 1.5), st.floats(0.1, 2.0))
def test_churn__of_one_asset__then_the_published_decay(
    leverage: float, volatility: float, years: float
) -> None:
    found = ratios.churn(np.array([leverage]), np.array([[volatility**2]]), years)
    assert found == pytest.approx(
        math.exp(-0.5 * leverage * (leverage - 1.0) * volatility**2 * years), rel=1e-9
    )


def test_churn__against_a_simulated_path_that_comes_back__then_its_number() -> None:
    rng = np.random.default_rng(3)
    steps = rng.normal(0.0, 0.8 / math.sqrt(20_000), (20_000, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    steps -= steps.mean(axis=0)
    held = np.array([2.0, -0.5])
    kept = float(np.prod(1.0 + np.expm1(steps) @ held))
    assert kept == pytest.approx(ratios.churn(held, np.cov(steps.T) * 20_000, 1.0), rel=0.02)


def test_pace__by_hand__then_velocity_and_demand() -> None:
    assert pace.velocity([100.0, 110.0], 43_200.0) == pytest.approx(2.0 * math.log(1.1))
    assert pace.demand([100.0, 110.0], 43_200.0) == pytest.approx(20.0)
    assert math.isnan(pace.velocity([0.0, 110.0], 3_600.0))
    assert math.isnan(pace.demand([100.0], 3_600.0))
    assert math.isnan(pace.days_to_trigger([1.5, math.nan], 3_600.0, 1.2))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_failures__when_spread__then_as_debt_rank_over_all_nodes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    things, positions = ["issuer X", "token A", "token B", "venue V"], ["0", "1", "2"]
    equities = {p: float(rng.uniform(1.0, 50.0)) for p in positions}
    stakes = [
        contagion.Stake(position=p, on=t, usd=float(rng.uniform(0.0, 40.0)))
        for p in positions
        for t in things[1:]
        if rng.random() < 0.7
    ]
    links = {("token A", "issuer X"): 1.0, ("token B", "issuer X"): float(rng.uniform(0.1, 1.0))}
    found = {f.name: f for f in contagion.failures(equities, stakes, links)}
    nodes = [*things, *positions]
    weights = np.zeros((7, 7))
    for s in stakes:
        weights[nodes.index(s.on), nodes.index(s.position)] = min(1.0, s.usd / equities[s.position])
    for (of, on), part in links.items():
        weights[nodes.index(on), nodes.index(of)] = part
    for name, one in found.items():
        shocked = np.zeros(7)
        shocked[nodes.index(name)] = 1.0
        distress = contagion.debt_rank(weights, shocked)[4:]
        assert one.lost_usd == pytest.approx(float(distress @ np.array(list(equities.values()))), abs=1e-9)
    assert found["issuer X"].lost_usd >= found.get("token A", found["issuer X"]).lost_usd - 1e-9
