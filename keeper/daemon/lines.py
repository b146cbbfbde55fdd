"""Contracts that owners authorised and whose stricter line therefore counts, found though nobody named them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from keeper.config import VenueSettings
from keeper.daemon.camera import Camera
from keeper.daemon.known import search
from keeper.errors import ConfigError, Transient
from keeper.model import Block
from keeper.seams import Delegates, Transport, Venue
from keeper.sockets import Lined

AT_ONCE = 64
"""Of so many whom an owner authorised it is asked together what they are."""
_log = structlog.get_logger("keeper")


async def found(
    venue: Venue, accounts: Sequence[str], at: tuple[Transport, Camera, Block]
) -> tuple[tuple[str, ...], str]:
    """(contracts that the accounts authorised, whose line counts and is not known yet; why some could not be looked
    for, "" where all were). Raises Transient.
    """
    if not (isinstance(venue, Lined) and isinstance(venue, Delegates)):
        return (), ""
    transport, camera, block = at
    asked = [search(transport, venue.permission_logs(a), block.number) for a in accounts]
    told = await asyncio.gather(*asked, return_exceptions=True)
    who: dict[str, None] = {}
    unasked = ""
    for logs in told:
        if isinstance(logs, Transient):
            unasked = str(logs)
        elif isinstance(logs, BaseException):
            raise logs
        else:
            who |= dict.fromkeys(venue.permitted(logs))
    lines: list[str] = []
    for start in range(0, len(who), AT_ONCE):
        lines += await venue.lines(tuple(who)[start : start + AT_ONCE], camera.reader(block))
    return tuple(lines), unasked


async def counted(
    settings: VenueSettings, lines: Sequence[str], at: tuple[Camera, Block]
) -> tuple[Venue | None, VenueSettings]:
    """The venue with those lines and how a configuration would name it; each that cannot count is left out by
    itself, and None where none can. Raises Transient.
    """
    camera, block = at
    venue: Venue | None = None
    for line in lines:
        named = replace(settings, pre_liquidations=(*settings.pre_liquidations, line))
        try:
            venue, settings = await camera.load(named, block), named
        except ConfigError as error:  # one without an oracle, say, takes nothing from anybody
            _log.warning(
                "a line that cannot count", venue=settings.name, line=line, why="; ".join(error.problems)
            )
    return venue, settings


async def loaded(
    venue: Venue, settings: VenueSettings, accounts: Sequence[str], at: tuple[Transport, Camera, Block]
) -> tuple[Venue, VenueSettings]:
    """The venue with every line that one of the accounts lets count, and how a configuration would name it.

    Where logs are not searched it stays what the configuration says, and ``keeper check`` says so
    (``permissions_unread``). Raises Transient.
    """
    lines, _ = await found(venue, accounts, at)
    stricter, named = await counted(settings, lines, at[1:])
    return stricter or venue, named
