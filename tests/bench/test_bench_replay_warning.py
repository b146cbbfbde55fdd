"""Do the signs come first: the early-warning score on funding and volatility, over every history there is.

``warning_lead_h_<event>``: hours from the beginning of the warning that stood (or had ended within a week) before the
first fall of 10 % in a day inside the event, -1 where none had, no value where no such fall is known inside it.
``false_alarms_per_year``: warnings that no such fall followed within a week. The rule is the default one (window 30
days, line 1.5, mean of the clipped z-scores of 8-hour funding and of a day's volatility), not fitted to these events.
What chance alone would hit is printed beside it.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from keeper.replay import bars, omens
from tests.bench import replay_events
from tests.bench.figures import record

FUNDING = replay_events.DATA / "perp_funding" / "funding_binance_2019_2026.parquet"
LIQUIDATED = replay_events.DATA / "perp_funding" / "ethusdt_2021-01_minute_bidask_liquidations.parquet"
pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (replay_events.there() and FUNDING.is_file()), reason="no histories beside the repository"
    ),
]


def unmeasured(figure: str, found: omens.Omens, last_s: float) -> None:
    """Record an event inside which no fall is known, without a value: left out it would look forgotten."""
    why = f"no fall of 10 % in a day lies inside, by lows of {found.step_s / 3_600:g} hours"
    if last_s < found.times_s[0]:
        why = f"funding is known from {bars.iso(float(found.times_s[0]))} on, after the event"
    print(f"{figure}: no value: {why}")
    record(figure, None, unit=f"h (no value: {why})", evidence="own_double", n=0)


def test_warning__when_measured_on_history__then_its_lead_and_its_false_alarms_are_told() -> None:
    read = bars.read(replay_events.DATA / "prices" / replay_events.HOURLY, ("ETH/USDT",))
    found = omens.omens(read, 0, omens.funding(FUNDING, "ETH"))
    print("\n".join(found.said()))
    for event in replay_events.EVENTS:
        first, last = bars.moment(event.first), bars.moment(event.last)
        inside = [c for c in found.crashes if first <= found.times_s[c] <= last]
        if not inside:
            unmeasured(f"warning_lead_h_{event.name}", found, last)
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


def test_flush__when_measured_on_history__then_its_lead_and_its_false_alarms_are_told() -> None:
    """``flush_lead_h_<event>`` and ``flush_false_alarms_per_year``: the flush detector by price and funding alone,
    for no history of open interest over the events is there. It says that leverage is being flushed; measured is
    whether more came. With open interest it is stricter, and nothing here measures that."""
    read = bars.read(replay_events.DATA / "prices" / replay_events.HOURLY, ("ETH/USDT",))
    found = omens.flushed(read, 0, omens.funding(FUNDING, "ETH"), None)
    print(f"{found.fared}; by chance {100 * found.covered:.0f} %")
    for event in replay_events.EVENTS:
        first, last = bars.moment(event.first), bars.moment(event.last)
        inside = [c for c in found.crashes if first <= found.times_s[c] <= last]
        if not inside:
            unmeasured(f"flush_lead_h_{event.name}", found, last)
        else:
            lead = found.lead_h(inside[0])
            print(f"{event.name}: fall at {bars.iso(float(found.times_s[inside[0]]))}, lead {lead:g} h")
            value = -1.0 if math.isnan(lead) else lead
            unit = "h (-1: no flush seen before)"
            record(f"flush_lead_h_{event.name}", value, unit=unit, evidence="own_double", n=len(inside))
    alarms = round(found.record.false_alarms_per_year, 1)
    record("flush_false_alarms_per_year", alarms, unit="a year", evidence="own_double", n=len(found.crashes))
    assert found.crashes
    assert 0.0 < found.covered < 1.0


@pytest.mark.skipif(not LIQUIDATED.is_file(), reason="no liquidations beside the repository")
def test_flush__when_held_against_real_liquidations__then_how_many_of_the_largest_it_saw() -> None:
    """``flush_seen_2021_01``: of the eight intervals of January 2021 in which most longs were liquidated on one
    venue, those at whose end the detector (price and funding alone) says that leverage is being flushed."""
    read = bars.read(replay_events.DATA / "prices" / replay_events.HOURLY, ("ETH/USDT",))
    found = omens.flushed(read, 0, omens.funding(FUNDING, "ETH"), None)
    rows = pytest.importorskip("pyarrow.parquet").read_table(LIQUIDATED).to_pydict()
    at, usd = np.array(rows["ts"]), np.array(rows["liq_long_eth"]) * np.array(rows["bid"])
    inside = np.flatnonzero((found.times_s >= at[0]) & (found.times_s <= at[-1]))
    ends = found.times_s[inside]
    taken = np.array([usd[(at > t - found.step_s) & (at <= t)].sum() for t in ends])
    largest = np.argsort(-taken)[:8]
    for k in sorted(largest):
        print(f"{bars.iso(float(ends[k]))}: {taken[k] / 1e6:.0f} m USD, seen {bool(found.stands[inside[k]])}")
    seen = int(found.stands[inside[largest]].sum())
    record("flush_seen_2021_01", seen, unit="of 8", evidence="own_double", n=len(inside))
    assert len(largest) == 8
