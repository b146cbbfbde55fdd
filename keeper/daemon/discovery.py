"""A guarded account's new, unguarded position: looked for on every market known, by a slow job."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from keeper.config import VenueSettings
from keeper.daemon.camera import Camera
from keeper.daemon.loop import ChainLoop
from keeper.daemon.shadow import ShadowBook
from keeper.daemon.tick import Tick
from keeper.daemon.wiring import Site
from keeper.errors import ConfigError
from keeper.phrases import health_text
from keeper.seams import Alarm, Severity, Venue
from keeper.venues import registry

_log = structlog.get_logger("keeper")


class Discovery:
    """Looks beyond the configuration, with a camera of its own so that ticks keep their batches."""

    def __init__(self, site: Site, alarms: Alarm) -> None:
        self._site = site
        self._alarms = alarms
        self._camera = Camera(site.chain, site.endpoints, None)
        self._beyond: dict[str, Venue] | None = None
        self._found: frozenset[str] = frozenset()

    async def look(self, tick: Tick | None, venues: Mapping[str, Venue]) -> None:
        """Every guarded account on every configured (``venues``, as they are now) and known market.

        At the last block. Raises Transient.
        """
        if tick is None:
            return
        if self._beyond is None:
            self._beyond = await self._known(tick)
        venues = {**self._beyond, **venues}
        accounts = tuple(sorted({g.id.account for g in self._site.guarded}))
        everywhere = dict.fromkeys(venues, accounts)
        snapshot = await self._camera.photograph(venues, everywhere, tick.block, ShadowBook(), {})
        guarded = {g.id for g in self._site.guarded}
        found: set[str] = set()
        for position in snapshot.positions:
            if position.id in guarded or not position.debt:
                continue
            why = (
                f"health {health_text(position.health_wad)}: a guarded account has debt here that no policy "
                "covers; add it to [[positions]] or close it"
            )
            self._alarms.raise_alarm(Severity.WARNING, "unguarded", str(position.id), why)
            found.add(str(position.id))
        # one that cannot be read now is not gone
        unread = {str(u.id) for u in snapshot.unreadable}
        for gone in self._found - found - unread:
            self._alarms.clear("unguarded", gone)
        self._found = frozenset(found | (self._found & unread))
        if self._beyond.keys() & self._camera.stale.keys():
            self._beyond = None

    async def _known(self, tick: Tick) -> dict[str, Venue]:
        """Markets of this chain that the configuration does not name; one that cannot be used is left out."""
        found: dict[str, Venue] = {}
        for settings in registry.known(self._site.chain.chain_id):
            try:
                venue = await self._camera.load(settings, tick.block)
            except ConfigError:
                continue
            if venue.id not in self._site.venues:
                found[venue.id] = venue
        return found


async def reload_changed(loop: ChainLoop, camera: Camera, settings: Mapping[str, VenueSettings]) -> None:
    """Load anew the static facts of every venue whose reading said that they changed. Raises Transient.

    A market that can no longer be used stays as it was: its positions stay UNKNOWN, which is alarmed.
    """
    if loop.last is None:
        return
    alarms = loop.parts.alarms
    for id, why in camera.stale.items():
        try:
            loop.venues[id] = await camera.load(settings[id], loop.last.block)
        except ConfigError as e:
            shown = f"{why}; it cannot be used as it is now: {'; '.join(e.problems)}"
            alarms.raise_alarm(Severity.CRITICAL, "market_changed", id, shown)
            continue
        alarms.clear("market_changed", id)
        _log.warning("market loaded anew", chain=loop.parts.chain.name, venue=id, why=why)
