"""Stricter lines that count on one chain: looked for by a slow job, remembered so that a restart begins with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import structlog

from keeper.config import VenueSettings
from keeper.daemon.lines import counted, found
from keeper.daemon.wiring import Site
from keeper.journal.read import Queries
from keeper.journal.write import Journal
from keeper.model import Block
from keeper.seams import Alarm, Severity, Venue

_log = structlog.get_logger("keeper")


class Lines:
    """What owners authorised since the start, and whose line counts from then on."""

    def __init__(self, here: Site, journal: Journal, alarms: Alarm) -> None:
        self._here = here
        self._journal = journal
        self._alarms = alarms
        self.named: dict[str, VenueSettings] = dict(here.settings)
        """Venue id -> how a configuration would name it now."""
        self._accounts: dict[str, list[str]] = {}
        for guarded in here.guarded:
            self._accounts.setdefault(guarded.venue_id, []).append(guarded.id.account)

    async def look(self, venues: dict[str, Venue], block: Block) -> None:
        """Exchange in ``venues`` whichever has a new line; what was found before a failure counts and stays.

        Raises Transient, Unwritable.
        """
        for id, accounts in self._accounts.items():
            at = (self._here.endpoints, self._here.camera, block)
            lines, unasked = await found(venues[id], accounts, at)
            self._tell(id, unasked)
            venue, named = await counted(self.named[id], lines, at[1:])
            if venue is None:
                continue
            venues[id], self.named[id] = venue, named
            _log.warning("a stricter line counts", venue=id, lines=named.pre_liquidations)
            why = "a contract that an owner authorised draws a stricter line"
            self._journal.set_control(_key(id), json.dumps(named.pre_liquidations), "keeper", why)

    def _tell(self, id: str, unasked: str) -> None:
        if not unasked:
            self._alarms.clear("permissions_unread", id)
            return
        why = (
            f"whom owners authorised cannot be asked ({unasked}): a PreLiquidation contract that is not named under "
            "pre_liquidations would take a part above the line that counts here"
        )
        self._alarms.raise_alarm(Severity.WARNING, "permissions_unread", id, why)


async def recalled(here: Site, journal: Queries) -> Site:
    """The site with the lines that were found before this start: no log is searched for them. Raises Transient."""
    venues, settings = dict(here.venues), dict(here.settings)
    for id, lines in remembered(journal, settings).items():
        venue, named = await counted(settings[id], lines, (here.camera, here.block))
        if venue is not None:
            venues[id], settings[id] = venue, named
    return replace(here, venues=venues, settings=settings)


def remembered(journal: Queries, settings: Mapping[str, VenueSettings]) -> dict[str, tuple[str, ...]]:
    """Venue id -> lines found there once that the configuration does not name."""
    out: dict[str, tuple[str, ...]] = {}
    for id, of in settings.items():
        kept = journal.control(_key(id))
        named = {line.lower() for line in of.pre_liquidations}
        lines = json.loads(kept.value) if kept is not None and kept.value else []
        if new := tuple(str(line) for line in lines if str(line).lower() not in named):
            out[id] = new
    return out


def _key(id: str) -> str:
    return f"lines:{id}"
