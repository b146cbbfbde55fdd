"""What a restart takes over of decision's memory: no cooldown for an action that nobody took."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.daemon.judging import remembered
from keeper.decision import PositionMemory
from keeper.journal.write import Journal
from keeper.model import IntentState, Outcome
from tests.plans import CHAIN_ID, WALLET, attempt, block, plan, position_id

pytestmark = pytest.mark.unit
ACTED = 101


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as made:
        made.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        made.set_memory(position_id(), PositionMemory(id=position_id(), last_action_block=ACTED))
        yield made


def last_action(journal: Journal) -> int | None:
    """What a new process remembers."""
    return remembered(journal).of(position_id()).last_action_block


def end(journal: Journal, state: IntentState) -> None:
    """The first plan's end, as confirmation journals it."""
    outcome = Outcome(
        key=plan().key,
        state=state,
        block_number=ACTED + 1,
        tx_hash=None,
        gas_used=0,
        gas_price_wei=0,
        health_after_wad=None,
        promised_min_wad=0,
        surprise="",
    )
    journal.record_outcome(outcome)


def test_remembered__when_the_crash_fell_before_the_intent__then_no_cooldown(journal: Journal) -> None:
    assert last_action(journal) is None


def test_remembered__when_only_an_older_intent_is_there__then_no_cooldown(journal: Journal) -> None:
    journal.open_intent(plan(at=block(ACTED - 1)))
    assert last_action(journal) is None


def test_remembered__when_the_intent_was_never_signed__then_no_cooldown(journal: Journal) -> None:
    made = plan(at=block(ACTED))
    journal.open_intent(made)
    journal.set_state(made.key, IntentState.ABANDONED, "crashed before signing", ACTED)
    assert last_action(journal) is None


@pytest.mark.parametrize("state", [s for s in IntentState if s.in_vain])
def test_remembered__when_it_ended_in_vain_and_the_crash_came_first__then_no_cooldown(
    journal: Journal, state: IntentState
) -> None:
    made = plan(at=block(ACTED))
    journal.open_intent(made)
    journal.add_attempt(attempt(made.key), WALLET)
    end(journal, state)
    assert last_action(journal) is None


@pytest.mark.parametrize("state", [None, IntentState.INCLUDED])
def test_remembered__when_it_is_under_way_or_done__then_the_cooldown_stands(
    journal: Journal, state: IntentState | None
) -> None:
    made = plan(at=block(ACTED))
    journal.open_intent(made)
    journal.add_attempt(attempt(made.key), WALLET)
    if state is not None:
        end(journal, state)
    assert last_action(journal) == ACTED


def test_remembered__when_the_crash_came_before_the_memory_of_its_decision__then_the_intent_tells_the_cooldown(
    journal: Journal,
) -> None:
    made = plan(at=block(ACTED + 5))
    journal.open_intent(made)
    journal.add_attempt(attempt(made.key), WALLET)
    assert last_action(journal) == ACTED + 5


def test_remembered__when_nothing_was_ever_written_of_the_position_but_its_intent__then_it_rests_after_it(
    tmp_path: Path,
) -> None:
    with Journal.open(tmp_path / "new.sqlite", ManualClock(1.0)) as fresh:
        fresh.adopt_nonce(CHAIN_ID, WALLET, 0, "test")
        made = plan(at=block(ACTED))
        fresh.open_intent(made)
        fresh.add_attempt(attempt(made.key), WALLET)
        assert last_action(fresh) == ACTED
