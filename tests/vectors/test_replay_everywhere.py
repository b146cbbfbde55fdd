"""Five real accounts through a real week: a replay that skips quiet moments is one that asks at every moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench import replay_events
from tests.unit.replay.replay_everywhere import real

pytestmark = [
    pytest.mark.vectors,
    pytest.mark.skipif(not replay_events.there(), reason="no histories beside the repository"),
]


def test_ours__when_five_real_accounts_are_asked_at_every_moment_of_a_week__then_nothing_differs() -> None:
    event = next(e for e in replay_events.EVENTS if e.name == "2022-06")
    found = real(replace(event, first="2022-06-08", last="2022-06-15"), 5)
    assert found.accounts == 5
    assert found.asked == 5 * found.moments
    assert found.apart == ()
