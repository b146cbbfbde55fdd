"""What endpoints and heads tell of themselves, said to people: log, journal, alarms."""

from __future__ import annotations

import structlog

from keeper.chain.endpoint import EndpointEvent, Kind
from keeper.chain.line import HeadEvent
from keeper.config import ChainSettings
from keeper.errors import Broken
from keeper.journal.write import Journal
from keeper.model import Entry
from keeper.seams import Alarm, Severity

OVER = (Kind.DOWN, Kind.LAGGING, Kind.RATE_LIMITED, Kind.WRONG_CHAIN)
"""What ends when an endpoint is well."""
_log = structlog.get_logger("keeper")


def tell_endpoint(event: EndpointEvent, chain: str, alarms: Alarm) -> None:
    """An endpoint fell, came back, lags or is of another chain."""
    well = event.kind in (Kind.UP, Kind.RECOVERED)
    tell = _log.info if well else _log.warning
    tell("endpoint", chain=chain, name=event.name, kind=event.kind, why=event.why)
    if well:
        for over in OVER:
            alarms.clear(f"endpoint_{over}", event.name)
        return
    loud = Severity.CRITICAL if event.kind is Kind.WRONG_CHAIN else Severity.WARNING
    alarms.raise_alarm(loud, f"endpoint_{event.kind}", event.name, event.why)


def tell_head(event: HeadEvent, chain: ChainSettings, journal: Journal) -> None:
    """A gap, a reorganisation, a line that died: into the log and the journal."""
    _log.info("head", chain=chain.name, kind=event.kind, why=event.why, depth=event.depth)
    entry = Entry(
        kind="head",
        chain_id=chain.chain_id,
        block_number=event.block_number or 0,
        subject=chain.name,
        why=f"{event.kind}: {event.why}",
    )
    try:
        journal.record(entry)
    except Broken as e:
        # a journal that cannot be written stops acting, in the next tick; heads must go on coming
        _log.error("head not journaled", chain=chain.name, why=str(e))
