"""The tending of transactions, block by block, until the chain cannot change its mind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from keeper.confirmation import revival
from keeper.confirmation.branch import Branch
from keeper.confirmation.finality import Finality
from keeper.confirmation.missing import Missing
from keeper.confirmation.needs import Lane, Record
from keeper.confirmation.pressing import Failures, may_raise, wants_bump
from keeper.confirmation.promise import broken_promise
from keeper.confirmation.receipt import Receipt, Sight
from keeper.confirmation.receipts import Receipts
from keeper.errors import Broken, Transient
from keeper.model import (
    Attempt,
    Block,
    Entry,
    Intent,
    IntentState,
    Means,
    Outcome,
    Plan,
    PlanKey,
    PositionId,
    Refusal,
    Snapshot,
)
from keeper.seams import Transport

WhyReverted = Callable[[Plan, int], Awaitable[str]]
SETTLED_DEPTH = 2
"""Blocks on top after which a person is told that it is done."""
WHY_S = 1.0
"""All reasons of one tending together: words for a person must not keep others' transactions waiting."""


class Confirmation:
    """Follows the transactions of one key on one chain; ``former.Following`` those of the keys before it too."""

    def __init__(
        self, journal: Record, transport: Transport, lane: Lane, address: str, why: WhyReverted | None = None
    ) -> None:
        """``address``: the key's, in whose name every attempt was signed. ``why``: a revert's reason."""
        self._journal, self._why = journal, why
        self._transport = transport
        self._lane = lane
        self._address = address
        self._branch = Branch(transport)
        self._finality = Finality(transport)
        self._missing = Missing(transport, self._branch, address)
        self._receipts = Receipts(transport, self._branch, address)
        self.troubles: dict[PlanKey, str] = {}
        """Open plans that could not be pressed in the last tending, and why: the daemon's alarm."""
        self._overtaken: dict[PlanKey, Block] = {}
        """Plans whose nonce a node called used, and where that was heard first."""
        self._sights: dict[PlanKey, Sight] = {}
        """What the running tending saw of every plan."""
        self._untold: list[Outcome] = []
        """Conclusions that are journaled and not returned yet: a tending may be cut short."""
        self._why_left_s = WHY_S
        """Of the running tending."""
        self._failed = Failures()
        """What broke in the running tending."""

    async def tend(self, block: Block, snapshot: Snapshot) -> tuple[Outcome, ...]:
        """Judge every open and followed intent at ``block``, of which ``snapshot`` is the photograph.

        Must run before planning in each tick. An outcome is returned once per conclusion (INCLUDED, REVERTED,
        REPLACED, CANCELLED), and as SENT when a reorganisation takes one back; depth is journaled only.
        Network failures conclude nothing. What fails for one (Broken, Transient) is raised once everything was tried,
        the worst of it, for what is signed already is sent again in every block.
        """
        self.troubles, self._failed, self._why_left_s = {}, Failures(), WHY_S
        if self._lane.unsure:
            await self._settle(block)
        opened = [i for i in self._journal.open_intents(block.chain_id) if i.attempts and self._mine(i)]
        followed = [i for i in self._journal.followed_intents(block.chain_id) if self._mine(i)]
        if opened or followed:
            self._sights = await self._receipts.look([*opened, *followed], block, snapshot.means.nonce)
            # in the order of the chain: what an earlier plan did decides what is left for a later one
            for intent in sorted([*opened, *followed], key=_nonce):
                await self._tend_one(intent, block, snapshot)
            self._say_gap(opened, followed, block, snapshot.means.nonce)
            with self._failed.kept():
                await self._deepen(self._sights, block)
        if self._failed.worst is not None:
            raise self._failed.worst
        told, self._untold = tuple(self._untold), []
        return told

    def pending(self, chain_id: int, nonce: int, *, moved: bool) -> frozenset[PositionId]:
        """Positions of what must be tended before anything is planned at a photograph with this wallet nonce.

        None while nothing is open, the photograph shows every followed nonce as used, and the chain has not ``moved``
        since the last tending: then no tending of it could find one of ours missing, and it may come after the
        plans. Else everything that is followed: after a reorganisation it may be another's that uses a nonce.
        """
        opened = [i for i in self._journal.open_intents(chain_id) if self._mine(i)]
        followed = [i for i in self._journal.followed_intents(chain_id) if self._mine(i)]
        seen = all(i.attempts[-1].nonce < nonce for i in followed if i.attempts)
        if seen and not moved and not opened and not self._lane.unsure:
            return frozenset()
        return frozenset(i.key.position for i in (*opened, *followed))

    def _mine(self, intent: Intent) -> bool:
        return intent.is_of(self._address)

    async def _settle(self, block: Block) -> None:
        """Ask the signer what it signed; where it or the disk cannot say, the next block asks again."""
        with self._failed.kept(), suppress(Transient):
            await self._lane.settle(block.chain_id, block.number)

    async def _tend_one(self, intent: Intent, block: Block, snapshot: Snapshot) -> None:
        tend = self._tend_open if intent.state.open else self._tend_followed
        # the others' bytes must go out all the same
        with self._failed.kept():
            outcome = await tend(intent, self._sights[intent.key], block, snapshot)
            if outcome is not None:
                self._untold.append(outcome)

    async def _tend_open(
        self, intent: Intent, sight: Sight, block: Block, snapshot: Snapshot
    ) -> Outcome | None:
        if sight.receipt is not None:
            return await self._concluded(intent, sight.receipt, snapshot)
        if snapshot.means.nonce > intent.attempts[-1].nonce:
            if sight.sure:
                return await self._missing_receipt(intent, block, snapshot)
            # no bytes can act under it on this branch: none are signed while it cannot be read what did
            if self._overtaken.setdefault(intent.key, block) != block:
                self._trouble(
                    intent.key, block, "its nonce is used, and no endpoint tells a receipt of this branch"
                )
            return None
        self._missing.found(intent.key)
        await self._press(self._unless_done(intent, block, snapshot), block, snapshot.means)
        return None

    def _unless_done(self, intent: Intent, block: Block, snapshot: Snapshot) -> Intent:
        """The intent, CANCELLING from now on where an earlier plan did after all what it is for."""
        done = self._done_by(intent, snapshot)
        if done is None:
            return intent
        why = f"{done} does after all what this is for: given up"
        self._journal.set_state(intent.key, IntentState.CANCELLING, why, block.number)
        return replace(intent, state=IntentState.CANCELLING)

    def _done_by(self, intent: Intent, snapshot: Snapshot) -> PlanKey | None:
        """The earlier plan that makes this one needless; None where it is wanted, or being cancelled."""
        if intent.state is IntentState.CANCELLING or intent.attempts[-1].cancel or not intent.plan.steps:
            return None
        return revival.needless(self._journal, intent, snapshot)

    async def _tend_followed(
        self, intent: Intent, sight: Sight, block: Block, snapshot: Snapshot
    ) -> Outcome | None:
        was = self._journal.inclusion(intent.key)
        if sight.receipt is not None:
            if was is not None and was.block_hash == sight.receipt.block_hash:
                return None
            return await self._concluded(intent, sight.receipt, snapshot)
        if not sight.sure:
            return None
        if snapshot.means.nonce <= intent.attempts[-1].nonce:
            return await self._reopen(intent, block, snapshot)
        if intent.state is IntentState.REPLACED:
            return None
        if was is not None and await self._branch.may_hold(was, block):
            # whatever a node that is behind says of the receipt: nobody else used the nonce while its block is there
            self._missing.found(intent.key)
            return None
        return await self._missing_receipt(intent, block, snapshot) or self._unplaced(intent, block)

    def _unplaced(self, intent: Intent, block: Block) -> Outcome | None:
        """The chain left the block in which it acted, and its nonce is used: open until it is known by what.

        Nothing is planned beside it meanwhile, and what is planned after does not presume that it acted.
        """
        if intent.state not in revival.ACTED:
            return None
        top = intent.attempts[-1]
        why = f"reorganisation: the receipt of {top.hash} vanished, and nonce {top.nonce} is used"
        return self._without_receipt(intent, IntentState.SENT, block, why)

    async def _concluded(self, intent: Intent, receipt: Receipt, snapshot: Snapshot) -> Outcome:
        words = "the transaction reverted on the chain"
        if not receipt.succeeded and not receipt.attempt.cancel and self._why is not None:
            plan = self._journal.carried(intent, receipt.attempt.n)
            words = f"{words}: {await self._reason(self._why(plan, receipt.block_number))}"
        return self._conclude(intent, receipt, snapshot, words)

    async def _reason(self, asked: Awaitable[str]) -> str:
        """Why it reverted, as far as there is time for the answer."""
        clock = asyncio.get_running_loop().time
        begun_s = clock()
        try:
            async with asyncio.timeout(self._why_left_s):
                return await asked
        except TimeoutError:
            return "no endpoint said in time why"
        finally:
            self._why_left_s = max(0.0, self._why_left_s - (clock() - begun_s))

    def _conclude(self, intent: Intent, receipt: Receipt, snapshot: Snapshot, reverted: str) -> Outcome:
        """A receipt on the snapshot's branch: what it did, and whether the promise was kept."""
        self._missing.found(intent.key)
        self._overtaken.pop(intent.key, None)
        # a larger plan may have replaced the one that was mined: each is held to its own promise
        plan = self._journal.carried(intent, receipt.attempt.n)
        position = snapshot.position(intent.key.position)
        health_wad = position.health_wad if position is not None else None
        state, surprise = IntentState.INCLUDED, ""
        if receipt.attempt.cancel:
            state = IntentState.CANCELLED
        elif not receipt.succeeded:
            state, surprise = IntentState.REVERTED, reverted
        elif not plan.steps:
            health_wad = None  # an approval moves no position and promises none
        elif position is None:
            surprise = "the position could not be read after the inclusion"
        else:
            surprise = self._twice(intent.key) or broken_promise(plan, health_wad)
        outcome = Outcome(
            key=intent.key,
            state=state,
            block_number=receipt.block_number,
            tx_hash=receipt.attempt.hash,
            gas_used=receipt.gas_used,
            gas_price_wei=receipt.gas_price_wei,
            health_after_wad=health_wad,
            promised_min_wad=plan.bounds.health_after_min_wad,
            surprise=surprise,
        )
        self._journal.record_outcome(outcome, receipt.block_hash)
        return outcome

    def _twice(self, key: PlanKey) -> str:
        """Words for a plan that acted beside one that it replaced, or that replaced it; else empty."""
        acted = {k: s.receipt.attempt.n for k, s in self._sights.items() if s.receipt and s.receipt.acted}
        other = revival.acted_twice(self._journal, key, acted)
        return "" if other is None else f"acted twice: a reorganisation let {other} act as well"

    async def _missing_receipt(self, intent: Intent, block: Block, snapshot: Snapshot) -> Outcome | None:
        """The nonce is used and no receipt is ours: believed at depth two, on the second look, and from everybody."""
        nonce = intent.attempts[-1].nonce
        told = await self._missing.look(intent, block)
        if told.receipt is not None:
            return await self._concluded(intent, told.receipt, snapshot)
        if told.trouble:
            self._trouble(intent.key, block, told.trouble)
        if not told.believed:
            return None
        return self._without_receipt(
            intent, IntentState.REPLACED, block, f"nonce {nonce} was used by a transaction that is not ours"
        )

    async def _reopen(self, intent: Intent, block: Block, snapshot: Snapshot) -> Outcome:
        """A reorganisation took it back: pools do not always remember it, so the bytes are sent again.

        Not those of a plan that had ended without effect and whose place a later one took: both would act.
        """
        self._missing.found(intent.key)
        why = f"reorganisation: the receipt of {intent.attempts[-1].hash} vanished"
        in_vain = intent.state in (IntentState.REPLACED, IntentState.REVERTED)
        late = in_vain and self._followed_by_another(intent)
        state = IntentState.CANCELLING if late else IntentState.SENT
        try:
            outcome = self._without_receipt(intent, state, block, why)
        except Broken:
            # it is the chain that forgot them: a disk that takes no note of it must not keep them back
            if intent.attempts[-1].cancel or not (late or self._done_by(intent, snapshot)):
                await self._failed.tried(self._lane.rebroadcast(intent))
            raise
        reopened = self._unless_done(replace(intent, state=state), block, snapshot)
        await self._press(reopened, block, snapshot.means)
        return outcome

    def _followed_by_another(self, intent: Intent) -> bool:
        """Whether a later plan of the position had bytes of its own: one that was never signed took no place."""
        later = (i for i in self._journal.intents(intent.key.position) if i.key.seq > intent.key.seq)
        return any(i.attempts or i.state.open for i in later)

    def _without_receipt(self, intent: Intent, state: IntentState, block: Block, why: str) -> Outcome:
        outcome = Outcome(
            key=intent.key,
            state=state,
            block_number=block.number,
            tx_hash=None,
            gas_used=0,
            gas_price_wei=0,
            health_after_wad=None,
            promised_min_wad=intent.plan.bounds.health_after_min_wad,
            surprise=why,
        )
        self._journal.record_outcome(outcome)
        return outcome

    async def _press(self, intent: Intent, block: Block, means: Means) -> None:
        """Cancel, raise or send again. A failure is a trouble to tell; the next block tries anew."""
        top = intent.attempts[-1]
        answer: Attempt | Refusal | None = None
        void = intent.state is IntentState.CANCELLING and not top.cancel
        if void or (block.number > intent.plan.bounds.deadline_block and not top.cancel):
            answer = await self._failed.tried(self._lane.cancel(intent.key, block, means))
            if isinstance(answer, Refusal) and (urgent := self._held_up(top, block)) is not None:
                # its own money frees the nonce no more; that of what waits behind it may
                answer = await self._failed.tried(self._lane.clear(intent.key, urgent, block, means))
        elif (urgent := self._held_up(top, block)) is not None:
            answer = await self._failed.tried(self._lane.clear(intent.key, urgent, block, means))
        elif wants_bump(intent, top, block):
            answer = await self._failed.tried(self._lane.bump(intent.key, block, means))
        if isinstance(answer, Refusal) and self._renewed(intent):
            return
        if not isinstance(answer, Attempt) and not void:
            # whatever kept a new signature back, what is signed and durable stays in the pools
            verdict = await self._failed.tried(self._lane.rebroadcast(intent))
            if isinstance(verdict, Refusal):
                answer = answer or verdict
            elif answer is None and verdict.wants_more and may_raise(intent, top, block):
                answer = await self._failed.tried(self._lane.bump(intent.key, block, means))
            elif verdict.overtaken and self._overtaken.get(intent.key, block) == block:
                # mined in a block newer than this photograph, says a node: the next one shows by what
                self._overtaken[intent.key] = block
            elif not verdict.reached:
                self._trouble(intent.key, block, f"no pool holds it: {verdict}")
        if isinstance(answer, Refusal):
            self._trouble(intent.key, block, f"{answer.code}: {answer.why}")

    def _renewed(self, intent: Intent) -> bool:
        """Whether a larger plan took its place, and was sent, while this one waited for its turn to be pressed."""
        opened = self._journal.open_intents(intent.key.position.chain_id)
        return any(i.key == intent.key and len(i.attempts) > len(intent.attempts) for i in opened)

    def _held_up(self, top: Attempt, block: Block) -> PlanKey | None:
        """The dearest urgent plan that waits behind ``top`` and pays more; one being cancelled rescues nobody."""
        behind = [
            i.attempts[-1]
            for i in self._journal.open_intents(block.chain_id)
            if i.may_act and self._mine(i) and i.plan.urgent and i.attempts[-1].nonce > top.nonce
        ]
        dearest = max(behind, key=lambda a: a.fee.max_fee_wei, default=None)
        if dearest is None:
            return None
        cheaper = top.fee.max_fee_wei < dearest.fee.max_fee_wei or top.fee.tip_wei < dearest.fee.tip_wei
        return dearest.key if cheaper else None

    async def _deepen(self, sights: dict[PlanKey, Sight], block: Block) -> None:
        """SETTLED after two blocks, FINAL where the chain cannot take it back."""
        followed = self._journal.followed_intents(block.chain_id)
        places = [(i, p) for i in followed if (p := self._journal.inclusion(i.key)) is not None]
        if not any(block.number - p.block_number >= SETTLED_DEPTH for _, p in places):
            return
        final = await self._finality.height(block, min(p.block_number for _, p in places))
        for intent, place in places:
            # seen in this very look, or (replaced) known by its nonce alone; one that came due meanwhile is not
            sight = sights.get(intent.key)
            if sight is None or (sight.receipt is None and intent.state is not IntentState.REPLACED):
                continue
            if sight.receipt is not None and sight.receipt.block_hash != place.block_hash:
                continue  # it moved, and the journal could not take note of where to: the old depth says nothing
            depth = block.number - place.block_number
            if place.block_number <= final:
                self._journal.seal(intent.key, block.number)
            elif depth >= SETTLED_DEPTH and intent.state is IntentState.INCLUDED:
                self._journal.set_state(intent.key, IntentState.SETTLED, f"{depth} blocks deep", block.number)

    def _say_gap(self, opened: list[Intent], followed: list[Intent], block: Block, nonce: int) -> None:
        """What is below everything that is open and was final: the chain took it back, and nobody sends it again."""
        first = min(opened, key=_nonce, default=None)
        if first is None or nonce >= _nonce(first) or any(_nonce(i) >= nonce for i in followed):
            return
        why = f"nonce {nonce} is free again and what had used it was final: nothing behind it can be mined until"
        self._trouble(first.key, block, f"{why} a transaction of this key fills it")

    def _trouble(self, key: PlanKey, block: Block, why: str) -> None:
        self.troubles[key] = why
        entry = Entry(
            kind="attempt", chain_id=block.chain_id, block_number=block.number, subject=str(key), why=why
        )
        with self._failed.kept():
            self._journal.record(entry)


def _nonce(intent: Intent) -> int:
    return intent.attempts[-1].nonce if intent.attempts else -1
