"""Simulated first passage: whole hits by seed whatever the threads or batches, near the closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from keeper.model import BookRow
from keeper.risk import odds
from keeper.risk.book import Shelf, build
from keeper.risk.distance import nearest_all
from keeper.risk.factors import Factors, for_symbols
from keeper.risk.odds import Bars, Draw, Model, touched

pytestmark = pytest.mark.unit


def loan(debt_usd: float) -> BookRow:
    return BookRow(feeds=("E", "U"), a=(8.0, 0.0), b=(0.0, debt_usd))


AT = {"E": 2000.0, "U": 1.0}
FACTORS = for_symbols({"E": "ETH", "U": "USDC", "X": "LINK"}, fixed=frozenset({"U"}))
SHELF = build([loan(14_000.0), loan(12_000.0), loan(16_500.0), BookRow(feeds=("X",), a=(1.0,), b=(0.5,))], AT)


def draw(
    model: Model, paths: int = 3000, *, bars: Bars | None = None, days: float = 7.0, seed: int = 5
) -> Draw:
    return Draw(model=model, horizon_days=days, paths=paths, seed=seed, bars=bars)


def bars(step_days: float = 1.0 / 24.0) -> Bars:
    returns = np.random.default_rng(2).normal(0, 0.01, (500, 2))
    return Bars(names=("LINK", "ETH"), returns=returns, step_days=step_days)


@pytest.mark.parametrize("model", list(Model))
def test_touched__any_model__threads_and_batches_change_no_digit(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = draw(model, bars=bars())
    told: list[int] = []
    one = touched(SHELF, FACTORS, asked, 1, told.append)
    monkeypatch.setattr(odds, "_BATCH_NUMBERS", 1)
    many = touched(SHELF, FACTORS, asked, 4)
    np.testing.assert_array_equal(one.hits, many.hits)
    np.testing.assert_array_equal(one.low, many.low)
    assert sum(told) == one.paths == many.paths == 3000
    assert (touched(SHELF, FACTORS, draw(model, bars=bars(), seed=6)).hits[:2] != one.hits[:2]).any()


def test_touched__normal__interval_holds_the_continuous_answer_less_what_looks_miss() -> None:
    found = touched(SHELF, FACTORS, draw(Model.GBM, 20_000))
    near = nearest_all(SHELF, FACTORS, 7.0)
    for u in range(2):
        # 168 looks see a little less than a continuous watch does
        assert found.low[u, 0] - 0.02 <= near[u].p_touch <= found.high[u, 0] + 0.02


def test_touched__under_now_and_unknown__certain_and_never_unlikely() -> None:
    found = touched(SHELF, FACTORS, draw(Model.GBM))
    assert found.hits[2, 0] == 3000
    assert list(found.known) == [True, True, True, False]
    assert (found.low[3, 0], found.high[3, 0]) == (0.0, 1.0)


def test_touched__jumps__hurt_a_long_more_than_none() -> None:
    calm = touched(SHELF, FACTORS, draw(Model.GBM, 10_000)).hits[1, 0]
    assert touched(SHELF, FACTORS, draw(Model.JUMPS, 10_000)).hits[1, 0] > 1.5 * calm


def test_bootstrap__rising_history__promises_nothing() -> None:
    plain = bars()
    rising = Bars(names=plain.names, returns=plain.returns + 0.05, step_days=plain.step_days)
    one = touched(SHELF, FACTORS, draw(Model.BOOTSTRAP, bars=plain)).hits
    np.testing.assert_array_equal(touched(SHELF, FACTORS, draw(Model.BOOTSTRAP, bars=rising)).hits, one)


def test_bootstrap__crash_in_history__is_met_as_often_as_drawn() -> None:
    returns = np.zeros((1000, 1))
    returns[500] = -0.4
    crash = Bars(names=("ETH",), returns=returns, step_days=1.0)
    shelf = build([loan(12_000.0)], AT)
    factors = for_symbols({"E": "ETH", "U": "USDC"}, fixed=frozenset({"U"}))
    found = touched(shelf, factors, draw(Model.BOOTSTRAP, 20_000, bars=crash, days=10.0))
    # each of 10 days is any of 1000; the mean taken out lifts the rest by 0.04 % a day
    expected = 1.0 - 0.999**10
    assert found.low[0, 0] <= expected <= found.high[0, 0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda: draw(Model.GBM, 0), "paths"),
        (lambda: draw(Model.GBM, days=math.nan), "horizon"),
        (lambda: draw(Model.BOOTSTRAP), "needs bars"),
        (
            lambda: draw(Model.BOOTSTRAP, bars=Bars(names=("ETH",), returns=np.ones((9, 1)), step_days=1.0)),
            "LINK",
        ),
    ],
)
def test_touched__no_draw__is_refused(change: Callable[[], Draw], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        touched(SHELF, FACTORS, change())


def test_touched__row_that_overflows__is_unknown() -> None:
    huge = BookRow(feeds=("E",), a=(1e308,), b=(0.0,), b0=1e308)
    found = touched(build([huge, loan(12_000.0)], AT), FACTORS, draw(Model.GBM, 300))
    assert list(found.known) == [False, True]
    assert (found.hits[0, 0], found.low[0, 0], found.high[0, 0]) == (300, 0.0, 1.0)


def test_touched__no_positions__is_empty() -> None:
    nothing: Shelf = build([], {})
    empty = Factors(feeds=(), names=(), loading=np.zeros((0, 0)), covariance=np.zeros((0, 0)))
    assert touched(nothing, empty, draw(Model.GBM, 300)).hits.shape == (0, 1)
