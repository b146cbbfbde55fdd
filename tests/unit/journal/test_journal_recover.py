"""Start-up: what each intent left open needs, what is sent again and in which order, and what refuses."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Broken, Transient
from keeper.journal.recover import ADOPT_DEPTH, Remedy, Standing, judge, recover, standing
from keeper.journal.write import Journal
from keeper.model import Intent, IntentState, Outcome
from keeper.seams import Signed, TxFields
from tests.chain_double import ChainDouble, FakeSigner, read_tx
from tests.plans import CHAIN_ID, POOL, WALLET, attempt, cancelling, plan, position_id

pytestmark = pytest.mark.unit
S = IntentState


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as opened:
        opened.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        yield opened


def signed(nonce: int, *, gwei: int = 20, data: bytes = b"x", key: str = "") -> Signed:
    """Bytes that the chain double takes."""
    tx = TxFields(
        chain_id=CHAIN_ID, nonce=nonce, to=POOL, data=data, value_wei=0, gas_limit=300_000,
        max_fee_wei=gwei * 10**9, tip_wei=gwei * 10**8, intent=key,
    )  # fmt: skip
    return asyncio.run(FakeSigner().sign(tx))


def lay(journal: Journal, *, name: str = "main", nonce: int = 0, fees: tuple[int, ...] = (20,)) -> Intent:
    """An intent with one attempt a fee, the first accepted."""
    made = plan(position=position_id(name))
    journal.open_intent(made)
    for n, gwei in enumerate(fees):
        bytes_ = signed(nonce, gwei=gwei)
        a = attempt(made.key, nonce=nonce, n=n)
        a = replace(a, raw=bytes_.raw, hash=bytes_.hash, fee=replace(a.fee, max_fee_wei=gwei * 10**9))
        journal.add_attempt(a, WALLET)
    found = journal.intent(made.key)
    assert found is not None
    return found


def included(laid: Intent) -> Outcome:
    """Mined in a block that a reorganisation may take out again."""
    return Outcome(
        key=laid.key, state=S.INCLUDED, block_number=103, tx_hash=laid.attempts[-1].hash, gas_used=1,
        gas_price_wei=1, health_after_wad=None, promised_min_wad=None, surprise="",
    )  # fmt: skip


def start(journal: Journal, chain: ChainDouble) -> list[tuple[str, Remedy, str]]:
    found = asyncio.run(recover(journal, chain, ManualClock(), CHAIN_ID, WALLET))
    return [(f.subject, f.remedy, f.why) for f in found]


def intent(state: IntentState, *, attempts: int = 1, cancel: bool = False, nonce: int = 5) -> Intent:
    made = plan()
    of = [attempt(made.key, nonce=nonce, n=n) for n in range(attempts)]
    if cancel:
        of[-1] = cancelling(of[-1])
    return Intent(key=made.key, plan=made, state=state, attempts=tuple(of), why="")


@pytest.mark.parametrize(
    "left, mined, latest, remedy",
    [
        (intent(S.PLANNED, attempts=0), False, 9, Remedy.ABANDONED),
        (intent(S.SENT), True, 5, Remedy.MINED),
        (intent(S.SENT), True, 6, Remedy.MINED),
        (intent(S.SENT), False, 5, Remedy.RESENT),
        (intent(S.SIGNED), False, 4, Remedy.RESENT),
        (intent(S.SENT), False, 6, Remedy.CONSUMED),
        (intent(S.CANCELLING, attempts=2, cancel=True), False, 5, Remedy.RESENT),
        (intent(S.CANCELLING, attempts=2, cancel=True), False, 6, Remedy.CONSUMED),
        (intent(S.CANCELLING, attempts=2), False, 5, Remedy.VOID),
        (intent(S.CANCELLING, attempts=2), False, 6, Remedy.VOID),
        (intent(S.CANCELLING, attempts=2), True, 6, Remedy.MINED),
    ],
)
def test_judge__when_an_intent_was_left_open__then_this(
    left: Intent, mined: bool, latest: int, remedy: Remedy
) -> None:
    assert judge(left, mined, latest) is remedy
    held = Remedy.HELD if remedy is Remedy.RESENT and left.may_act else remedy
    assert judge(left, mined, latest, beside=True) is held


def test_recover__when_signed_and_never_sent__then_sent_dearest_first_and_said(journal: Journal) -> None:
    lay(journal, fees=(20, 40, 30))
    chain = ChainDouble()
    [(_, remedy, why)] = start(journal, chain)
    assert remedy is Remedy.RESENT
    assert why == "sent again: attempt 1 taken, attempt 2 not taken, attempt 0 not taken"
    assert [read_tx(raw)[0].max_fee_wei // 10**9 for raw in chain.sent] == [40, 30, 20]
    [found] = journal.open_intents()
    assert (found.state, found.why) == (S.SENT, why)
    told = journal.newest_entry("start", CHAIN_ID)
    assert told is not None
    assert (told.subject, told.why, told.data["nonce"]) == (WALLET, "recovered 1 findings", 0)
    assert [f["remedy"] for f in told.data["findings"]] == ["RESENT"]  # type: ignore[attr-defined]


def test_recover__when_sent_before__then_sent_again_and_its_state_stays(journal: Journal) -> None:
    left = lay(journal)
    journal.set_state(left.key, S.SENT, "accepted", 100)
    chain = ChainDouble()
    assert [r for _, r, _ in start(journal, chain)] == [Remedy.RESENT]
    [found] = journal.open_intents()
    assert (found.state, found.why) == (S.SENT, "accepted")
    assert len(chain.sent) == 1


def test_recover__when_nothing_was_signed__then_abandoned_with_the_reason(journal: Journal) -> None:
    journal.open_intent(plan())
    assert [(r, w) for _, r, w in start(journal, ChainDouble())] == [
        (Remedy.ABANDONED, "crashed before signing")
    ]
    found = journal.intent(plan().key)
    assert found is not None
    assert (found.state, found.why) == (S.ABANDONED, "crashed before signing")


@pytest.mark.parametrize("past, end", [(0, S.ABANDONED), (1, S.EXPIRED)])
def test_recover__when_nothing_was_signed_and_its_last_block_has_passed__then_expired(
    journal: Journal, past: int, end: S
) -> None:
    last = plan().bounds.deadline_block
    journal.open_intent(plan())
    told = start(journal, ChainDouble(start=last + past))
    why = "crashed before signing" + (f"; its last block, {last}, has passed" if past else "")
    assert [(r.value, w) for _, r, w in told] == [(end.value, why)]
    found = journal.intent(plan().key)
    assert found is not None
    assert (found.state, found.why) == (end, why)
    assert not found.state.open
    assert journal.followed_intents() == ()


def test_recover__when_something_was_signed_and_its_last_block_has_passed__then_sent_again(
    journal: Journal,
) -> None:
    # what has bytes is ended by the chain alone: confirmation cancels it by a self-send, and says CANCELLED
    lay(journal)
    chain = ChainDouble(start=plan().bounds.deadline_block + 100)
    assert [r for _, r, _ in start(journal, chain)] == [Remedy.RESENT]
    assert chain.calls.count("eth_blockNumber") == 0


def test_recover__when_mined_or_consumed_meanwhile__then_left_to_confirmation(journal: Journal) -> None:
    mined, other = lay(journal), lay(journal, name="other", nonce=1)
    chain = ChainDouble()
    asyncio.run(chain.broadcast(mined.attempts[0].raw))
    chain.mine()
    chain.foreign()
    chain.mine()
    chain.sent.clear()
    found = start(journal, chain)
    assert [(s, r, w) for s, r, w in found] == [
        (str(mined.key), Remedy.MINED, "mined"),
        (str(other.key), Remedy.CONSUMED, "consumed"),
    ]
    assert chain.sent == []


@pytest.mark.parametrize("mined", [False, True])
@pytest.mark.parametrize("statement", ["UPDATE attempt SET raw = x'00'", "UPDATE attempt SET hash = '0x00'"])
def test_recover__when_stored_bytes_are_not_those_signed__then_broken_and_nothing_is_sent(
    journal: Journal, statement: str, mined: bool
) -> None:
    """``mined``: and not final, so that a reorganisation would have them sent again."""
    laid = lay(journal)
    if mined:
        journal.record_outcome(included(laid), "0xb")
    journal._connection.exec_driver_sql(statement)
    journal._connection.commit()
    chain = ChainDouble()
    with pytest.raises(Broken, match=r"journal\.sqlite is damaged: the bytes of .* attempt 0 are not"):
        start(journal, chain)
    assert chain.sent == []


def test_reconcile__when_the_key_is_unused__then_adopted_once(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "new.sqlite", ManualClock(1.0)) as journal:
        [(subject, remedy, why)] = start(journal, ChainDouble())
        assert (subject, remedy) == (WALLET, Remedy.ADOPTED)
        assert "unused key" in why
        assert journal.next_nonce(CHAIN_ID, WALLET) == 0
        assert start(journal, ChainDouble()) == []


def test_reconcile__when_the_chain_is_ahead_by_one__then_broken_and_level_is_fine(journal: Journal) -> None:
    assert start(journal, ChainDouble(nonce=0)) == []
    with pytest.raises(Broken, match=r"foreign nonce: .* has sent 1 transactions .* accounts for 0"):
        start(journal, ChainDouble(nonce=1))


def test_reconcile__when_new_and_the_key_was_used__then_broken_until_adopted(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "new.sqlite", ManualClock(1.0)) as journal:
        with pytest.raises(Broken, match="is new: restore the one that belongs to this key"):
            start(journal, ChainDouble(nonce=1))
        chain = ChainDouble(nonce=0)
        chain.foreign()
        with pytest.raises(Broken, match="has 1 transactions pending"):
            start(journal, chain)


def test_reconcile__when_the_receipt_that_was_denied_is_there__then_nobody_took_the_nonce(
    journal: Journal,
) -> None:
    """Nodes that were behind had denied it, and the process died before the next look."""
    made, chain = lay(journal), ChainDouble()
    kept = journal.intent(made.key)
    assert kept is not None
    asyncio.run(chain.broadcast(kept.attempts[-1].raw))
    chain.mine()
    gone = Outcome(
        key=made.key, state=S.REPLACED, block_number=103, tx_hash=None, gas_used=0, gas_price_wei=0,
        health_after_wad=None, promised_min_wad=0, surprise="not ours",
    )  # fmt: skip
    journal.record_outcome(gone)
    assert journal.taken_nonce(CHAIN_ID, WALLET) == 0
    start(journal, chain)
    chain.dead.add("eth_getTransactionReceipt")
    with pytest.raises(Transient):
        start(journal, chain)


def test_reconcile__when_another_transaction_took_our_nonce__then_broken_until_adopted(
    journal: Journal,
) -> None:
    made = lay(journal)
    gone = Outcome(
        key=made.key, state=S.REPLACED, block_number=103, tx_hash=None, gas_used=0, gas_price_wei=0,
        health_after_wad=None, promised_min_wad=None, surprise="not ours",
    )  # fmt: skip
    assert journal.taken_nonce(CHAIN_ID, WALLET) is None
    journal.record_outcome(gone)
    chain = ChainDouble(nonce=1)
    with pytest.raises(Broken, match=r"foreign nonce: nonce 0 of .* in the place of its own"):
        start(journal, chain)
    found = asyncio.run(standing(journal, chain, CHAIN_ID, WALLET))
    assert (found.taken, found.in_step) == (0, False)
    assert journal.taken_nonce(CHAIN_ID, WALLET.lower()) == 0
    assert journal.taken_nonce(CHAIN_ID, POOL) is None
    assert journal.taken_nonce(CHAIN_ID + 1, WALLET) is None
    # a reorganisation that undoes it undoes the stop; a person's word ends it too
    journal.set_state(made.key, S.SENT, "reorganised", 103)
    assert journal.taken_nonce(CHAIN_ID, WALLET) is None
    journal.record_outcome(gone)
    journal.adopt_nonce(CHAIN_ID, WALLET, 1, "looked at")
    assert start(journal, chain) == []
    assert asyncio.run(standing(journal, chain, CHAIN_ID, WALLET)).in_step


def test_reconcile__when_what_took_our_nonce_is_final_and_let_go__then_broken_still(journal: Journal) -> None:
    made = lay(journal)
    gone = Outcome(
        key=made.key, state=S.REPLACED, block_number=103, tx_hash=None, gas_used=0, gas_price_wei=0,
        health_after_wad=None, promised_min_wad=None, surprise="not ours",
    )  # fmt: skip
    journal.record_outcome(gone)
    journal.seal(made.key, 200)
    assert journal.followed_intents(CHAIN_ID) == ()
    with pytest.raises(Broken, match="foreign nonce: nonce 0"):
        start(journal, ChainDouble(nonce=1))


def stand(**changes: object) -> Standing:
    fields: dict[str, object] = {
        "chain_id": CHAIN_ID, "address": WALLET, "known": 5, "latest": 7, "pending": 7, "deep": 7, "passed": (),
    }  # fmt: skip
    return Standing(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes, in_step",
    [
        ({}, False),
        ({"known": 7}, True),
        ({"known": 7, "taken": 6}, False),
        ({"known": 8}, True),
        ({"known": None}, False),
    ],
)
def test_standing__when_the_journal_knows_more_or_less__then_in_step_or_not(
    changes: dict[str, object], in_step: bool
) -> None:
    assert stand(**changes).in_step is in_step
    assert stand(known=None, latest=0).in_step


@pytest.mark.parametrize(
    "changes, words",
    [
        ({}, ""),
        ({"pending": 8}, "1 transactions of this key are pending"),
        ({"pending": 9, "known": 9}, ""),
        ({"pending": 10, "known": 9}, "3 transactions of this key are pending"),
        ({"deep": 6}, f"less than {ADOPT_DEPTH} blocks deep"),
        ({"known": None, "pending": 8}, "pending"),
        ({"known": None, "latest": 0, "deep": 0, "pending": 1}, "1 transactions of this key are pending"),
    ],
)
def test_standing__when_adopting_is_asked_for__then_refused_while_it_may_still_act(
    changes: dict[str, object], words: str
) -> None:
    refused = stand(**changes).refuses
    assert words in refused
    assert bool(words) == bool(refused)


def test_standing__when_read_from_the_chain__then_what_passed_is_named(journal: Journal) -> None:
    first, second = lay(journal), lay(journal, name="other", nonce=1)
    journal.open_intent(plan(position=position_id("third")))
    chain = ChainDouble()
    chain.foreign()
    chain.mine()
    found = asyncio.run(standing(journal, chain, CHAIN_ID, WALLET))
    assert (found.known, found.latest, found.pending, found.deep) == (2, 1, 1, 0)
    assert found.passed == (first.key,)
    assert second.key not in found.passed
    chain.mine()
    chain.mine()
    assert asyncio.run(standing(journal, chain, CHAIN_ID, WALLET)).deep == 1
    alone = asyncio.run(standing(None, chain, CHAIN_ID, WALLET))
    assert (alone.known, alone.passed) == (None, ())


@pytest.mark.parametrize(
    "answer", [None, 5, "12", "0xzz", pytest.param("0x" + "f" * 4_000, id="4,000 digits")]
)
def test_count__when_the_node_answers_no_quantity__then_transient_and_nothing_decided(
    journal: Journal, answer: object
) -> None:
    class Odd(ChainDouble):
        async def request(self, method: str, params: object, **options: object) -> object:  # type: ignore[override]
            return answer

    lay(journal)
    with pytest.raises(Transient, match="transaction count"):
        start(journal, Odd())
    with pytest.raises(Transient, match="block number"):
        asyncio.run(standing(journal, Odd(), CHAIN_ID, WALLET))
    assert [i.state for i in journal.open_intents()] == [S.SIGNED]


def test_cancelling__when_both_are_stored__then_only_the_self_send_goes_out(journal: Journal) -> None:
    left = lay(journal, fees=(50,))
    bytes_ = signed(0, gwei=30, data=b"")
    cancel = cancelling(replace(attempt(left.key, n=1), raw=bytes_.raw, hash=bytes_.hash))
    journal.add_attempt(cancel, WALLET)
    chain = ChainDouble()
    [(_, remedy, why)] = start(journal, chain)
    assert (remedy, why) == (Remedy.RESENT, "sent again: attempt 1 taken")
    assert chain.sent == [bytes_.raw]


def test_recover__when_clocks_run__then_the_diary_says_how_long(journal: Journal) -> None:
    ticks = itertools.count()

    class Running(ManualClock):
        def monotonic_s(self) -> float:
            return float(next(ticks)) * 2

    asyncio.run(recover(journal, ChainDouble(), Running(), CHAIN_ID, WALLET))
    told = journal.newest_entry("start", CHAIN_ID)
    assert told is not None
    assert told.data["took_s"] == 2.0


def test_sqlite__when_it_is_asked__then_it_is_new_enough_for_what_we_ask_of_it() -> None:
    assert sqlite3.sqlite_version_info >= (3, 35), "RETURNING and ALTER TABLE DROP COLUMN"
