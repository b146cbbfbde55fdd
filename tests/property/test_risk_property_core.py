"""What must hold of every book: against Fractions, and by the shape of the rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.model import BookRow, Shock
from keeper.risk import kernels
from keeper.risk.book import build
from keeper.risk.shocks import compose, moved
from tests.unit.risk import risk_reference as exact

pytestmark = pytest.mark.property

FEEDS = ("ETH", "BTC", "DAI", "LINK")
SETTINGS = settings(max_examples=150, deadline=None)

amounts = st.floats(min_value=0.0, max_value=1e7, allow_subnormal=False).map(lambda x: round(x, 6))
signed = st.floats(min_value=-1e6, max_value=1e6, allow_subnormal=False).map(lambda x: round(x, 6))
price = st.floats(min_value=1e-4, max_value=1e5, allow_subnormal=False)
price_maps = st.fixed_dictionaries(dict.fromkeys(FEEDS, price))


@st.composite
def lending_rows(draw):
    n = draw(st.integers(1, 4))
    feeds = tuple(draw(st.permutations(FEEDS))[:n])
    a = tuple(draw(st.one_of(st.just(0.0), amounts)) for _ in feeds)
    b = tuple(draw(st.one_of(st.just(0.0), amounts)) for _ in feeds)
    return BookRow(feeds=feeds, a=a, b=b)


@st.composite
def signed_rows(draw):
    row = draw(lending_rows())
    a = tuple(draw(signed) for _ in row.feeds)
    return replace(row, a=a, a0=draw(signed), b0=draw(amounts))


def sides(rows, at):
    shelf = build(rows, at)
    assets, needed = np.empty(len(rows)), np.empty(len(rows))
    kernels.sides(shelf.book, assets, needed)
    return shelf, assets, needed


def health(row, at):
    shelf = build([row], at)
    out = np.empty(1)
    kernels.health(shelf.book, out)
    return float(out[0])


@SETTINGS
@given(st.lists(signed_rows(), min_size=1, max_size=5), price_maps)
def test_sides__any_signed_book__equal_fractions(rows, at):
    _, assets, needed = sides(rows, at)
    for u, row in enumerate(rows):
        scale = (
            float(sum(abs(x) * at[f] for f, x in zip(row.feeds, row.a, strict=True)) + abs(row.a0)) + 1e-300
        )
        assert abs(assets[u] - float(exact.assets(row, at))) <= 1e-14 * scale
        assert needed[u] == pytest.approx(float(exact.requirement(row, at)), rel=1e-14)


@SETTINGS
@given(lending_rows(), price_maps)
def test_health__lending__equals_fractions(row, at):
    want = exact.health(row, at)
    got = health(row, at)
    assert got == np.inf if want is None else got == pytest.approx(float(want), rel=1e-13)


@SETTINGS
@given(lending_rows(), price_maps, st.sampled_from(FEEDS), amounts)
def test_health__more_collateral__never_lower(row, at, feed, more):
    richer = BookRow(feeds=(*row.feeds, feed), a=(*row.a, more), b=(*row.b, 0.0))
    assert health(richer, at) >= health(row, at) * (1 - 1e-14)


@SETTINGS
@given(lending_rows(), price_maps, st.floats(0.01, 100.0))
def test_health__all_prices_scaled__lending_unchanged(row, at, k):
    assert health(row, {f: k * p for f, p in at.items()}) == pytest.approx(health(row, at), rel=1e-13)


@SETTINGS
@given(signed_rows(), price_maps, st.integers(1, 5))
def test_health__position_split__margin_adds_up(row, at, n):
    part = replace(
        row,
        a=tuple(x / n for x in row.a),
        b=tuple(x / n for x in row.b),
        a0=row.a0 / n,
        b0=row.b0 / n,
    )
    _, assets, needed = sides([row, *[part] * n], at)
    scale = (
        abs(assets[0]) + needed[0] + float(sum(abs(x) * at[f] for f, x in zip(row.feeds, row.a, strict=True)))
    )
    assert abs((assets - needed)[1:].sum() - (assets - needed)[0]) <= 1e-13 * (scale + abs(row.a0)) + 1e-12


@SETTINGS
@given(signed_rows(), price_maps)
def test_one_price__at_its_own_liquidation_price__margin_is_zero(row, at):
    shelf, assets, needed = sides([row], at)
    roots = np.empty(len(shelf.book.a))
    kernels.one_price(shelf.book, assets, needed, roots)
    for j, k in enumerate(shelf.book.feed):
        feed = shelf.feeds[k]
        want = exact.liquidation_price(row, at, feed)
        if not np.isfinite(roots[j]):
            continue
        there = {**at, feed: float(roots[j])}
        turnover = sum(
            (abs(a) + b) * max(at[f], there[f]) for f, a, b in zip(row.feeds, row.a, row.b, strict=True)
        )
        gap = abs(float(exact.assets(row, there) - exact.requirement(row, there)))
        assert gap <= 1e-12 * (turnover + abs(row.a0) + row.b0)
        assert want is None or abs(float(want) - roots[j]) * abs(
            shelf.book.a[j] - shelf.book.b[j]
        ) <= 1e-12 * (turnover + abs(row.a0) + row.b0)


@SETTINGS
@given(signed_rows(), price_maps, st.dictionaries(st.sampled_from((*FEEDS, "*")), st.floats(-0.99, 2.0)))
def test_health_under__any_shock__equals_fractions_at_moved_prices(row, at, moves):
    shelf = build([row], at)
    shock = Shock(name="x", moves=moves)
    scenario = np.array(
        [[p * (1.0 + moved(shock, f)) for f, p in zip(shelf.feeds, shelf.book.prices, strict=True)]]
    )
    out = np.empty((1, 1))
    kernels.health_under(shelf.book, scenario, out)
    there = exact.moved(at, moves)
    needed = exact.requirement(row, there)
    margin = exact.assets(row, there) - needed
    if needed > 0:
        scale = (
            sum(abs(a) * there[f] for f, a in zip(row.feeds, row.a, strict=True))
            + abs(row.a0)
            + float(needed)
        )
        assert abs(out[0, 0] - 1.0 - float(margin / needed)) <= 1e-12 * scale / float(needed)


@SETTINGS
@given(price_maps, *[st.fixed_dictionaries({f: st.floats(-0.9, 1.0) for f in FEEDS})] * 2)
def test_compose__two_shocks__equals_one_after_the_other(at, first, then):
    one, two = Shock(name="1", moves=first), Shock(name="2", moves=then)
    both = compose(one, two)
    for feed, p in at.items():
        step = p * (1 + moved(one, feed)) * (1 + moved(two, feed))
        assert p * (1 + moved(both, feed)) == pytest.approx(step, rel=1e-12)
