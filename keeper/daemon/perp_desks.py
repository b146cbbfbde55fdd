"""Whether the contract in whose name the keeper orders on a perpetual venue is proven to be its owner's Executor."""

from __future__ import annotations

from collections.abc import Sequence

from keeper.config import VenueSettings
from keeper.daemon.desks import code
from keeper.errors import ConfigError
from keeper.executor import perp_bounded, verify
from keeper.model import Block
from keeper.seams import Transport, Venue
from keeper.venues.gmx_v2 import GmxV2


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
