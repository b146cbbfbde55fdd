"""Twenty SIGKILLs of a real worker on a real node: nothing doubled, nothing missed, resumed at once."""

from __future__ import annotations

import pytest

from anvil.tools import ToolMissing, find_anvil
from tests.chaos.ground import ground
from tests.chaos.kill9 import kills


@pytest.mark.anvil
def test_kill_9__when_at_points_and_at_random__then_each_action_happens_once() -> None:
    try:
        find_anvil()
    except ToolMissing as missing:
        pytest.skip(str(missing))
    with ground(seed=1) as on:
        found = kills(on, 20)
    assert found.failure == ""
    assert found.counts["kills"] == 20
    assert found.counts["actions"] > 3
