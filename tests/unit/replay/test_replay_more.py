"""What a replay is judged by, and what it leaves: rescues, frontiers, interest, results kept, the report."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from keeper.cli import app, replaying
from keeper.errors import ConfigError
from keeper.replay import bars, compare, fleet, frontier, keep, levels, market, paths, rescue, run, together
from keeper.replay.fleet import Account, Lot
from keeper.replay.page import Shown, Story, health_at, page
from keeper.replay.vessel import Vessel
from keeper.units import wad_float
from tests.unit.replay.test_replay_run import DEEP, FALL, STEPS, account, path

pytestmark = pytest.mark.unit
CREW = fleet.Fleet(path="", unit="USD", accounts=(account(),))
BARS = "ts,symbol,open,high,low,close\n"


def sail(names: list[str], levels_: list[float], shop: market.Market = DEEP) -> dict[str, run.Voyage]:
    moved = path(levels_)
    made = compare.makes(names, compare.plain_policy(1.15, 1.30), CREW.assets, shop)
    return {n: run.voyage(CREW, moved, m, shop) for n, m in made.items()}


def ruled(levels_: list[float], shop: market.Market = DEEP, target: float = 1.30) -> rescue.Rescue:
    moved = path(levels_)
    nobody = sail(["nobody"], levels_, shop)["nobody"]
    (found,) = rescue.rescues(CREW, moved, shop, lambda _: target, nobody)
    return found


def test_rescue__when_one_sale_at_the_last_update_reaches_target__then_rescuable_at_its_cost() -> None:
    # health 0.8 x 100 x p / 60: below 1 first at 0.72, the update before is at 0.76
    found = ruled(FALL)
    assert (found.why, found.moment) == ("", 5)
    # sent at that update it would land at the crossing itself
    assert not found.in_time
    # 10 gwei x 500,000 gas x 2,000 x 0.76 dollars, and nothing else in a deep market without fees
    assert found.cost_usd == pytest.approx(10e-9 * 500_000 * 2_000 * 0.76)
    assert 0.0 < found.bound_usd <= found.cost_usd


def test_rescue__when_it_cannot_be_reached__then_the_reason_is_kept() -> None:
    assert ruled([1.0, 0.99, 0.98]).why == rescue.NEVER
    assert "start" in ruled([0.7, 0.6]).why
    assert "could be included" in ruled([1.0, 0.5, 0.5]).why
    thin = replace(DEEP, depth_usd={"*": 50.0})
    assert "no single sale" in ruled(FALL, thin).why


def test_score__when_ours_leaves_one_that_was_rescuable__then_it_is_named_and_told_apart() -> None:
    sailed = sail(["nobody", "ours"], [1.0, 0.97, 0.94, 0.76, 0.60, 0.60])
    found = rescue.rescues(
        CREW, path([1.0, 0.97, 0.94, 0.76, 0.60, 0.60]), DEEP, lambda _: 1.3, sailed["nobody"]
    )
    told = rescue.score(found, sailed["ours"])
    assert (told.crossing, told.rescuable) == (1, 1)
    assert (told.liquidated, told.failures, told.gaps) == (("one",), 0, 1)


def test_gap__when_health_is_1_over_1_minus_g__then_a_further_fall_of_g_is_survived() -> None:
    vessel = Vessel(account(60.0), path(FALL), 1.0)
    # weighted 80 against 60 at the start: a fall of a quarter; at 0.76 of it 1 - 60/60.8
    assert vessel.gap(0, 0) == pytest.approx(0.25)
    assert vessel.gap(0, 5) == pytest.approx(1.0 - 60.0 / (80.0 * 0.76))


def test_gap__when_debt_moves_with_collateral__then_the_market_cannot_hurt_it() -> None:
    loop = Account(
        name="loop",
        collateral=(Lot(asset="ETH", value=100.0, threshold=0.9),),
        debt=(Lot(asset="ETH", value=90.0),),
    )
    assert Vessel(loop, path(FALL), 1.0).gap(0, 5) == 1.0


def test_interest__when_debt_grows__then_health_falls_by_it_and_prices_do_not() -> None:
    year = replace(path([1.0, 1.0]), times_s=np.array([0.0, paths.YEAR_S]))
    moved = paths.with_interest(year, paths.Rates(borrow={"stable": 0.10}, supply={"eth": 0.02}))
    vessel = Vessel(account(60.0), moved, 1.0)
    assert vessel.health() == pytest.approx(80.0 / 60.0)
    vessel.at = 1
    assert vessel.health() == pytest.approx(80.0 * 1.02 / (60.0 * 1.10))
    assert vessel.said("USDC") == vessel.said("ETH") == 1.0
    vessel.repay(0, vessel.owed_usd(0) / 2.0)
    assert vessel.owed_usd(0) == pytest.approx(33_000.0)


def test_frontier__when_settings_are_compared__then_only_those_that_none_beats() -> None:
    def point(liquidated: int, paid: float, gap: float = 0.1, trigger: float = 1.1) -> frontier.Point:
        return frontier.Point(
            trigger=trigger, target=1.3, liquidated=liquidated, whole_usd=paid, lost_usd=0.0, acts=1, gap=gap,
            gap_median=gap, gap_least=gap,
        )  # fmt: skip

    points = [point(2, 10.0), point(0, 50.0), point(1, 60.0), point(0, 40.0, gap=0.01), point(1, 20.0)]
    assert [(p.liquidated, p.whole_usd) for p in frontier.efficient(points)] == [
        (0, 40.0),
        (1, 20.0),
        (2, 10.0),
    ]
    best = frontier.best(points, 0, 0.05)
    assert best is not None
    assert best.whole_usd == 50.0
    assert frontier.best(points, 0, 0.2) is None


def test_frontier__when_it_is_read_at_a_margin__then_no_more_safety_is_paid_for_than_is_asked() -> None:
    def point(paid: float, gap: float) -> frontier.Point:
        return frontier.Point(
            trigger=1.1, target=1.3, liquidated=0, whole_usd=paid, lost_usd=0.0, acts=1, gap=gap,
            gap_median=gap, gap_least=gap,
        )  # fmt: skip

    points = [point(100.0, 0.02), point(300.0, 0.10), point(900.0, 0.06)]
    # between 2 and 10 %, a quarter and three quarters of the way; what is dear in between is on no hull
    assert frontier.at_margin(points, 0.04) == pytest.approx(150.0)
    assert frontier.at_margin(points, 0.08) == pytest.approx(250.0)
    assert frontier.at_margin(points, 0.01) == 100.0
    assert frontier.at_margin(points, 0.12) == math.inf
    assert frontier.at_margin(points, math.nan) == 100.0
    # a setting that costs less and keeps more is taken as it is
    assert frontier.at_margin([*points, point(50.0, 0.2)], 0.08) == 50.0


def test_walk__when_the_past_chose_wrong__then_it_is_judged_by_what_came_and_not_by_what_it_knew() -> None:
    def point(trigger: float, paid: float) -> frontier.Point:
        return frontier.Point(
            trigger=trigger, target=1.3, liquidated=0, whole_usd=paid, lost_usd=0.0, acts=1, gap=0.1,
            gap_median=0.1, gap_least=0.1,
        )  # fmt: skip

    (fold,) = frontier.walk(
        {"a": (point(1.1, 5.0), point(1.2, 9.0)), "b": (point(1.1, 30.0), point(1.2, 10.0))}
    )
    assert (fold.tested, fold.trained) == ("b", ("a",))
    assert (fold.chosen.trigger, fold.chosen.whole_usd, fold.hindsight.whole_usd) == (1.1, 30.0, 10.0)


def test_levels__when_collateral_and_debt_are_one_asset__then_far_lower_than_against_dollars() -> None:
    loop = Account(
        name="loop",
        collateral=(Lot(asset="stETH", value=100.0, threshold=0.9),),
        debt=(Lot(asset="WETH", value=88.0),),
    )
    near, far = levels.thrifty(loop), levels.thrifty(account())
    assert 1.0 < wad_float(near.emergency_wad) < wad_float(near.trigger_wad) < 1.03
    assert 1.2 < wad_float(far.trigger_wad) < 1.3
    for policy in (near, far):
        assert policy.target_wad >= policy.trigger_wad + policy.hysteresis_wad
        assert policy.max_health_wad > policy.target_wad


def test_levels__when_a_calm_account_owes_dollars_too__then_its_lead_is_of_the_pair_that_moves() -> None:
    mixed = Account(
        name="mixed",
        collateral=(Lot(asset="stETH", value=100.0, threshold=0.83),),
        debt=(Lot(asset="WETH", value=37.0), Lot(asset="USDT", value=35.0), Lot(asset="WBTC", value=1.0)),
    )
    calm, plain = levels.thrifty(mixed), levels.thrifty(account())
    assert calm.trigger_wad < plain.trigger_wad
    # a loop's pair alone hardly moves, dollars against ETH do; a crumb of bitcoin is no pair
    assert calm.lead_bps == plain.lead_bps == 210


def test_kept__when_a_run_is_cut_in_the_middle_of_a_line__then_it_goes_on_and_ends_the_same(
    tmp_path: Path,
) -> None:
    file = tmp_path / "kept.jsonl"
    made = compare.makes(["ours"], compare.plain_policy(1.15, 1.30), CREW.assets, DEEP)["ours"]
    crew = replace(CREW, accounts=tuple(replace(account(d), name=str(d)) for d in (60.0, 65.0, 50.0)))
    first = keep.Kept(file, "run")
    whole = run.voyage(crew, path(FALL), made, DEEP, first.of("ours", lambda _: None))
    first.close()
    lines = file.read_text().splitlines()
    assert len(lines) == 4
    file.write_text("\n".join(lines[:2]) + "\n" + lines[2][:40])
    again = keep.Kept(file, "run")
    assert again.count == 1
    advanced: list[int] = []
    found = run.voyage(crew, path(FALL), made, DEEP, again.of("ours", advanced.append))
    again.close()
    assert sum(advanced) == 3
    assert [keep.body_of(t) for t in found.trips] == [keep.body_of(t) for t in whole.trips]
    assert file.read_text().splitlines() == lines
    with pytest.raises(ConfigError, match="another replay"):
        keep.Kept(file, "other")


def test_page__when_written__then_nothing_comes_from_elsewhere_and_names_are_text() -> None:
    sailed = sail(["nobody", "ours"], FALL)
    story = Story(
        title="<b>Replay</b>",
        said=("one & two",),
        rows=tuple(compare.row(v) for v in sailed.values()),
        paths=path(FALL),
        shown=(Shown(name="<script>", trips=tuple(v.trips[0] for v in sailed.values()), trigger=1.15),),
        assets=("ETH",),
    )
    html = page(story)
    assert not re.search(r"https?:|<script|<link|@import|url\(|src=", html)
    assert "&lt;script&gt;" in html
    assert html.count("<svg") == 3
    assert "liquidated for" in html


def test_page__when_written__then_its_numbers_are_what_the_events_of_the_trips_come_to() -> None:
    # two accounts, of which one is lost to liquidators under each keeper and the other acts, fails and acts again
    levels_ = [1.0, 0.95, 0.90, 0.85, 0.88, 0.84, 0.84, 0.70, 0.70]
    moved = path(levels_)
    crew = replace(CREW, accounts=tuple(replace(account(d), name=f"{d:g}") for d in (60.0, 72.0)))
    thin = replace(DEEP, depth_usd={"*": 1e6}, pool_fee=0.003)
    made = compare.makes(["nobody", "threshold", "ours"], compare.plain_policy(1.15, 1.30), crew.assets, thin)
    sailed = {n: run.voyage(crew, moved, m, thin) for n, m in made.items()}
    shown = tuple(
        Shown(name=t.name, trips=tuple(v.trips[n] for v in sailed.values()), trigger=1.15)
        for n, t in enumerate(sailed["ours"].trips)
    )
    rows = tuple(compare.row(v) for v in sailed.values())
    html = page(Story(title="t", said=(), rows=rows, paths=moved, shown=shown, assets=("ETH",)))
    table = [re.findall(r"<td>(.*?)</td>", line) for line in re.findall(r"<tr>(.*?)</tr>", html)[1:]]
    assert [cells[0] for cells in table] == list(sailed)
    told = {n: [e for t in v.trips for e in t.events] for n, v in sailed.items()}
    assert {e.what for e in told["ours"]} == {"act", "failed", "liquidated"}
    for cells in table:
        by = {w: [e for e in told[cells[0]] if e.what == w] for w in ("act", "failed", "liquidated")}
        lost, saved, cost, gas, whole = (float(cells[n].replace(",", "")) for n in (2, 3, 5, 6, 9))
        assert lost == pytest.approx(sum(e.cost_usd for e in by["liquidated"]), abs=0.5)
        assert saved == pytest.approx(sum(e.cost_usd for e in told["nobody"]) - lost, abs=1.0)
        assert cost + gas == pytest.approx(sum(e.cost_usd for e in by["act"] + by["failed"]), abs=1.0)
        assert whole == pytest.approx(lost + cost + gas, abs=1.5)
        assert [int(cells[n]) for n in (4, 7)] == [len(by["act"]), len(by["failed"])]
        assert int(cells[1]) == sum(t.liquidations > 0 for t in sailed[cells[0]].trips)
        assert float(cells[8]) == pytest.approx(min(t.lowest for t in sailed[cells[0]].trips), abs=5e-4)
    facts = re.findall(r"<p class=small>(nobody: .*?)\. Circles", html)
    assert len(facts) == len(shown)
    for fact, one in zip(facts, shown, strict=True):
        for part, trip in zip(fact.split("; "), one.trips, strict=True):
            usd = [float(x.replace(",", "")) for x in re.findall(r"(?:lost|paid) ([\d,]+)", part)]
            assert usd[0] == pytest.approx(trip.lost_usd, abs=0.5)
            assert usd[1] == pytest.approx(trip.cost_usd + trip.gas_usd, abs=0.5)
            assert f"{trip.acts} acts" in part
    titles = re.findall(r"(\w+) (?:sold|was liquidated for) ([\d,]+) USD, cost ([\d,]+)", html)
    events = [(t.keeper, e) for one in shown for t in one.trips for e in t.events if e.what != "failed"]
    assert titles == [(k, f"{e.usd:,.0f}", f"{e.cost_usd:,.0f}") for k, e in events]


def test_health_at__when_a_course_changes__then_it_is_the_health_that_was() -> None:
    trip = sail(["ours"], FALL)["ours"].trips[0]
    found = health_at(trip, path(FALL), np.arange(len(FALL)))
    assert found[0] == pytest.approx(trip.start)
    assert found[-1] == pytest.approx(trip.end)
    assert np.nanmin(found) >= 1.0


def test_together__when_lengths_differ__then_the_finer_is_gathered(tmp_path: Path) -> None:
    hours = "".join(f"{3_600 * n},ETH/USDT,10,12,9,11\n" for n in range(3, 7))
    halves = "".join(f"{1_800 * n},BTC/USDT,{n},{n + 3},{n - 2},{n + 1}\n" for n in range(6, 14))
    for name, rows in (("a.csv", hours), ("b.csv", halves)):
        (tmp_path / name).write_text(BARS + rows)
    one = together.together([bars.read(tmp_path / "a.csv"), bars.read(tmp_path / "b.csv")])
    assert (one.step_s, one.symbols) == (3_600.0, ("ETH/USDT", "BTC/USDT"))
    # half hours 6 and 7: open 6, high 10, low 4, close 8
    assert [one.field(f)[0, 1] for f in bars.FIELDS] == [6.0, 10.0, 4.0, 8.0]
    with pytest.raises(ConfigError, match=r"ETH/USDT: is in .*a\.csv and .*a\.csv; say with --symbol"):
        together.together([bars.read(tmp_path / "a.csv"), bars.read(tmp_path / "a.csv")])


def test_files__when_two_have_a_symbol__then_the_first_gives_it_and_that_is_said(tmp_path: Path) -> None:
    a, b, c = (tmp_path / f"{n}.csv" for n in "abc")
    a.write_text(BARS + "".join(f"{3_600 * n},ETH/USDT,10,12,9,11\n" for n in range(3, 7)))
    both = (f"{3_600 * n},{s},5,6,4,5\n" for s in ("ETH/USDT", "BTC/USDT") for n in range(3, 7))
    b.write_text(BARS + "".join(both))
    c.write_text(BARS + "".join(f"{3_600 * n},SOL/USDT,5,6,4,5\n" for n in range(3, 7)))
    one = together.of_files([a, b, c], ["BTC/USDT", "ETH/USDT"])
    assert one.symbols == ("ETH/USDT", "BTC/USDT")
    assert one.close[0].tolist() == [11.0, 5.0]
    assert f"ETH/USDT: prices of {a}, named before {b}, which has it too" in one.notes
    assert f"{c}: has none of the symbols asked for, and is not read" in one.notes
    with pytest.raises(ConfigError, match=r"XRP/USDT: in none of .*a\.csv"):
        together.of_files([a, b], ["XRP/USDT"])


@pytest.mark.parametrize(
    ("symbol", "row", "asset"),
    [
        ("LINK/USDT", "{t},LINK/USDT,2.1,2.2,0.0001,1.9", "LINK"),
        ("USDC/USDT", "{t},USDC/USDT,1.0,1.0,0.20,0.999", "USDC"),
    ],
)
def test_glitch__when_one_venue_prints_it__then_no_keeper_acts_and_nobody_is_liquidated(
    tmp_path: Path, symbol: str, row: str, asset: str
) -> None:
    # as they stand in the real histories: LINK at 0.0001 on 2020-03-12, USDC at 0.20 on 2021-12-04
    price = 2.0 if asset == "LINK" else 1.0
    rows = [f"{300 * n},{symbol},{price},{price},{price},{price}" for n in range(1, 12)]
    rows[5] = row.format(t=300 * 6)
    rows[6] = f"{300 * 7},{symbol},{rows[5].split(',')[5]},{price},{0.9 * price},{price}"
    (tmp_path / "glitch.csv").write_text(BARS + "\n".join(rows))
    held = Account(
        name="one",
        collateral=(Lot(asset=asset, value=1_000.0, threshold=0.8),),
        debt=(Lot(asset="DAI", value=550.0),),
    )
    crew = fleet.Fleet(path="", unit="USD", accounts=(held,))
    read = bars.read(tmp_path / "glitch.csv")
    assert any("not taken for an oracle's price" in n for n in read.notes)
    moved = paths.project(read, crew.assets, ("low", "close"), {}, ())
    made = compare.makes(compare.NAMES, compare.plain_policy(1.15, 1.30), crew.assets, market.Market())
    for make in made.values():
        (trip,) = run.voyage(crew, moved, make, market.Market()).trips
        assert trip.events == []
        assert trip.lowest > 1.25


def test_command__when_swept_sampled_and_reported__then_frontier_forward_and_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{300 * n},ETH/USDT,{p},{p},{p},{p}" for n, p in enumerate(np.linspace(2_000.0, 1_300.0, 80), 1)]
    (tmp_path / "eth.csv").write_text(BARS + "\n".join(rows))
    head = 'user,"collateral_[asset,value_usd,liq_threshold]","debt_[asset,value_usd]"\n'
    held = '"[[""WETH"", 100000.0, 0.8]]"'
    (tmp_path / "accounts.csv").write_text(
        head
        + "".join(f'0x{n},{held},"[[""USDC"", {debt}]]"\n' for n, debt in enumerate((50_000.0, 60_000.0)))
    )
    common = ["replay", "--prices", str(tmp_path / "eth.csv"), "--accounts", str(tmp_path / "accounts.csv")]
    sweep = [
        *common, "--sweep", "--keepers", "threshold,ours", "--triggers", "1.1,1.3", "--widths", "0.1",
        "--folds", "2", "--json", "--report", str(tmp_path / "sweep.html"),
    ]  # fmt: skip
    found = CliRunner().invoke(app, sweep)
    assert found.exit_code == 0, found.output
    body = json.loads(found.stdout)["sweep"]
    assert [k["keeper"] for k in body] == ["threshold", "ours"]
    assert all(len(k["points"]) == 2 and k["efficient"] and len(k["forward"]) == 1 for k in body)
    swept = (tmp_path / "sweep.html").read_text()
    assert "<svg" in swept
    assert "the parts before it would have chosen" in swept
    one = [
        *common,
        "--own-levels",
        "--sample",
        "1",
        "--seed",
        "5",
        "--json",
        "--keep",
        str(tmp_path / "k.jsonl"),
    ]
    first, second = (CliRunner().invoke(app, one) for _ in range(2))
    assert first.exit_code == 0, first.output
    assert first.stdout == second.stdout
    said = json.loads(first.stdout)
    assert said["accounts"] == 1
    assert said["rule"]["rescuable"] == 1
    assert not said["rule"]["liquidated"]
    # all of them in one run, unless --keepers says otherwise
    assert [k["keeper"] for k in said["keepers"]] == list(compare.NAMES)
    # of one account at risk the margin is its own
    assert said["margins"] == {k["keeper"]: k["accounts"][0]["gap"] for k in said["keepers"]}
    assert said["margins"]["nobody"] < 0.0 < said["margins"]["ours"]
    # bars of 300 s in two moments: longer than the 24 to 72 s of the market's delay
    assert any("an act lands 150 s after what it saw" in n for n in said["notes"])
    kept = (tmp_path / "k.jsonl").read_text()
    monkeypatch.setattr(keep, "code", lambda: "another version")
    other = CliRunner().invoke(app, one)
    assert isinstance(other.exception, ConfigError)
    assert "or another version" in str(other.exception)
    assert (tmp_path / "k.jsonl").read_text() == kept


def test_coarse__when_a_moment_is_no_longer_than_the_delay__then_nothing_is_noted() -> None:
    assert replaying.coarse(path(FALL, 60.0), DEEP) != []
    assert replaying.coarse(path(FALL, 24.0), DEEP) == []
    assert replaying.coarse(path(FALL, 60.0), market.Market()) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--gas", "5"),
        ("--gas", "9:1"),
        ("--interest", "x:y"),
        ("--triggers", "0.9"),
        ("--keepers", "nobody"),
        ("--policy", "mine"),
        ("--own-levels", ""),
    ],
)
def test_command__when_an_option_is_wrong__then_usage_names_it(
    tmp_path: Path, option: str, value: str
) -> None:
    (tmp_path / "eth.csv").write_text(BARS + "".join(f"{300 * n},ETH/USDT,1,1,1,1\n" for n in range(1, 5)))
    head = 'user,"collateral_[asset,value_usd,liq_threshold]","debt_[asset,value_usd]"\n'
    (tmp_path / "a.csv").write_text(head + '0x1,"[[""WETH"", 100.0, 0.8]]","[[""USDC"", 50.0]]"\n')
    given = [
        "replay",
        "--prices",
        str(tmp_path / "eth.csv"),
        "--accounts",
        str(tmp_path / "a.csv"),
        "--sweep",
    ]
    found = CliRunner().invoke(app, [*given, option, *([value] if value else [])])
    assert found.exit_code == 2
    assert option in found.output


def test_threshold__when_gas_is_dearer_than_a_fifth_of_the_sale__then_the_owner_pays_a_fifth() -> None:
    dear = replace(DEEP, weather=market.Weather(calm_gwei=1e5, storm_gwei=1e5, storm_delay_s=24.0))
    trip = sail(["threshold"], STEPS, dear)["threshold"].trips[0]
    sold = sum(e.usd for e in trip.events)
    assert trip.gas_usd == pytest.approx(0.2 * sold)


def test_brings__when_turned_round__then_takes() -> None:
    shop = market.Market(depth_usd={"*": 1e6}, pool_fee=0.003)
    for level in (1.0, 0.5):
        assert shop.brings("ETH", shop.takes("ETH", 250_000.0, level), level) == pytest.approx(250_000.0)
    assert shop.takes("ETH", 1e12) == math.inf
