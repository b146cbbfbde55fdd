"""Reads of a test chain through the keeper's own batch and venue, to hold them against the pool."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np

from anvil.client import Chain
from anvil.deployment import Deployment
from anvil.transport import ChainTransport
from keeper.chain.batch import Batch
from keeper.model import Block, Call, Position, PositionId, Snapshot
from keeper.seams import Seen, Shadow
from keeper.snapshot import GatherRequest, expose, gather
from keeper.venues.aave_v3 import AaveV3, book
from keeper.words import Words


class Reader:
    """One market of the test chain, read as the daemon reads it."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self.chain = chain
        self.deployment = deployment
        self.seen: Mapping[str, Seen] = {}
        read = self._reader(self.block().hash)
        market = book.market("market", deployment.provider, deployment.chain_id, read)
        self.venue: AaveV3 = AaveV3(asyncio.run(market))

    def block(self) -> Block:
        """The newest block."""
        head = self.chain.rpc("eth_getBlockByNumber", "latest", False)
        return Block(
            chain_id=self.deployment.chain_id,
            number=int(head["number"], 16),
            hash=head["hash"],
            parent_hash=head["parentHash"],
            timestamp_s=int(head["timestamp"], 16),
            base_fee_wei=int(head["baseFeePerGas"], 16),
        )

    def snapshot(
        self,
        accounts: Sequence[str],
        *,
        wallet: str | None = None,
        shadows: Mapping[PositionId, Shadow] | None = None,
    ) -> Snapshot:
        """The newest block's snapshot; remembers what was seen, as the daemon does."""
        block = self.block()
        snapshot, self.seen = asyncio.run(
            gather(
                GatherRequest(
                    chain_id=block.chain_id,
                    block=block,
                    venues=((self.venue, tuple(accounts)),),
                    multicall=self.deployment.multicall,
                    read=self._reader(block.hash),
                    wallet=wallet,
                    native_token=self.deployment.token("WETH").address,
                    seen=self.seen,
                    shadows=shadows or {},
                )
            )
        )
        return snapshot

    def told(self, accounts: Sequence[str]) -> list[int | None]:
        """Each one's health as the pool tells it alone, at the newest block."""
        calls = [self.venue.health_call(a) for a in accounts]
        words = asyncio.run(self._reader(self.block().hash)(calls))
        return [self.venue.health_told(words.part(i, i + 1)) for i in range(len(accounts))]

    def low(self, accounts: Sequence[str], lines_wad: Sequence[int]) -> frozenset[str]:
        """Accounts below their line by the words of the newest block alone."""
        block = self.block()
        film = asyncio.run(
            expose(
                GatherRequest(
                    chain_id=block.chain_id,
                    block=block,
                    venues=((self.venue, tuple(accounts)),),
                    multicall=self.deployment.multicall,
                    read=self._reader(block.hash),
                    seen=self.seen,
                )
            )
        )
        found = film.low({self.venue.id: np.array(lines_wad, np.uint64)})
        assert found is not None
        return frozenset(accounts[k] for k in found[self.venue.id])

    def position(self, account: str, *, shadow: Shadow | None = None) -> Position:
        """One account's position now. Raises AssertionError with the reason when it is unreadable."""
        id = self.venue.position_id(account)
        snapshot = self.snapshot([account], shadows={id: shadow} if shadow else None)
        found = snapshot.position(id)
        assert found is not None, snapshot.unreadable
        return found

    def _reader(self, block_hash: str):  # type: ignore[no-untyped-def]
        transport = ChainTransport(self.chain)

        async def read(calls: Sequence[Call]) -> Words:
            return await Batch(calls).read(transport, self.deployment.multicall, block_hash, timeout_s=60.0)

        return read
