"""Do the signs come first: the early-warning score on funding and volatility, over every history there is.

``warning_lead_h_<event>``: hours from the beginning of the warning that stood (or had ended within a week) before the
first fall of 10 % in a day inside the event, -1 where none had. ``false_alarms_per_year``: warnings that no such fall
followed within a week. The rule is the default one (window 30 days, line 1.5, mean of the clipped z-scores of 8-hour
funding and of a day's volatility), not fitted to these events. What chance alone would hit is printed beside it.
"""

from __future__ import annotations

import math

import pytest

from keeper.replay import bars, omens
from tests.bench import replay_events
from tests.bench.figures import record

FUNDING = replay_events.DATA / "perp_funding" / "funding_binance_2019_2026.parquet"
pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (replay_events.there() and FUNDING.is_file()), reason="no histories beside the repository"
    ),
]


def test_warning__when_measured_on_history__then_its_lead_and_its_false_alarms_are_told() -> None:
    read = bars.read(replay_events.DATA / "prices" / replay_events.HOURLY, ("ETH/USDT",))
    found = omens.omens(read, 0, omens.funding(FUNDING, "ETH"))
    print("\n".join(found.said()))
    for event in replay_events.EVENTS:
        first, last = bars.moment(event.first), bars.moment(event.last)
        inside = [c for c in found.crashes if first <= found.times_s[c] <= last]
        if not inside:
            continue
        lead = found.lead_h(inside[0])
        print(f"{event.name}: fall at {bars.iso(float(found.times_s[inside[0]]))}, lead {lead:g} h")
        record(
            f"warning_lead_h_{event.name}",
            -1.0 if math.isnan(lead) else lead,
            unit="h (-1: no warning)",
            evidence="own_double",
            n=len(inside),
        )
    record(
        "false_alarms_per_year",
        round(found.record.false_alarms_per_year, 1),
        unit="a year",
        evidence="own_double",
        n=len(found.crashes),
    )
    assert found.crashes
    assert math.isfinite(found.covered)
