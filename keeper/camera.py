"""Photographs of one chain: batches encoded once, every read pinned to one block hash, asked once a block."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from keeper.chain.batch import Batch
from keeper.config import ChainSettings, VenueSettings
from keeper.errors import Transient
from keeper.model import Block, Call, PositionId, Snapshot
from keeper.seams import Priority, Seen, Transport, Venue
from keeper.shadow import ShadowBook
from keeper.snapshot import GatherRequest, gather
from keeper.venues import registry
from keeper.words import Words

READ_TIMEOUT_S = 4.0
"""A batch that takes longer than this is of a block too old to act on."""
LOGS_BLOCKS_MAX = 1_000
_BATCHES_KEPT = 4
_DEFAULT_TIP_WEI = 10**8
"""Tip where a node does not suggest one; a bid only, the cap is the plan's."""


class Camera:
    """Reads one chain for ticks and for commands; remembers only what makes the next read cheaper."""

    def __init__(self, chain: ChainSettings, transport: Transport, wallet: str | None) -> None:
        self._chain = chain
        self._transport = transport
        self._wallet = wallet
        self._batches: list[tuple[Sequence[Call], Batch]] = []
        self._seen: Mapping[str, Seen] = {}
        self._block_hash = ""
        self._answers: dict[int, Words] = {}
        self._account: asyncio.Future[tuple[int, int]] | None = None

    @property
    def stale(self) -> dict[str, str]:
        """Venue id -> why its static facts must be loaded anew."""
        return {venue: seen.stale for venue, seen in self._seen.items() if seen.stale}

    async def photograph(
        self,
        venues: Mapping[str, Venue],
        accounts: Mapping[str, tuple[str, ...]],
        block: Block,
        shadows: ShadowBook,
        since: Mapping[PositionId, int],
    ) -> Snapshot:
        """The snapshot at ``block``; a second one of the same block asks the chain nothing new.

        Raises Transient when the batch, or the wallet's nonce, could not be read.
        """
        if self._block_hash != block.hash:
            self._block_hash, self._answers = block.hash, {}
            self._account = asyncio.ensure_future(self._ask_account(block))
        assert self._account is not None
        spenders = [v.spender for v in venues.values()]
        request = GatherRequest(
            chain_id=block.chain_id,
            block=block,
            venues=tuple((v, accounts.get(id, ())) for id, v in venues.items()),
            multicall=self._chain.multicall,
            read=self._read,
            wallet=self._wallet,
            native_token=self._chain.native_token,
            seen=self._seen,
            shadows=shadows.shadows,
            wallet_deltas=shadows.wallet,
            allowance_deltas={(t, s): d for t, d in shadows.wallet.items() for s in spenders},
            since=since,
        )
        # one round trip: what no multicall can tell is asked while the batch is under way
        (snapshot, self._seen), (nonce, tip_wei) = await asyncio.gather(gather(request), self._account)
        return replace(snapshot, means=replace(snapshot.means, nonce=nonce, tip_wei=tip_wei))

    async def load(self, settings: VenueSettings, block: Block) -> Venue:
        """A venue with its static facts as of ``block``."""

        async def read(calls: Sequence[Call]) -> Words:
            return await Batch(calls).read(
                self._transport, self._chain.multicall, block.hash, timeout_s=READ_TIMEOUT_S
            )

        return await registry.load(settings, self._chain.chain_id, read)

    async def liquidated(self, venue: Venue, account: str, first: int, last: int) -> bool:
        """Whether the account was liquidated on ``venue`` in blocks ``first..last``; unanswered counts as yes.

        Used by dry-run alone: taking an owner's act for a liquidation leaves the shadow as it was.
        """
        where = venue.liquidation_logs(account)
        span = {"fromBlock": hex(max(first, last - LOGS_BLOCKS_MAX)), "toBlock": hex(last)}
        try:
            logs = await self._transport.request(
                "eth_getLogs",
                [{"address": where.target, "topics": list(where.topics), **span}],
                priority=Priority.PAGE,
            )
        except Transient:
            return True
        return bool(logs)

    async def _ask_account(self, block: Block) -> tuple[int, int]:
        """(nonce at ``block``, suggested tip in wei) of the wallet."""
        if self._wallet is None:
            return 0, _DEFAULT_TIP_WEI
        return await asyncio.gather(self._nonce(self._wallet, block), self._tip())

    async def _nonce(self, wallet: str, block: Block) -> int:
        answer = await self._transport.request("eth_getTransactionCount", [wallet, {"blockHash": block.hash}])
        return _quantity(answer, "eth_getTransactionCount")

    async def _tip(self) -> int:
        try:
            answer = await self._transport.request("eth_maxPriorityFeePerGas", [])
            return _quantity(answer, "eth_maxPriorityFeePerGas")
        except Transient:
            return _DEFAULT_TIP_WEI

    async def _read(self, calls: Sequence[Call]) -> Words:
        """The answers of ``calls`` at the current block; asked once, encoded once for ever."""
        batch = self._batch(calls)
        if id(batch) not in self._answers:
            self._answers[id(batch)] = await batch.read(
                self._transport, self._chain.multicall, self._block_hash, timeout_s=READ_TIMEOUT_S
            )
        return self._answers[id(batch)]

    def _batch(self, calls: Sequence[Call]) -> Batch:
        for known, batch in self._batches:
            if len(known) == len(calls) and all(a is b or a == b for a, b in zip(known, calls, strict=True)):
                return batch
        batch = Batch(calls)
        self._batches = [(calls, batch), *self._batches][:_BATCHES_KEPT]
        return batch


def _quantity(answer: object, method: str) -> int:
    if not isinstance(answer, str) or not answer.startswith("0x"):
        raise Transient(f"{method} answered {type(answer).__name__}, not a quantity")
    try:
        return int(answer, 16)
    except ValueError as e:
        raise Transient(f"{method} answered a malformed quantity") from e
