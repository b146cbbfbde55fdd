"""Distances by hand-computed numbers, and the degenerate books."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from keeper.model import BookRow
from keeper.risk.book import build
from keeper.risk.clocks import clock_days, funding_clock_days
from keeper.risk.distance import (
    Boundary,
    along,
    effective_bets,
    linear_beta,
    nearest,
    nearest_all,
    one_price,
)
from keeper.risk.factors import Factors, for_symbols, phi, with_covariance

pytestmark = pytest.mark.unit

LOAN = BookRow(feeds=("ETH", "USDC"), a=(8.0, 0.0), b=(0.0, 10_000.0))
AT = {"ETH": 2000.0, "USDC": 1.0}


def one_factor(vol: float = 0.8) -> Factors:
    plain = for_symbols({"ETH": "ETH", "USDC": "USDC"}, fixed=frozenset({"USDC"}))
    return with_covariance(plain, ["ETH"], np.array([[vol * vol]]))


def test_nearest__one_factor__is_the_log_distance_over_sigma():
    seen = nearest(LOAN, AT, one_factor(), 7.0)
    sigma = 0.8 * math.sqrt(7 / 365)
    assert seen.boundary is Boundary.FOUND
    assert seen.beta == pytest.approx(math.log(1.6) / sigma, rel=1e-12)
    assert dict(seen.moves) == pytest.approx({"ETH": 1 / 1.6 - 1}, rel=1e-10)
    assert seen.p_end == pytest.approx(phi(-seen.beta))
    assert seen.p_touch == pytest.approx(2 * seen.p_end)
    assert dict(seen.contributions) == pytest.approx({"ETH": 1.0})
    assert seen.effective_bets == pytest.approx(1.0)


def test_linear_beta__two_assets__equals_the_published_example():
    # 20k ETH (threshold .83) + 20k WBTC (.78) against 20k USDC, vols 80/60 %, correlation .8, 7 days: 4.09
    row = BookRow(feeds=("E", "B", "U"), a=(20e3 * 0.83, 20e3 * 0.78, 0.0), b=(0.0, 0.0, 20e3))
    at = dict.fromkeys(("E", "B", "U"), 1.0)
    factors = for_symbols({"E": "ETH", "B": "WBTC", "U": "USDC"}, fixed=frozenset({"U"}))
    cov = np.array([[0.64, 0.8 * 0.48], [0.8 * 0.48, 0.36]])
    factors = with_covariance(factors, ["ETH", "BTC"], cov)
    assert linear_beta(row, at, factors, 7.0) == pytest.approx(4.09, abs=0.005)
    seen = nearest(row, at, factors, 7.0)
    assert seen.beta > linear_beta(row, at, factors, 7.0), "on log returns the boundary lies further down"
    assert sum(x for _, x in seen.contributions) == pytest.approx(1.0)


def test_nearest__staked_collateral_against_ether__only_the_ratio_matters():
    factors = for_symbols({"w": "wstETH", "e": "WETH"})
    assert set(factors.names) == {"ETH", "stETH/ETH"}
    row = BookRow(feeds=("w", "e"), a=(95.0, 0.0), b=(0.0, 90.0))
    seen = nearest(row, {"w": 2400.0, "e": 2400.0}, factors, 7.0)
    moves = dict(seen.moves)
    assert moves["stETH/ETH"] == pytest.approx(90 / 95 - 1, rel=1e-9)
    assert moves["ETH"] == pytest.approx(0.0, abs=1e-9)
    assert dict(seen.contributions)["stETH/ETH"] == pytest.approx(1.0)


def test_nearest__degenerate_books__have_their_answers():
    factors = for_symbols({"ETH": "ETH", "USDC": "USDC"})
    unburdened = replace(LOAN, b=(0.0, 0.0))
    assert nearest(unburdened, AT, factors, 1.0).boundary is Boundary.NONE
    assert nearest(unburdened, AT, factors, 1.0).p_touch == 0.0
    under = replace(LOAN, a=(1.0, 0.0))
    assert nearest(under, AT, factors, 1.0).boundary is Boundary.UNDER
    assert nearest(under, AT, factors, 1.0).p_touch == 1.0
    for prices in ({"ETH": math.nan, "USDC": 1.0}, {"USDC": 1.0}, {"ETH": 0.0, "USDC": 1.0}):
        seen = nearest(LOAN, prices, factors, 1.0)
        assert (seen.boundary, seen.p_touch, seen.beta) == (Boundary.UNKNOWN, 1.0, 0.0)
    faulty = replace(LOAN, b=(0.0, -1.0))
    assert nearest(faulty, AT, factors, 1.0).boundary is Boundary.UNKNOWN
    assert nearest_all(build([], {}), factors, 1.0) == ()
    with pytest.raises(ValueError, match="horizon"):
        nearest(LOAN, AT, factors, 0.0)


def test_nearest__same_asset_both_sides__is_proved_safe():
    row = BookRow(feeds=("w", "e"), a=(1.0, 0.0), b=(0.0, 0.5))
    seen = nearest(row, {"w": 1.0, "e": 1.0}, for_symbols({"w": "WETH", "e": "ETH"}), 1.0)
    assert seen.boundary is Boundary.NONE


def test_nearest__hard_coded_prices__never_liquidate():
    fixed = for_symbols({"ETH": "ETH", "USDC": "USDC"}, fixed=frozenset({"ETH", "USDC"}))
    assert nearest(LOAN, AT, fixed, 1.0).boundary is Boundary.NONE


def test_nearest__three_hundred_feeds_on_one_factor__is_one_bet():
    feeds = tuple(f"f{n}" for n in range(300))
    row = BookRow(feeds=(*feeds, "U"), a=(0.01,) * 300 + (0.0,), b=(0.0,) * 300 + (2.0,))
    factors = for_symbols({**dict.fromkeys(feeds, "WETH"), "U": "USDC"}, fixed=frozenset({"U"}))
    seen = nearest(row, dict.fromkeys((*feeds, "U"), 1.0), factors, 365.0)
    assert seen.beta == pytest.approx(math.log(1.5) / 0.8, rel=1e-10)


def test_one_price__unknown_price__is_empty():
    assert one_price(LOAN, {"USDC": 1.0}) == ()
    assert one_price(LOAN, AT)[0].price == pytest.approx(1250.0)


def test_along__market_direction__both_ways_for_a_long_short_book():
    # long 10 ETH, short 12 BTC-units of 1,000, margin 3,000, maintenance 1 % each: breaks up and down
    row = BookRow(feeds=("E", "B"), a=(10.0, -10.0), b=(0.0, 0.0), a0=1000.0, b0=100.0)
    at = {"E": 100.0, "B": 100.0}
    down, up = along(row, at, {"E": 1.0, "B": -1.0})
    assert down == pytest.approx(-math.asinh(900 / 2000), rel=1e-12)
    assert up is None
    spread = BookRow(feeds=("E", "B"), a=(10.0, -5.0), b=(0.5, 0.0), a0=-300.0)
    both = along(spread, at, {"E": 0.5, "B": 1.0})
    assert both[0] is not None
    assert both[1] is not None
    for t in both:
        e, b = 100 * math.exp(0.5 * t), 100 * math.exp(t)
        assert 9.5 * e - 5 * b - 300 == pytest.approx(0.0, abs=1e-9)


def test_along__under_or_unknown__says_so():
    assert along(replace(LOAN, a=(1.0, 0.0)), AT, {"ETH": 1.0}) == (0.0, 0.0)
    assert along(LOAN, AT, {}) == (None, None)
    with pytest.raises(ValueError, match="missing"):
        along(LOAN, {"USDC": 1.0}, {"ETH": 1.0})


def test_clock__published_examples__agree():
    assert clock_days(1.02, 0.02, 0.0) == pytest.approx(361, abs=1)
    assert clock_days(1.02, 0.05, 0.0) == pytest.approx(145, abs=1)
    assert clock_days(1.02, 0.50, 0.0) == pytest.approx(14.5, abs=0.1)
    assert clock_days(1.5, 0.02, 0.03) == math.inf
    assert clock_days(0.9, 0.02, 0.0) == 0.0
    assert clock_days(math.nan, 0.02, 0.0) == 0.0
    assert clock_days(1.5, math.nan, 0.0) == 0.0
    assert funding_clock_days(100.0, 10.0) == 10.0
    assert funding_clock_days(100.0, -1.0) == math.inf
    assert funding_clock_days(-1.0, -1.0) == 0.0


def test_effective_bets__shares__inverse_hhi():
    assert effective_bets([0.5, 0.5]) == pytest.approx(2.0)
    assert effective_bets([]) == 0.0


def test_with_covariance__wrong_matrices__are_refused():
    base = for_symbols({"ETH": "ETH", "BTC": "BTC"})
    for bad in (np.zeros((1, 1)), np.array([[1.0, 0.5], [0.2, 1.0]]), np.array([[1.0, 2.0], [2.0, 1.0]])):
        with pytest.raises(ValueError, match="covariance"):
            with_covariance(base, ["ETH", "BTC"], bad)


def test_with_covariance__factor_without_history__follows_the_known_market_and_stays_positive():
    base = for_symbols({"E": "ETH", "B": "WBTC", "L": "LINK", "C": "CRV", "U": "USDC", "W": "wstETH"})
    known = np.array([[0.25, 0.12], [0.12, 0.09]])
    made = with_covariance(base, ["ETH", "BTC"], known)
    place = {n: i for i, n in enumerate(made.names)}
    deviation = np.sqrt(np.diag(made.covariance))
    correlation = made.covariance / np.outer(deviation, deviation)
    assert made.covariance[np.ix_([0, 1], [0, 1])] == pytest.approx(known)
    assert deviation[place["LINK"]] == pytest.approx(1.10)
    # ETH and BTC correlate 0.8; with their mean each correlates sqrt(0.9), so 0.8 x 0.9487 with it
    assert correlation[place["LINK"], place["ETH"]] == pytest.approx(0.8 * math.sqrt(0.9))
    assert correlation[place["LINK"], place["CRV"]] == pytest.approx(0.8)
    assert correlation[place["USDC"], place["ETH"]] == 0.0
    assert np.linalg.eigvalsh(made.covariance)[0] > 0.0
    assert with_covariance(base, [], np.zeros((0, 0))).covariance == pytest.approx(base.covariance)
