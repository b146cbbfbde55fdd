"""A cascade ends at its fixed point, certified as by judging everybody, and never helps anybody by magic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.risk import cascade
from keeper.risk.book import Book
from tests.property.test_risk_property_sweep import random_book

pytestmark = pytest.mark.property

SETTINGS = settings(max_examples=60, deadline=None)


def market_of(seed: int, depth: float, shock: float) -> cascade.Market:
    rng = np.random.default_rng(seed)
    price = np.array([shock, shock, 1.0, 1.0, 1.0])
    made = cascade.alone(price, depth * rng.uniform(0.5, 2.0, 5), 0.5, 0.95, 0.06)
    if seed % 2 == 0:
        return made
    # the second follows the first, with a ratio of its own: factor 1
    return made._replace(base=np.array([0, 0, 2, 3, 4]), ratio=np.array([5, 1, 5, 5, 5]))


@SETTINGS
@given(st.integers(0, 10_000), st.integers(1, 60), st.floats(1.0, 1e4), st.floats(0.3, 1.0))
def test_run__certified__same_as_judging_everybody(seed, users, depth, shock):
    book = random_book(np.random.default_rng(seed), users, 5, False)
    market = market_of(seed, depth, shock)
    fast, slow = cascade.start(book, market), cascade.start(book, market)
    cascade.run(book, market, fast, True)
    cascade.run(book, market, slow, False)
    np.testing.assert_array_equal(fast.hit, slow.hit)
    np.testing.assert_array_equal(fast.sold, slow.sold)
    assert fast.total[0] == slow.total[0]
    assert fast.total[2] <= slow.total[2]


@SETTINGS
@given(st.integers(0, 10_000), st.floats(1.0, 1e4), st.floats(0.3, 1.0))
def test_run__afterwards__nobody_with_collateral_is_liquidatable(seed, depth, shock):
    book = random_book(np.random.default_rng(seed), 40, 5, False)
    market = market_of(seed, depth, shock)
    fall = cascade.start(book, market)
    cascade.run(book, market, fall, True)
    assert fall.total[0] < cascade.ROUNDS_MAX
    at = fall.price[book.feed]
    owner = np.repeat(np.arange(40), np.diff(book.indptr))
    owned = np.bincount(owner, fall.a * at, minlength=40)
    owed = np.bincount(owner, fall.b * at, minlength=40)
    before = np.bincount(owner, book.a * market.price[book.feed], minlength=40)
    under = owned < owed * (1 - 1e-9)
    assert (owned[under] <= 1e-9 * before[under]).all(), "only who has nothing left is still under"
    assert (fall.price <= market.price).all()
    assert (fall.a <= book.a).all()
    assert (fall.b <= book.b).all()


def test_run__one_position__by_hand():
    # 10 at threshold .8 against 8.2 owed: health .9756, half repaid: 4.1, sold 4.346
    book = Book(
        indptr=np.array([0, 2]),
        feed=np.array([0, 1], np.int32),
        a=np.array([8.0, 0.0]),
        b=np.array([0.0, 8.2]),
        a0=np.zeros(1),
        b0=np.zeros(1),
        prices=np.ones(2),
    )
    market = cascade.alone(np.ones(2), np.full(2, 1e12), 0.5, 0.95, 0.06)
    fall = cascade.with_thresholds(cascade.start(book, market), np.array([0.8, 0.0]))
    cascade.run(book, market, fall, True)
    assert fall.total[1] == pytest.approx(4.1)
    assert fall.sold[0] == pytest.approx(4.1 * 1.06)
    assert fall.a[0] == pytest.approx(8.0 * (1 - 4.346 / 10))
    assert list(fall.hit) == [1]


@SETTINGS
@given(st.integers(0, 10_000), st.floats(1.0, 1e4), st.floats(0.3, 1.0))
def test_run__prices_at_the_end__are_what_was_sold_of_their_factors(seed, depth, shock):
    book = random_book(np.random.default_rng(seed), 40, 5, False)
    market = market_of(2 * seed + 1, depth, shock)
    fall = cascade.start(book, market)
    cascade.run(book, market, fall, True)
    base, ratio = fall.sold[0] + fall.sold[1], fall.sold[1]
    assert fall.price[0] == pytest.approx(market.price[0] * math.exp(-base / market.depth[0]), rel=1e-9)
    own = math.exp(-base / market.depth[0] - ratio / market.depth[1])
    assert fall.price[1] == pytest.approx(market.price[1] * own, rel=1e-9)


def test_run__nobody_under__moves_nothing():
    book = random_book(np.random.default_rng(1), 30, 5, False)
    safe = book._replace(b=book.b * 1e-9)
    market = market_of(1, 10.0, 1.0)
    fall = cascade.start(safe, market)
    cascade.run(safe, market, fall, True)
    assert fall.total[1] == 0.0
    np.testing.assert_array_equal(fall.price, market.price)


def test_start__not_lending_or_unknown_price__is_refused():
    rng = np.random.default_rng(2)
    market = market_of(2, 10.0, 0.7)
    with pytest.raises(ValueError, match="lending"):
        cascade.start(random_book(rng, 30, 5, True), market)
    unknown = market._replace(price=np.array([1.0, math.nan, 1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="known prices"):
        cascade.start(random_book(rng, 30, 5, False), unknown)
