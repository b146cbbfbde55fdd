"""Fused, pruned and plain sweeps say the same; pruned counts equal brute force exactly, signed books
included.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.risk import jit, plain
from keeper.risk.book import Book
from keeper.risk.groups import GROUP, Tally
from keeper.risk.sides import split
from keeper.risk.sweep import HEALTHY, UNKNOWN, breaks, statistics

pytestmark = pytest.mark.property

SETTINGS = settings(max_examples=60, deadline=None)
compiled_only = pytest.mark.skipif(not jit.compiled(), reason="the plain twin has no groups")


def random_book(rng, users, feeds, signed):
    sizes = rng.integers(0, 6, users)
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    n = int(indptr[-1])
    feed = rng.integers(0, feeds, n).astype(np.int32)
    own = rng.random(n) < 0.6
    a = np.where(own, rng.lognormal(0, 1, n), 0.0)
    b = np.where(own, 0.0, rng.lognormal(-0.6, 1, n))
    a0, b0 = np.zeros(users), np.zeros(users)
    if signed:
        perp = rng.random(n) < 0.3
        a = np.where(perp, rng.normal(0, 2, n), a)
        b = np.where(perp, np.abs(a) * 0.01, b)
        a0, b0 = rng.normal(0, 2, users), rng.random(users) * 0.1
    return Book(indptr.astype(np.int64), feed, a, b, a0, b0, np.ones(feeds))


def empty_tally(users, scenarios):
    return Tally(
        np.empty(users),
        np.empty(users, np.int64),
        np.empty(users, np.int64),
        np.zeros(scenarios),
        np.zeros(scenarios),
    )


def brute(book, prices):
    """Dense numpy, one matrix per side."""
    users, feeds = len(book.a0), prices.shape[0]
    row = np.repeat(np.arange(users), np.diff(book.indptr))
    own, owe = np.zeros((users, feeds)), np.zeros((users, feeds))
    np.add.at(own, (row, book.feed), book.a)
    np.add.at(owe, (row, book.feed), book.b)
    return own @ prices + book.a0[:, None], owe @ prices + book.b0[:, None]


@SETTINGS
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 300), st.booleans())
def test_statistics__random_books__equal_dense_arithmetic(seed, users, scenarios, signed):
    rng = np.random.default_rng(seed)
    book = random_book(rng, users, 7, signed)
    prices = np.exp(rng.normal(0, 0.5, (7, scenarios)))
    got = statistics(book, prices)
    c, d = brute(book, prices)
    with np.errstate(divide="ignore", invalid="ignore"):
        health = np.where(d > 0, c / d, np.where(c >= 0, math.inf, -math.inf))
    np.testing.assert_allclose(got.low, health.min(axis=1), rtol=1e-9, atol=1e-12)
    clear = np.abs(c - d) > 1e-12 * (np.abs(c) + d)
    hit = c < d
    if clear.all():
        np.testing.assert_array_equal(got.count, hit.sum(axis=0))
        np.testing.assert_allclose(got.notional_usd, (hit * d).sum(axis=0), rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(got.first, np.where(hit.any(axis=1), hit.argmax(axis=1), HEALTHY))
    rows = np.flatnonzero(got.worst >= 0)
    np.testing.assert_allclose(health[rows, got.worst[rows]], got.low[rows], rtol=1e-9, atol=1e-12)


@SETTINGS
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 900), st.booleans(), st.floats(0.05, 1.5))
def test_breaks__random_books__identical_to_brute_force(seed, users, scenarios, signed, spread):
    rng = np.random.default_rng(seed)
    book = random_book(rng, users, 5, signed)
    prices = np.exp(rng.normal(0, spread, (1, scenarios)) + rng.normal(0, 0.1 * spread, (5, scenarios)))
    whole, fast = statistics(book, prices), breaks(book, prices, prune=True)
    chosen = breaks(book, prices)
    np.testing.assert_array_equal(chosen.count, whole.count)
    assert len(chosen.low) == len(fast.low) == len(chosen.worst) == 0, "whichever way was taken"
    np.testing.assert_array_equal(fast.count, whole.count)
    np.testing.assert_array_equal(fast.first, whole.first)
    np.testing.assert_allclose(fast.notional_usd, whole.notional_usd, rtol=1e-11, atol=1e-12)


@SETTINGS
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 40))
def test_plain_twin__random_books__same_as_vectors(seed, users, scenarios):
    rng = np.random.default_rng(seed)
    book = random_book(rng, users, 4, True)
    prices = np.exp(rng.normal(0, 0.5, (4, scenarios)))
    sides = split(book, prices)
    found = empty_tally(users, scenarios)
    plain.statistics(sides, prices, found)
    got = statistics(book, prices)
    np.testing.assert_allclose(got.low, found.low, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(got.first, found.first)
    np.testing.assert_array_equal(got.count, found.hits)


@compiled_only
@SETTINGS
@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(1, 60), st.floats(0.0, 1.0), st.booleans())
def test_statistics__groups_passed_over__same_bits_as_one_group_at_a_time(
    seed, users, groups, spread, signed
):
    """A sweep of a single group passes over nothing: the minimum of many such is the unbounded truth."""
    rng = np.random.default_rng(seed)
    book = random_book(rng, users, 5, signed)
    market = np.sort(rng.normal(0, spread, groups * GROUP)) if seed % 2 else np.zeros(groups * GROUP)
    prices = np.exp(market + rng.normal(0, 0.1 * spread, (5, groups * GROUP)))
    whole = statistics(book, prices)
    parts = [statistics(book, prices[:, g * GROUP : (g + 1) * GROUP].copy()) for g in range(groups)]
    lows = np.array([p.low for p in parts])
    best = lows.argmin(axis=0)
    np.testing.assert_array_equal(whole.low, lows.min(axis=0))
    worst = np.array([p.worst for p in parts])[best, np.arange(users)]
    np.testing.assert_array_equal(whole.worst, np.where(worst < 0, worst, worst + best * GROUP))
    np.testing.assert_array_equal(whole.count, np.concatenate([p.count for p in parts]))
    firsts = np.array([np.where(p.first < 0, 1 << 40, p.first + g * GROUP) for g, p in enumerate(parts)])
    np.testing.assert_array_equal(np.where(whole.first < 0, 1 << 40, whole.first), firsts.min(axis=0))
    notional = np.concatenate([p.notional_usd for p in parts])
    np.testing.assert_allclose(whole.notional_usd, notional, rtol=1e-13)


@SETTINGS
@given(
    st.integers(0, 10_000), st.integers(1, 80), st.integers(1, 90), st.sampled_from(["apart", "same", "near"])
)
def test_statistics__crowds_on_few_pairs__same_bits_as_the_plain_twin(seed, users, scenarios, kind):
    """One asset and one debt: no sum, so the twin's arithmetic is the same to the bit."""
    rng = np.random.default_rng(seed)
    n = 2 * users
    feed = rng.integers(0, 3, n).astype(np.int32)
    a, b = np.zeros(n), np.zeros(n)
    a[::2], b[1::2] = rng.lognormal(0, 1, users), rng.lognormal(-0.7, 1, users)
    a[::2][rng.random(users) < 0.05] = 1e-150
    constant = np.where(rng.random(users) < 0.05, 0.1, 0.0)
    book = Book(np.arange(0, n + 1, 2), feed, a, b, constant, np.zeros(users), np.ones(3))
    prices = np.exp(rng.normal(0, 0.3, (3, scenarios)))
    if kind == "same":
        prices = prices[:, rng.integers(0, min(3, scenarios), scenarios)]
    if kind == "near":
        prices = prices[:, :1] * (1.0 + 1e-15 * rng.integers(0, 9, (3, scenarios)))
    if seed % 7 == 0:
        prices[rng.integers(3), rng.integers(scenarios)] = 0.0
    got, found = statistics(book, prices), empty_tally(users, scenarios)
    plain.statistics(split(book, prices), prices, found)
    np.testing.assert_array_equal(got.low, found.low)
    np.testing.assert_array_equal(got.worst, found.worst)
    np.testing.assert_array_equal(got.first, found.first)
    np.testing.assert_array_equal(got.count, found.hits)
    np.testing.assert_allclose(got.notional_usd, found.notional, rtol=1e-13)


@SETTINGS
@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(1, 40), st.booleans())
def test_split__random_books__holds_every_entry_and_leads_back(seed, users, feeds, signed):
    book = random_book(np.random.default_rng(seed), users, feeds, signed)
    sides = split(book, np.ones((feeds, 1)))
    assert sorted(sides.row) == list(range(users))
    shapes = []
    for u, row in enumerate(sides.row):
        own = slice(sides.start[u], sides.middle[u])
        owe = slice(sides.middle[u], sides.start[u + 1])
        entries = slice(book.indptr[row], book.indptr[row + 1])
        for part, side in ((own, book.a[entries]), (owe, book.b[entries])):
            kept = side != 0.0
            np.testing.assert_array_equal(sides.weight[part], side[kept])
            np.testing.assert_array_equal(sides.feed[part], book.feed[entries][kept])
        assert (sides.a0[u], sides.b0[u]) == (book.a0[row], book.b0[row])
        shapes.append((min(own.stop - own.start, 4), min(owe.stop - owe.start, 4)))
    assert shapes == sorted(shapes), "alike rows stand together"
    assert sides.known.all()


def test_statistics__numbers_that_cannot_be_judged__are_unknown():
    # a NaN weight; an infinite debt; a negative requirement; an amount that would overflow; a good row
    a = np.array([math.nan, 1.0, 1.0, 1e300, 2.0])
    b = np.array([0.0, math.inf, -1.0, 0.0, 1.0])
    book = Book(np.arange(6), np.zeros(5, np.int32), a, b, np.zeros(5), np.zeros(5), np.ones(1))
    for sweep in (statistics, breaks):
        assert list(sweep(book, np.ones((1, 3))).first) == [UNKNOWN] * 4 + [HEALTHY]
        assert list(sweep(book, np.full((1, 3), -1.0)).first) == [UNKNOWN] * 5
        assert list(sweep(book, np.full((1, 3), 1e200)).first) == [UNKNOWN] * 5


@SETTINGS
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 200), st.booleans(), st.booleans())
def test_statistics__in_float32__same_liquidations_and_a_minimum_within_its_bound(
    seed, users, scenarios, signed, edge
):
    rng = np.random.default_rng(seed)
    book = random_book(rng, users, 5, signed)
    prices = np.exp(rng.normal(0, 0.4, (5, scenarios)))
    if edge:
        # everybody exactly at, or one bit beside, health 1 in some scenario
        c, d = brute(book, prices[:, :1])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (c / d)[:, 0] * (1.0 + 2e-16 * rng.integers(-3, 4, users))
        fit = np.isfinite(ratio) & (ratio > 0.0)
        owner = np.repeat(np.arange(users), np.diff(book.indptr))
        scale = np.where(fit, ratio, 1.0)
        book = book._replace(b=book.b * scale[owner], b0=book.b0 * scale)
    exact, short = statistics(book, prices), statistics(book, prices, single=True)
    np.testing.assert_array_equal(short.count, exact.count)
    np.testing.assert_array_equal(short.first, exact.first)
    np.testing.assert_array_equal(short.low < 1.0, exact.low < 1.0)
    size, terms = (x.max(axis=1) for x in brute_size(book, prices))
    error = (terms + 8) * 2.0**-22 * size
    np.testing.assert_allclose(short.notional_usd, exact.notional_usd, rtol=1e-12, atol=error.sum())
    rows = np.flatnonzero(np.isfinite(exact.low) & (exact.worst >= 0))
    _, d = brute(book, prices)
    owed = d[rows, short.worst[rows]] - error[rows]
    bound = error[rows] * (1.0 + np.abs(exact.low[rows])) / np.maximum(owed, 1e-300)
    assert (np.abs(short.low[rows] - exact.low[rows]) <= 2.0 * bound + 1e-15).all()


def brute_size(book, prices):
    """Sum of the absolute values of all terms at every feed's highest price, and how many terms."""
    users = len(book.a0)
    row = np.repeat(np.arange(users), np.diff(book.indptr))
    top = prices.max(axis=1)[book.feed]
    size = np.bincount(row, (np.abs(book.a) + book.b) * top, minlength=users) + np.abs(book.a0) + book.b0
    terms = np.bincount(row, (book.a != 0.0).astype(float) + (book.b != 0.0), minlength=users)
    return size[:, None], terms[:, None]


def test_statistics__many_positions_in_threads__do_not_depend_on_them():
    rng = np.random.default_rng(3)
    book = random_book(rng, 5000, 6, True)
    prices = np.exp(rng.normal(0, 0.4, (6, 200)))
    for sweep in (statistics, breaks):
        one, two = sweep(book, prices, threads=1), sweep(book, prices, threads=3)
        np.testing.assert_array_equal(one.first, two.first)
        np.testing.assert_array_equal(one.count, two.count)
        np.testing.assert_array_equal(one.low, two.low)
        np.testing.assert_allclose(one.notional_usd, two.notional_usd, rtol=1e-12)
        again = sweep(book, prices, threads=3)
        np.testing.assert_array_equal(again.notional_usd, two.notional_usd)


@pytest.mark.parametrize("sweep", [statistics, breaks])
def test_sweep__degenerate_books__never_healthy_from_nothing(sweep):
    # no debt; zero price; a NaN price; a NaN constant; nothing at all; a naked short
    book = Book(
        np.array([0, 1, 3, 4, 4, 4, 5]),
        np.array([0, 0, 1, 2, 1], np.int32),
        np.array([1.0, 1.0, 0.0, 1.0, -1.0]),
        np.array([0.0, 0.0, 1.0, 0.0, 0.0]),
        np.array([0.0, 0.0, 0.0, math.nan, 0.0, 0.5]),
        np.zeros(6),
        np.ones(3),
    )
    prices = np.array([[1.0, 0.0], [0.5, 1.0], [1.0, math.nan]])
    got = sweep(book, prices)
    assert list(got.first) == [HEALTHY, 1, UNKNOWN, UNKNOWN, HEALTHY, 1]
    assert list(got.count) == [0.0, 2.0]
    if len(got.low):
        assert got.low[0] == math.inf
        assert got.low[1] == 0.0
        assert math.isnan(got.low[2])
        assert math.isnan(got.low[3])
        assert got.low[5] == -math.inf
    nobody = np.zeros(0)
    no_one = Book(np.zeros(1, np.int64), np.zeros(0, np.int32), nobody, nobody, nobody, nobody, np.ones(3))
    empty = sweep(no_one, prices)
    assert len(empty.first) == 0
    assert list(empty.count) == [0.0, 0.0]
