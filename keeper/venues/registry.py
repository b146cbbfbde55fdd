"""Which protocols ship, and which of their markets are known by address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from keeper.config import VenueSettings
from keeper.errors import ConfigError
from keeper.seams import Venue
from keeper.venues import aave_v3, compound_v3, maker, morpho_blue
from keeper.venues.aave_v3 import deployments
from keeper.venues.aave_v3.book import Read


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One protocol: its name in the configuration, how a market of it is loaded, which ones are known."""

    name: str
    load: Callable[[VenueSettings, int, Read], Awaitable[Venue]]
    """(settings, chain_id, read) -> Venue."""
    known: Callable[[int], tuple[VenueSettings, ...]]
    """(chain_id) -> markets."""


KINDS: tuple[Kind, ...] = (
    Kind(
        name=aave_v3.KIND,
        load=lambda s, chain_id, read: aave_v3.load(s.name, s.provider, chain_id, read),
        known=deployments.known,
    ),
    Kind(name=compound_v3.KIND, load=compound_v3.load, known=compound_v3.known),
    # its accounts are vaults, not owners: looking an owner up in every collateral type finds nothing
    Kind(name=maker.KIND, load=maker.load, known=lambda chain_id: ()),
    Kind(name=morpho_blue.KIND, load=morpho_blue.load, known=lambda chain_id: ()),
)
"""Every protocol that ships. To add one: a folder beside this file, and a line here."""


async def load(settings: VenueSettings, chain_id: int, read: Read) -> Venue:
    """The market that ``settings`` name, its static facts read through ``read``.

    Raises ConfigError (unknown kind, no contract, unknown release) or Transient (nobody answered).
    """
    for kind in KINDS:
        if kind.name == settings.kind:
            return await kind.load(settings, chain_id, read)
    names = ", ".join(kind.name for kind in KINDS)
    raise ConfigError((f"venues.{settings.name}.kind {settings.kind!r} is not one of: {names}",))


def known(chain_id: int) -> tuple[VenueSettings, ...]:
    """Every market of every kind known on that chain."""
    return tuple(market for kind in KINDS for market in kind.known(chain_id))
