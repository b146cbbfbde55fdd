"""Races on a real node, in small."""

from __future__ import annotations

import pytest

from tests.chaos.ground import ground
from tests.chaos.race import races

pytestmark = [pytest.mark.anvil, pytest.mark.usefixtures("anvil_binary")]


def test_two_workers__when_started_on_one_journal__then_one_goes_and_nothing_is_doubled() -> None:
    with ground(seed=4) as on:
        found = races(on, 3)
    assert found.failure == ""
    assert found.counts["races"] == 3
