"""What must hold of every book: against Fractions, and by the shape of the rule."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.model import WHOLE_BPS_AVERAGE, BookRow, Shock
from keeper.risk import kernels
from keeper.risk.book import build
from keeper.risk.rows import conservative
from keeper.risk.shocks import compose, moved
from tests.unit.risk import risk_reference as exact
from tests.unit.risk.risk_positions import Held, lending

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
@given(st.one_of(lending_rows(), signed_rows()), price_maps, st.sampled_from(FEEDS), amounts)
def test_health__more_collateral__never_lower(row, at, feed, more):
    richer = replace(row, feeds=(*row.feeds, feed), a=(*row.a, more), b=(*row.b, 0.0))
    was, now = health(row, at), health(richer, at)
    turnover = sum(abs(a) * at[f] for f, a in zip(row.feeds, row.a, strict=True)) + abs(row.a0)
    needed = float(exact.requirement(row, at))
    assert now >= was or now >= was - 1e-14 * turnover / needed


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
@given(signed_rows(), price_maps, *[st.fixed_dictionaries({f: st.floats(-0.9, 1.0) for f in FEEDS})] * 2)
def test_health__composed_shock__equals_the_second_after_the_first(row, at, first, then):
    one, two = Shock(name="1", moves=first), Shock(name="2", moves=then)
    both, step = compose(one, two), exact.moved(at, first)
    shelf, afterwards = build([row], at), build([row], step)
    out = np.empty((2, 1, 1))
    for k, (start, shock) in enumerate(((shelf, both), (afterwards, two))):
        prices = [p * (1.0 + moved(shock, f)) for f, p in zip(start.feeds, start.book.prices, strict=True)]
        kernels.health_under(start.book, np.array([prices]), out[k])
    there = exact.moved(step, then)
    needed = float(exact.requirement(row, there))
    if needed > 0:
        turnover = sum(abs(a) * there[f] for f, a in zip(row.feeds, row.a, strict=True)) + abs(row.a0)
        assert abs(out[0, 0, 0] - out[1, 0, 0]) <= 1e-12 * (turnover + needed) / needed


@SETTINGS
@given(
    st.lists(st.tuples(st.floats(0.01, 100.0), st.integers(1, 9500)), min_size=1, max_size=4),
    price_maps,
    st.floats(1.0, 1e6),
)
def test_conservative__floored_average_threshold__never_healthier_than_the_chain(held, at, owed):
    """The chain: C floor(S / C in whole bps) / D, at any prices, exactly."""
    collateral = [
        Held(symbol=f, tokens=tokens, price=1.0, threshold=bps / 10_000)
        for f, (tokens, bps) in zip(FEEDS, held, strict=False)
    ]
    made = lending(collateral, [Held(symbol="USD", tokens=owed, price=1.0)])
    row = conservative(replace(made, row=replace(made.row, flags=(WHOLE_BPS_AVERAGE,))))
    worth = sum((Fraction(h.tokens) * Fraction(at[h.symbol]) for h in collateral), Fraction(0))
    weighted = sum(
        (
            Fraction(h.tokens) * Fraction(at[h.symbol]) * bps
            for h, (_, bps) in zip(collateral, held, strict=False)
        ),
        Fraction(0),
    )
    chain = worth * (weighted // worth) / 10_000 / Fraction(owed)
    found = health(row, {**at, "USD": 1.0})
    assert found <= float(chain) * (1 + 1e-12) + 1e-12
    assert found >= float(chain - 2 * worth / 10_000 / Fraction(owed)) - 1e-9, (
        "and no more than two bps below"
    )


@SETTINGS
@given(price_maps, *[st.fixed_dictionaries({f: st.floats(-0.9, 1.0) for f in FEEDS})] * 2)
def test_compose__two_shocks__equals_one_after_the_other(at, first, then):
    one, two = Shock(name="1", moves=first), Shock(name="2", moves=then)
    both = compose(one, two)
    for feed, p in at.items():
        step = p * (1 + moved(one, feed)) * (1 + moved(two, feed))
        assert p * (1 + moved(both, feed)) == pytest.approx(step, rel=1e-12)
