"""Two keys in one journal: neither meets what the other has open, and each has its own nonces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.confirmation import Confirmation
from keeper.errors import Broken
from keeper.journal.apart import of_hedges
from keeper.journal.recover import recover, standing
from keeper.journal.write import Journal
from keeper.model import HEDGE, Amount, Attempt, GrowPerp, Intent, IntentState, Outcome, Plan, PositionId
from keeper.seams import TxFields
from keeper.transaction.doubt import refuses
from keeper.transaction.send import Live
from tests.chain_double import ChainDouble, FakeSigner
from tests.plans import CHAIN_ID, USDC, WALLET, attempt, plan, position_id, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
KEY = "0x" + "d5" * 20
OPENS = GrowPerp(amount=Amount(token=USDC, units=1), size_usd=10**30, worst_price=1, fee_wei=1)
OTHER_KEY = "0x" + "e6" * 20
HEDGED = replace(position_id(), venue=HEDGE)
OTHER = replace(HEDGED, key="other")


def hedge_plan(seq: int = 1, position: PositionId = HEDGED) -> Plan:
    return replace(plan(seq, position=position), steps=(OPENS,))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1000.0)) as opened:
        yield opened


def test_open_intents__of_two_keys__are_told_apart(journal: Journal) -> None:
    hedges = of_hedges(journal, HEDGED)
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
    hedges = of_hedges(journal, HEDGED)
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
    refused = refuses(hedge_plan(2), [earlier], journal.carried)
    assert refused is not None
    assert refused.code == "in_doubt"


def pending(journal: Journal, *, damaged: bool = False) -> Intent:
    """The hedge's first order, which its key has signed and no block holds."""
    mine, opens = of_hedges(journal, HEDGED), hedge_plan()
    mine.open_intent(opens)
    mine.adopt_nonce(CHAIN_ID, KEY, 0, "new")
    sent = attempt(opens.key)
    signed = run(FakeSigner(KEY).sign(fields(opens, sent)))
    mine.add_attempt(replace(sent, raw=signed.raw + b" " * damaged, hash=signed.hash), KEY)
    mine.set_state(opens.key, IntentState.SENT, "sent", 100)
    found = journal.intent(opens.key)
    assert found is not None
    return found


def fields(opens: Plan, sent: Attempt) -> TxFields:
    return TxFields(
        chain_id=CHAIN_ID,
        nonce=sent.nonce,
        to=opens.call.target,
        data=opens.call.data,
        value_wei=opens.call.value_wei,
        gas_limit=sent.fee.gas_limit,
        max_fee_wei=sent.fee.max_fee_wei,
        tip_wei=sent.fee.tip_wei,
        intent=str(opens.key),
    )


@pytest.mark.parametrize("nonce", [7, 0])
def test_hedge__beside_another_s_pending_order__neither_concludes_nor_sends_it(
    journal: Journal, nonce: int
) -> None:
    """The other key has sent more, or as few, as the nonce that waits; blocks go on until any doubt would be over."""
    waits = pending(journal)
    chain, signer = ChainDouble(nonce=nonce), FakeSigner(OTHER_KEY)
    mine = of_hedges(journal, OTHER)
    mine.adopt_nonce(CHAIN_ID, OTHER_KEY, nonce, "new")
    live = Live(mine, chain, signer)
    confirmation = Confirmation(mine, chain, live, OTHER_KEY)
    found = run(recover(mine, chain, ManualClock(1.0), CHAIN_ID, OTHER_KEY))
    # beyond the deadline, too, where a key would cancel what is its own
    for _ in range(waits.plan.bounds.deadline_block - chain.head.number + 3):
        head = chain.mine()
        run(live.settle(CHAIN_ID))
        assert run(confirmation.tend(head, snapshot(head, nonce=nonce, wallet=OTHER_KEY))) == ()
    found += run(recover(mine, chain, ManualClock(1.0), CHAIN_ID, OTHER_KEY))
    assert (found, confirmation.troubles) == ((), {})
    assert (chain.sent, signer.asked) == ([], [])
    assert journal.intent(waits.key) == waits
    assert journal.taken_nonce(CHAIN_ID, KEY) is None
    assert run(standing(mine, chain, CHAIN_ID, OTHER_KEY)).passed == ()
    # its own key has it still
    assert [i.key for i in of_hedges(journal, HEDGED).open_intents(CHAIN_ID)] == [waits.key]


def test_recover__when_another_hedge_s_bytes_are_damaged__then_only_that_one_stops(journal: Journal) -> None:
    pending(journal, damaged=True)
    mine = of_hedges(journal, OTHER)
    assert run(recover(mine, ChainDouble(), ManualClock(1.0), CHAIN_ID, OTHER_KEY)) != ()
    altered = of_hedges(journal, HEDGED)
    with pytest.raises(Broken, match="damaged"):
        run(recover(altered, ChainDouble(), ManualClock(1.0), CHAIN_ID, KEY))


def test_twin__of_a_position_that_is_no_hedge_s__is_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="no hedge"):
        of_hedges(journal, position_id())
