"""Two hundred SIGKILLs of a real worker on a real node: nothing doubled, nothing missed, resumed at once."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.ground import ground
from tests.chaos.kill9 import KILLS_A_UNIT, kills, warm

MANY = 200


@pytest.mark.anvil
def test_kill_9__when_at_points_and_at_random__then_each_action_happens_once(anvil_binary: None) -> None:
    counts: Counter[str] = Counter()
    with ground(seed=1) as on:
        warm(on)
        for _ in range(MANY // KILLS_A_UNIT):
            found = kills(on, KILLS_A_UNIT)
            assert found.failure == ""
            counts.update(found.counts)
    print(dict(counts))
    assert counts["kills"] == MANY
    assert counts["actions"] > 30
    assert counts["waited_for"] == MANY // KILLS_A_UNIT
