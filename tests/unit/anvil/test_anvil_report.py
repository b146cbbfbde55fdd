"""The story's table: a cost that is whole, and a race that fails when the keeper is slower than a block."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from anvil import figures
from anvil.demo import Reactions
from anvil.report import Done, Line, Report, Story, keep, proposals, show
from keeper.model import Entry

pytestmark = pytest.mark.unit
WAD = 10**18


def report(*, slowest_s: float = 1.0, idle_usd: float | None = 0.5, gas_used: int = 0) -> Report:
    done = Done(block_number=1, steps=(), gas_used=gas_used, gas_usd=2.0, idle_usd=idle_usd)
    line = Line(
        label="vault",
        start_wad=2 * WAD,
        lowest_wad=WAD + 1,
        end_wad=2 * WAD,
        target_wad=2 * WAD,
        done=(done,),
        liquidated=False,
        twin_lost_usd=1.0,
        twin_liquidated=1,
    )
    return Report(
        story=Story(
            name="crash",
            title="a crash",
            seconds_per_block=12.0,
            evidence="real_bytecode",
            twins="a twin lost its bonus",
        ),
        dry_run=True,
        lines=(line,),
        transactions=0,
        blocks=3,
        slowest_s=slowest_s,
    )


def test_report__when_slower_than_a_block__then_the_story_is_lost() -> None:
    assert report(slowest_s=12.0).ok
    assert not report(slowest_s=12.1).ok


def test_show__when_idle_capital_is_known__then_cost_is_gas_and_idle_even_in_a_dry_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(report(), (), json_out=False)
    shown = capsys.readouterr().out
    assert "cost $ (gas + idle)" in shown
    assert "2.50" in shown
    assert "slowest reaction: 1.00 s" in shown
    show(report(idle_usd=None), (), json_out=False)
    shown = capsys.readouterr().out
    assert "gas $" in shown
    assert "cost $" not in shown
    assert "2.00" in shown


def test_proposals__when_journaled__then_found_by_position_block_and_strategy() -> None:
    one = {"strategy": "repay", "idle_usd": 1.5}
    entry = Entry(
        kind="decision",
        chain_id=1,
        block_number=7,
        subject="p",
        why="",
        data={"chosen": [one], "rejected": []},
    )
    assert proposals((entry,)) == {("p", 7, "repay"): one}


def test_reactions__when_several_blocks__then_the_largest_time_counts() -> None:
    times = iter([0.0, 10.0, 10.5, 20.0, 23.0, 30.0, 31.0])
    reactions = Reactions(lambda: next(times))
    for _ in range(3):
        reactions.mined()
        reactions.idle()
    assert reactions.slowest_s == 3.0


def test_keep__when_the_story_was_live__then_each_largest_step_is_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FIGURES", tmp_path / "build" / "figures.json")
    live = replace(report(), dry_run=False, largest_step={"plain": 0.31, "e-mode loop": 0.047})
    for other in (replace(live, dry_run=True), replace(live, story=replace(live.story, name="another"))):
        keep(other, ())
        assert figures.read() == []
    keep(live, (("chain", 20.0), ("steps", 41.0)))
    kept = {str(f["name"]): (f["value"], f["holds"]) for f in figures.read()}
    assert kept == {
        "demo_kept": (1, True),
        "demo_s": (61.0, False),
        "demo_largest_step_pct_plain": (31.0, None),
        "demo_largest_step_pct_e_mode_loop": (4.7, None),
    }
    keep(replace(live, largest_step={"plain": 0.2}), (("chain", 20.0),))
    kept = {str(f["name"]): (f["value"], f["holds"]) for f in figures.read()}
    assert kept["demo_largest_step_pct_plain"] == (20.0, None)
    assert kept["demo_largest_step_pct_e_mode_loop"] == (4.7, None)
    assert kept["demo_s"] == (20.0, True)


def test_keep__when_the_story_is_of_perpetuals__then_their_own_names_with_what_they_stand_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FIGURES", tmp_path / "build" / "figures.json")
    story = replace(report().story, name="perp", evidence="own_double")
    live = replace(report(), dry_run=False, story=story)
    lost = replace(live.lines[0], liquidated=True, twin_liquidated=0)
    keep(replace(live, lines=(*live.lines, lost)), ())
    kept = {str(f["name"]): (f["value"], f["holds"], f["evidence"]) for f in figures.read()}
    assert kept == {
        "perp_saved": (1, False, "own_double"),
        "perp_twins_liquidated": (1, False, "own_double"),
    }
