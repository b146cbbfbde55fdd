"""The governance room over one venue and one account of a test chain, as the daemon asks it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

from anvil.client import Chain
from anvil.transport import ChainTransport
from keeper.config import ChainSettings, TimelockSettings
from keeper.daemon.camera import Camera
from keeper.daemon.facts import Guarded
from keeper.daemon.governing import Governing, Seat
from keeper.daemon.oracles import Around, Unheard
from keeper.daemon.shadow import ShadowBook
from keeper.model import Snapshot
from keeper.oracle.faults import Fault
from keeper.seams import Venue
from tests import build


def settings(chain_id: int, multicall: str, *locks: tuple[str, str]) -> ChainSettings:
    """The chain with these timelocks: (kind, address)."""
    return ChainSettings(
        name="local",
        chain_id=chain_id,
        block_time_s=12.0,
        multicall=multicall,
        native_token=None,
        endpoints=(),
        timelocks=tuple(TimelockSettings(kind=kind, address=address) for kind, address in locks),
    )


def snapshot(chain: Chain, camera: Camera, venue: Venue, account: str) -> Snapshot:
    """Of the newest block."""
    accounts = {venue.id: (account,)}
    return asyncio.run(camera.photograph({venue.id: venue}, accounts, chain.block(), ShadowBook(), {}))


def said(
    chain: Chain, around: ChainSettings, venue: Venue, account: str, transport: Any = None
) -> list[Fault]:
    """What it says at the newest block, of a position whose trigger is 1.22."""
    camera = Camera(around, transport or ChainTransport(chain), None)
    id = venue.position_id(account)
    policy = replace(build.policy(), warn_wad=13 * 10**17, trigger_wad=122 * 10**16)
    guarded = (Guarded(label="one", policy=policy, venue_id=venue.id, id=id),)
    seat = Seat(
        around=Around(chain=around, endpoints=cast(Any, camera.transport), camera=camera), guarded=guarded
    )
    room = Governing(seat, Unheard())
    return asyncio.run(room.find(snapshot(chain, camera, venue, account), {venue.id: venue}))
