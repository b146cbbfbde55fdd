"""A signer with a memory: what it signed and this journal never got is taken over, never signed a second time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Broken, Raced, Transient, Unwritable
from keeper.journal.write import Journal
from keeper.model import Attempt, IntentState, Outcome
from keeper.seams import Kept, Signed, TxFields
from keeper.transaction.nonce import Nonces, agreed, count
from keeper.transaction.send import Live
from keeper.units import GWEI
from tests.chain_double import ChainDouble, FakeSigner
from tests.plans import CHAIN_ID, WALLET, plan, position_id, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
S = IntentState


class Rememberer(FakeSigner):
    """Keeps what it signs; its answer may be lost, or its memory out of reach."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[str, Kept]] = []
        self.loses = False
        self.silent = False

    async def sign(self, tx: TxFields) -> Signed:
        """Signed and kept, and perhaps not heard."""
        signed = await super().sign(tx)
        fees = {"gas_limit": tx.gas_limit, "max_fee_wei": tx.max_fee_wei, "tip_wei": tx.tip_wei}
        self.kept.append((tx.intent, Kept(nonce=tx.nonce, cancel=not tx.data, signed=signed, **fees)))
        if self.loses:
            raise Transient("no signer answers")
        return signed

    async def stored(self, intent: str) -> tuple[Kept, ...]:
        """Oldest first."""
        if self.silent:
            raise Transient("no signer answers")
        return tuple(k for key, k in self.kept if key == intent)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as opened:
        opened.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        yield opened


def act(live: Live, seq: int = 1) -> Attempt:
    made = run(live.act(plan(seq), snapshot(nonce=seq - 1)))
    assert isinstance(made, Attempt)
    return made


def state(journal: Journal) -> IntentState:
    found = journal.intent(plan().key)
    assert found is not None
    return found.state


def test_settle__when_the_answer_was_lost__then_the_stored_bytes_are_taken_over(journal: Journal) -> None:
    chain, signer = ChainDouble(), Rememberer()
    live = Live(journal, chain, signer)
    signer.loses = True
    with pytest.raises(Transient):
        act(live)
    assert live.unsure
    assert (state(journal), chain.sent) == (S.PLANNED, [])
    with pytest.raises(Raced):
        act(live)
    run(live.settle(CHAIN_ID))
    assert not live.unsure
    [found] = journal.open_intents()
    [attempt] = found.attempts
    kept = signer.kept[0][1]
    assert found.state is S.SIGNED
    assert (attempt.raw, attempt.hash, attempt.nonce, attempt.n, attempt.cancel) == (
        kept.signed.raw,
        kept.signed.hash,
        0,
        0,
        False,
    )
    assert (attempt.fee.gas_limit, attempt.fee.max_fee_wei, attempt.fee.tip_wei) == (
        kept.gas_limit,
        kept.max_fee_wei,
        kept.tip_wei,
    )
    # and a second look finds nothing new
    run(live.settle(CHAIN_ID))
    assert journal.open_intents()[0].attempts == (attempt,)
    signer.loses = False
    run(live.bump(plan().key, replace(snapshot().block, number=snapshot().block.number + 1), None))
    assert [a.n for a in journal.open_intents()[0].attempts] == [0, 1]
    assert len({tx.nonce for tx in signer.asked}) == 1


def test_settle__when_the_signer_has_nothing__then_the_intent_is_let_go(journal: Journal) -> None:
    journal.open_intent(plan())
    live = Live(journal, ChainDouble(), Rememberer())
    run(live.settle(CHAIN_ID))
    assert state(journal) is S.ABANDONED


@pytest.mark.parametrize("past, end", [(0, S.ABANDONED), (1, S.EXPIRED)])
def test_settle__when_its_last_block_has_passed_and_the_signer_has_nothing__then_expired(
    journal: Journal, past: int, end: S
) -> None:
    journal.open_intent(plan())
    live = Live(journal, ChainDouble(), Rememberer())
    run(live.settle(CHAIN_ID, plan().bounds.deadline_block + past))
    assert state(journal) is end


def test_settle__when_the_signer_does_not_answer__then_nothing_is_decided(journal: Journal) -> None:
    signer = Rememberer()
    live = Live(journal, ChainDouble(), signer)
    signer.loses = signer.silent = True
    with pytest.raises(Transient):
        act(live)
    with pytest.raises(Transient):
        run(live.settle(CHAIN_ID))
    assert live.unsure
    assert state(journal) is S.PLANNED


def test_settle__when_the_signer_forgets__then_it_is_not_asked(journal: Journal) -> None:
    journal.open_intent(plan())
    run(Live(journal, ChainDouble(), FakeSigner()).settle(CHAIN_ID))
    assert state(journal) is S.PLANNED


def test_act__when_the_disk_fills_between_signature_and_journal__then_taken_over_once_there_is_room(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, signer = ChainDouble(), Rememberer()
    live = Live(journal, chain, signer)

    def full(*_: object) -> None:
        raise Unwritable("journal failed: database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "add_attempt", full)
        with pytest.raises(Unwritable):
            act(live)
    assert live.unsure
    assert (state(journal), chain.sent) == (S.PLANNED, [])
    run(live.settle(CHAIN_ID))
    [found] = journal.open_intents()
    assert [a.hash for a in found.attempts] == [signer.kept[0][1].signed.hash]
    assert not live.unsure
    assert len(signer.asked) == 1


def test_act__when_all_is_well__then_sure_again_after_each_signature(journal: Journal) -> None:
    chain, signer = ChainDouble(), Rememberer()
    live = Live(journal, chain, signer)
    act(live)
    assert not live.unsure
    run(live.bump(plan().key, snapshot().block, None))
    assert not live.unsure
    assert len(journal.open_intents()[0].attempts) == 2


@pytest.mark.parametrize("answer", [None, 7, "7", "0xzz", "0x" + "f" * 4_000])
def test_count__when_it_is_no_hex_quantity__then_transient(answer: object) -> None:
    with pytest.raises(Transient, match="transaction count"):
        count(answer)
    assert count("0x10") == 16


def test_nonce__when_journal_and_chain_are_compared__then_never_behind_the_chain(journal: Journal) -> None:
    assert agreed(7, 7, WALLET) == 7
    assert agreed(7, 5, WALLET) == 7
    with pytest.raises(Broken, match="has sent 8 transactions, this journal accounts for 7"):
        agreed(7, 8, WALLET)
    with pytest.raises(Broken, match="no nonce was adopted"):
        agreed(None, 0, WALLET)
    at = ChainDouble().head
    assert run(Nonces(journal, ChainDouble()).next(at, WALLET)) == 0
    with pytest.raises(Broken, match="foreign nonce"):
        run(Nonces(journal, ChainDouble(nonce=1)).next(at, WALLET))


def test_nonce__when_somebody_else_used_one_that_we_signed_for__then_nothing_is_signed_until_adopted(
    journal: Journal,
) -> None:
    """Two hosts in step: each has signed under the nonce that the other's transaction took."""
    signer = Rememberer()
    chain = ChainDouble()
    live = Live(journal, chain, signer)
    act(live)
    chain.mine()
    replaced = Outcome(
        key=plan().key, state=IntentState.REPLACED, block_number=100, tx_hash=None, gas_used=0, gas_price_wei=0,
        health_after_wad=None, promised_min_wad=None, surprise="not ours",
    )  # fmt: skip
    journal.record_outcome(replaced)
    with pytest.raises(Broken, match=r"foreign nonce: nonce 0 of .* did not sign"):
        act(live, seq=2)
    assert len(signer.asked) == 1
    assert journal.intent(plan(2).key) is None
    journal.adopt_nonce(CHAIN_ID, WALLET, 1, "looked at")
    assert isinstance(act(live, seq=2), Attempt)


def test_replan__when_urgent_behind_a_cheaper_one__then_that_one_is_raised_to_its_fee(
    journal: Journal,
) -> None:
    chain = ChainDouble()
    live = Live(journal, chain, FakeSigner())
    stuck = plan(position=position_id("other"))
    run(live.act(stuck, snapshot()))
    act(live)
    at = chain.mine(empty=True)
    made = run(live.act(plan(at=at, urgent=True), snapshot(at)))
    assert isinstance(made, Attempt)
    assert (made.nonce, made.n) == (1, 1)
    found = journal.intent(stuck.key)
    assert found is not None
    assert [a.nonce for a in found.attempts] == [0, 0]
    assert found.attempts[1].fee.max_fee_wei >= made.fee.max_fee_wei
    assert found.attempts[1].fee.tip_wei >= made.fee.tip_wei


@pytest.mark.parametrize("practice", [True, False])
def test_act__when_behind_a_cheaper_one_that_is_for_practice__then_that_one_is_raised_at_any_urgency(
    journal: Journal, practice: bool
) -> None:
    chain = ChainDouble()
    live = Live(journal, chain, FakeSigner())
    canary = plan(position=position_id("other"))
    run(live.act(canary, snapshot()))
    live.practises = {canary.key.position}.__contains__ if practice else {plan().key.position}.__contains__
    at = replace(chain.mine(empty=True), base_fee_wei=90 * GWEI)
    made = run(live.act(plan(at=at), snapshot(at)))
    assert isinstance(made, Attempt)
    found = journal.intent(canary.key)
    assert found is not None
    assert len(found.attempts) == (2 if practice else 1)
    assert (found.attempts[-1].fee.max_fee_wei >= made.fee.max_fee_wei) is practice


def test_act__when_urgent_behind_one_that_pays_as_much__then_that_one_is_left_alone(journal: Journal) -> None:
    live = Live(journal, ChainDouble(), FakeSigner())
    before = plan(position=position_id("other"), urgent=True)
    run(live.act(before, snapshot()))
    journal.open_intent(plan(position=position_id("third")))
    made = run(live.act(plan(urgent=True), snapshot()))
    assert isinstance(made, Attempt)
    found = journal.intent(before.key)
    assert found is not None
    assert [(a.nonce, a.fee) for a in found.attempts] == [(0, made.fee)]


def test_bump__when_the_signer_has_not_said_what_it_signed__then_it_is_asked_for_nothing_more(
    journal: Journal,
) -> None:
    chain, signer = ChainDouble(), Rememberer()
    live = Live(journal, chain, signer)
    act(live)
    signer.loses = True
    with pytest.raises(Transient, match="no signer answers"):
        run(live.bump(plan().key, snapshot().block, None))
    signer.loses = False
    with pytest.raises(Raced, match="has not said yet what it signed"):
        run(live.bump(plan().key, snapshot().block, None))
    assert len(signer.asked) == 2
    run(live.settle(CHAIN_ID))
    assert [a.n for a in journal.open_intents()[0].attempts] == [0, 1]


def test_unsure__when_it_was_concluded_while_a_larger_plan_was_signed__then_only_asked_once_it_is_open_again(
    journal: Journal,
) -> None:
    chain, signer = ChainDouble(), Rememberer()
    live = Live(journal, chain, signer)
    act(live)
    sign = signer.sign

    async def mined_meanwhile(tx: TxFields) -> Signed:
        signed = await sign(tx)
        chain.mine()
        journal.set_state(plan().key, S.INCLUDED, "test", chain.head.number)
        return signed

    signer.sign = mined_meanwhile  # type: ignore[method-assign]
    at = chain.mine(empty=True)
    with pytest.raises(Raced):
        run(live.act(plan(at=at), snapshot(at)))
    assert not live.unsure
    journal.set_state(plan().key, S.SENT, "reorganised", chain.head.number)
    assert live.unsure
