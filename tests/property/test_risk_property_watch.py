"""Certificates raise exactly the alarms of a full scan, block by block, through jumps, gaps and changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.risk import watch
from keeper.risk.book import Book
from tests.property.test_risk_property_sweep import random_book

pytestmark = pytest.mark.property

SETTINGS = settings(max_examples=60, deadline=None)


def compare(book, threshold, certified, full):
    watch.observe(book, threshold, certified)
    before = full.copy()
    watch.scan(book, threshold, full)
    np.testing.assert_array_equal(certified.place[:, watch.BELOW], full)
    assert certified.tally[0] == full.sum()
    changed = np.sort(certified.changed[: certified.tally[1]])
    np.testing.assert_array_equal(changed, np.flatnonzero(before != full))


def consistent(state, positions):
    members = []
    for b, u in enumerate(state.head):
        left = -1
        while u >= 0:
            assert state.place[u, watch.PREVIOUS] == left
            assert state.place[u, watch.BUCKET] == b
            members.append(int(u))
            left, u = u, state.place[u, watch.NEXT]
    assert sorted(members) == list(range(positions))


@SETTINGS
@given(st.integers(0, 10_000), st.integers(0, 60), st.booleans(), st.floats(1e-5, 0.1), st.floats(1.0, 1.5))
def test_observe__random_walk_with_jumps__same_alarms_as_a_scan(seed, users, signed, vol, threshold):
    rng = np.random.default_rng(seed)
    book = random_book(rng, users, 5, signed)
    scale = rng.uniform(0.01, 1.0, 5) if seed % 2 else None
    certified, full = watch.start(users, 5, scale), np.zeros(users, np.int64)
    level = np.zeros(5)
    for block in range(60):
        jump = rng.normal(0, 0.3, 5) if block % 17 == 16 else 0.0
        level = level + rng.normal(0, vol, 5) + jump
        compare(book._replace(prices=np.exp(level)), threshold, certified, full)
    consistent(certified, users)


@SETTINGS
@given(st.integers(0, 10_000))
def test_observe__missing_price__alarms_whom_it_touches_and_recovers(seed):
    rng = np.random.default_rng(seed)
    book = random_book(rng, 40, 5, True)
    certified, full = watch.start(40, 5), np.zeros(40, np.int64)
    for block in range(20):
        prices = np.exp(rng.normal(0, 0.01, 5))
        if block in (5, 6, 12):
            prices[rng.integers(5)] = math.nan if block != 12 else 0.0
        compare(book._replace(prices=prices), 1.1, certified, full)


@SETTINGS
@given(st.integers(0, 10_000))
def test_observe__balances_change_and_are_dropped__same_alarms(seed):
    rng = np.random.default_rng(seed)
    book = random_book(rng, 50, 4, True)
    certified, full = watch.start(50, 4), np.zeros(50, np.int64)
    for _ in range(40):
        a, b = book.a.copy(), book.b.copy()
        u = int(rng.integers(50))
        part = slice(book.indptr[u], book.indptr[u + 1])
        a[part] *= rng.uniform(0.2, 1.5)
        b[part] *= rng.uniform(0.5, 3.0)
        book = book._replace(a=a, b=b, prices=book.prices * np.exp(rng.normal(0, 0.003, 4)))
        watch.drop(certified, u)
        compare(book, 1.05, certified, full)
    consistent(certified, 50)


def test_observe__change_without_drop__would_be_missed():
    """The test above can fail: without ``drop`` a grown debt goes unseen."""
    book = Book(
        np.array([0, 2]), np.array([0, 1], np.int32), np.array([2.0, 0.0]), np.array([0.0, 1.0]),
        np.zeros(1), np.zeros(1), np.ones(2),
    )  # fmt: skip
    state = watch.start(1, 2)
    watch.observe(book, 1.05, state)
    watch.observe(book._replace(b=np.array([0.0, 3.0])), 1.05, state)
    assert list(watch.alarms(state)) == []
    watch.drop(state, 0)
    watch.observe(book._replace(b=np.array([0.0, 3.0])), 1.05, state)
    assert list(watch.alarms(state)) == [0]


def test_observe__calm_market__evaluates_few():
    rng = np.random.default_rng(1)
    n = 20_000
    debt = 1.0 / (1.06 + rng.lognormal(-0.3, 0.9, n))
    a, b = np.zeros(2 * n), np.zeros(2 * n)
    a[::2], b[1::2] = 1.0, debt
    feed = np.tile(np.array([0, 1], np.int32), n)
    book = Book(np.arange(0, 2 * n + 1, 2), feed, a, b, np.zeros(n), np.zeros(n), np.ones(2))
    state = watch.start(n, 2)
    evaluated = 0
    level = 0.0
    for block in range(200):
        level += rng.normal(0, 0.8 * math.sqrt(12 / 31_557_600))
        watch.observe(book._replace(prices=np.array([math.exp(level), 1.0])), 1.05, state)
        evaluated += int(state.tally[2]) if block else 0
    assert evaluated / 199 < 0.01 * n


@SETTINGS
@given(st.integers(0, 10_000), st.floats(1.0, 2.0))
def test_slack__any_move_inside_it__keeps_its_side(seed, threshold):
    rng = np.random.default_rng(seed)
    book = random_book(rng, 20, 4, True)
    for u in range(20):
        scale = rng.uniform(0.02, 1.0, 4)
        r, below = watch.slack(book, threshold, scale, u)
        if not (math.isfinite(r) and r > 0):
            continue
        part = slice(book.indptr[u], book.indptr[u + 1])
        weight = book.a[part] - threshold * book.b[part]
        constant = book.a0[u] - threshold * book.b0[u]
        for _ in range(20):
            move = r * scale * rng.choice([-1.0, 1.0], 4)
            terms = weight * np.exp(move[book.feed[part]])
            margin, rounding = constant + terms.sum(), 1e-12 * (abs(constant) + np.abs(terms).sum())
            assert margin <= rounding if below else margin >= -rounding


def test_observe_path__many_blocks__same_as_one_by_one():
    rng = np.random.default_rng(2)
    book = random_book(rng, 300, 5, True)
    path = np.exp(np.cumsum(rng.normal(0, 0.01, (50, 5)), axis=0))
    one, seen, full = watch.start(300, 5), np.zeros(2, np.int64), np.zeros(2, np.int64)
    below = np.zeros(300, np.int64)
    watch.observe_path(book._replace(prices=np.empty(5)), 1.1, one, path, seen)
    watch.scan_path(book._replace(prices=np.empty(5)), 1.1, below, path, full)
    assert seen[0] == full[0]
    np.testing.assert_array_equal(one.place[:, watch.BELOW], below)
    assert seen[1] < 300 * 50 / 2


@pytest.mark.parametrize("bad", [[1.0], [1.0, 0.0], [1.0, 1.1], [1.0, math.nan]])
def test_start__scale_outside_its_range__is_refused(bad):
    with pytest.raises(ValueError, match="scale"):
        watch.start(1, 2, np.array(bad))
