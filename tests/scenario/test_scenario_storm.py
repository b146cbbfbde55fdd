"""Thresholds that follow the market's movement: wider in a storm, bounded, never looser, and kept over a restart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from keeper import exits
from keeper.decision import Memory, Options, decide
from keeper.decision.standing import marks_of, newly_marked, standing_all
from keeper.decision.storm import pulses_after, times
from keeper.model import Policy, Position
from keeper.units import WAD
from tests import build
from tests.build import USDC, WETH, collateral, debt, position, repriced
from tests.fakes import LendingDouble
from tests.scenario.test_scenario_exits_by_price import restarted

pytestmark = pytest.mark.scenario
VENUE = LendingDouble()
PLAIN = build.policy(target="1.40")
WIDENS = replace(PLAIN, storm_times_max=2.0)
HOUR_S = 3_600


def hours(policy: Policy, moves_pct: list[float], every_s: int = HOUR_S) -> tuple[list[Policy], int]:
    """The policy as it stood after each move, in a process that starts anew; and how often anything was kept."""
    found, memory, price = position([collateral(WETH, "10")], [debt(USDC, "8000")]), Memory(), 2_000.0
    stood, kept = list[Policy](), 0
    for i, move in enumerate(moves_pct):
        price *= 1 + move / 100
        found = repriced(found, {"WETH": f"{price:.2f}"})
        block = replace(build.block(100 + i), timestamp_s=1_700_000_000 + i * every_s)
        snapshot = build.snapshot([found], at=block)
        policies = standing_all({found.id: policy}, memory.rows(), snapshot, (found.id,))
        before = marks_of(memory.rows())
        options = Options(venues={VENUE.id: VENUE}, strategies=())
        _, after = decide(snapshot, [build.outlook(found)], policies, memory, options)
        kept += len(newly_marked(before, after.rows()))
        memory = restarted(after)
        stood.append(policies[found.id])
    return stood, kept


def swings(pct: float, count: int) -> list[float]:
    """Up and down again, so that the price stays where it is."""
    return [pct if i % 2 else -pct for i in range(count)]


def test_storm__when_the_market_moves_more_than_usual__then_all_thresholds_rise_by_as_much_and_say_so() -> (
    None
):
    stood, _ = hours(WIDENS, swings(1.3, 40))
    assert stood[23].moved == (), "before a day is seen nothing is known"
    now = stood[-1]
    # 1.3 % an hour is 122 % a year, 1.52 times the ordinary 80 %: 0.17 from emergency to trigger become 0.2586
    added = now.trigger_wad - PLAIN.trigger_wad
    assert added / WAD == pytest.approx(0.17 * 0.522, abs=0.002)
    levels = [(now.warn_wad, PLAIN.warn_wad), (now.target_wad, PLAIN.target_wad)]
    levels += [(now.max_health_wad, PLAIN.max_health_wad)]
    assert {after - before for after, before in levels} == {added}
    assert now.emergency_wad == PLAIN.emergency_wad
    assert now.moved[0].startswith("trigger 1.25 -> 1.339, target 1.40 -> 1.489 for 1.5 times"), now.moved


def test_storm__when_it_is_wilder_than_the_owner_allows__then_bounded() -> None:
    looks = [x for move in swings(6.0, 40) for x in (move, *5 * [0.0])]
    stood, _ = hours(WIDENS, looks, every_s=600)
    assert stood[-1].trigger_wad == PLAIN.trigger_wad + (PLAIN.trigger_wad - PLAIN.emergency_wad)


def test_storm__when_it_is_over__then_back_to_what_was_configured_and_never_below() -> None:
    stood, _ = hours(WIDENS, swings(1.3, 40) + swings(0.05, 200))
    assert stood[40].trigger_wad > PLAIN.trigger_wad
    assert stood[-1].trigger_wad == PLAIN.trigger_wad
    assert min(p.trigger_wad for p in stood) == PLAIN.trigger_wad


def test_storm__when_blocks_come_every_12_s__then_sampled_and_written_by_the_hour() -> None:
    stood, kept = hours(WIDENS, swings(0.3, 650), every_s=12)
    assert kept == 3
    assert stood[-1].trigger_wad == PLAIN.trigger_wad
    assert [p.samples for p in stood[-1].pulses] == [2, 2]


def test_storm__when_nobody_looked_for_days__then_what_was_before_is_forgotten() -> None:
    stood, _ = hours(WIDENS, swings(6.0, 30), every_s=80 * HOUR_S)
    assert {p.samples for p in stood[-1].pulses} == {0}


CALM = position([collateral(WETH, "10")], [debt(USDC, "8000")])
FALLEN = repriced(CALM, {"WETH": "1500"})


def measured(shown: Sequence[Position], every_s: int = 600) -> list[float]:
    """The market's movement after each look, in ordinary ones."""
    kept, found = pulses_after((), CALM, 0), list[float]()
    for i, at in enumerate(shown):
        kept = pulses_after(kept, at, (i + 1) * every_s)
        found.append(times(CALM, kept))
    return found


def test_storm__when_one_look_is_false__then_it_is_no_storm() -> None:
    # among so many looks is that in the minute of the hour's sample
    for hit in range(200, 207):
        shown = [CALM] * 260
        shown[hit] = FALLEN
        assert max(measured(shown)[-60:]) < 0.1, hit


def test_storm__when_a_fall_is_seen_again__then_it_counts_minutes_later() -> None:
    found = measured([CALM] * 150 + [FALLEN] * 30)
    raised = next(i for i, x in enumerate(found) if x > 1.0 and i > 24 * 6)
    assert 150 < raised <= 150 + 7, "within the hour and one look"


def test_storm__when_the_price_is_not_agreed__then_it_is_no_sample() -> None:
    flagged = replace(CALM, row=replace(CALM.row, flags=(*CALM.row.flags, exits.ALONE)))
    kept = pulses_after((), CALM, 0)
    assert pulses_after(kept, flagged, 2 * HOUR_S) == kept
    assert pulses_after(kept, CALM, 2 * HOUR_S) != kept
