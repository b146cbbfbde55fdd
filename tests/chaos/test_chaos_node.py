"""Reorganisations and races on a real node, in small."""

from __future__ import annotations

import pytest

from anvil.tools import ToolMissing, find_anvil
from tests.chaos.ground import ground
from tests.chaos.race import races
from tests.chaos.reorg import storm
from tests.chaos.sim.bugs import BUGS

pytestmark = pytest.mark.anvil


@pytest.fixture(autouse=True)
def _anvil() -> None:
    try:
        find_anvil()
    except ToolMissing as missing:
        pytest.skip(str(missing))


def test_reorganisation__when_ten_come_with_planted_transactions__then_journal_equals_chain() -> None:
    with ground(seed=3, history=True) as on:
        found = storm(on, 10)
    assert found.failure == ""
    assert found.counts["reorganisations"] == 10
    assert on.first > 3


def test_reorganisation__when_it_is_not_noticed__then_the_comparison_says_so() -> None:
    with BUGS["one_confirmation_is_final"](), ground(seed=3, history=True) as on:
        # one is enough as a rule; which actions meet a reorganisation depends on how fast a node answers
        assert any(storm(on, 10).failure for _ in range(3))


def test_two_workers__when_started_on_one_journal__then_one_goes_and_nothing_is_doubled() -> None:
    with ground(seed=4) as on:
        found = races(on, 3)
    assert found.failure == ""
    assert found.counts["races"] == 3
