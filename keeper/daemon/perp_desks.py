"""In whose name the keeper orders on a perpetual venue: one name a slot; of a contract, proven to be the Executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from keeper.config import VenueSettings
from keeper.daemon.desks import code
from keeper.errors import ConfigError
from keeper.executor import perp_bounded, verify
from keeper.model import Block
from keeper.seams import Transport, Venue
from keeper.venues.gmx_v2 import GmxV2

_NAMES = ("provider", "reader", "subaccount", "spread_bps")
"""What two names of one slot may differ in."""


async def proven(
    venue: Venue, settings: VenueSettings, accounts: Sequence[str], at: tuple[Transport, Block]
) -> None:
    """Raises ConfigError where the venue's subaccount is a contract that is not known to be the Executor of its one
    account, and Transient.
    """
    if not isinstance(venue, GmxV2) or not venue.slot.executor:
        return
    why = [await problem(venue.slot.executor, a, venue.slot.subaccounts, at) for a in accounts]
    named = f"venues.{settings.name}.subaccount {venue.slot.executor}"
    if wrong := tuple(f"{named}: {w}" for w in why if w):
        raise ConfigError(wrong)


def alone(venue: Venue, settings: VenueSettings, named: Mapping[str, VenueSettings]) -> None:
    """Raises ConfigError where a venue read before is the same slot in another's name: one of the two would order
    through the other, and be refused in the night. ``named``: venue id -> settings of those read before."""
    other = named.get(venue.id)
    if not isinstance(venue, GmxV2) or other is None or replace(other, name=settings.name) == settings:
        return
    differs = [f for f in _NAMES if getattr(other, f) != getattr(settings, f)]
    shown = ", ".join(f"{f} {getattr(settings, f)} and {getattr(other, f)}" for f in differs)
    why = f"is the slot of venues.{other.name} in another's name ({shown}): a keeper orders in a slot in one name; "
    why += (
        "guard the other owner's account by a keeper of its own: a configuration with state_dir, journal and "
    )
    why += "wallet of its own, named as bot of that owner's Executor (`keeper run --config OTHER`)"
    raise ConfigError((f"venues.{settings.name}: {why}",))


async def problem(executor: str, owner: str, subaccounts: str, at: tuple[Transport, Block]) -> str:
    """Why an address is not known to hold that owner's GmxV2Executor for that router; empty when it is proven.

    Raises Transient.
    """
    transport, block = at
    name = perp_bounded.NAME
    wrong = verify.differs(await code(executor, transport, block), verify.artifact(name))
    if wrong:
        return wrong
    factory = await code(verify.factory_address(name), transport, block)
    return verify.unproven(executor, owner, factory, name, subaccounts)
