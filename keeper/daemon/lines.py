"""Contracts that owners authorised and whose stricter line therefore counts, found though nobody named them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from keeper.config import VenueSettings
from keeper.daemon.camera import Camera
from keeper.daemon.known import search
from keeper.errors import ConfigError, Transient
from keeper.model import Block
from keeper.seams import Delegates, Transport, Venue
from keeper.sockets import Lined

WHO_MAX = 64
"""Of whom an owner authorised so many are asked what they are."""
_log = structlog.get_logger("keeper")


async def loaded(
    venue: Venue, settings: VenueSettings, accounts: Sequence[str], at: tuple[Transport, Camera, Block]
) -> tuple[Venue, VenueSettings]:
    """The venue with every line that one of the accounts lets count, and how a configuration would name it.

    Where logs are not searched it stays what the configuration says, and ``keeper check`` says so
    (``permissions_unread``). Raises Transient.
    """
    if not (isinstance(venue, Lined) and isinstance(venue, Delegates)):
        return venue, settings
    transport, camera, block = at
    asked = [search(transport, venue.permission_logs(a), block.number) for a in accounts]
    told = await asyncio.gather(*asked, return_exceptions=True)
    for wrong in told:
        if isinstance(wrong, BaseException) and not isinstance(wrong, Transient):
            raise wrong
    who = dict.fromkeys(
        w for logs in told if not isinstance(logs, BaseException) for w in venue.permitted(logs)
    )
    found = await venue.lines(tuple(who)[:WHO_MAX], camera.reader(block))
    if not found:
        return venue, settings
    named = replace(settings, pre_liquidations=(*settings.pre_liquidations, *found))
    try:
        return await camera.load(named, block), named
    except ConfigError as error:  # one without an oracle, say, takes nothing from anybody
        _log.warning("a line that cannot count", venue=settings.name, why="; ".join(error.problems))
        return venue, settings


async def renewed(
    venues: dict[str, Venue],
    named: Mapping[str, VenueSettings],
    accounts: Mapping[str, Sequence[str]],
    at: tuple[Transport, Camera, Block],
) -> dict[str, VenueSettings]:
    """``venues`` with what owners authorised since; how a configuration would name them now. Raises Transient."""
    now = dict(named)
    for id, mine in accounts.items():
        venue, settings = await loaded(venues[id], named[id], mine, at)
        if settings != named[id]:
            venues[id], now[id] = venue, settings
            _log.warning("a stricter line counts", venue=id, lines=settings.pre_liquidations)
    return now
