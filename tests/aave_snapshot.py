"""Snapshots of the market in memory, gathered as the daemon gathers them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from keeper.model import PositionId, Snapshot
from keeper.seams import Seen, Shadow
from keeper.snapshot import GatherRequest, gather
from keeper.venues.aave_v3 import AaveV3
from tests.aave_market import MULTICALL, FakeMarket

WALLET = "0x00000000000000000000000000000000C0FFEE00"


def request(chain: FakeMarket, venue: AaveV3, *accounts: str, **changes: object) -> GatherRequest:
    """A request for ``accounts`` of one venue; ``changes`` override its fields."""
    fields: dict[str, object] = {
        "chain_id": 1,
        "block": chain.block(),
        "venues": ((venue, tuple(accounts)),),
        "multicall": MULTICALL,
        "read": chain.read,
        **changes,
    }
    return GatherRequest(**fields)  # type: ignore[arg-type]


def snapshot_of(
    chain: FakeMarket, venue: AaveV3, *accounts: str, shadows: Mapping[PositionId, Shadow] | None = None
) -> Snapshot:
    """One snapshot, nothing remembered."""
    return asyncio.run(gather(request(chain, venue, *accounts, shadows=shadows or {})))[0]


def gathered(asked: GatherRequest) -> tuple[Snapshot, Mapping[str, Seen]]:
    """``gather`` run to its end."""
    return asyncio.run(gather(asked))
