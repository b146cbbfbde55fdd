"""Two endpoints' own word on the prices that a position lives by.

Creating an order of a perpetual position succeeds at any price, and no contract of ours knows an owner's exits: where
a price alone makes the keeper sell, or moves the best price that a trailing stop is measured from, one endpoint that
made it up would be believed. So two are asked by themselves, each at its own newest block, and both must be near.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from keeper import exits
from keeper.chain.batch import Batch
from keeper.chain.endpoints import Endpoints
from keeper.daemon.facts import Facts, Guarded
from keeper.daemon.isolation import alone
from keeper.daemon.rehearsal import Stage
from keeper.daemon.triage import Glances
from keeper.decision import floor
from keeper.errors import Transient
from keeper.model import (
    Block,
    Call,
    Outcome,
    PlaceStop,
    Plan,
    Position,
    PositionId,
    ReducePerp,
    Refusal,
    Snapshot,
)
from keeper.phrases import usd_text
from keeper.seams import Priority, Venue
from keeper.units import BPS, WAD, decimal_text

QUORUM = 2
GAP_BPS = 100
"""So far may a price be from what another endpoint says a block later; beyond, the plan waits for the next block."""
AGREED_S = 2.0
GRACE_S = 1.0
"""So much longer than the first endpoint's may the second one's answer take."""
FALLS = ("reduce_perp", *exits.STOPS, exits.TRAIL)
"""Strategies to which a price that hurts gives reason: one that another endpoint says is better gives none."""
OTHERS = ("depeg_playbook", "exposure_limits", "floor")
"""Strategies that sell above trigger by what prices are, in either direction."""
_TIMESTAMP = bytes.fromhex("0f28c97d")
"""Multicall3: getCurrentBlockTimestamp()."""


def by_price(plan: Plan) -> bool:
    """Whether nothing on chain holds the plan to the price that gave reason to it."""
    names = (*FALLS, exits.PROFIT, *OTHERS)
    return plan.strategy in names or any(isinstance(step, ReducePerp | PlaceStop) for step in plan.steps)


def reason_of(plan: Plan) -> int:
    """1 where a hurting price gave reason to the plan, -1 where a better one did, 0 where either may have."""
    return 1 if plan.strategy in FALLS else -1 if plan.strategy == exits.PROFIT else 0


def off(ours: Position, theirs: Position, reason: int) -> str:
    """Which price another endpoint says so otherwise that the reason falls; empty where none does."""
    told = {(s.symbol, s.side): s.price_wad for s in exits.seen(theirs)}
    for s in exits.seen(ours):
        price = told.get((s.symbol, s.side))
        if price is None:
            return f"another endpoint knows no price of {s.symbol} for {ours.id}"
        gap = (price - s.price_wad) * s.side * reason if reason else abs(price - s.price_wad)
        if gap * BPS > s.price_wad * GAP_BPS:
            shown = decimal_text(s.price_wad, 18), decimal_text(price, 18)
            return f"{s.symbol} at {shown[0]} as read, at {shown[1]} by another endpoint"
    return ""


def richer(ours: Position, theirs: Position, reason: int) -> str:
    """As ``off``, and whether the other endpoint says less equity, by more than such prices may differ; or that it is
    open where we read it closed, which would forget what a floor has followed.
    """
    if floor.closed(ours):
        return "" if floor.closed(theirs) else f"another endpoint sees {ours.id} open"
    if why := off(ours, theirs, reason):
        return why
    here, there = floor.equity_wad(ours), floor.equity_wad(theirs)
    if (here - there) * BPS <= floor.gross_wad(ours) * GAP_BPS:
        return ""
    return f"equity {usd_text(here / WAD)} as read, {usd_text(there / WAD)} by another endpoint"


class Agreement:
    """Asks two endpoints of one chain for a position as each of them sees it now."""

    def __init__(self, endpoints: Endpoints, stage: Stage) -> None:
        self._endpoints = endpoints
        self._stage = stage

    async def broken(
        self,
        ours: Position,
        block: Block,
        reason: int,
        unlike: Callable[[Position, Position, int], str] = off,
    ) -> str:
        """Which price one of them says otherwise, or ""; Transient where fewer than two could be read.

        Where the first two do not bear it out all are asked, and two that do suffice: one endpoint that is stale,
        silent or lies must not keep a position from what the others see.
        """
        configured, found = len(self._endpoints.chain.endpoints), ""
        for count in dict.fromkeys((QUORUM, configured)):
            read = [p for p in await self._positions(ours, block, count) if p is not None]
            others = [why for p in read if (why := unlike(ours, p, reason))]
            if len(read) - len(others) >= QUORUM:
                return ""
            found = next(iter(others), "")
        if found:
            return found
        raise Transient(f"{len(read)} of {QUORUM} endpoints could tell the prices of {ours.id}")

    async def _positions(self, ours: Position, block: Block, count: int) -> list[Position | None]:
        id, multicall = ours.id, self._endpoints.chain.multicall
        venue = self._stage.venue_of(id)
        seen = self._stage.seen(venue.id)
        calls = (*venue.calls((id.account,), seen), Call(target=multicall, data=_TIMESTAMP))
        asked = _Asked(self._endpoints, count)

        async def one(at: int) -> Position | None:
            try:
                words = await Batch(calls).read(_Nth(asked, at), multicall, block.hash, timeout_s=AGREED_S)
            except Transient:
                return None
            last = len(calls) - 1
            then = replace(block, timestamp_s=max(block.timestamp_s, words.uint(last)))
            part = words.part(0, last)
            # what cannot be decoded here is no word at all
            reading, _ = alone(lambda: venue.decode(then, (id.account,), part, seen, {}))
            return None if reading is None else next((p for p in reading.positions if p.id == id), None)

        try:
            return list(await asyncio.gather(*(one(at) for at in range(count))))
        finally:
            asked.close()


class _Asked:
    """What is asked for readings that are made together: once, of as many endpoints as there are readings."""

    def __init__(self, endpoints: Endpoints, count: int) -> None:
        self._endpoints, self._count = endpoints, count
        self._told: dict[str, asyncio.Task[dict[str, object]]] = {}
        self._names: tuple[str, ...] = ()
        """Whose readings they are: of who answered the first question first. None is made of two endpoints' words."""

    async def answer(self, at: int, call: Mapping[str, object], timeout_s: float) -> object:
        """What the endpoint of that reading says of a call at its newest block. Raises Transient."""
        data = str(call["data"])
        if data not in self._told:
            question = [{"to": call["to"], "data": data}, "latest"]
            words = self._endpoints.words(
                "eth_call", question, self._count, timeout_s=timeout_s, wait_s=GRACE_S
            )
            self._told[data] = asyncio.create_task(words)
        told = await asyncio.shield(self._told[data])
        self._names = self._names or tuple(told)
        if at >= len(self._names):
            raise Transient("no further endpoint serves the chain")
        name = self._names[at]
        answer = told.get(name, Transient(f"{name}: was not asked"))
        if isinstance(answer, Exception):
            raise Transient(f"another endpoint's word: {answer}") from answer
        return answer

    def close(self) -> None:
        """End what is still asked."""
        for task in self._told.values():
            task.cancel()


class _Nth:
    """A Transport for one reading: the answers of one of the endpoints that are asked together."""

    def __init__(self, asked: _Asked, at: int) -> None:
        """``at``: which of them."""
        self._asked, self._at = asked, at

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        """The reading's return data at this endpoint's newest block. Raises Rejected or Transient."""
        reading = params[0]
        assert isinstance(reading, dict)
        return await self._asked.answer(self._at, reading, timeout_s)

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """Nothing is sent."""
        raise Transient("a second word sends nothing")


class AgreedFacts:
    """Facts in which a price that would move a trailing stop's best one is held against a second endpoint first, and
    so is the equity that would raise a floor.

    What is not agreed is flagged (``exits.ALONE``): the position is judged and rescued by it, its marks stay. The
    other endpoint is asked beside the tick, so a mark may come a block later and nobody's rescue waits for it.
    """

    def __init__(
        self,
        facts: Facts,
        agreement: Agreement,
        guarded: Sequence[Guarded],
        old_head: Callable[[], str] = lambda: "",
    ) -> None:
        """``old_head``: why what is read is long past, or "": two that agree on it move no mark either."""
        self._facts, self._agreement, self._old_head = facts, agreement, old_head
        self._ratchets = {g.id for g in guarded if g.policy.floor_ratchet_ppm}
        self._trailing = self._ratchets | {g.id for g in guarded if g.policy.trail_pct}
        self._agreed: dict[tuple[object, str, int], int] = {}
        """The best price that two have said, by position, symbol and side."""
        self._worth: dict[PositionId, int] = {}
        """The equity that two have said, where a floor follows it; 0 of what two see closed."""
        self._asking: dict[object, asyncio.Task[None]] = {}

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        """As the facts within. Raises Transient."""
        snapshot, outcomes = await self._facts.take(block, venues)
        return self._held(snapshot), outcomes

    async def glance(
        self, block: Block, venues: Mapping[str, Venue]
    ) -> tuple[Snapshot, tuple[Outcome, ...]] | None:
        """As the facts within. Raises Transient."""
        seen = await self._facts.glance(block, venues) if isinstance(self._facts, Glances) else None
        return None if seen is None else (self._held(seen[0]), seen[1])

    def acted(self, plan: Plan) -> None:
        """As the facts within."""
        self._facts.acted(plan)

    def refused(self, plan: Plan, why: Refusal) -> None:
        """As the facts within, where they want to know."""
        if (tell := getattr(self._facts, "refused", None)) is not None:
            tell(plan, why)

    def _held(self, snapshot: Snapshot) -> Snapshot:
        old = bool(self._old_head())
        far = {p.id for p in snapshot.positions if p.id in self._trailing and (old or self._beyond(p))}
        if not far:
            return snapshot
        for p in snapshot.positions:
            if p.id in far and p.id not in self._asking and not old:
                self._asking[p.id] = asyncio.ensure_future(self._ask(p, snapshot.block))
        return replace(
            snapshot, positions=tuple(_flagged(p) if p.id in far else p for p in snapshot.positions)
        )

    async def _ask(self, position: Position, block: Block) -> None:
        try:
            unlike = richer if position.id in self._ratchets else off
            if not await self._agreement.broken(position, block, -1, unlike):
                self._agreed |= {(position.id, s.symbol, s.side): s.price_wad for s in exits.seen(position)}
                self._worth[position.id] = 0 if floor.closed(position) else max(1, floor.equity_wad(position))
        except Transient:
            pass  # not agreed: asked again in the next block
        finally:
            del self._asking[position.id]

    def _beyond(self, position: Position) -> bool:
        """Whether a price is better than any that was agreed, by more than two may differ anyway."""
        for s in exits.seen(position):
            best = self._agreed.get((position.id, s.symbol, s.side))
            if best is None or s.side * (s.price_wad - best) * BPS > best * GAP_BPS:
                return True
        return position.id in self._ratchets and self._richer(position)

    def _richer(self, position: Position) -> bool:
        """Whether it is worth more than two have said, or gone where they saw it."""
        worth = self._worth.get(position.id)
        if floor.closed(position):
            return worth != 0
        if worth is None:
            return True
        return (floor.equity_wad(position) - worth) * BPS > floor.gross_wad(position) * GAP_BPS


def _flagged(position: Position) -> Position:
    row = position.row
    return replace(position, row=replace(row, flags=(*row.flags, exits.ALONE)))


def with_agreed(
    facts: Facts,
    endpoints: Endpoints,
    stage: Stage,
    guarded: Sequence[Guarded],
    old_head: Callable[[], str] = lambda: "",
) -> Facts:
    """The same with marks and peaks held against a second endpoint, and against what is long past; unchanged where
    nobody follows any, or only one endpoint is configured (nothing is sold then either)."""
    trails = any(g.policy.trail_pct or g.policy.floor_ratchet_ppm for g in guarded)
    if not trails or len(endpoints.chain.endpoints) < QUORUM:
        return facts
    return AgreedFacts(facts, Agreement(endpoints, stage), guarded, old_head)
