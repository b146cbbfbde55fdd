"""The figures of the two engines say what became of each account, also where it is not what was hoped for."""

from __future__ import annotations

import pytest

from tests.engines.rescue import Story, Tally

pytestmark = pytest.mark.unit

THREE = ("added", "reduced", "twin")
ACTED = {"added": ["add_margin"], "reduced": ["reduce_perp"]}


def figures(*stories: Story) -> dict[str, tuple[object, object, object]]:
    tally = Tally()
    for story in stories:
        tally.add(story, THREE)
    return {str(f["name"]): (f["value"], f["n"], f["holds"]) for f in tally.figures("x")}


def test_figures__when_all_went_well__then_both_hold() -> None:
    good = Story(liquidated={"twin": 3}, acted=ACTED)
    assert figures(good, good) == {"perp_saved_x": (4, 4, True), "perp_twins_liquidated_x": (2, 2, True)}


def test_figures__when_a_twin_stands__then_that_figure_does_not_hold() -> None:
    good, calm = Story(liquidated={"twin": 3}, acted=ACTED), Story(liquidated={}, acted=ACTED)
    assert figures(good, calm)["perp_twins_liquidated_x"] == (1, 2, False)


@pytest.mark.parametrize(
    "story",
    [
        Story(liquidated={"twin": 3, "added": 4}, acted=ACTED),
        Story(liquidated={"twin": 3}, acted={**ACTED, "added": []}),
    ],
    ids=["liquidated", "never acted on"],
)
def test_figures__when_a_guarded_one_is_lost_or_was_left_alone__then_it_is_not_saved(story: Story) -> None:
    assert figures(story)["perp_saved_x"] == (1, 2, False)


def test_figures__of_nothing__hold_nothing() -> None:
    assert {f[2] for f in figures().values()} == {False}
