"""A plan beside an earlier one that ended in vain, not finally: harmless steps go on, all others wait."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from keeper.clock import ManualClock
from keeper.journal.statements import REVIVAL_DEPTH
from keeper.journal.write import Journal
from keeper.model import Amount, Intent, IntentState, Outcome, Plan, Refusal, Supply
from keeper.transaction import doubt
from keeper.transaction.send import Live
from tests.chain_double import ChainDouble, FakeSigner
from tests.plans import CHAIN_ID, USDC, WALLET, attempt, block, plan, position_id, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
VAIN = tuple(s for s in IntentState if s.in_vain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sell:
    """A step that gives something away, as none of those that ship does."""

    amount: Amount


SALE: Any = (Sell(amount=Amount(token=USDC, units=1)),)


def refuses(made: Plan, followed: list[Intent]) -> Refusal | None:
    """Where each carried one plan alone."""
    return doubt.refuses(made, followed, lambda intent, _: intent.plan)


def ended(state: IntentState, *, name: str = "main", sells: bool = False) -> Intent:
    """Number 1 of a position, at its end."""
    made = plan(1, position=position_id(name))
    made = replace(made, steps=SALE) if sells else made
    return Intent(key=made.key, plan=made, state=state)


def revert(journal: Journal, made: Plan, *, block_number: int) -> None:
    """The plan in the journal, reverted in that block."""
    journal.open_intent(made, spend_usd=700)
    journal.add_attempt(attempt(made.key), WALLET)
    outcome = Outcome(
        key=made.key,
        state=IntentState.REVERTED,
        block_number=block_number,
        tx_hash=None,
        gas_used=0,
        gas_price_wei=0,
        health_after_wad=None,
        promised_min_wad=0,
        surprise="",
    )
    journal.record_outcome(outcome, "0x" + "11" * 32)


@pytest.mark.parametrize("state", VAIN)
def test_doubt__when_both_only_repay__then_nothing_waits(state: IntentState) -> None:
    assert refuses(plan(2), [ended(state)]) is None


@pytest.mark.parametrize("state", VAIN)
@pytest.mark.parametrize("sells", ["the earlier", "the later", "both"])
def test_doubt__when_one_of_both_sells__then_it_waits(state: IntentState, sells: str) -> None:
    later = plan(2) if sells == "the earlier" else replace(plan(2), steps=SALE)
    refusal = refuses(later, [ended(state, sells=sells != "the later")])
    assert isinstance(refusal, Refusal)
    assert (refusal.code, "Sell twice" in refusal.why) == ("in_doubt", True)


@pytest.mark.parametrize("state", [IntentState.INCLUDED, IntentState.SETTLED])
def test_doubt__when_the_earlier_acted__then_its_effect_is_in_sight(state: IntentState) -> None:
    assert refuses(replace(plan(2), steps=SALE), [ended(state, sells=True)]) is None


def test_doubt__when_it_is_of_another_position__then_no_matter() -> None:
    later = replace(plan(2), steps=SALE)
    assert refuses(later, [ended(IntentState.REVERTED, name="other", sells=True)]) is None


@pytest.mark.parametrize("final", [False, True])
def test_act__when_a_sale_was_reverted__then_the_next_waits_until_that_is_final(
    tmp_path: Path, final: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as if a repayment were a sale: the journal keeps only steps that ship
    monkeypatch.setattr(doubt, "HARMLESS_TWICE", (Supply,))
    chain, signer = ChainDouble(nonce=1), FakeSigner()
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as journal:
        journal.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        first = plan(1)
        revert(journal, first, block_number=99)
        if final:
            journal.seal(first.key, 100)
        sale = plan(2, at=chain.head)
        live = Live(journal, chain, signer)
        answer = run(live.act(sale, snapshot(chain.head, nonce=1)))
        refused = isinstance(answer, Refusal) and answer.code == "in_doubt"
        assert refused is not final
        assert (journal.intent(sale.key) is None) is not final


@pytest.mark.parametrize("depth, counted", [(0, 700), (REVIVAL_DEPTH - 1, 700), (REVIVAL_DEPTH, 0)])
def test_spent__when_a_plan_ended_in_vain__then_it_counts_while_shallow(
    tmp_path: Path, depth: int, counted: int
) -> None:
    """Revived beside the one that follows, it must still fit the day's cap."""
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as journal:
        revert(journal, plan(1), block_number=101)
        journal.save_snapshot(snapshot(block(101 + depth)), full=False)
        assert journal.spent_usd_since(position_id(), 0.0) == counted
        assert journal.spent_usd_each_since(0.0).get(position_id(), 0) == counted
        journal.seal(plan(1).key, 101 + depth)
        assert journal.spent_usd_since(position_id(), 0.0) == 0
