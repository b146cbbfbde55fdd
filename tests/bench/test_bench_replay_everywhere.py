"""Five real accounts through a real week of five-minute bars, the rooms asked at every moment: nothing differs.

``replay_everywhere_apart``: accounts whose events differ from the replay's, which asks only where a line is crossed.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench import replay_events
from tests.bench.figures import record
from tests.unit.replay.replay_everywhere import real

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not replay_events.there(), reason="no histories beside the repository"),
]


def test_replay__when_the_rooms_are_asked_at_every_five_minutes_of_a_week__then_events_are_the_same() -> None:
    event = next(e for e in replay_events.EVENTS if e.name == "2022-11")
    found = real(replace(event, first="2022-11-06", last="2022-11-13"), 5)
    record(
        "replay_everywhere_apart",
        len(found.apart),
        unit="accounts",
        bound="0",
        holds=not found.apart,
        evidence=f"own_double, rooms asked {found.asked} times",
        n=found.accounts,
    )
    assert found.asked == 5 * found.moments
    assert found.apart == ()
