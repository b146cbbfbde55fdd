"""What ``keeper arm`` says of hedges with keys, which are armed apart from rescues."""

from __future__ import annotations

from keeper.config import Settings
from keeper.daemon.hedges import ARMED
from keeper.daemon.hedging import KIND
from keeper.journal.read import Queries


def hedge_lines(settings: Settings, journal: Queries, subjects: dict[str, str]) -> list[str]:
    """A line for each: its key, its caps, and what it last would have done. ``subjects``: label -> position."""
    control = journal.control(ARMED)
    armed = control is not None and control.value == settings.digest
    state = "armed" if armed else "NOT ARMED: `keeper arm --hedge`"
    lines = []
    for key in settings.hedge_keys:
        hedge = next((p.hedge for p in settings.pairs if p.short == key.short), None)
        if hedge is None:
            continue
        told = journal.entries(KIND, subjects.get(key.short, ""), limit=1, newest=True)
        last = told[-1].why if told else "nothing was judged yet"
        caps = f"${hedge.action_usd_max:,} an order, ${hedge.day_usd_max:,} a day, ${hedge.notional_usd_max:,} in all"
        lines.append(f"hedge {key.short} by {key.address}, {caps}: {state}; {last}")
    return lines
