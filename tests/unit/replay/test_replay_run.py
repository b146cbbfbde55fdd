"""The paper market and the keepers in it: one fall, numbers that can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keeper.daemon import stops
from keeper.replay import compare, fleet, market, paths, run, seizure
from keeper.replay.fleet import Account, Lot
from keeper.replay.ours import REVERT_WINDOW_BLOCKS, REVERTS_MAX, Ours, photograph
from keeper.replay.vessel import Vessel
from tests.unit.replay.replay_everywhere import everywhere, screened

pytestmark = pytest.mark.unit

CALM = market.Weather(calm_gwei=10.0, storm_gwei=10.0, storm_delay_s=24.0)
DEEP = market.Market(weather=CALM, depth_usd={"*": 1e15}, pool_fee=0.0, bonus={"*": 0.05}, eth_usd=2_000.0)


def account(debt: float = 60.0, threshold: float = 0.8) -> Account:
    return Account(
        name="one",
        collateral=(Lot(asset="ETH", value=100_000.0, threshold=threshold),),
        debt=(Lot(asset="USDC", value=debt * 1_000.0),),
    )


def path(levels: list[float], step_s: float = 60.0) -> paths.Paths:
    said = np.array([levels, [1.0] * len(levels)])
    return paths.Paths(
        assets=("ETH", "USDC"),
        row=np.array([0, 1]),
        said=said,
        market=said.copy(),
        bar=np.arange(len(levels)),
        times_s=step_s * np.arange(len(levels)),
        step_s=step_s,
        usd=np.array([2_000.0, 1.0]),
        held=(),
        notes=(),
    )


def sailed(keeper: str, levels: list[float], shop: market.Market = DEEP, debt: float = 60.0) -> run.Trip:
    crew = fleet.Fleet(path="", unit="USD", accounts=(account(debt),))
    moved = path(levels)
    make = compare.makes([keeper], compare.plain_policy(1.15, 1.30), crew.assets, shop)[keeper]
    return run.voyage(crew, moved, make, shop).trips[0]


FALL = [1.0, 0.95, 0.90, 0.85, 0.80, 0.76, 0.72, 0.70]
STEPS = [1.0, 0.95, 0.90, 0.85, 0.85, 0.80, 0.80, 0.76, 0.76, 0.72, 0.72, 0.70]
"""The same fall; after each step from 0.85 on it waits for a moment, in which what was ordered lands."""


def test_nobody__when_health_falls_below_1__then_half_is_taken_with_the_bonus() -> None:
    # health 0.8 x 100 x p / 60: below 1 at p < 0.75, first at 0.72, above 0.95 there: half of the debt
    trip = sailed("nobody", FALL)
    assert trip.liquidations == 1
    (event,) = trip.events
    assert event.usd == pytest.approx(30_000.0)
    assert trip.lost_usd == pytest.approx(1_500.0)
    assert trip.lowest == pytest.approx(0.8 * 72.0 / 60.0)
    # collateral left: 72,000 - 31,500, then to 0.70
    assert trip.end == pytest.approx(0.8 * 40_500.0 * 0.70 / 0.72 / 30_000.0)


@pytest.mark.parametrize("keeper", ["threshold", "ours"])
def test_keeper__when_the_trigger_is_crossed__then_target_is_restored_a_moment_later(keeper: str) -> None:
    trip = sailed(keeper, STEPS)
    assert trip.liquidations == 0
    acts = [e for e in trip.events if e.what == "act"]
    assert acts
    # 0.8 x 85 / 60 = 1.133 < 1.15 at moment 3, lands at moment 4
    assert acts[0].time_s == 240.0
    assert acts[0].health_before == pytest.approx(0.8 * 85.0 / 60.0)
    # ours sizes for the worst price it allows, half a per cent dearer than quoted
    assert 1.30 - 1e-9 <= acts[0].health_after <= 1.305
    assert trip.lost_usd == 0.0


def test_threshold__when_it_sells__then_the_service_fee_is_the_whole_cost_in_a_deep_market() -> None:
    trip = sailed("threshold", STEPS)
    sold = sum(e.usd for e in trip.events)
    # published: 0.25 % of a swap of unlike assets, and 0.05 % of the action; gas from the position
    assert trip.cost_usd == pytest.approx(0.0030 * sold, rel=1e-6)


def test_ours__when_the_market_is_thin__then_it_pays_no_more_than_threshold_at_the_same_target() -> None:
    thin = market.Market(weather=CALM, depth_usd={"*": 200_000.0})
    ours, other = sailed("ours", STEPS, thin), sailed("threshold", STEPS, thin)
    assert ours.liquidations == other.liquidations == 0
    assert 0.0 < ours.cost_usd < other.cost_usd


def test_any_keeper__when_one_step_takes_it_below_1__then_liquidators_come_first() -> None:
    for name in ("threshold", "ours", "ladder"):
        trip = sailed(name, [1.0, 0.74, 0.74, 0.74])
        assert trip.events[0].what == "liquidated", name


def test_keeper__when_price_crosses_while_it_is_under_way__then_liquidators_come_first() -> None:
    trip = sailed("ours", [1.0, 0.85, 0.72, 0.72])
    assert trip.events[0].what == "liquidated"


@pytest.mark.parametrize("keeper", ["threshold", "cdp_keeper", "ladder", "ours"])
def test_order__when_two_futures_share_a_past__then_it_is_the_same_order(keeper: str) -> None:
    past = [1.0, 0.95, 0.90, 0.85, 0.77]
    made = compare.makes([keeper], compare.plain_policy(1.15, 1.30), ("ETH", "USDC"), DEEP)[keeper]
    orders = []
    for future in ([0.77, 0.77], [0.5, 0.1], [3.0, 9.0]):
        vessel = Vessel(account(), path([*past, *future]), 1.0)
        vessel.at = len(past) - 1
        orders.append(made(vessel).plan(vessel, DEEP))
    told = [{n: getattr(o, n) for n in o.__slots__ if n not in ("ended", "keeper", "venue")} for o in orders]
    assert told[0] == told[1] == told[2]


def test_ours__when_the_price_falls_on_until_it_lands__then_it_reverts_is_paid_for_and_is_planned_again() -> (
    None
):
    # seen at 0.85; a third of a per cent is within the half that its limit allows, and its target is missed
    for falls_to, says in ((0.847, "TargetMissed"), (0.84, "SellLimit")):
        trip = sailed("ours", [1.0, 0.95, 0.90, 0.85, falls_to, falls_to, falls_to])
        failed, act = trip.events
        assert (failed.what, failed.time_s, failed.usd) == ("failed", 240.0, 0.0)
        assert says in failed.why
        # 10 gwei x 500,000 gas x 2,000 dollars, of which an early revert burns half
        burnt = {"TargetMissed": 1.0, "SellLimit": 0.49}[says]
        assert failed.cost_usd == pytest.approx(10.0 * falls_to * burnt)
        assert trip.gas_usd == pytest.approx(10.0 * falls_to * (1.0 + burnt))
        # planned anew from what was seen where it failed, and landed a moment later at the same prices
        assert (act.what, act.time_s) == ("act", 300.0)
        assert 1.30 - 1e-9 <= act.health_after <= 1.305


@pytest.mark.parametrize("falls_to", [0.85, 0.847, 0.84, 0.833])
def test_ours__when_it_leads_the_price_by_two_per_cent__then_a_fall_of_so_much_does_not_undo_it(
    falls_to: float,
) -> None:
    policy = replace(compare.plain_policy(1.15, 1.30), lead_bps=200)
    crew = fleet.Fleet(path="", unit="USD", accounts=(account(),))
    make = compare.makes(["ours"], policy, crew.assets, DEEP)["ours"]
    trip = run.voyage(crew, path([1.0, 0.95, 0.90, 0.85, falls_to, falls_to]), make, DEEP).trips[0]
    (act,) = trip.events
    assert (act.what, act.time_s) == ("act", 240.0)
    assert 1.30 <= act.health_after <= 1.345


def test_order__when_the_price_rises_until_it_lands__then_its_contract_does_not_take_it() -> None:
    levels = [1.0, 0.95, 0.90, 0.85, 0.88, 0.88]
    ours, other = sailed("ours", levels), sailed("threshold", levels)
    assert ["NotTriggered" in e.why for e in ours.events] == [True]
    assert ours.gas_usd > 0.0
    assert ["not crossed any more" in e.why for e in other.events] == [True]
    # the service pays for what fails
    assert other.gas_usd == 0.0


def test_threshold__when_the_price_moves_until_it_lands__then_the_same_tokens_are_sold_for_what_they_bring() -> (
    None
):
    shop = replace(DEEP, weather=CALM)
    trip = sailed("threshold", [1.0, 0.95, 0.90, 0.85, 0.84, 0.84], shop)
    seen = sailed("threshold", [1.0, 0.95, 0.90, 0.85, 0.85, 0.85], shop)
    first, still = trip.events[0], seen.events[0]
    assert first.usd == pytest.approx(still.usd * 0.84 / 0.85)
    assert first.health_after < still.health_after == pytest.approx(1.30)
    # below its least price, three per cent under the quote
    worse = sailed("threshold", [1.0, 0.95, 0.90, 0.85, 0.82, 0.82], shop)
    assert "least price" in worse.events[0].why


def test_ours__when_liquidators_come_before_it_lands__then_it_meets_what_they_left() -> None:
    trip = sailed("ours", [1.0, 0.85, 0.72, 0.72])
    assert [e.what for e in trip.events[:2]] == ["liquidated", "failed"]
    assert "NotTriggered" in trip.events[1].why or "SellLimit" in trip.events[1].why


def test_ours__when_three_reverted_within_ten_blocks__then_it_waits_as_the_daemon_does() -> None:
    assert (stops.REVERTS_MAX, stops.REVERT_WINDOW_BLOCKS) == (REVERTS_MAX, REVERT_WINDOW_BLOCKS)
    crew = fleet.Fleet(path="", unit="USD", accounts=(account(),))
    levels = [1.0, 0.86, *(0.86 * 0.994**n for n in range(1, 13))]
    make = compare.makes(["ours"], compare.plain_policy(1.15, 1.30), crew.assets, DEEP)["ours"]
    trip = run.voyage(crew, path(levels, 24.0), make, DEEP).trips[0]
    told = [e.why for e in trip.events]
    assert ["reverts where" in w for w in told[:4]] == [True, True, True, False]
    assert told[3] == "3 of its transactions reverted within 10 blocks"
    assert "reverts where" in told[4]


def test_ladder__when_ltv_passes_the_line__then_a_part_is_repaid_for_the_incentive() -> None:
    trip = sailed("ladder", [1.0, 0.78, 0.78])
    act = next(e for e in trip.events if e.what == "act")
    q = (60.0 / (0.8 * 78.0) - 0.95) / 0.05
    repaid = 60_000.0 * (0.05 + q * 0.30)
    assert act.usd == pytest.approx(repaid * (1.01 + q * 0.02), rel=1e-9)
    assert trip.cost_usd == pytest.approx(repaid * (0.01 + q * 0.02), rel=1e-9)


def test_cdp_keeper__when_gas_is_above_its_price__then_it_waits_and_is_liquidated() -> None:
    storm = market.Market(weather=market.Weather(calm_gwei=20.0, to_fall=0.05, storm_delay_s=24.0))
    levels = [1.0, 0.95, 0.90, 0.84, 0.79, 0.73, 0.73]
    trip = sailed("cdp_keeper", levels, storm)
    assert trip.acts == 0
    assert trip.liquidations == 1
    assert any("gas price is below" in e.why for e in trip.events)
    calm = sailed("cdp_keeper", levels, DEEP)
    assert calm.acts >= 1


def test_brings__when_a_pool_is_asked__then_it_is_the_constant_product() -> None:
    shop = market.Market(depth_usd={"ETH": 1e6}, pool_fee=0.0)
    # 1e6 USD are what moves the price by 2 %
    reserves = 1e6 / (1.0 / math.sqrt(0.98) - 1.0)
    assert shop.brings("WETH", 1e6) == pytest.approx(1e6 * reserves / (reserves + 1e6))
    after = (reserves / (reserves + 1e6)) ** 2
    assert after == pytest.approx(0.98)


def test_liquidate__when_nothing_is_left_to_take__then_it_stops() -> None:
    vessel = Vessel(account(debt=95.0), path([0.3, 0.3]), 1.0)
    seized = seizure.liquidate(vessel, DEEP)
    assert vessel.held[0] == pytest.approx(0.0)
    assert vessel.debt_usd() > 0.0
    assert seized[0].taken == pytest.approx(30_000.0)


def test_ours__screened__equals_the_rooms_asked_at_every_moment() -> None:
    """Two accounts, two days of ten-minute prices: kernels that skip the quiet moments change nothing."""
    rng = np.random.default_rng(5)
    levels = np.exp(np.cumsum(rng.normal(-1e-3, 0.006, 250))).tolist()
    policy, told = compare.plain_policy(1.15, 1.30), list[str]()
    for debt in (58.0, 66.0):
        made = compare.makes(["ours"], policy, ("ETH", "USDC"), DEEP)["ours"]
        vessels = [Vessel(account(debt), path(levels, 600.0), 1.0) for _ in range(2)]
        keepers = [made(v) for v in vessels]
        assert isinstance(keepers[0], Ours)
        assert isinstance(keepers[1], Ours)
        slow, asked = everywhere(vessels[1], keepers[1], DEEP)
        assert screened(vessels[0], keepers[0], DEEP) == slow
        assert asked == len(levels) - len({e[0] for e in slow if e[1] == "liquidated"})
        told += [e[1] for e in slow]
    assert told.count("act") >= 3


def test_ours__when_the_day_allows_9000__then_no_more_is_repaid_within_a_day_and_again_after_it() -> None:
    plain = compare.plain_policy(1.15, 1.30)
    policy = replace(plain, caps=replace(plain.caps, per_action_usd=9_000, per_day_usd=9_000))
    crew = fleet.Fleet(path="", unit="USD", accounts=(account(60.0),))
    levels = [1.0, 0.86, *np.linspace(0.85, 0.76, 48).tolist()]
    make = compare.makes(["ours"], policy, crew.assets, DEEP)["ours"]
    hour = run.voyage(crew, path(levels), make, DEEP).trips[0]
    assert hour.acts >= 1
    assert 0.0 < sum(e.repaid_usd for e in hour.events if e.what == "act") <= 9_000.0
    # the same fall over four days: the cap is a day's
    days = run.voyage(crew, path(levels, 7_200.0), make, DEEP).trips[0]
    acts = [(e.time_s, e.repaid_usd) for e in days.events if e.what == "act"]
    assert sum(usd for _, usd in acts) > 9_000.0
    for end, _ in acts:
        assert sum(usd for t, usd in acts if end - 86_400.0 <= t <= end) <= 9_000.0


def test_ours__when_it_looks__then_a_stable_is_a_dollar_and_not_a_token_of_a_thousand() -> None:
    vessel = Vessel(account(), path(FALL), 1.0)
    keeper = compare.makes(["ours"], compare.plain_policy(1.15, 1.30), ("ETH", "USDC"), DEEP)["ours"](vessel)
    assert isinstance(keeper, Ours)
    assert photograph(vessel, DEEP, keeper).prices["USDC"] == 1.0


def test_ours__when_a_pool_is_asked__then_at_the_sizes_that_the_daemon_asks() -> None:
    vessel = Vessel(account(), path(FALL), 1.0)
    keeper = compare.makes(["ours"], compare.plain_policy(1.15, 1.30), ("ETH", "USDC"), DEEP)["ours"](vessel)
    assert isinstance(keeper, Ours)
    snapshot = photograph(vessel, DEEP, keeper)
    (route,), (owed,) = snapshot.means.routes, snapshot.positions[0].debt
    # one sixty-fourth, two, four, then eighths of the debt and 2 % more
    whole = owed.amount.units * 102 // 100
    asked = [bought / whole for bought, _ in route.points]
    assert asked == pytest.approx([1 / 64, 2 / 64, 4 / 64, *(n / 8 for n in range(1, 9))])


def test_fleet__when_a_row_is_wrong__then_named_by_row_and_column(tmp_path: Path) -> None:
    from keeper.errors import ConfigError

    header = 'user,"collateral_[asset,value_eth,liq_threshold]","debt_[asset,value_eth]"'
    good = '0x1,"[[""stETH"", 10.0, 0.83]]","[[""USDC"", 5.0]]"'
    path_ = tmp_path / "accounts.csv"
    for bad, says in (
        (
            '0x2,"[[""stETH"", -1.0, 0.83]]","[[""USDC"", 5.0]]"',
            "is not [asset, value, threshold] with numbers",
        ),
        (
            '0x2,"[[""stETH"", 1.0, 1.3]]","[[""USDC"", 5.0]]"',
            "the threshold 1.3 of stETH is not from 0 to 1",
        ),
        ('0x2,"[[""stETH"", 1.0","[[""USDC"", 5.0]]"', "is not JSON"),
        ('0x1,"[[""stETH"", 1.0, 0.8]]","[[""USDC"", 5.0]]"', "0x1 is there twice (row 2)"),
        (
            '0x2,"[[""stETH"", 1.0, 0.8]]","[[""USDC"", 5.0]]","[[""DAI"", 40000.0]]"',
            "stands beyond the 3 columns of row 1",
        ),
    ):
        path_.write_text("\n".join([header, good, bad]))
        with pytest.raises(ConfigError) as caught:
            fleet.read(path_)
        assert "row 3" in str(caught.value)
        assert says in str(caught.value)
    path_.write_text("user,total\n0x1,3")
    with pytest.raises(ConfigError, match="row 1: has user, total; accounts by asset need user"):
        fleet.read(path_)
    path_.write_text("\n".join([header, good, '0x3,"[[""stETH"", 1.0, 0.8]]","[]"']))
    found = fleet.read(tmp_path)
    assert [a.name for a in found.accounts] == ["0x1"]
    assert found.left_out == (("0x3", "owes nothing"),)
    assert found.unit == "ETH"
    assert [a.venue for a in found.accounts] == [""]
    # by whose rule it is liquidated, where the file says
    path_.write_text("\n".join([f"{header},venue", f"{good},maker"]))
    assert [a.venue for a in fleet.read(path_).accounts] == ["maker"]


def test_fleet__when_one_name_is_of_two_positions__then_refused_with_each_file(tmp_path: Path) -> None:
    from keeper.errors import ConfigError
    from keeper.risk import bookfile

    header = 'user,"collateral_[asset,value_eth,liq_threshold]","debt_[asset,value_eth]"'
    row = '0x1,"[[""stETH"", 1.0, 0.8]]","[[""USDC"", 5.0]]"'
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"{header}\n{row}")
    with pytest.raises(ConfigError, match=r"0x1 is the name of 2 positions \(.*a\.csv, .*b\.csv\)"):
        fleet.read(tmp_path)
    lending = {
        "collateral": [{"asset": "ETH", "amount": 1, "threshold": 0.8}],
        "debt": [{"asset": "USD", "amount": 9}],
    }
    book = {"prices": {"ETH": 2000, "USD": 1}, "positions": [{"name": "me", "lending": lending}] * 2}
    with pytest.raises(ConfigError, match="me is the name of 2 positions"):
        fleet.of_book(bookfile.parse(book), "book.json")
