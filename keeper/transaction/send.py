"""Live: simulate and meanwhile journal the intent, sign, journal the bytes, broadcast. The order is the whole point.

A crash before the bytes are journaled has done nothing; after it, the bytes are broadcast again at the next
start. Under one nonce at most one of them can ever be mined, so an action cannot happen twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from keeper.errors import Raced, Transient, Unsigned, Unwritable
from keeper.model import (
    Attempt,
    Block,
    Call,
    Fee,
    Intent,
    IntentState,
    Means,
    Plan,
    PlanKey,
    PositionId,
    Refusal,
    Snapshot,
)
from keeper.seams import Prepares, Remembers, Signer, Transport
from keeper.transaction import doubt
from keeper.transaction.answers import Verdict, best
from keeper.transaction.bids import Purse
from keeper.transaction.fees import BUMPS_MAX, WHO, holds_up
from keeper.transaction.fields import fields_of
from keeper.transaction.ledger import Ledger
from keeper.transaction.nobody import always, nobody, nothing, silent
from keeper.transaction.nonce import Nonces
from keeper.transaction.remembered import missing
from keeper.transaction.simulate import simulate
from keeper.transaction.spending import spend_usd_up

ASKED_S = 0.001
"""So long the loop is left to the questions of a simulation before anything is written beside them."""


class Live:
    """Sends plans with one key on one chain, one at a time."""

    def __init__(
        self,
        journal: Ledger,
        transport: Transport,
        signer: Signer,
        *,
        errors: Mapping[bytes, str] | None = None,
        probe: Callable[[str], None] = silent,
    ) -> None:
        """``errors``: custom error selector -> name. ``probe`` is for tests: called at planned, signed,
        journaled, broadcast, sent."""
        self._journal = journal
        self._transport = transport
        self._signer = signer
        self._nonces = Nonces(journal, transport)
        self._errors = dict(errors or {})
        self._probe = probe
        self.may_send: Callable[[Plan], Refusal | None] = always
        """Asked before an intent is journaled and last, right before a first signature: a disarm, a stop or a newer
        block may have come."""
        self.practises: Callable[[PositionId], bool] = nobody
        """Whose transactions are for practice alone, and hold nobody up."""
        self.beside: Callable[[], None] = nothing
        """What is journaled in one commit with an intent: why it is wished."""
        self.pooled = True
        """Whether the chain has a mempool, in which gas money buys a higher price; a rollup charges data as gas."""
        self._turn = asyncio.Lock()
        self._unsure: set[PlanKey] = set()
        """Intents for which the signer may have signed what this process never received."""
        self._left: dict[PlanKey, tuple[int, str]] = {}
        """Refused intents that a failing disk kept PLANNED, which block their position: (block, why)."""

    async def act(self, plan: Plan, snapshot: Snapshot) -> Attempt | Refusal:
        """Carry the plan to a broadcast. Refusal: nothing was signed, and its intent, if any, is ABANDONED.

        A plan whose key has an open intent replaces what that intent carries, under its nonce. An urgent plan
        behind cheaper transactions raises those to its own fee. Raises Raced (the plan is out of
        date), Broken (foreign nonce, signer or journal refuses), Transient (no node could simulate).
        """
        async with self._turn:
            followed = self._journal.followed_intents(plan.block.chain_id)
            doubt.refuse_stale(plan, snapshot, followed, self._signer.address)
            opened = self._journal.intent(plan.key)
            if opened is not None:
                return await self._replan(plan, snapshot)
            fee = self._purse(snapshot.block, snapshot.means).first(plan, snapshot.means)
            if isinstance(fee, Refusal):
                return fee
            attempt = await self._first(plan, snapshot, fee)
            if isinstance(attempt, Refusal):
                return attempt
            await self._broadcast(attempt)
            await self._clear_way(attempt, snapshot, urgent=plan.urgent)
            return attempt

    async def _first(self, plan: Plan, snapshot: Snapshot, fee: Fee) -> Attempt | Refusal:
        """The plan's first bytes, durable; its intent is journaled while the chain is asked about it."""
        refusal = self._refused(plan)
        if refusal is not None:
            return refusal
        at_block, why, kept = snapshot.block.number, "not signed", False
        asking = asyncio.ensure_future(self._ask_chain(plan))
        try:
            await asyncio.sleep(ASKED_S)
            if asking.done() and (refusal := asking.result()[0]) is not None:
                return refusal
            with self._journal.batch():
                self.beside()
                self._journal.open_intent(plan, spend_usd=spend_usd_up(plan, snapshot.means))
            self._probe("planned")
            self._ready(plan, fee, at_block)
            refusal, nonce = await asking
            # what has ended in vain, or was forbidden, meanwhile
            refusal = refusal or self._refused(plan)
            if refusal is not None:
                why = f"{refusal.code}: {refusal.why}"
                return refusal
            attempt = Attempt(key=plan.key, nonce=nonce, n=0, raw=b"", hash="", fee=fee, sent_block=at_block)
            attempt = await self._sign(attempt, plan.call, plan.block.chain_id)
            kept = True
            return attempt
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            if not kept:
                self._abandon_unsigned(plan.key, at_block, why)

    def _ready(self, plan: Plan, fee: Fee, at_block: int) -> None:
        """While the chain is asked: what the journal is asked again after it, and all of a signature but the key's
        part. Nothing of it is believed without being asked again."""
        chain_id = plan.block.chain_id
        self._refused(plan)
        nonce = self._journal.next_nonce(chain_id, self._signer.address)
        if nonce is not None and isinstance(self._signer, Prepares):
            attempt = Attempt(key=plan.key, nonce=nonce, n=0, raw=b"", hash="", fee=fee, sent_block=at_block)
            self._signer.prepare(fields_of(attempt, plan.call, chain_id))

    async def bump(self, key: PlanKey, block: Block, means: Means | None) -> Attempt | Refusal:
        """The same payload under the same nonce at a higher fee. Raises Raced when the intent is not open."""
        async with self._turn:
            return await self._bump(doubt.not_given_up(self._open(key)), block, means, None)

    async def cancel(self, key: PlanKey, block: Block, means: Means | None) -> Attempt | Refusal:
        """A self-send under the plan's nonce, so that a plan past its time cannot fire. Raises Raced."""
        async with self._turn:
            intent = self._open(key)
            doubt.refuse_in_time(intent, block)
            return await self._cancel(intent, block, means, None)

    async def clear(self, key: PlanKey, behind: PlanKey, block: Block, means: Means) -> Attempt | Refusal:
        """Raise what stands in an urgent transaction's way to at least its fee, or free the nonce by a
        self-send when that fee is too dear for the payload. Raises Raced.
        """
        async with self._turn:
            return await self._clear(self._open(key), self._open(behind), block, means)

    async def _clear_way(self, attempt: Attempt, snapshot: Snapshot, *, urgent: bool) -> None:
        """Whatever is open under a lower nonce and pays less holds an urgent one up, what is for practice any. A
        refusal here is confirmation's to tell and to try again: the bytes are out already."""
        for stuck in self._opened(snapshot.block.chain_id):
            waits = stuck.attempts and stuck.attempts[-1].nonce >= snapshot.means.nonce
            yields = urgent or self.practises(stuck.key.position)
            if waits and yields and holds_up(stuck.attempts[-1], attempt):
                with suppress(Raced, Transient, Unsigned, Unwritable):
                    await self._clear(stuck, self._open(attempt.key), snapshot.block, snapshot.means)

    async def _clear(self, stuck: Intent, urgent: Intent, block: Block, means: Means) -> Attempt | Refusal:
        raised: Attempt | Refusal | None = None
        acts = stuck.may_act and block.number <= stuck.plan.bounds.deadline_block
        if stuck.attempts[-1].cancel or acts:
            with suppress(Unsigned):  # a day that is used up for payloads may still free a nonce
                raised = await self._bump(stuck, block, means, urgent)
        if isinstance(raised, Attempt):
            return raised
        if acts and not self.practises(stuck.key.position):
            fee, stays = self._purse(block, means).staying(stuck, urgent)
            if fee is not None:
                with suppress(Unsigned):
                    return await self._replace(stuck.attempts[-1], fee, stuck.plan.call, block)
            if stays is not None:
                return stays
        # an approval is outside what the daemon may sign anew
        return await self._cancel(stuck, block, means, urgent)

    async def _bump(
        self, intent: Intent, block: Block, means: Means | None, behind: Intent | None
    ) -> Attempt | Refusal:
        top = intent.attempts[-1]
        if top.n >= BUMPS_MAX and behind is None and not top.cancel:
            return Refusal(who=WHO, code="bumps_spent", why=f"raised {top.n} times: held and sent again")
        fee = self._purse(block, means).raised(top.fee, intent, behind, frees=top.cancel)
        if isinstance(fee, Refusal):
            return fee
        call = self._nothing() if top.cancel else intent.plan.call
        return await self._replace(top, fee, call, block)

    async def _cancel(
        self, intent: Intent, block: Block, means: Means | None, behind: Intent | None
    ) -> Attempt | Refusal:
        fee = self._purse(block, means).freeing(intent, behind)
        if isinstance(fee, Refusal):
            return fee
        top = intent.attempts[-1]
        return await self._replace(replace(top, cancel=True), fee, self._nothing(), block)

    async def _replan(self, plan: Plan, snapshot: Snapshot) -> Attempt | Refusal:
        """A larger plan in the place of the one that is not mined yet: one nonce, so one of them acts."""
        intent = self._open(plan.key)
        top = intent.attempts[-1]
        if top.cancel:
            raise Raced(f"{plan.key} is being cancelled")
        if plan.block.number <= intent.plan.block.number:
            raise Raced(f"{plan.key} is under way since block {intent.plan.block.number}")
        if snapshot.means.nonce > top.nonce:
            raise Raced(f"{plan.key}: nonce {top.nonce} is used, confirmation will say by what")
        doubt.refuse_beside(plan, self._journal.open_intents(plan.block.chain_id))
        fee = self._purse(snapshot.block, snapshot.means).instead(plan, top.fee)
        if isinstance(fee, Refusal):
            return fee
        asking = asyncio.ensure_future(simulate(self._transport, plan, self._signer.address, self._errors))
        try:
            await asyncio.sleep(ASKED_S)
            with self._journal.batch():
                self.beside()
            # a disarm, a pause, a broken invariant or an end in vain while it waited counts before the signature
            refusal = await asking or self._refused(plan)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        if refusal is not None:
            return refusal
        doubt.refuse_beside(plan, self._journal.open_intents(plan.block.chain_id))
        fresh = replace(top, n=top.n + 1, fee=fee, sent_block=snapshot.block.number)
        kept = await self._signed(fresh, plan.call, plan.block.chain_id)
        spend_usd = spend_usd_up(plan, snapshot.means)
        self._journal.replan(plan, kept, self._signer.address, spend_usd=spend_usd)
        self._unsure.discard(plan.key)
        self._probe("journaled")
        await self._broadcast(kept)
        await self._end_later(plan, snapshot)
        await self._clear_way(kept, snapshot, urgent=plan.urgent)
        return kept

    async def _end_later(self, plan: Plan, snapshot: Snapshot) -> None:
        """A larger plan does what later ones were for. What fails is confirmation's to tell and to try again."""
        why = f"{plan.key} does now what this is for: given up"
        for key in [i.key for i in doubt.after(plan, self._journal.open_intents(plan.block.chain_id))]:
            with suppress(Raced, Transient, Unsigned, Unwritable):
                late = self._open(key)
                if late.may_act:
                    self._journal.set_state(key, IntentState.CANCELLING, why, snapshot.block.number)
                    await self._cancel(late, snapshot.block, snapshot.means, None)

    @property
    def unsure(self) -> bool:
        """Whether the signer must be asked what it signed, or an intent be let go that the disk kept."""
        # of one that was concluded meanwhile it is asked when a reorganisation opens it again
        known = map(self._journal.intent, tuple(self._unsure))
        return bool(self._left) or any(i is None or i.state.open for i in known)

    async def settle(self, chain_id: int, at_block: int = 0) -> None:
        """Take over what a signer with a memory signed and this journal never got; let go what it did not.

        At start before recovery, and while intents stand without an attempt, at that height. Raises Transient.
        """
        async with self._turn:
            for key, (number, why) in tuple(self._left.items()):
                self._abandon_unsigned(key, number, why)
                del self._left[key]
            if isinstance(self._signer, Remembers):
                for intent in self._opened(chain_id):
                    await self._settle(intent, self._signer, at_block)

    async def _settle(self, intent: Intent, signer: Remembers, at_block: int) -> None:
        for found in await missing(intent, signer):
            self._journal.add_attempt(found, self._signer.address)
        self._unsure.discard(intent.key)
        self._abandon_unsigned(intent.key, max(at_block, intent.plan.block.number), "not signed")

    async def rebroadcast(self, intent: Intent) -> Verdict:
        """Send the stored bytes of the highest attempt again, unchanged.

        Raises Broken where no file keeps them, Unsigned where they are not what was signed.
        """
        # no write comes before, which would notice it
        self._journal.refuse_replaced()
        top = intent.attempts[-1]
        if top.altered:
            # the others are sent all the same
            raise Unsigned(
                f"the journal is damaged: bytes of {intent.key} are not those of {top.hash}; restore it"
            )
        return await self._broadcast(intent.attempts[-1])

    async def _ask_chain(self, plan: Plan) -> tuple[Refusal | None, int]:
        """(refusal, nonce) in one round trip."""
        refusal, nonce = await asyncio.gather(
            simulate(self._transport, plan, self._signer.address, self._errors),
            self._nonces.next(plan.block, self._signer.address),
            return_exceptions=True,
        )
        if isinstance(nonce, BaseException):
            raise nonce
        if isinstance(refusal, BaseException):
            raise refusal
        return refusal, nonce

    async def _replace(self, old: Attempt, fee: Fee, call: Call, block: Block) -> Attempt:
        fresh = replace(old, n=old.n + 1, fee=fee, sent_block=block.number)
        signed = await self._sign(fresh, call, block.chain_id)
        await self._broadcast(signed)
        return signed

    async def _sign(self, attempt: Attempt, call: Call, chain_id: int) -> Attempt:
        """Sign and make the bytes durable; after this the action may happen whatever becomes of us."""
        kept = await self._signed(attempt, call, chain_id)
        self._journal.add_attempt(kept, self._signer.address)
        self._unsure.discard(attempt.key)
        self._probe("journaled")
        return kept

    async def _signed(self, attempt: Attempt, call: Call, chain_id: int) -> Attempt:
        """The attempt with its bytes, which nobody but this process knows yet."""
        if attempt.key in self._unsure:
            raise Raced(f"{attempt.key}: the signer has not said yet what it signed")
        try:
            signed = await self._signer.sign(fields_of(attempt, call, chain_id))
        except (Transient, asyncio.CancelledError):
            if isinstance(self._signer, Remembers):
                self._unsure.add(attempt.key)
            raise
        if isinstance(self._signer, Remembers):
            # until the journal holds it too: a full disk between must not let the signer's nonce be forgotten
            self._unsure.add(attempt.key)
        self._probe("signed")
        return replace(attempt, raw=signed.raw, hash=signed.hash)

    async def _broadcast(self, attempt: Attempt) -> Verdict:
        answers = await self._transport.broadcast(attempt.raw)
        self._probe("broadcast")
        found = best(answers, attempt.hash)
        intent = self._journal.intent(attempt.key)
        # confirmation may have seen the receipt while the answer was under way
        if intent is not None and intent.state is IntentState.SIGNED:
            self._journal.set_state(attempt.key, IntentState.SENT, found.value, attempt.sent_block)
        self._probe("sent")
        return found

    def _abandon_unsigned(self, key: PlanKey, block_number: int, why: str) -> None:
        """Refused, cancelled or failed: no bytes exist anywhere, so the position must not stay blocked."""
        intent = None if key in self._unsure else self._journal.intent(key)
        if intent is not None and intent.state is IntentState.PLANNED:
            try:
                self._journal.set_state(key, intent.unsigned_end(block_number), why, block_number)
            except Unwritable:
                self._left[key] = block_number, why
                raise

    def _refused(self, plan: Plan) -> Refusal | None:
        """Whether what has ended in vain by now may come back beside it, or it may not be sent at all."""
        followed = self._journal.followed_intents(plan.block.chain_id)
        return doubt.refuses(plan, followed, self._journal.carried) or self.may_send(plan)

    def _purse(self, block: Block, means: Means | None) -> Purse:
        opened = tuple(self._opened(block.chain_id))
        return Purse(block=block, means=means, opened=opened, pooled=self.pooled)

    def _opened(self, chain_id: int) -> list[Intent]:
        """Of this key alone: what another one signed is neither raised nor cancelled, and paid from its own gas."""
        opened = self._journal.open_intents(chain_id)
        return [i for i in opened if i.is_of(self._signer.address)]

    def _open(self, key: PlanKey) -> Intent:
        """The intent as the journal has it now, with the turn held."""
        intent = self._journal.intent(key)
        if intent is None or not intent.state.open or not intent.attempts:
            raise Raced(f"{key} is not open any more")
        if not intent.is_of(self._signer.address):
            raise Raced(f"{key} was signed by another key, {intent.signer}: this one signs nothing for it")
        return intent

    def _nothing(self) -> Call:
        return Call(target=self._signer.address, data=b"")
