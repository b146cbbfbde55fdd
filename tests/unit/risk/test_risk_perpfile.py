"""Perps in a book file: shared margins, the requirement at entry, rates, ADL, and what an owner's legs are worth."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest

from keeper.cli.risk import joint_said, joint_views
from keeper.errors import ConfigError
from keeper.model import Shock, SideProfit
from keeper.risk import adl, legs, perp
from keeper.risk.bookfile import parse
from keeper.risk.legs import joint_usd
from keeper.risk.portfolio import distances, shock
from keeper.venues.gmx_v2 import forms
from tests import hedged

pytestmark = pytest.mark.unit

LOAN: dict[str, Any] = {
    "name": "loan",
    "owner": "me",
    "lending": {
        "collateral": [{"asset": "ETH", "amount": 10, "threshold": 0.83}],
        "debt": [{"asset": "USDC", "amount": 12_000}],
    },
}
HEDGE: dict[str, Any] = {
    "name": "hedge",
    "owner": "me",
    "perp": {
        "index": "ETH",
        "size": -5,
        "entry": 2100,
        "maintenance_rate": 0.01,
        "maintenance_on": "entry",
        "funding_rate": 0.1,
        "borrow_rate": 0.265,
        "margin": [{"asset": "USDC", "amount": 2000}],
        "adl": {"by": "gmx_v2", "pool_usd": 1e8, "pnl_usd": 4e7, "pnl_factor_max": 0.45},
    },
}
CROSS: dict[str, Any] = {
    "name": "pair",
    "cross": {
        "legs": [
            {
                "index": "ETH",
                "size": 2,
                "entry": 1900,
                "maintenance_rate": 0.01,
                "adl": {"by": "hyperliquid"},
            },
            {"index": "BTC", "size": -0.1, "entry": 40_000, "maintenance_rate": 0.02},
        ],
        "margin": [{"asset": "USDC", "amount": 500}],
        "funding_usd_day": 10,
    },
}


def document(*positions: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(
        {"prices": {"ETH": 2000.0, "BTC": 40_000.0, "USDC": 1.0}, "positions": list(positions)}
    )


def test_parse__perps_of_every_form__are_their_rows() -> None:
    book = parse(document(LOAN, HEDGE, CROSS))
    assert book.owners == ("me", "me", "")
    _, hedge, pair = distances(book, 7.0)
    assert hedge.health == pytest.approx((2000 + 500) / 105)
    assert hedge.prices[0].price == pytest.approx((2000 + 10_500 - 105) / 5)
    # 36.5 % of the 10,000 USD notional a year
    assert hedge.days == pytest.approx((2500 - 105) / 10.0)
    assert pair.health == pytest.approx((500 + 200) / (40 + 80))
    assert pair.days == pytest.approx(58.0)
    assert {p.feed for p in pair.prices} == {"ETH", "BTC"}


def test_shock__loan_and_hedge__stand_in_one_grid_and_their_owner_is_worth_both() -> None:
    book = parse(document(LOAN, HEDGE, CROSS))
    shocks = [Shock(name="now", moves={}), Shock(name="down", moves={"ETH": -0.3})]
    now, down = shock(book, shocks)
    assert list(now.health[:2]) == pytest.approx([16_600 / 12_000, 2500 / 105])
    assert list(down.health[:2]) == pytest.approx([11_620 / 12_000, 5500 / 105])
    worth = joint_usd(book, shocks)
    assert list(worth) == ["me"]
    assert list(worth["me"]) == pytest.approx([8_000 + 2_500, 2_000 + 5_500])


def test_joint__a_leg_that_cannot_be_told__makes_the_whole_unknown() -> None:
    book = parse(document(LOAN, HEDGE))
    lost = type(book)(
        names=book.names, rows=book.rows, prices={"USDC": 1.0}, symbols=book.symbols, owners=book.owners
    )
    assert math.isnan(joint_usd(lost, [Shock(name="now", moves={})])["me"][0])


def test_equity__of_a_gmx_position__is_what_remains_and_moves_with_the_price() -> None:
    for long in (True, False):
        found = hedged.perp(2000, eth=5.0, entry=2100.0, margin_usd=2_000.0, long=long)
        # the builder reckons a short: a long has won the opposite
        remaining = found.remaining_usd if not long else 2_000 * 10**30 - found.won_usd
        fake = replace(found, remaining_usd=remaining)
        both = forms.holdings(fake, ("index", "margin"))
        held = replace(hedged.short(fake), collateral=both[0], debt=both[1])
        row = legs.equity(held)
        assert row is not None
        sign = 5.0 if long else -5.0
        for price in (2000.0, 1500.0, 2500.0):
            there = legs.worth_usd(row, (), {"index": price, "margin": 1.0})
            assert there == pytest.approx(2_000.0 + sign * (price - 2100.0), abs=1e-6)
    assert legs.equity(hedged.short(None)) is None


def test_adl__of_a_file__by_each_venues_rule() -> None:
    book = parse(document(HEDGE, CROSS))
    (one, gmx), (other, hyper) = book.adl
    assert (one, other) == ("hedge", "pair")
    assert gmx.value == pytest.approx(1 - 0.4 / 0.45)
    assert gmx.winning
    assert not gmx.enabled
    # (mark / entry) x (notional / account value), the account being worth 500 + 200
    assert hyper.value == pytest.approx(2000 / 1900 * 4000 / 700)
    assert "index" in hyper.said


@pytest.mark.parametrize(
    ("pnl", "entry", "enabled", "said"),
    [
        (5e7, 2100.0, True, "enabled now"),
        (5e7, 1900.0, False, "not winning"),
        (4e7, 2100.0, False, "11 %"),
    ],
)
def test_adl__gmx__closes_winners_above_the_pools_limit_alone(
    pnl: float, entry: float, enabled: bool, said: str
) -> None:
    leg = perp.Leg(feed="ETH", size=-5.0, entry=entry, maintenance_rate=0.01)
    found = adl.gmx_v2(leg, 2000.0, (1e8, pnl, 0.45))
    assert found.enabled is enabled
    assert said in found.said


def test_adl__gmx__a_pool_that_is_not_known__may_close_a_winner() -> None:
    leg = perp.Leg(feed="ETH", size=-5.0, entry=2100.0, maintenance_rate=0.01)
    found = adl.gmx_v2(leg, 2000.0, (0.0, 1.0, 0.45))
    assert found.enabled
    assert "cannot be told" in found.said


def test_parse__wrong_perps__are_named_all_at_once() -> None:
    bad = document(LOAN, HEDGE, CROSS)
    _, hedge, pair = bad["positions"]
    hedge["perp"] |= {"maintenance_on": "moon", "funding_usd_day": 3, "adl": {"by": "nobody"}, "owner": 1}
    pair["cross"]["legs"][0]["adl"] = {"by": "gmx_v2", "pool_usd": "x", "much": 1}
    pair["cross"]["legs"][1] = {"index": "BTC"}
    bad["positions"].append({"name": "none", "cross": {"legs": [], "margin": []}})
    with pytest.raises(ConfigError) as refused:
        parse(bad)
    told = "\n".join(refused.value.problems)
    for words in (
        "positions[1].perp.maintenance_on = 'moon'",
        "positions[1].perp: funding_usd_day and rates a year",
        "positions[1].perp.adl.by = 'nobody'",
        "positions[1].perp: unknown key owner",
        "positions[2].cross.legs[0].adl: lacks pnl_usd",
        "positions[2].cross.legs[0].adl: unknown key much",
        "positions[2].cross.legs[0].adl.pool_usd = 'x'",
        "positions[2].cross.legs[1]: lacks size",
        "positions[3].cross.legs: needs at least one position",
    ):
        assert words in told, told


def test_joint_views__of_owners_of_several_legs__are_worth_now_and_under_the_worst_shock() -> None:
    (view,) = joint_views(parse(document(LOAN, HEDGE)))
    assert (view["owner"], view["legs"]) == ("me", [LOAN["name"], HEDGE["name"]])
    assert view["worth_usd"] == pytest.approx(8_000 + 2_500)
    assert isinstance(view["worst_usd"], float)
    assert view["worst_usd"] < 8_000
    assert "worth 10,500 USD now" in joint_said(view)
    lost = {**view, "worth_usd": None}
    assert "not known" in joint_said(lost)


def test_adl__of_a_guarded_position__is_near_when_little_of_the_way_is_left() -> None:
    found = hedged.perp(1700)
    usd = 10**30
    for won, near, enabled in (
        (400, False, False),
        (700, True, False),
        (900, True, True),
        (-50, False, False),
    ):
        side = SideProfit(won_usd=won * usd, pool_usd=1_000 * usd, factor_adl=85 * usd // 100)
        one = adl.of_position(hedged.short(replace(found, side=side)))
        assert one is not None
        assert (one.near, one.enabled) == (near, enabled)
    assert adl.of_position(hedged.short(found)) is None
    losing = replace(
        hedged.perp(2300), side=SideProfit(won_usd=900 * usd, pool_usd=1_000 * usd, factor_adl=usd // 2)
    )
    told = adl.of_position(hedged.short(losing))
    assert told is not None
    assert not told.near
