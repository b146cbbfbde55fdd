"""Perps as rows of the affine book against the formula of one position written out: alone, sharing margin, back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.risk import perp
from keeper.risk.clocks import funding_clock_days

pytestmark = pytest.mark.property

usd = st.floats(0.0, 1e6)
price = st.floats(0.01, 1e5)
size = st.floats(1e-3, 1e4).flatmap(lambda s: st.sampled_from((s, -s)))
rate = st.floats(0.0005, 0.1)


@st.composite
def legs(draw: st.DrawFn, feeds: tuple[str, ...] = ("ETH", "BTC")) -> perp.Leg:
    return perp.Leg(
        feed=draw(st.sampled_from(feeds)),
        size=draw(size),
        entry=draw(price),
        maintenance_rate=draw(rate),
        on_entry=draw(st.booleans()),
        owed_usd=draw(st.floats(-1e3, 1e3)),
        minimum_usd=draw(st.floats(0.0, 50.0)),
        funding_rate=draw(st.floats(-1.0, 1.0)),
        borrow_rate=draw(st.floats(0.0, 1.0)),
    )


margins = st.lists(
    st.builds(perp.Margin, feed=st.sampled_from(("USDC", "ETH")), amount=usd, haircut=st.floats(0.5, 1.0)),
    max_size=3,
)


def by_hand(
    legs_: list[perp.Leg], margin: list[perp.Margin], at: dict[str, float]
) -> tuple[float, float, float]:
    """(equity, requirement, sum of what was added up) of one margin, position by position."""
    equity = needed = size_of = 0.0
    for m in margin:
        equity += m.amount * at[m.feed] * m.haircut
        size_of += m.amount * at[m.feed]
    for leg in legs_:
        mark = at[leg.feed]
        gain = (mark - leg.entry) * leg.size if leg.size > 0 else (leg.entry - mark) * -leg.size
        equity += gain - leg.owed_usd
        needed += abs(leg.size) * (leg.entry if leg.on_entry else mark) * leg.maintenance_rate
        needed += leg.minimum_usd
        size_of += abs(leg.size) * (mark + leg.entry) + abs(leg.owed_usd) + leg.minimum_usd
    return equity, needed, size_of


@settings(max_examples=150)
@given(st.lists(legs(), min_size=1, max_size=4), margins, price, price)
def test_margin__any_cross_account__is_equity_less_requirement(
    legs_: list[perp.Leg], margin: list[perp.Margin], eth: float, btc: float
) -> None:
    at = {"ETH": eth, "BTC": btc, "USDC": 1.0}
    equity, needed, size_of = by_hand(legs_, margin, at)
    assert perp.margin_usd(perp.cross(legs_, margin), at) == pytest.approx(
        equity - needed, abs=1e-9 * size_of
    )


@settings(max_examples=150)
@given(legs(), margins, price)
def test_liquidation_price__one_position__is_where_the_formula_changes_its_sign(
    leg: perp.Leg, margin: list[perp.Margin], now: float
) -> None:
    at = {"ETH": now, "BTC": now, "USDC": 1.0}
    row = perp.isolated(leg, margin)
    found = perp.liquidation_price(row, at, leg.feed)
    if math.isnan(found):
        ends = [by_hand([leg], margin, {**at, leg.feed: p}) for p in (1e-9, 1e9)]
        assert len({e - n > 0 for e, n, _ in ends}) == 1 or perp.weight(row, leg.feed) == 0.0
        return
    equity, needed, size_of = by_hand([leg], margin, {**at, leg.feed: found})
    assert equity == pytest.approx(needed, abs=1e-8 * size_of)
    # a position that stands is liquidated on the side that hurts it
    equity, needed, size_of = by_hand([leg], margin, at)
    if equity - needed > 1e-6 * size_of and not any(m.feed == leg.feed for m in margin):
        assert (found < now) == (leg.size > 0)


@settings(max_examples=100)
@given(st.lists(legs(), min_size=1, max_size=3), margins, price, price)
def test_margin_for_price__what_it_names_is_paid_in__then_that_price_just_liquidates(
    legs_: list[perp.Leg], margin: list[perp.Margin], now: float, wanted: float
) -> None:
    at = {"ETH": now, "BTC": now, "USDC": 1.0}
    feed = legs_[0].feed
    missing = perp.margin_for_price(perp.cross(legs_, margin), at, feed, wanted)
    _, _, size_of = by_hand(legs_, margin, {**at, feed: wanted})
    # margin that no price moves: a feed of its own at one dollar, or owed where it is taken out
    paid = perp.cross(
        [perp.Leg(feed=feed, size=0.0, entry=0.0, maintenance_rate=0.0, owed_usd=-missing), *legs_], margin
    )
    assert perp.margin_usd(paid, {**at, feed: wanted}) == pytest.approx(
        0.0, abs=1e-9 * (size_of + abs(missing))
    )


@settings(max_examples=100)
@given(legs(), price)
def test_carry__rates_of_a_year__are_paid_day_by_day_until_the_margin_is_gone(
    leg: perp.Leg, now: float
) -> None:
    at = {leg.feed: now, "USDC": 1.0}
    row = perp.isolated(leg, (perp.Margin(feed="USDC", amount=abs(leg.size) * (now + leg.entry)),))
    over = perp.margin_usd(row, at)
    a_day = perp.carry_usd_day((leg,), at)
    assert a_day * 365.0 == pytest.approx(
        abs(leg.size) * now * leg.funding_rate + abs(leg.size) * now * leg.borrow_rate, rel=1e-9, abs=1e-9
    )
    days = funding_clock_days(over, a_day)
    if over > 0.0 and (a_day <= 0.0 or math.isinf(over / a_day)):
        assert days == math.inf
    elif over > 0.0:
        assert over - days * a_day == pytest.approx(0.0, abs=1e-9 * over)


def test_cross__a_hedged_pair__needs_both_legs_moved_to_be_liquidated() -> None:
    pair = [
        perp.Leg(feed="ETH", size=2.0, entry=2000.0, maintenance_rate=0.01),
        perp.Leg(feed="ETH", size=-2.0, entry=2000.0, maintenance_rate=0.01),
    ]
    cash = (perp.Margin(feed="USDC", amount=500.0),)
    at = {"ETH": 2000.0, "USDC": 1.0}
    # only the requirement grows with the price: nothing below, far above
    assert perp.liquidation_price(perp.cross(pair, cash), at, "ETH") == pytest.approx(500.0 / 0.04)
    one = perp.liquidation_price(perp.isolated(pair[0], cash), at, "ETH")
    other = perp.liquidation_price(perp.isolated(pair[1], cash), at, "ETH")
    assert one == pytest.approx((4000.0 - 500.0) / 1.98)
    assert other == pytest.approx((4000.0 + 500.0) / 2.02)


def test_unknown_price__is_never_a_margin() -> None:
    leg = perp.Leg(feed="ETH", size=1.0, entry=2000.0, maintenance_rate=0.01)
    row = perp.isolated(leg, ())
    assert math.isnan(perp.margin_usd(row, {}))
    assert math.isnan(perp.liquidation_price(row, {}, "ETH"))
    assert math.isnan(perp.carry_usd_day((leg,), {}))
