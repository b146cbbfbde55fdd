"""Start-up is recovery: what to do with every intent that a crash left open, before the first tick.

Stored bytes are broadcast again, never signed anew. Whether a nonce was taken by a foreign transaction is
left to confirmation, which wants depth and two looks; recovery only leaves such an intent alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from keeper import voices
from keeper.errors import Broken, Transient
from keeper.journal.read import Queries
from keeper.journal.whole import refuse_altered, sendable
from keeper.journal.write import Journal
from keeper.model import Attempt, Entry, Intent, IntentState, Outcome, PlanKey
from keeper.seams import Clock, Priority, Transport
from keeper.units import QUANTITY_CHARS_MAX

ADOPT_DEPTH = 2
"""Blocks on top before a foreign transaction is accepted: one that vanished again would leave a gap."""


class Remedy(StrEnum):
    """What recovery did with an intent."""

    ADOPTED = "ADOPTED"
    """A new journal took the chain's nonce as its start; no intent."""
    ABANDONED = "ABANDONED"
    """Nothing was ever signed; the next tick decides anew."""
    EXPIRED = "EXPIRED"
    """The same, and its last block has passed."""
    MINED = "MINED"
    """A receipt exists; confirmation judges it."""
    CONSUMED = "CONSUMED"
    """Its nonce is used and no receipt is ours yet; confirmation decides, nothing is sent."""
    VOID = "VOID"
    """A later plan took its place; confirmation cancels it, nothing is sent."""
    HELD = "HELD"
    """An earlier plan of the position, not final yet, may do what it is for: the first tick sends or cancels it."""
    LEFT = "LEFT"
    """Another key signed it: it is followed to its end, and never sent again."""
    RESENT = "RESENT"
    """The stored bytes were broadcast again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverFinding:
    """One thing that recovery found and did."""

    subject: str
    remedy: Remedy
    why: str


def judge(
    intent: Intent, mined: bool, latest_nonce: int, *, beside: bool = False, at_block: int = 0
) -> Remedy:
    """What an intent left open needs, given whether an attempt of it has a receipt, the chain's nonce, whether an
    earlier plan of its position stands ``beside`` it, and the chain's height (0: not asked)."""
    if not intent.attempts:
        return Remedy(intent.unsigned_end(at_block))
    if mined:
        return Remedy.MINED
    if intent.state is IntentState.CANCELLING and not intent.attempts[-1].cancel:
        # a later plan acts in its place: its bytes must not go out again before the self-send is signed
        return Remedy.VOID
    if latest_nonce > intent.attempts[-1].nonce:
        return Remedy.CONSUMED
    return Remedy.HELD if beside and intent.may_act else Remedy.RESENT


async def recover(
    journal: Journal, transport: Transport, clock: Clock, chain_id: int, address: str
) -> tuple[RecoverFinding, ...]:
    """Bring journal and chain together for one key on one chain.

    Raises Broken (nothing may be signed) when the chain has transactions of ``address`` that this journal
    does not know, or when stored bytes are not those signed, and Transient when no node answers: try again
    before ticking.
    """
    started_s = clock.monotonic_s()
    latest, pending = await asyncio.gather(
        _count(transport, address, "latest"), _count(transport, address, "pending")
    )
    latest = await _borne_out(journal, transport, latest, (chain_id, address))
    findings = _reconcile(journal, chain_id, address, latest, pending)
    await _refuse_taken(journal, transport, chain_id, address)
    opened = journal.open_intents(chain_id)
    for intent in sendable(journal, chain_id):
        refuse_altered(journal, intent)
    for intent in opened:
        if intent.is_of(address):
            findings.append(await _mend(journal, transport, intent, latest))
        else:
            why = f"signed by {intent.signer}: followed, not sent again"
            findings.append(RecoverFinding(subject=str(intent.key), remedy=Remedy.LEFT, why=why))
    journal.record(
        Entry(
            kind="start",
            chain_id=chain_id,
            block_number=0,
            subject=address,
            why=f"recovered {len(findings)} findings",
            data={"findings": findings, "nonce": latest, "took_s": clock.monotonic_s() - started_s},
        )
    )
    return tuple(findings)


async def _borne_out(journal: Journal, transport: Transport, latest: int, key: tuple[int, str]) -> int:
    """The chain's nonce as it is believed at a start: ahead of the journal where two of several endpoints say so.

    While one alone does, no signature is made: that is asked before each. Its lie must not last until a restart.
    """
    known = journal.next_nonce(*key)
    told = None if known is None or latest <= known else await voices.counts(transport, key[1], "latest")
    if told is None or known is None or told.above(known) >= voices.QUORUM:
        return latest
    return known if told.agreed is None else told.agreed


def _reconcile(
    journal: Journal, chain_id: int, address: str, latest: int, pending: int
) -> list[RecoverFinding]:
    """Refuse a chain that is ahead of the journal; only a key that never sent anything needs no adoption."""
    known = journal.next_nonce(chain_id, address)
    if known is None:
        if pending > latest:
            raise Broken(
                f"{address} has {pending - latest} transactions pending on chain {chain_id} that journal "
                f"{journal.path} does not know: wait until they are mined, or restore the one that sent them"
            )
        if latest > 0:
            raise Broken(
                f"foreign nonce: {address} has sent {latest} transactions on chain {chain_id}, and journal "
                f"{journal.path} is new: restore the one that belongs to this key, or look at what was sent "
                "and accept it with `keeper adopt`. Nothing is signed until then"
            )
        why = f"new journal, unused key: transactions of {address} are accounted for from the first on"
        journal.adopt_nonce(chain_id, address, latest, why)
        return [RecoverFinding(subject=address, remedy=Remedy.ADOPTED, why=why)]
    if latest > known:
        raise Broken(
            f"foreign nonce: {address} has sent {latest} transactions on chain {chain_id}, journal "
            f"{journal.path} accounts for {known}. Another program uses this key, or this journal is an old "
            "copy: restore the newest one, give the keeper a key of its own, or accept what was sent with "
            "`keeper adopt`. Nothing is signed until then"
        )
    return []


async def _refuse_taken(journal: Journal, transport: Transport, chain_id: int, address: str) -> None:
    """Refuse where another transaction was mined in one of ours' place: unless that shows a receipt after all.

    A node that was behind had denied it, and confirmation says so in the first tick. Raises Broken, Transient.
    """
    taken = journal.taken_nonce(chain_id, address)
    denied = [i for i in journal.followed_intents(chain_id) if i.state is IntentState.REPLACED]
    ours = [i for i in denied if i.is_of(address) and i.attempts[-1].nonce == taken]
    if taken is None or any([await _any_mined(transport, i) for i in ours]):
        return
    raise Broken(
        f"foreign nonce: nonce {taken} of {address} on chain {chain_id} was used by a transaction that journal "
        f"{journal.path} does not know, in the place of its own. Another program uses this key: look at what "
        "it sent, give the keeper a key of its own, or accept it with `keeper adopt`. Nothing is signed "
        "until then"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where journal and chain stand for one key, as `keeper adopt` shows it."""

    chain_id: int
    address: str
    known: int | None
    """The nonce that the journal would sign next; None when it answers for nothing yet."""
    latest: int
    pending: int
    deep: int
    """The chain's nonce ADOPT_DEPTH blocks ago."""
    passed: tuple[PlanKey, ...]
    """Open plans of the journal whose nonce the chain has used; confirmation judges them."""
    taken: int | None = None
    """A nonce that the journal signed for and that somebody else's transaction used; None without one."""
    left: tuple[Intent, ...] = ()
    """Open plans that another key signed, its nonces not used: their positions wait until they are, or given up."""

    @property
    def in_step(self) -> bool:
        """Nothing has to be accepted."""
        return self.latest <= (self.known or 0) and self.taken is None

    @property
    def refuses(self) -> str:
        """Why the chain's nonce cannot be accepted yet; empty when it can."""
        if self.pending > max(self.latest, self.known or 0):
            return (
                f"{self.pending - self.latest} transactions of this key are pending: "
                "wait until they are mined, for they may still act"
            )
        if self.deep < self.latest:
            return f"the newest transaction is less than {ADOPT_DEPTH} blocks deep: try again in a minute"
        return ""


async def standing(journal: Queries | None, transport: Transport, chain_id: int, address: str) -> Standing:
    """What adopting would accept; None for a journal that is not there yet. Raises Transient."""
    head = await _height(transport)
    latest, pending, deep = await asyncio.gather(
        _count(transport, address, "latest"),
        _count(transport, address, "pending"),
        _count(transport, address, hex(max(0, head - ADOPT_DEPTH))),
    )
    open_intents = journal.open_intents(chain_id) if journal is not None else ()
    left = [i for i in open_intents if not i.is_of(address)]
    used = {a: await _count(transport, a, "latest") for a in {i.signer for i in left}}
    ours = [i for i in open_intents if i.attempts and i.is_of(address)]
    passed = [i.key for i in ours if i.attempts[-1].nonce < latest]
    return Standing(
        chain_id=chain_id,
        address=address,
        known=None if journal is None else journal.next_nonce(chain_id, address),
        latest=latest,
        pending=pending,
        deep=deep,
        passed=tuple(passed),
        taken=None if journal is None else journal.taken_nonce(chain_id, address),
        left=tuple(i for i in left if i.attempts[-1].nonce >= used[i.signer]),
    )


def give_up(journal: Journal, intent: Intent, why: str, actor: str) -> None:
    """A person's word that what another key signed does not count any more: its position waits no longer.

    Its bytes are followed no more; where they act all the same, that shows in the position alone.
    """
    told = f"given up by {actor}: {why}; nonce {intent.attempts[-1].nonce} of {intent.signer} is not used"
    outcome = Outcome(
        key=intent.key,
        state=IntentState.REPLACED,
        block_number=intent.plan.block.number,
        tx_hash=None,
        gas_used=0,
        gas_price_wei=0,
        health_after_wad=None,
        promised_min_wad=intent.plan.bounds.health_after_min_wad,
        surprise=told,
    )
    with journal.batch():
        journal.record_outcome(outcome)
        journal.seal(intent.key, intent.plan.block.number)


async def _mend(journal: Journal, transport: Transport, intent: Intent, latest: int) -> RecoverFinding:
    mined = bool(intent.attempts) and await _any_mined(transport, intent)
    block_number = intent.plan.block.number
    at_block = block_number if intent.attempts else await _height(transport)
    # where it is tried again, blocks are tended meanwhile
    intent = journal.intent(intent.key) or intent
    remedy = judge(intent, mined, latest, beside=_beside(journal, intent), at_block=at_block)
    why = remedy.value.lower()
    if remedy in (Remedy.ABANDONED, Remedy.EXPIRED) and intent.state.open:
        why = "crashed before signing"
        if remedy is Remedy.EXPIRED:
            why = f"{why}; its last block, {intent.plan.bounds.deadline_block}, has passed"
        journal.set_state(intent.key, IntentState(remedy), why, max(at_block, block_number))
    elif remedy is Remedy.RESENT:
        why = await _resend(transport, intent)
        now = journal.intent(intent.key)
        if now is not None and now.state is IntentState.SIGNED:
            journal.set_state(intent.key, IntentState.SENT, why, block_number)
    return RecoverFinding(subject=str(intent.key), remedy=remedy, why=why)


def _beside(journal: Journal, late: Intent) -> bool:
    """Whether an earlier plan of the position is open again, or larger ones took its place under its nonce: which of
    them is on the chain now, and so whether ``late`` is wanted still, a photograph must tell first."""
    others = [i for i in sendable(journal, late.key.position.chain_id) if i.key.position == late.key.position]
    earlier = [i for i in others if i.key.seq < late.key.seq and i.attempts]
    return any(i.state.open or journal.carried(i, 0).steps != i.plan.steps for i in earlier)


async def _resend(transport: Transport, intent: Intent) -> str:
    """Broadcast the stored bytes, highest fee first: where a pool takes that, it refuses the lower ones.

    Where a self-send cancels, only self-sends: what is cancelled must not be offered to a pool that lost both.
    """
    told: list[str] = []
    for attempt in _dearest_first(tuple(a for a in intent.attempts if a.cancel) or intent.attempts):
        answers = await transport.broadcast(attempt.raw)
        taken = any(isinstance(a, str) for a in answers)
        told.append(f"attempt {attempt.n} {'taken' if taken else 'not taken'}")
    return "sent again: " + ", ".join(told)


def _dearest_first(attempts: tuple[Attempt, ...]) -> list[Attempt]:
    """A self-send that cancels outranks what it cancels, whatever they pay."""
    return sorted(attempts, key=lambda a: (a.cancel, a.fee.max_fee_wei, a.n), reverse=True)


async def _any_mined(transport: Transport, intent: Intent) -> bool:
    receipts = await asyncio.gather(
        *(
            transport.request("eth_getTransactionReceipt", [a.hash], priority=Priority.RECEIPT)
            for a in intent.attempts
        )
    )
    return any(r is not None for r in receipts)


async def _count(transport: Transport, address: str, tag: str) -> int:
    return _quantity(await transport.request("eth_getTransactionCount", [address, tag]), "transaction count")


async def _height(transport: Transport) -> int:
    return _quantity(await transport.request("eth_blockNumber", []), "block number")


def _quantity(answer: object, what: str) -> int:
    if not isinstance(answer, str) or not answer.startswith("0x") or len(answer) > QUANTITY_CHARS_MAX:
        raise Transient(f"{what} answered as {type(answer).__name__}")
    try:
        return int(answer, 16)
    except ValueError:
        raise Transient(f"{what} is no hex quantity") from None
