"""Photographs of one chain: batches encoded once, every read pinned to one block hash, asked once a block."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from keeper.chain.batch import Batch
from keeper.config import ChainSettings, VenueSettings
from keeper.daemon.shadow import ShadowBook
from keeper.errors import Transient, Unread
from keeper.model import Block, Call, PositionId, Snapshot
from keeper.seams import Priority, Seen, Supplement, Transport, Venue
from keeper.snapshot import Film, GatherRequest, expose, gather, without_reader
from keeper.venues import registry
from keeper.words import Words

READ_TIMEOUT_S = 4.0
"""A batch that takes longer than this is of a block too old to act on."""
LOGS_BLOCKS_MAX = 1_000
TIP_TIMEOUT_S = 1.0
"""A bid only: the tick does not wait longer for it."""
TIP_BLOCKS_MAX = 4
"""So old may a suggestion be before a photograph waits for another."""
AMPLE_PER_S = 100.0
"""Requests a second from which one more a block keeps no other waiting: a node of one's own, or a good plan."""
SMALL_CALLS = 400
"""What travels in one request: the nearest of one market, or of two; with dozens of Executors it is more."""
_BATCHES_KEPT = 6
_DEFAULT_TIP_WEI = 10**8
"""Tip where a node does not suggest one; a bid only, the cap is the plan's."""


@dataclass(slots=True, kw_only=True)
class _Shot:
    """What was asked at one block, and answered."""

    block: Block
    answers: dict[Batch, Words] = field(default_factory=dict)
    """By the batch itself, which lives as long as its answers: an ``id`` would be given to another."""
    nonce: int | None = None
    """None until it is known."""
    tip_wei: int | None = None
    """As the photograph shows it, whatever is told later."""
    asking: asyncio.Future[int] | None = None
    """Who asks for the nonce."""


class Camera:
    """Reads one chain for ticks and for commands; remembers only what makes the next read cheaper."""

    def __init__(self, chain: ChainSettings, transport: Transport, wallet: str | None) -> None:
        self._chain = chain
        self._transport = transport
        self._wallet = wallet
        self._batches: list[tuple[tuple[Call, ...], Batch]] = []
        self._seen: Mapping[str, Seen] = {}
        self._shot: _Shot | None = None
        self._tip_told: tuple[int, int] | None = None
        """(block, tip in wei) of the last suggestion."""
        self._tipping: asyncio.Task[int | None] | None = None
        """The suggestion that is under way, for this photograph or the next."""
        self.supplement: Supplement | None = None
        """What else each photograph shows; found anew with the venues."""

    @property
    def transport(self) -> Transport:
        """Whom it asks."""
        return self._transport

    @property
    def stale(self) -> dict[str, str]:
        """Venue id -> why its static facts must be loaded anew."""
        return {venue: seen.stale for venue, seen in self._seen.items() if seen.stale}

    def seen(self, venue_id: str) -> Seen:
        """What the venue remembers of the last photograph."""
        return self._seen.get(venue_id, Seen())

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
        shot, request = self._request(venues, accounts, block, shadows, since)
        # one round trip: what no multicall can tell is asked while the batch is under way
        asking = asyncio.ensure_future(self._account(shot))
        try:
            snapshot, self._seen = await gather(request)
            nonce = await asking
        finally:
            await _ended(asking)
        tip_wei = await self._bid(shot)
        return replace(snapshot, means=replace(snapshot.means, nonce=nonce, tip_wei=tip_wei))

    async def expose(
        self,
        venues: Mapping[str, Venue],
        accounts: Mapping[str, tuple[str, ...]],
        block: Block,
        since: Mapping[PositionId, int],
        start: Callable[[], object] = lambda: None,
    ) -> Film:
        """What a photograph of ``block`` would be developed from; the photograph then asks nothing new. ``start``
        begins what is to be asked before the many.

        Raises Transient as ``photograph`` does.
        """
        shot, request = self._request(venues, accounts, block, ShadowBook(), since)
        asking = shot.asking = asyncio.ensure_future(self._account(shot))
        start()
        try:
            film = await expose(request)
            nonce = await asking
        finally:
            await _ended(asking)
        tip_wei = await self._bid(shot)
        return replace(film, request=replace(film.request, nonce=nonce, tip_wei=tip_wei))

    async def glimpse(
        self,
        venues: Mapping[str, Venue],
        accounts: Mapping[str, tuple[str, ...]],
        block: Block,
        since: Mapping[PositionId, int],
    ) -> Film | None:
        """``expose`` of some accounts beside that of everybody, whose nonce and tip it waits for and shows; nothing
        that the other shows depends on it. None where nobody exposes the block, where endpoints allow so few requests
        that this one would keep the others waiting, and where it would not be small. Raises Transient, or what
        the other raised; from the film nothing more is read.
        """
        if min((e.rate_per_s for e in self._chain.endpoints), default=0.0) < AMPLE_PER_S:
            return None
        shot, request = self._request(venues, accounts, block, ShadowBook(), since)

        async def small(calls: Sequence[Call]) -> Words:
            if len(calls) > SMALL_CALLS:
                raise Unread(f"{len(calls)} calls are no small question")
            return await request.read(calls)

        try:
            film = await expose(replace(request, read=small))
        except Unread:
            return None
        if shot.asking is None:
            return None
        nonce = await asyncio.shield(shot.asking)
        if self._tipping is not None and shot.tip_wei is None:
            await asyncio.wait([self._tipping])
        tip_wei = self._offer(shot)
        return without_reader(replace(film, request=replace(film.request, nonce=nonce, tip_wei=tip_wei)))

    def _request(
        self,
        venues: Mapping[str, Venue],
        accounts: Mapping[str, tuple[str, ...]],
        block: Block,
        shadows: ShadowBook,
        since: Mapping[PositionId, int],
    ) -> tuple[_Shot, GatherRequest]:
        shot = self._shot
        if shot is None or shot.block.hash != block.hash:
            shot = self._shot = _Shot(block=block)
        spenders = [v.spender for v in venues.values()]
        return shot, GatherRequest(
            chain_id=block.chain_id,
            block=block,
            venues=tuple((v, accounts.get(id, ())) for id, v in venues.items()),
            multicall=self._chain.multicall,
            # bound to this block: another photograph may begin before this one is read
            read=partial(self._read, shot),
            wallet=self._wallet,
            native_token=self._chain.native_token,
            seen=self._seen,
            shadows=shadows.shadows,
            wallet_deltas=shadows.wallet,
            allowance_deltas={(t, s): d for t, d in shadows.wallet.items() for s in spenders},
            since=since,
            supplement=self.supplement,
        )

    async def load(self, settings: VenueSettings, block: Block) -> Venue:
        """A venue with its static facts as of ``block``."""

        return await registry.load(settings, self._chain.chain_id, self.reader(block))

    def reader(self, block: Block) -> Callable[[Sequence[Call]], Awaitable[Words]]:
        """One multicall at ``block``, for what is found once. Raises Transient when it is used."""

        async def read(calls: Sequence[Call]) -> Words:
            return await Batch(calls).read(
                self._transport, self._chain.multicall, block.hash, timeout_s=READ_TIMEOUT_S
            )

        return read

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

    async def _account(self, shot: _Shot) -> int:
        """The wallet's nonce at the shot's block; a failure is asked again. The tip is asked for beside it."""
        if self._wallet is None:
            return 0
        if shot.tip_wei is None and (self._tipping is None or self._tipping.done()):
            self._tipping = asyncio.ensure_future(self._tip(shot.block.number))
        if shot.nonce is None:
            shot.nonce = await self._nonce(self._wallet, shot.block)
        return shot.nonce

    async def _bid(self, shot: _Shot) -> int:
        """The suggested tip in wei, or the last one where it is young and this one takes longer than everything
        else: it is a bid, which is raised when it was too low, and no photograph waits for it."""
        if self._wallet is None or self._tipping is None:
            return _DEFAULT_TIP_WEI
        if shot.tip_wei is None:
            told, young = self._tip_told, shot.block.number - TIP_BLOCKS_MAX
            late = not self._tipping.done() and told is not None and told[0] >= young
            found = None if late else await asyncio.shield(self._tipping)
            shot.tip_wei = found if found is not None else told[1] if told is not None else _DEFAULT_TIP_WEI
        return shot.tip_wei

    def _offer(self, shot: _Shot) -> int:
        """What ``_bid`` would tell now, when the suggestion has come."""
        if self._wallet is None or self._tipping is None:
            return _DEFAULT_TIP_WEI
        if shot.tip_wei is not None:
            return shot.tip_wei
        return self._tip_told[1] if self._tip_told is not None else _DEFAULT_TIP_WEI

    async def _nonce(self, wallet: str, block: Block) -> int:
        answer = await self._transport.request("eth_getTransactionCount", [wallet, {"blockHash": block.hash}])
        return _quantity(answer, "eth_getTransactionCount")

    async def _tip(self, number: int) -> int | None:
        """What a node suggests by now; None where none does."""
        try:
            answer = await self._transport.request("eth_maxPriorityFeePerGas", [], timeout_s=TIP_TIMEOUT_S)
            tip_wei = _quantity(answer, "eth_maxPriorityFeePerGas")
        except Transient:
            return None
        self._tip_told = number, tip_wei
        return tip_wei

    async def _read(self, shot: _Shot, calls: Sequence[Call]) -> Words:
        """The answers of ``calls`` at the shot's block; asked once, encoded once for ever."""
        batch = self._batch(tuple(calls))
        if batch not in shot.answers:
            shot.answers[batch] = await batch.read(
                self._transport, self._chain.multicall, shot.block.hash, timeout_s=READ_TIMEOUT_S
            )
        return shot.answers[batch]

    def _batch(self, calls: tuple[Call, ...]) -> Batch:
        """The batch of those calls; encoding five thousand takes longer than reading their answers."""
        for i, (known, batch) in enumerate(self._batches):
            if known == calls:
                # the one in use stays, however many others are tried
                self._batches.insert(0, self._batches.pop(i))
                return batch
        batch = Batch(calls)
        self._batches = [(calls, batch), *self._batches][:_BATCHES_KEPT]
        return batch


async def _ended(task: asyncio.Future[Any]) -> None:
    """Nothing of it is left behind: neither running, nor an exception that nobody looked at."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _quantity(answer: object, method: str) -> int:
    if not isinstance(answer, str) or not answer.startswith("0x"):
        raise Transient(f"{method} answered {type(answer).__name__}, not a quantity")
    try:
        return int(answer, 16)
    except ValueError as e:
        raise Transient(f"{method} answered a malformed quantity") from e
