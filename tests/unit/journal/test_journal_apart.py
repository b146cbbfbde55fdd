"""Two keys in one journal: neither meets what the other has open, and each has its own nonces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.journal.apart import of_hedges
from keeper.journal.write import Journal
from keeper.model import HEDGE, Amount, GrowPerp, Intent, IntentState, Outcome, Plan
from keeper.transaction.doubt import refuses
from tests.plans import CHAIN_ID, USDC, WALLET, attempt, plan, position_id

pytestmark = pytest.mark.unit
KEY = "0x" + "d5" * 20
OPENS = GrowPerp(amount=Amount(token=USDC, units=1), size_usd=10**30, worst_price=1, fee_wei=1)
HEDGED = replace(position_id(), venue=HEDGE)


def hedge_plan(seq: int = 1) -> Plan:
    return replace(plan(seq, position=HEDGED), steps=(OPENS,))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1000.0)) as opened:
        yield opened


def test_open_intents__of_two_keys__are_told_apart(journal: Journal) -> None:
    hedges = of_hedges(journal)
    mine, theirs = plan(), hedge_plan()
    journal.open_intent(mine)
    hedges.open_intent(theirs)
    assert [i.key for i in journal.open_intents(CHAIN_ID)] == [mine.key]
    assert [i.key for i in hedges.open_intents(CHAIN_ID)] == [theirs.key]
    # one file: what the one wrote the other reads back by its key
    found = journal.intent(theirs.key)
    assert found is not None
    assert found.plan == theirs


def test_followed_intents_and_nonces__of_two_keys__are_told_apart(journal: Journal) -> None:
    hedges = of_hedges(journal)
    theirs = hedge_plan()
    hedges.open_intent(theirs)
    hedges.adopt_nonce(CHAIN_ID, KEY, 7, "new")
    hedges.add_attempt(replace(attempt(theirs.key), nonce=7), KEY)
    hedges.record_outcome(
        Outcome(
            key=theirs.key,
            state=IntentState.INCLUDED,
            block_number=101,
            tx_hash="0xaa",
            gas_used=1,
            gas_price_wei=1,
            health_after_wad=None,
            promised_min_wad=0,
            surprise="",
        ),
        "0x" + "ab" * 32,
    )
    assert journal.followed_intents(CHAIN_ID) == ()
    assert [i.key for i in hedges.followed_intents(CHAIN_ID)] == [theirs.key]
    assert (journal.next_nonce(CHAIN_ID, WALLET), hedges.next_nonce(CHAIN_ID, KEY)) == (None, 8)


def test_opening__while_an_earlier_one_may_come_back__waits(journal: Journal) -> None:
    earlier = Intent(key=hedge_plan().key, plan=hedge_plan(), state=IntentState.REVERTED)
    refused = refuses(hedge_plan(2), [earlier])
    assert refused is not None
    assert refused.code == "in_doubt"
