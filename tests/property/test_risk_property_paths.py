"""Paths are what they say and repeat by seed; pruned first passage counts exactly what walking counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.risk import passage
from keeper.risk.book import Book
from keeper.risk.factors import phi
from keeper.risk.paths import CHUNK, Grid, Jumps, bootstrap, gbm, jump_diffusion, root_of, student_t
from tests.property.test_risk_property_sweep import random_book

pytestmark = pytest.mark.property

SETTINGS = settings(max_examples=50, deadline=None)
COV = np.array([[0.64, 0.3], [0.3, 0.36]])
GRID = Grid(paths=4096, steps=8, step_days=1.0, seed=11)


@SETTINGS
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 100), st.booleans(), st.floats(0.01, 0.5))
def test_passage__random_books__pruned_equals_walking(seed, users, count, signed, vol):
    rng = np.random.default_rng(seed)
    book = random_book(rng, users, 4, signed)
    prices = np.exp(np.cumsum(rng.normal(0, vol, (count, 12, 4)), axis=1))
    paths = passage.prepare(prices, np.array([3, 12]))
    slow, fast = np.zeros((users, 2), np.int64), np.zeros((users, 2), np.int64)
    passage.brute(book, paths, slow)
    passage.pruned(book, paths, fast)
    np.testing.assert_array_equal(fast, slow)
    assert (fast[:, 0] <= fast[:, 1]).all(), "a longer horizon is touched at least as often"


def test_gbm__many_paths__has_the_covariance_and_is_a_martingale():
    level = gbm(GRID, COV)
    step = np.diff(level, axis=1, prepend=0.0).reshape(-1, 2)
    assert np.cov(step.T) == pytest.approx(COV / 365, rel=0.05)
    assert np.exp(level[:, -1]).mean(axis=0) == pytest.approx([1, 1], abs=0.01)


def test_paths__same_seed__same_numbers_whatever_the_count():
    few = gbm(Grid(paths=10, steps=8, step_days=1.0, seed=11), COV)
    np.testing.assert_array_equal(few, gbm(GRID, COV)[:10])
    many = Grid(paths=CHUNK + 1, steps=8, step_days=1.0, seed=11)
    np.testing.assert_array_equal(gbm(many, COV), gbm(GRID, COV)[: CHUNK + 1])
    other = Grid(paths=10, steps=8, step_days=1.0, seed=12)
    assert (gbm(other, COV) != few).all()


def test_student_t__same_covariance__fatter_tails():
    normal, fat = gbm(GRID, COV)[:, 0, 0], student_t(GRID, COV, freedom=5.0).reshape(-1, 2)
    step = np.diff(student_t(GRID, COV, freedom=5.0), axis=1, prepend=0.0).reshape(-1, 2)
    assert np.cov(step.T) == pytest.approx(COV / 365, rel=0.15)
    z = (step[:, 0] / step[:, 0].std()) ** 4
    assert z.mean() > 4.0 > (normal / normal.std()).__pow__(4).mean()
    assert len(fat) == 4096 * 8
    with pytest.raises(ValueError, match="no variance"):
        student_t(GRID, COV, freedom=2.0)


def test_jumps__certain_crash__shows_in_the_mean():
    jumps = Jumps(per_year=365.0, mean=-0.2, deviation=0.0)
    level = jump_diffusion(GRID, COV * 1e-6, jumps, np.array([1.0, 0.0]))
    assert level[:, -1, 0].mean() == pytest.approx(-0.2 * 8, rel=0.05)
    assert abs(level[:, -1, 1].mean()) < 1e-3


def test_bootstrap__blocks__keep_rows_together_and_in_order():
    history = np.arange(40.0).reshape(20, 2) / 1000
    history[5] = math.nan
    steps = np.diff(
        bootstrap(Grid(paths=50, steps=7, step_days=1.0, seed=1), history, block=3), axis=1, prepend=0.0
    )
    usable = np.delete(history, 5, axis=0)
    for path in steps:
        rows = [int(np.abs(usable - s).sum(axis=1).argmin()) for s in path]
        assert np.abs(usable[rows] - path).max() < 1e-12
        for i in range(6):
            if i % 3 != 2:
                assert rows[i + 1] == (rows[i] + 1) % 19
    with pytest.raises(ValueError, match="complete rows"):
        bootstrap(GRID, np.full((5, 2), math.nan), block=2)


def test_root__singular_covariance__is_accepted_and_a_wrong_one_is_not():
    flat = np.array([[0.04, 0.0], [0.0, 0.0]])
    assert root_of(flat) @ root_of(flat).T == pytest.approx(flat)
    with pytest.raises(ValueError, match="semidefinite"):
        root_of(np.array([[1.0, 2.0], [2.0, 1.0]]))
    for bad in (
        Grid(paths=0, steps=1, step_days=1.0, seed=1),
        Grid(paths=1, steps=1, step_days=math.nan, seed=1),
    ):
        with pytest.raises(ValueError, match="no paths"):
            gbm(bad, flat)


def test_first_passage__one_factor__near_the_reflection_principle():
    """P(touch) = 2 Phi(-d / (s sqrt T)) for a driftless log price watched continuously; daily watching sees
    less.
    """
    steps, sigma = 2000, 0.8
    grid = Grid(paths=4096, steps=steps, step_days=30.0 / steps, seed=5)
    undrift = 0.5 * sigma**2 / 365 * grid.step_days * np.arange(1, steps + 1)
    prices = np.exp(gbm(grid, np.array([[sigma**2]])) + undrift[None, :, None])
    book = Book(
        indptr=np.array([0, 1]),
        feed=np.zeros(1, np.int32),
        a=np.ones(1),
        b=np.zeros(1),
        a0=np.zeros(1),
        b0=np.full(1, 0.75),
        prices=np.ones(1),
    )
    found = passage.first_passage(book, passage.prepare(prices, np.array([steps])))
    exact = 2 * phi(math.log(0.75) / (sigma * math.sqrt(30 / 365)))
    assert found.low[0, 0] - 0.02 <= exact <= found.high[0, 0] + 0.02
    assert found.low[0, 0] < found.hits[0, 0] / 4096 < found.high[0, 0]


def test_first_passage__unknown_and_impossible__have_their_answers():
    prices = np.ones((64, 3, 2))
    prices[5, 1, 1] = math.nan
    book = Book(
        np.array([0, 1, 2, 2]), np.array([0, 1], np.int32), np.ones(2), np.zeros(2),
        np.array([0.0, 0.0, math.nan]), np.full(3, 0.5), np.ones(2),
    )  # fmt: skip
    found = passage.first_passage(book, passage.prepare(prices, np.array([1, 3])))
    assert list(found.known) == [True, False, False]
    assert list(found.hits[0]) == [0, 0]
    assert 0 == found.low[0, 0] < found.high[0, 0] < 0.1
    assert list(found.low[1]) == [0, 0]
    assert list(found.high[1]) == [1, 1]
    assert list(found.hits[2]) == [64, 64]


def test_horizons__days__round_up_to_whole_steps():
    assert list(passage.horizons(0.25, (0.04, 1.0, 7.0))) == [1, 4, 28]
