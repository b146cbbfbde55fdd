"""Two real daemons on one simulated chain, in small: the first is killed, nothing is missed, nothing done twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.sim.pair import RESCUED_BLOCKS, night
from tests.chaos.sim.quiet import hushed
from tests.chaos.sim.standby import BUGS, caught

pytestmark = pytest.mark.scenario
SHOWN_IN = {
    "number_ignored": range(10, 11),
    "margin_ignored": range(4, 5),
    "does_not_wait": range(1),
    "never_steps_in": range(1, 2),
}
"""Planted mistake -> seeds in which it shows; the same nights are good without it."""


@pytest.fixture(autouse=True)
def _hushed() -> Iterator[None]:
    with hushed():
        yield


def test_standby__when_the_first_machine_is_killed_in_its_doors__then_rescued_in_time_and_once() -> None:
    seeds = (1, 2, 4, 10, 18)
    nights = [night(seed)[0] for seed in seeds]
    assert [n.violations for n in nights if n.violations] == []
    assert sum(n.deaths for n in nights) == len(seeds)
    assert sum(n.acts_second for n in nights) > 2
    assert max(n.slowest_blocks for n in nights) <= RESCUED_BLOCKS
    # what lay in the pool while the second machine acted is refused by its number
    assert sum(n.reverted.get("WrongSeq", 0) for n in nights) > 0


def test_night__when_lived_through_again__then_its_trace_is_the_same() -> None:
    assert night(7)[0].trace_hash == night(7)[0].trace_hash


@pytest.mark.parametrize("name", BUGS)
def test_standby__when_a_mistake_is_planted__then_a_night_shows_it(name: str) -> None:
    found = caught(name, SHOWN_IN[name])
    assert found is not None
    assert (found.missed > 0) == (name == "never_steps_in")


def test_double_act__when_the_executor_asks_for_no_number__then_it_is_counted() -> None:
    found = night(23, lenient=True)[0]
    assert found.doubled == 1
    assert "act 2" in found.violations[0]
