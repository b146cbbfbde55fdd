"""assess: levels from the protocol's integer, agreement of both healths, and every degenerate book."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from keeper.model import WHOLE_BPS_AVERAGE, BookRow, Level, Shock, Unreadable
from keeper.risk.outlook import assess, level_of
from keeper.units import UINT256_MAX, WAD
from tests.unit.risk.risk_positions import Held, identity, lending, policy, prices

pytestmark = pytest.mark.unit

ETH = Held(symbol="ETH", tokens=10.0, price=2000.0, threshold=0.8)
DAI = Held(symbol="DAI", tokens=10_000.0, price=1.0)
NOW = prices(ETH, DAI)
POLICIES = {identity(): policy()}


def one(position, at=NOW, shocks=(), policies=POLICIES):
    return assess([position], [], at, shocks, policies)[0]


def test_level__at_each_threshold__is_strict():
    p = policy(warn=1.5, trigger=1.3, emergency=1.1)
    assert level_of(p.warn_wad, p) is Level.SAFE
    assert level_of(p.warn_wad - 1, p) is Level.WATCH
    assert level_of(p.trigger_wad, p) is Level.WATCH
    assert level_of(p.trigger_wad - 1, p) is Level.ACT
    assert level_of(p.emergency_wad, p) is Level.ACT
    assert level_of(p.emergency_wad - 1, p) is Level.URGENT
    assert level_of(0, p) is Level.URGENT
    assert level_of(UINT256_MAX, p) is Level.SAFE
    assert level_of(None, p) is Level.UNKNOWN


def test_assess__plain_loan__gives_health_margin_distance_leverage():
    seen = one(lending([ETH], [DAI]))
    assert seen.health == pytest.approx(1.6, rel=1e-12)
    assert seen.margin_usd == pytest.approx(6000.0, rel=1e-12)
    assert seen.leverage == pytest.approx(2.0)
    assert seen.level is Level.SAFE
    assert seen.why == ""
    roots = {x.feed: x for x in seen.distance}
    assert roots["ETH"].price == pytest.approx(1250.0, rel=1e-12)
    assert roots["ETH"].distance == pytest.approx(-0.375, rel=1e-12)
    assert roots["DAI"].price == pytest.approx(1.6, rel=1e-12)
    assert [x.feed for x in seen.distance] == ["ETH", "DAI"], "nearest first"


def test_assess__shocks__report_in_order_and_first_that_liquidates():
    shocks = (
        Shock(name="-10", moves={"ETH": -0.1}),
        Shock(name="-40", moves={"ETH": -0.4}),
        Shock(name="-30", moves={"ETH": -0.3}),
        Shock(name="all -50", moves={"*": -0.5}),
        Shock(name="ETH gone", moves={"ETH": -1.0}),
    )
    seen = one(lending([ETH], [DAI]), shocks=shocks)
    assert [n for n, _ in seen.health_under] == [s.name for s in shocks]
    assert [h for _, h in seen.health_under] == pytest.approx([1.44, 0.96, 1.12, 1.6, 0.0])
    assert seen.nearest_shock == "-40"


def test_assess__several__keeps_order_and_appends_unreadable():
    a, b = lending([ETH], [DAI]), lending([ETH], [DAI], name="0xB")
    lost = Unreadable(id=identity("0xC"), why="feed is stale", since_block=7)
    seen = assess([a, b], [lost], NOW, [], {a.id: policy(), b.id: policy(warn=9, trigger=8, emergency=7)})
    assert [o.id.account for o in seen] == ["0xA", "0xB", "0xC"]
    assert [o.level for o in seen] == [Level.SAFE, Level.URGENT, Level.UNKNOWN]
    assert seen[2].why == "feed is stale"
    assert seen[2].health is None


def test_assess__nothing__is_empty():
    assert assess([], [], {}, [], {}) == ()
    assert assess([], [], {}, [Shock(name="x", moves={"*": -0.1})], {}) == ()


def test_assess__no_debt__is_safe_without_number():
    seen = one(lending([ETH], []))
    assert (seen.level, seen.health, seen.distance) == (Level.SAFE, None, ())
    assert seen.leverage == 1.0


def test_assess__no_debt_and_no_policy__is_safe():
    assert one(lending([ETH], []), policies={}).level is Level.SAFE


def test_assess__debt_and_no_policy__is_unknown():
    seen = one(lending([ETH], [DAI]), policies={})
    assert (seen.level, seen.why) == (Level.UNKNOWN, "no policy covers this position")


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, None])
@pytest.mark.parametrize("feed", ["ETH", "DAI"])
def test_assess__price_that_is_none__is_unknown(feed, bad):
    at = {**NOW, feed: bad} if bad is not None else {f: p for f, p in NOW.items() if f != feed}
    shocks = [Shock(name="x", moves={feed: -0.5})]
    seen = one(lending([ETH], [DAI]), at=at, shocks=shocks)
    assert seen.level is Level.UNKNOWN
    assert feed in seen.why
    assert (seen.health, seen.distance, seen.health_under, seen.nearest_shock) == (None, (), (), None)


def test_assess__price_that_nothing_depends_on__may_be_missing():
    off = Held(symbol="OFF", tokens=5.0, price=1.0, threshold=0.0)
    assert one(lending([ETH, off], [DAI])).level is Level.SAFE


@pytest.mark.parametrize(
    "row",
    [
        BookRow(feeds=("ETH",), a=(1.0, 2.0), b=(0.0,)),
        BookRow(feeds=("ETH",), a=(math.nan,), b=(0.0,)),
        BookRow(feeds=("ETH",), a=(math.inf,), b=(0.0,)),
        BookRow(feeds=("ETH",), a=(1.0,), b=(-1.0,)),
        BookRow(feeds=("ETH",), a=(1.0,), b=(0.0,), b0=-1.0),
        BookRow(feeds=("ETH",), a=(1.0,), b=(0.0,), a0=math.nan),
        BookRow(feeds=("ETH",), a=(1e308,), b=(1.0,)),
    ],
)
@pytest.mark.parametrize("health_wad", [None, 5 * WAD, UINT256_MAX])
def test_assess__row_that_is_no_row__is_unknown(row, health_wad):
    seen = one(replace(lending([ETH], [DAI], health_wad=health_wad), row=row))
    assert seen.level is Level.UNKNOWN
    assert seen.why


@pytest.mark.parametrize("factor", [1.0 + 2e-6, 1.0 - 2e-6, 0.5, 2.0])
def test_assess__healths_that_differ__is_unknown(factor):
    honest = lending([ETH], [DAI])
    seen = one(replace(honest, health_wad=int(honest.health_wad * factor)))
    assert seen.level is Level.UNKNOWN
    assert "by the protocol" in seen.why


def test_assess__healths_within_the_bound__agree():
    honest = lending([ETH], [DAI])
    assert one(replace(honest, health_wad=int(honest.health_wad * (1 + 5e-7)))).level is Level.SAFE


def test_assess__protocol_says_no_debt_but_row_owes__is_unknown():
    assert one(lending([ETH], [DAI], health_wad=UINT256_MAX)).level is Level.UNKNOWN


def test_assess__protocol_health_but_row_owes_nothing__is_unknown():
    position = lending([ETH], [DAI])
    bare = replace(position, row=BookRow(feeds=("ETH",), a=(8.0,), b=(0.0,)))
    assert one(bare).level is Level.UNKNOWN


def test_assess__negative_protocol_health__is_unknown():
    assert one(lending([ETH], [DAI], health_wad=-1)).level is Level.UNKNOWN


def test_assess__dust_debt__goes_by_the_protocol_alone():
    dust = Held(symbol="DAI", tokens=1e-9, price=1.0)
    small = Held(symbol="ETH", tokens=1e-12, price=2000.0, threshold=0.8)
    assert one(lending([small], [dust], health_wad=UINT256_MAX)).level is Level.SAFE
    assert one(lending([small], [dust], health_wad=WAD)).level is Level.URGENT


def test_assess__no_collateral__is_urgent_at_zero():
    seen = one(lending([], [DAI]))
    assert (seen.level, seen.health, seen.leverage) == (Level.URGENT, 0.0, None)


def test_assess__venue_without_health__takes_the_core_rounded_down():
    at_trigger = lending([ETH], [Held(symbol="DAI", tokens=16_000 / 1.3, price=1.0)], health_wad=None)
    assert one(at_trigger).level is Level.ACT, "a float equal to the trigger is not above it"
    assert one(lending([ETH], [DAI], health_wad=None)).level is Level.SAFE
    assert one(replace(lending([ETH], [], health_wad=None))).level is Level.SAFE
    assert one(lending([], [], health_wad=None)).level is Level.UNKNOWN, "nothing was read"


def test_assess__perp_in_the_red_with_no_requirement__is_urgent():
    broke = replace(
        lending([], [], health_wad=None), row=BookRow(feeds=("ETH",), a=(-1.0,), b=(0.0,), a0=100.0)
    )
    seen = one(broke)
    assert (seen.level, seen.health) == (Level.URGENT, 0.0)


def test_assess__short_perp__has_its_liquidation_price_above():
    # 10 ETH short from 2,100, margin 5,000, maintenance 1 %: p* = (5000 + 21000) / (10 * 1.01)
    row = BookRow(feeds=("ETH",), a=(-10.0,), b=(0.1,), a0=5000.0 + 21_000.0)
    seen = one(replace(lending([], [], health_wad=None), row=row))
    assert seen.distance[0].price == pytest.approx(26_000 / 10.1, rel=1e-12)
    assert seen.distance[0].distance > 0


@pytest.mark.parametrize("x", [-1.5, math.nan, math.inf])
def test_assess__shock_that_is_none__reads_zero_and_says_so(x):
    bad = Shock(name="bad", moves={"ETH": x})
    seen = one(lending([ETH], [DAI]), shocks=[bad, Shock(name="-60", moves={"ETH": -0.6})])
    assert seen.health_under[0] == ("bad", 0.0)
    assert "bad" in seen.why
    assert seen.nearest_shock == "-60"
    assert seen.level is Level.SAFE


def test_assess__three_hundred_entries_on_one_feed__merge():
    row = BookRow(feeds=("ETH",) * 300 + ("DAI",), a=(0.1,) * 300 + (0.0,), b=(0.0,) * 300 + (10_000.0,))
    seen = one(replace(lending([ETH], [DAI], health_wad=None), row=row))
    assert seen.health == pytest.approx(6.0, rel=1e-12)
    assert len(seen.distance) == 2


def test_assess__three_hundred_positions_on_one_factor__each_has_its_own():
    held = [replace(ETH, tokens=float(n)) for n in range(1, 301)]
    book = [lending([h], [DAI], name=f"0x{n}") for n, h in enumerate(held)]
    seen = assess(book, [], NOW, [], {p.id: policy() for p in book})
    assert [o.health for o in seen] == pytest.approx([1600.0 * n / 10_000 for n in range(1, 301)])


def test_assess__same_asset_both_sides__has_no_price_on_it():
    same = lending(
        [Held(symbol="ETH", tokens=10.0, price=2000.0, threshold=0.8)],
        [Held(symbol="ETH", tokens=8.0, price=2000.0)],
    )
    seen = one(same)
    assert seen.health == pytest.approx(1.0)
    assert seen.distance == ()


def test_assess__whole_bps_average__never_reads_healthier_than_the_chain():
    btc = Held(symbol="BTC", tokens=0.37, price=60_000.0, threshold=0.75)
    position = lending([ETH, btc], [DAI])
    exact = position.health_wad / WAD
    average = (16_000 + 0.75 * 22_200) / 42_200
    floored = int(math.floor(average * 1e4) / 1e4 * 42_200 / 10_000 * WAD)
    at = prices(ETH, btc, DAI)
    flagged = replace(position, health_wad=floored, row=replace(position.row, flags=(WHOLE_BPS_AVERAGE,)))
    seen = one(flagged, at=at, shocks=[Shock(name="none", moves={})])
    assert exact > floored / WAD
    assert seen.health == pytest.approx(floored / WAD, rel=1e-15)
    assert seen.level is Level.SAFE
    assert seen.health_under[0][1] <= floored / WAD
    unflagged = replace(position, health_wad=floored)
    assert one(unflagged, at=at).level is Level.UNKNOWN
