"""What a live sender talks through: a second look before the signature, private endpoints before the pools.

The sender knows one Transport and nothing of all this. Its ``eth_call`` of a plan becomes the look of another
endpoint than the one that was read from, with the health promised checked on the state after the plan; a sale that
no contract holds to the trigger needs two endpoints' word, and their word on the price that gave reason to it. Its
broadcasts go to private endpoints first, where there are any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from keeper.chain.endpoints import Endpoints
from keeper.chain.relay import Relays
from keeper.config import ChainSettings
from keeper.daemon import lent, toll
from keeper.daemon.agreement import Agreement, by_price, reason_of
from keeper.daemon.rehearsal import Promise, Rehearsals, Stage
from keeper.daemon.stops import QUORUM, words_needed
from keeper.errors import Rejected, Transient
from keeper.executor.quotes import Window
from keeper.journal.read import Queries
from keeper.model import (
    Attempt,
    Intent,
    Level,
    Plan,
    Position,
    PositionId,
    Refusal,
    Snapshot,
)
from keeper.seams import Priority, Sender, Venue
from keeper.transaction.answers import best

REHEARSED_S = 0.5
"""So much longer than the call itself may its effect be waited for: the promise is checked where it can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """How long transactions stay with private endpoints alone."""

    blocks: int

    def over(self, waited_blocks: int, *, urgent: bool, emergency: bool) -> bool:
        """Whether the public pools are to hear of bytes whose plan was first sent ``waited_blocks`` ago."""
        return emergency or waited_blocks >= (min(1, self.blocks) if urgent else self.blocks)


class Outgoing:
    """The ``Transport`` of a live sender on one chain."""

    def __init__(
        self,
        endpoints: Endpoints,
        journal: Queries,
        rehearsals: Rehearsals,
        relays: Relays,
    ) -> None:
        self._endpoints = endpoints
        self._journal = journal
        self._rehearsals = rehearsals
        self._relays = relays
        self._privacy = Privacy(blocks=endpoints.chain.private_blocks)
        self._plans: dict[str, Wanted] = {}
        """Calldata of plans that are being sent now: what a look is about."""
        self.level_of: Callable[[PositionId], Level | None] = lambda _: None
        """A position's level in the last tick."""
        self.windows: Callable[[], Sequence[Window]] = tuple
        """Where Executors can borrow, as the chain's desk knows it now."""

    def follow(
        self, level_of: Callable[[PositionId], Level | None], venue_of: Callable[[PositionId], Venue]
    ) -> None:
        """Ask the loop, now that it stands."""
        self.level_of = level_of
        self._rehearsals.stage.venue_of = venue_of

    @property
    def stage(self) -> Stage:
        """What whoever reads a position anew must know of the house."""
        return self._rehearsals.stage

    @property
    def chain(self) -> ChainSettings:
        """Whose endpoints these are."""
        return self._endpoints.chain

    async def close(self) -> None:
        """End the sessions of the private endpoints."""
        await self._relays.close()

    def sender(self, live: Sender) -> Sender:
        """``live``, whose plans are known here while it acts."""
        return _Announced(live, self._plans)

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        """As the endpoints answer; the call of a plan by another endpoint, its promise checked."""
        call = params[0] if params else None
        if method == "eth_call" and isinstance(call, dict):
            wanted = self._plans.get(str(call.get("data")))
            if wanted is not None:
                return await self._looked(wanted, call, params, timeout_s)
        return await self._endpoints.request(
            method, params, priority=priority, timeout_s=timeout_s, weight=weight
        )

    async def request_each(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float = 4.0, wait_s: float
    ) -> tuple[object, ...]:
        """As each endpoint answers."""
        return await self._endpoints.request_each(method, params, count, timeout_s=timeout_s, wait_s=wait_s)

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        """To private endpoints alone for a while; to all where there is none, or none takes it."""
        if not self._relays:
            return await self._endpoints.broadcast(raw, timeout_s=timeout_s)
        found = self._of(raw)
        if found is None or self._public(*found):
            self._relays.send_beside(raw)
            return await self._endpoints.broadcast(raw, timeout_s=timeout_s)
        answers = await self._relays.send(raw)
        if best(answers, found[1].hash).reached:
            return answers
        return (*answers, *await self._endpoints.broadcast(raw, timeout_s=timeout_s))

    async def _looked(
        self, wanted: Wanted, call: dict[str, object], params: Sequence[object], timeout_s: float
    ) -> object:
        """The plan's call as others see it. Raises Rejected (it reverts, or breaks its promise), Transient."""
        plan = wanted.plan
        promise = asyncio.ensure_future(self._rehearsals.of(plan, call))
        agreed = asyncio.ensure_future(self._agreed(wanted))
        try:
            told = await self._explained(plan, call, self._said(plan, params, timeout_s))
            if unlike := await agreed:
                raise Rejected(3, f"two endpoints do not agree on what gave reason to it: {unlike}")
            await asyncio.wait([promise], timeout=min(REHEARSED_S, 2 * self._endpoints.hedge_s))
            kept = promise.result() if promise.done() else Promise(broken="")
        finally:
            for task in (promise, agreed):
                task.cancel()
            await asyncio.gather(promise, agreed, return_exceptions=True)
        if kept.broken:
            raise Rejected(3, f"the promise would be broken: {kept.broken}")
        return told

    async def _explained(self, plan: Plan, call: dict[str, object], said: Awaitable[object]) -> object:
        """What was said; an emptied lender and a token that takes a fee are named where the refusal's own words name
        nothing.
        """
        try:
            return await said
        except Rejected as no:
            if toll.named(no.data):
                raise
            hands = [str(h) for h in (call.get("from"), plan.key.position.account) if h]
            venue = self._rehearsals.stage.venue_of(plan.key.position)
            # at once: the next plan waits behind this one
            short, fee = await asyncio.gather(
                lent.short(self._endpoints, plan, self.windows()),
                toll.taken(self._endpoints, plan, venue, hands),
            )
            if not (short or fee):
                raise
            raise Rejected(no.code, f"{short or fee} (execution reverted)") from no

    async def _agreed(self, wanted: Wanted) -> str:
        """Which price gave reason to the plan and is another one elsewhere; "" too where the chain itself checks."""
        if wanted.seen is None or not by_price(wanted.plan):
            return ""
        agreement, plan = Agreement(self._endpoints, self._rehearsals.stage), wanted.plan
        return await agreement.broken(wanted.seen, plan.block, reason_of(plan))

    async def _said(self, plan: Plan, params: Sequence[object], timeout_s: float) -> object:
        if words_needed(plan) < QUORUM:
            try:
                return await self._endpoints.request_elsewhere("eth_call", params, timeout_s=timeout_s)
            except Rejected:
                raise
            except Transient:
                # whoever answers then: another look is better than the first one, and none is worse
                return await self._endpoints.request("eth_call", params, timeout_s=timeout_s)
        wait_s = self._endpoints.chain.block_time_s / 2
        told = await self._endpoints.request_each(
            "eth_call", params, QUORUM, timeout_s=timeout_s, wait_s=wait_s
        )
        if (no := next((t for t in told if isinstance(t, Rejected)), None)) is not None:
            raise no
        silent = [str(t) for t in told if isinstance(t, Transient)]
        if len(said := [t for t in told if not isinstance(t, Transient)]) < QUORUM:
            why = "; ".join(silent) or "no other serves the chain"
            raise Transient(f"{len(said)} of the {QUORUM} endpoints that it needs could simulate it: {why}")
        return said[0]

    def _of(self, raw: bytes) -> tuple[Intent, Attempt] | None:
        """Whose bytes these are; None for what the journal does not hold open."""
        opened = self._journal.open_intents(self._endpoints.chain.chain_id)
        return next(((i, a) for i in opened for a in i.attempts if a.raw == raw), None)

    def _public(self, intent: Intent, attempt: Attempt) -> bool:
        """Whether the pools are to hear of it: a self-send that frees a nonce keeps no secret."""
        now = max([a.sent_block for a in intent.attempts] + [n for n in self._heads() if n is not None])
        level = self.level_of(intent.key.position)
        return attempt.cancel or self._privacy.over(
            now - intent.attempts[0].sent_block,
            urgent=intent.plan.urgent,
            emergency=level in (Level.URGENT, Level.UNKNOWN),
        )

    def _heads(self) -> Sequence[int | None]:
        return tuple(self._endpoints.head_numbers.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A plan that is being sent, and the position as it was read when it was made."""

    plan: Plan
    seen: Position | None


class _Announced:
    """A sender whose plans are known to its transport while it acts."""

    def __init__(self, live: Sender, plans: dict[str, Wanted]) -> None:
        self._live = live
        self._plans = plans

    async def act(self, plan: Plan, snapshot: Snapshot) -> Attempt | Refusal:
        """As ``live`` does."""
        data = "0x" + plan.call.data.hex()
        self._plans[data] = Wanted(plan=plan, seen=snapshot.position(plan.key.position))
        try:
            return await self._live.act(plan, snapshot)
        finally:
            self._plans.pop(data, None)
