"""A perpetual position as GMX v2 read it, sailed: its numbers at once, along a path, and after a part is closed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from keeper.decision.memory import Memory
from keeper.model import Amount, Perp, ReducePerp, SideProfit, Token
from keeper.replay import levels, live_perps, paper_perp, perp_trips
from keeper.replay.bars import Bars
from keeper.replay.market import Market
from keeper.replay.paths import EVERY, Paths, project
from keeper.replay.perps import YEAR_S, PerpAccount, PerpVessel
from keeper.units import WAD
from keeper.venues.gmx_v2 import encode
from strategies.registry import resolve
from tests import perps

pytestmark = pytest.mark.unit
USD = perps.USD
ETHER = Token(chain_id=1, address="0x" + "55" * 20, symbol="WETH", decimals=18)


def paths(*prices: float) -> Paths:
    """Ether by the hour, a dollar beside it."""
    p = np.array(prices)[:, None]
    bars = Bars(
        path="eth",
        symbols=("ETH/USDT",),
        times_s=3_600.0 * np.arange(1, len(prices) + 1),
        step_s=3_600.0,
        open=p,
        high=p,
        low=p,
        close=p,
        live=np.ones_like(p, np.bool_),
        notes=(),
    )
    return project(bars, ("WETH", "USDC"), ("close",), {"*": EVERY}, ())


def account(perp: Perp, *, by_price: bool = False) -> PerpAccount:
    found, left = live_perps.accounts([("one", perps.position(perp))], by_price=by_price)
    assert left == ()
    return found[0]


def sunk_at(perp: Perp, *prices: float) -> float | None:
    """The price at which its venue takes it, nobody acting; None where it never does."""
    vessel = PerpVessel(account(perp), paths(*prices), None)
    log = perp_trips.trip(vessel, ("nobody", perp_trips.Nobody()), Market())
    return next((prices[int(e.time_s // 3_600) - 1] for e in log.events if e.what == "liquidated"), None)


@pytest.mark.parametrize(
    ("long", "way", "takes"),
    # 2,000 of margin less 12 for closing is 100, half a per cent of the size, where ten ether moved by 188.8
    [(True, (2_000, 2_300, 1_812, 1_811), 1_811), (False, (2_000, 1_700, 2_188, 2_189), 2_189)],
)
def test_side__of_a_position__is_the_one_whose_fall_or_rise_liquidates_it(
    long: bool, way: tuple[float, ...], takes: float
) -> None:
    assert sunk_at(perps.perp(2_000, long), *way[:-1]) is None
    assert sunk_at(perps.perp(2_000, long), *way) == takes


def test_margin__in_the_index_itself__falls_with_it() -> None:
    ether = replace(
        perps.perp(2_000),
        collateral=ETHER,
        margin=10**18,
        collateral_price=2_000 * 10**12,
        collateral_mid=2_000 * 10**12,
        stable=False,
    )
    # eleven ether less the 20,000 that ten were bought for: 11 p = 20,112 with need and closing
    assert sunk_at(ether, 2_000, 1_829) is None
    assert sunk_at(ether, 2_000, 1_829, 1_828) == 1_828


@pytest.mark.parametrize("long", [True, False])
def test_start__whatever_its_venue_charges__is_what_the_venue_says_remains_and_needs(long: bool) -> None:
    bare = perps.perp(2_050, long)
    charged = replace(
        bare,
        # bid and ask a dollar apart, an impact of 30, three dollars of borrowing, margin at 99.9 cents
        index_mid=bare.index_price + (10**12 if long else -(10**12)),
        collateral_price=999 * 10**21,
        owed=3 * 10**6,
        impact_usd=-30 * USD,
        remaining_usd=bare.remaining_usd - (30 + 2 + 3) * USD + 3 * 10**27,
    )
    vessel = PerpVessel(account(charged), paths(2_050, 2_050), None)
    assert vessel.equity(0, 1)[0] == pytest.approx(charged.remaining_usd / USD, rel=1e-12)
    assert vessel.need(0, 1)[0] == pytest.approx(charged.need_usd / USD, rel=1e-12)
    # closed whole, what was counted as gone is there again, and what is owed is not
    vessel.cut(1.0, 0.0)
    worth = 1_997 * 0.999 + (500 + 10 if long else -500 + 10)
    assert vessel.worth_usd() == pytest.approx(worth, rel=1e-12)


def test_need__of_a_small_rest__is_the_least_collateral_of_its_venue() -> None:
    vessel = PerpVessel(account(replace(perps.perp(2_000), minimum_usd=60 * USD)), paths(2_000, 2_000), None)
    vessel.cut(0.3, 0.0)
    assert vessel.need(0, 1)[0] == pytest.approx(70.0)
    vessel.cut(0.9, 0.0)
    assert vessel.need(0, 1)[0] == pytest.approx(60.0)


@pytest.mark.parametrize("long", [True, False])
def test_health_by_price__along_a_path__is_the_venue_s_own_number(long: bool) -> None:
    way = (2_000.0, 2_100.0, 1_960.0, 2_171.0, 1_815.0)
    vessel = PerpVessel(account(perps.perp(2_000, long), by_price=True), paths(*way), None)
    venue = [(perps.position(perps.perp(int(p), long)).health_wad or 0) / WAD for p in way]
    assert vessel.healths(0, len(way)).tolist() == pytest.approx(venue, rel=1e-9)
    plain = PerpVessel(account(perps.perp(2_000, long)), paths(*way), None).healths(0, len(way))
    # two measures, one line
    assert ((plain < 1.0) == (vessel.healths(0, len(way)) < 1.0)).all()


@pytest.mark.parametrize("long", [True, False])
@pytest.mark.parametrize("by_price", [True, False])
def test_reduction__as_the_paper_foresees_it__is_what_the_vessel_becomes(long: bool, by_price: bool) -> None:
    at = account(perps.perp(2_000, long), by_price=by_price)
    vessel = PerpVessel(at, paths(2_000, 1_950 if long else 2_050), None)
    vessel.sail(1)
    venue = paper_perp.PaperPerps(at, 500_000)
    seen = paper_perp.position_of(vessel, venue, 1)
    assert (seen.health_wad or 0) / WAD == pytest.approx(vessel.health(), rel=1e-8)
    assert seen.perp is not None
    step = ReducePerp(
        amount=Amount(token=seen.perp.index, units=1),
        size_usd=seen.perp.size_usd // 4,
        worst_price=0,
        fee_wei=0,
    )
    foreseen = (venue.after((step,), seen).health_wad or 0) / WAD
    before = float(vessel.equity(1, 2)[0])
    cost = vessel.cut(0.25, at.close_fee)
    assert vessel.health() == pytest.approx(foreseen, rel=1e-6)
    # what closing takes was gone already: it is not taken twice
    assert cost == pytest.approx(5_000.0 * 0.0006, rel=0.03)
    assert vessel.equity(1, 2)[0] == pytest.approx(before, abs=0.1)


@pytest.mark.parametrize("long", [True, False])
def test_levels__of_the_venue_s_own_measure__are_kept_by_the_rooms_and_by_the_threshold(long: bool) -> None:
    way = [2_000.0 + (-4.0 if long else 4.0) * n for n in range(40)]
    at = account(perps.perp(2_000, long), by_price=True)
    policy = replace(levels.plain(1.05, 1.07), strategies=("reduce_perp",))
    ours = perp_trips.Ours(policy, resolve(("reduce_perp",)), paper_perp.PaperPerps(at, 500_000))
    for guard in (ours, perp_trips.Threshold(line=1.05, target=1.07)):
        log = perp_trips.trip(PerpVessel(at, paths(*way), None), ("it", guard), Market())
        first = next(e for e in log.events if e.what == "act")
        # decided below 1.05, and landed one bar of 4 dollars later
        assert 1.045 < first.health_before < 1.05
        assert first.health_after == pytest.approx(1.07, abs=0.004)
        assert not any(e.what == "liquidated" for e in log.events)
    assert ours.memory != Memory()


@pytest.mark.parametrize("long", [True, False])
@pytest.mark.parametrize(("by_price", "target"), [(True, 1.12), (False, 30.0)])
def test_threshold__of_either_measure__closes_exactly_what_reaches_target(
    long: bool, by_price: bool, target: float
) -> None:
    vessel = PerpVessel(account(perps.perp(2_000, long), by_price=by_price), paths(2_000, 2_000), None)
    order = perp_trips.Threshold(line=1.0, target=target).plan(vessel, Market())
    assert isinstance(order, perp_trips.Reduction)
    done = order.land(vessel, Market())
    assert vessel.health() == pytest.approx(target, rel=1e-9)
    assert done.cost == pytest.approx(done.sold * 0.0006)
    assert 0 < done.sold < 20_000


@pytest.mark.parametrize("long", [True, False])
def test_rates__that_were_read__are_paid_by_either_side_day_by_day(long: bool) -> None:
    side = SideProfit(won_usd=0, pool_usd=1, factor_adl=0, carry_year=USD // 2)
    vessel = PerpVessel(account(replace(perps.perp(2_000, long), side=side)), paths(*[2_000.0] * 25), None)
    start = float(vessel.equity(0, 1)[0])
    vessel.sail(24)
    due = 20_000 * 0.5 * 24 * 3_600 / YEAR_S
    assert vessel.funding_usd == pytest.approx(due)
    assert vessel.equity(24, 25)[0] == pytest.approx(start - due)


@pytest.mark.parametrize(
    ("long", "price", "ends", "lost"),
    # 12 of closing, and 0.3 % of what it was worth: at most what is left, and nobody is paid for what is not
    [
        (True, 1_811, 110 - 12 - 54.33, 12 + 54.33),
        (True, 1_803, 0.0, 30.0),
        (True, 1_800.6, 0.0, 6.0),
        (True, 1_700, 0.0, 0.0),
        (False, 2_189, 110 - 12 - 65.67, 12 + 65.67),
        (False, 2_300, 0.0, 0.0),
    ],
)
def test_liquidated__at_any_price__then_equity_is_what_its_venue_leaves_and_lost_what_it_took(
    long: bool, price: float, ends: float, lost: float
) -> None:
    vessel = PerpVessel(account(perps.perp(2_000, long)), paths(2_000, price, price), None)
    log = perp_trips.trip(vessel, ("nobody", perp_trips.Nobody()), Market())
    assert log.liquidations
    assert (log.equity_usd, log.lost_usd) == (pytest.approx(ends, abs=1e-6), pytest.approx(lost, abs=1e-6))


@pytest.mark.parametrize(
    ("long", "price", "margin", "target", "share"),
    # by hand, shares of the size: the profit of what is closed leaves, a loss comes out of the margin
    [
        (True, 2_100, 2_000, 1.20, 0.363),
        (False, 1_900, 2_000, 1.20, 0.314),
        (False, 1_800, 3_000, 1.40, 0.436),
        (True, 1_850, 2_000, 1.07, 0.676),
    ],
)
def test_part__closed_in_profit_or_loss__then_all_keepers_size_it_as_the_venue_counts_it(
    long: bool, price: int, margin: int, target: float, share: float
) -> None:
    read = perps.perp(price, long, margin)
    at = account(read, by_price=True)
    vessel, venue = PerpVessel(at, paths(price, price), None), paper_perp.PaperPerps(at, 500_000)
    policy = replace(levels.plain(target - 0.005, target), strategies=("reduce_perp",))
    asked = perp_trips.Ours(policy, resolve(policy.strategies), venue).plan(vessel, Market())
    order = perp_trips.Threshold(line=target, target=target).plan(vessel, Market())
    assert isinstance(order, perp_trips.Reduction)
    assert isinstance(asked, perp_trips.Reduction)
    assert order.share == pytest.approx(share, abs=6e-4)
    assert asked.share == pytest.approx(order.share, rel=1e-5)
    left = encode.after_reduction(read, round(order.share * 20_000) * USD)
    assert left is not None
    assert (perps.position(left).health_wad or 0) / WAD == pytest.approx(target, abs=2e-4)
    before = vessel.worth_usd()
    order.land(vessel, Market())
    assert vessel.health() == pytest.approx(target, rel=1e-9)
    assert vessel.equity(0, 1)[0] == pytest.approx(left.remaining_usd / USD, abs=2.0)
    # what left is the owner's: only the fee's difference between the price and entry is gone
    assert vessel.worth_usd() == pytest.approx(before, abs=1.0)
    assert vessel.out_usd == pytest.approx(max(0, order.share * read.won_usd / USD))


def test_part__of_a_book__then_its_profit_stays_in_the_margin() -> None:
    vessel = PerpVessel(replace(account(perps.perp(2_100)), pays_out=False), paths(2_100, 2_100), None)
    vessel.cut(0.5, 0.0)
    # half of what closing takes counts again
    assert vessel.equity(0, 1)[0] == pytest.approx(2_988 + 6)
    assert vessel.out_usd == 0.0


def test_fee__of_a_part__is_the_venue_s_with_its_impact() -> None:
    dear = replace(perps.perp(2_000), fee_factor=10**27, closing_usd=-40 * USD)
    assert account(dear).close_fee == pytest.approx(0.001 + 40 / 20_000)


def test_orders__that_wait_on_the_venue__are_said() -> None:
    assert account(perps.perp(2_000)).note == ""
    at = account(replace(perps.perp(2_000), orders=(perps.order(5, resting=True),)))
    said = perp_trips.notes([PerpVessel(at, paths(2_000, 2_000), None)], counted=False)
    assert said[2:] == [f"one: {live_perps.WAITS}"]
    assert "no funding is counted" in said[0]
