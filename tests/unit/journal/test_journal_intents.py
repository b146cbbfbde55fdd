"""Intents and attempts: checked and inserted as one, one nonce each, no way back from an end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Broken, Raced
from keeper.journal.write import Journal
from keeper.model import IntentState, Outcome, PlanKey
from tests.plans import CHAIN_ID, WALLET, attempt, block, cancelling, plan, position_id, snapshot

pytestmark = pytest.mark.unit
S = IntentState
OTHER = "0x" + "c4" * 20


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1000.0)) as opened:
        yield opened


def outcome(key: PlanKey, state: IntentState, number: int = 101) -> Outcome:
    return Outcome(
        key=key,
        state=state,
        block_number=number,
        tx_hash="0xaa",
        gas_used=1,
        gas_price_wei=2**70,
        health_after_wad=None,
        promised_min_wad=1,
        surprise="",
    )


def test_open_intent__when_first__then_planned_with_the_whole_plan(journal: Journal) -> None:
    wanted = plan()
    journal.open_intent(wanted)
    found = journal.intent(wanted.key)
    assert found is not None
    assert (found.plan, found.state, found.attempts) == (wanted, S.PLANNED, ())
    assert journal.next_seq(position_id()) == 2


def test_open_intent__when_dry__then_neither_open_nor_followed(journal: Journal) -> None:
    made = journal.open_intent(plan(), dry=True)
    assert made.state is S.DRY
    assert (journal.open_intents(), journal.followed_intents()) == ((), ())


def test_open_intent__when_seq_is_not_the_next__then_raced_and_nothing_kept(journal: Journal) -> None:
    with pytest.raises(Raced, match="next seq of this position is 1"):
        journal.open_intent(plan(2))
    assert journal.intents() == ()
    assert journal.entries() == ()


@pytest.mark.parametrize("state", [S.PLANNED, S.SIGNED, S.SENT, S.CANCELLING])
def test_open_intent__when_another_is_open__then_raced(journal: Journal, state: IntentState) -> None:
    first = plan()
    journal.open_intent(first)
    if state is not S.PLANNED:
        journal.add_attempt(attempt(first.key), WALLET)
    if state is S.SENT:
        journal.set_state(first.key, S.SENT, "accepted", 100)
    if state is S.CANCELLING:
        journal.add_attempt(cancelling(attempt(first.key, n=1)), WALLET)
    with pytest.raises(Raced, match=f"still {state}"):
        journal.open_intent(plan(2))


def test_open_intent__when_other_position_is_busy__then_accepted(journal: Journal) -> None:
    journal.open_intent(plan())
    journal.open_intent(plan(position=position_id("other")))
    assert len(journal.open_intents()) == 2


def test_open_intent__when_planned_before_the_last_inclusion__then_raced(journal: Journal) -> None:
    first = plan()
    journal.open_intent(first)
    journal.add_attempt(attempt(first.key), WALLET)
    journal.record_outcome(outcome(first.key, S.INCLUDED, 105), "0xb")
    with pytest.raises(Raced, match="acted in block 105"):
        journal.open_intent(plan(2, at=block(104)))
    journal.open_intent(plan(2, at=block(105)))


def test_add_attempt__when_nonce_differs_from_the_first__then_broken(journal: Journal) -> None:
    first = plan()
    journal.open_intent(first)
    journal.add_attempt(attempt(first.key, nonce=7), WALLET)
    with pytest.raises(Broken, match="signed for nonce 7, never for 8"):
        journal.add_attempt(attempt(first.key, nonce=8, n=1), WALLET)


def test_add_attempt__when_nonce_belongs_to_another_intent__then_broken(journal: Journal) -> None:
    first, second = plan(), plan(position=position_id("other"))
    journal.open_intent(first)
    journal.open_intent(second)
    journal.add_attempt(attempt(first.key, nonce=7), WALLET)
    with pytest.raises(Broken, match="belongs to another intent"):
        journal.add_attempt(attempt(second.key, nonce=7), WALLET)


def test_add_attempt__when_intent_is_over__then_raced(journal: Journal) -> None:
    first = plan()
    journal.open_intent(first)
    journal.set_state(first.key, S.ABANDONED, "crashed before signing", 100)
    with pytest.raises(Raced, match="nothing may be signed"):
        journal.add_attempt(attempt(first.key), WALLET)


def test_add_attempt__when_same_bytes_twice__then_broken(journal: Journal) -> None:
    first = plan()
    journal.open_intent(first)
    journal.add_attempt(attempt(first.key), WALLET)
    with pytest.raises(Broken, match="UNIQUE"):
        journal.add_attempt(attempt(first.key), WALLET)


def test_attempts__when_read__then_in_order_with_bytes_and_large_fees(journal: Journal) -> None:
    first = plan()
    journal.open_intent(first)
    low, high = attempt(first.key), attempt(first.key, n=1)
    high = replace(high, fee=replace(high.fee, max_fee_wei=2**200))
    journal.add_attempt(low, WALLET)
    journal.add_attempt(high, WALLET)
    found = journal.intent(first.key)
    assert found is not None
    assert found.attempts == (low, high)


def test_next_nonce__when_nothing_adopted__then_unknown_and_rises_with_attempts(journal: Journal) -> None:
    assert journal.next_nonce(CHAIN_ID, WALLET) is None
    journal.adopt_nonce(CHAIN_ID, WALLET, 41, "new journal")
    assert journal.next_nonce(CHAIN_ID, WALLET.lower()) == 41
    first = plan()
    journal.open_intent(first)
    journal.add_attempt(attempt(first.key, nonce=41), WALLET)
    assert journal.next_nonce(CHAIN_ID, WALLET) == 42
    assert journal.max_nonce(CHAIN_ID, WALLET) == 41
    assert journal.max_nonce(1, WALLET) is None


@pytest.mark.parametrize("end", [S.ABANDONED, S.EXPIRED])
def test_set_state__when_the_end_was_reached__then_no_way_back(journal: Journal, end: IntentState) -> None:
    first = plan()
    journal.open_intent(first)
    journal.set_state(first.key, end, "over", 100)
    with pytest.raises(Broken, match="no way from"):
        journal.set_state(first.key, S.SENT, "again", 101)


def test_set_state__when_final__then_it_cannot_reopen(journal: Journal) -> None:
    first = plan()
    journal.open_intent(first)
    journal.add_attempt(attempt(first.key), WALLET)
    journal.record_outcome(outcome(first.key, S.INCLUDED), "0xb")
    assert [i.key for i in journal.followed_intents(CHAIN_ID)] == [first.key]
    journal.seal(first.key, 200)
    found = journal.intent(first.key)
    assert found is not None
    assert found.state is S.FINAL
    assert journal.followed_intents() == ()
    with pytest.raises(Broken, match="no way from FINAL"):
        journal.set_state(first.key, S.SENT, "reorganisation", 201)


def test_set_state__when_reverted_is_sealed__then_it_stays_reverted_for_good(journal: Journal) -> None:
    first = plan()
    journal.open_intent(first)
    journal.add_attempt(attempt(first.key), WALLET)
    journal.record_outcome(outcome(first.key, S.REVERTED), "0xb")
    journal.seal(first.key, 200)
    with pytest.raises(Broken, match="no way from REVERTED"):
        journal.set_state(first.key, S.SENT, "reorganisation", 201)


def test_set_state__when_reorganised__then_open_again_and_no_inclusion(journal: Journal) -> None:
    first = plan()
    journal.open_intent(first)
    journal.add_attempt(attempt(first.key), WALLET)
    journal.record_outcome(outcome(first.key, S.INCLUDED), "0xb")
    journal.set_state(first.key, S.SENT, "reorganisation", 102)
    assert journal.inclusion(first.key) is None
    with pytest.raises(Raced, match="still SENT"):
        journal.open_intent(plan(2, at=block(110)))


def test_set_state__when_key_is_unknown__then_broken_names_the_file(journal: Journal) -> None:
    with pytest.raises(Broken, match=r"journal\.sqlite"):
        journal.set_state(plan().key, S.SENT, "?", 1)


def test_spent_usd__when_actions_fail_or_age__then_they_do_not_count(journal: Journal) -> None:
    first = plan()
    journal.open_intent(first, spend_usd=30)
    assert journal.spent_usd_since(position_id(), 1000.0) == 30
    assert journal.spent_usd_since(position_id(), 1000.1) == 0
    journal.set_state(first.key, S.ABANDONED, "not signed", 100)
    assert journal.spent_usd_since(position_id(), 0.0) == 0
    journal.open_intent(plan(2), dry=True)
    assert journal.spent_usd_since(position_id(), 0.0) == 50


def test_each_position__when_asked_at_once__then_it_is_what_each_alone_says(
    journal: Journal,
) -> None:
    first, other = plan(), plan(position=position_id(OTHER))
    journal.open_intent(first, spend_usd=30)
    journal.set_state(first.key, S.ABANDONED, "not signed", 100)
    journal.open_intent(plan(2), spend_usd=7)
    journal.open_intent(other, spend_usd=11)
    assert journal.spent_usd_each_since(0.0) == {position_id(): 7, position_id(OTHER): 11}
    for id in (position_id(), position_id(OTHER)):
        assert journal.spent_usd_each_since(1000.0).get(id, 0) == journal.spent_usd_since(id, 1000.0)
    assert journal.spent_usd_each_since(1000.1) == {}
    assert journal.last_seqs() == {position_id(): 2, position_id(OTHER): 1}
    assert journal.last_seqs()[position_id()] + 1 == journal.next_seq(position_id())


def test_open_intent__when_dry__then_it_blocks_nothing(journal: Journal) -> None:
    journal.open_intent(plan(), dry=True)
    assert journal.open_intents() == ()
    journal.open_intent(plan(2), dry=True)
    assert [i.state for i in journal.intents()] == [S.DRY, S.DRY]


def test_diary__when_an_intent_lives__then_every_move_is_told_without_the_bytes(journal: Journal) -> None:
    first = plan()
    journal.open_intent(first)
    journal.add_attempt(attempt(first.key), WALLET)
    journal.set_state(first.key, S.SENT, "accepted", 100)
    journal.record_outcome(outcome(first.key, S.INCLUDED), "0xb")
    told = journal.entries(subject=str(first.key))
    assert [e.kind for e in told] == ["plan", "attempt", "attempt", "attempt", "attempt", "outcome"]
    assert told[-1].data["gas_price_wei"] == str(2**70)
    assert not any("raw" in e.data for e in told)


def test_batch__when_it_fails_half_way__then_nothing_of_it_is_kept(journal: Journal) -> None:
    def both() -> None:
        with journal.batch():
            journal.open_intent(plan())
            journal.open_intent(plan(2))

    with pytest.raises(Raced):
        both()
    assert journal.intents() == ()


def test_snapshot__when_digest_then_full__then_both_are_there(journal: Journal) -> None:
    taken = snapshot()
    journal.save_snapshot(taken, full=False)
    assert journal.snapshot(CHAIN_ID, 100) is None
    assert journal.digest(CHAIN_ID, taken.block.hash) == "d"
    journal.save_snapshot(taken, full=True)
    journal.save_snapshot(taken, full=False)
    assert journal.snapshot(CHAIN_ID, 100) == taken
