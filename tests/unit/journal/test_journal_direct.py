"""What sqlite3 is given directly is what SQLAlchemy would give it; a kept answer ends with what it came from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from keeper.clock import ManualClock
from keeper.errors import Raced
from keeper.journal import direct
from keeper.journal.direct import ready
from keeper.journal.read import Reader
from keeper.journal.write import Journal
from keeper.model import IntentState
from tests.plans import CHAIN_ID, plan, position_id

pytestmark = pytest.mark.unit


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(5.0)) as opened:
        yield opened


def as_sqlalchemy_does(journal: Journal, statement: Any, given: dict[str, Any]) -> tuple[str, list[Any]]:
    """Text and values that SQLAlchemy hands to the driver."""
    heard: list[tuple[str, list[Any]]] = []
    engine = journal._direct.engine

    def hear(conn: Any, cursor: Any, text: str, values: Any, context: Any, many: bool) -> None:
        heard.append((text, list(values)))

    event.listen(engine, "before_cursor_execute", hear)
    try:
        with suppress(IntegrityError), journal._direct.opened.begin():
            # the row may be there already; what was said to the driver is heard all the same
            journal._direct.opened.execute(statement, given)
    finally:
        event.remove(engine, "before_cursor_execute", hear)
    return heard[-1]


def test_statement__when_run_directly__then_with_the_text_and_values_of_sqlalchemy(journal: Journal) -> None:
    seen: list[tuple[Any, dict[str, Any]]] = []
    run = journal._direct.execute

    def watch(statement: Any, given: Any = None) -> Any:
        if isinstance(given, dict):
            seen.append((statement, given))
        return run(statement, given)

    journal._direct.execute = watch  # type: ignore[method-assign,assignment]
    journal.open_intent(plan())
    journal.set_state(plan().key, IntentState.ABANDONED, "a test", 101)
    journal.open_intents(CHAIN_ID)
    journal.spent_usd_each_since(0.0)
    journal.set_control("armed", "yes", "a test", "")
    journal.taken_nonce(CHAIN_ID, "0xab")
    journal.prune(9.0)
    assert len(seen) > 12
    for statement, given in seen:
        known = ready(statement, tuple(given))
        assert (known.text, known.values(given)) == as_sqlalchemy_does(journal, statement, given)


def test_answer__when_nothing_was_written__then_kept_and_anew_after_a_write(journal: Journal) -> None:
    before = journal.open_intents(CHAIN_ID)
    assert journal.open_intents(CHAIN_ID) is before
    journal.set_control("armed", "yes", "a test", "")
    assert journal.open_intents(CHAIN_ID) is before
    journal.open_intent(plan())
    assert [i.key for i in journal.open_intents(CHAIN_ID)] == [plan().key]
    journal.set_state(plan().key, IntentState.ABANDONED, "a test", 101)
    assert journal.open_intents(CHAIN_ID) == ()
    assert journal.next_seq(position_id()) == 2


def test_answer__when_its_write_is_undone__then_asked_anew(journal: Journal) -> None:
    with suppress(Raced), journal.batch():
        journal.open_intent(plan())
        assert len(journal.open_intents(CHAIN_ID)) == 1
        raise Raced("a test")
    assert journal.open_intents(CHAIN_ID) == ()
    assert journal.next_seq(position_id()) == 1


def test_answer__when_another_connection_commits__then_asked_anew(journal: Journal) -> None:
    journal.set_control("armed", "yes", "a test", "")
    assert journal.control("armed") is not None
    other = sqlite3.connect(journal.path)
    other.execute("DELETE FROM control")
    other.commit()
    other.close()
    assert journal.control("armed") is None


def test_answer__when_a_kept_one_is_part_of_another__then_both_end_with_the_table(journal: Journal) -> None:
    asked = journal._direct.ask
    open_ = lambda: asked("all", lambda: journal.open_intents(CHAIN_ID))  # noqa: E731
    assert journal.open_intents(CHAIN_ID) == ()
    assert open_() == ()
    journal.open_intent(plan())
    assert len(open_()) == 1


def test_answers__when_more_are_kept_than_a_night_asks_for__then_all_are_forgotten_and_asked_anew(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "ANSWERS_MAX", 3)
    asked: list[int] = []

    def ask(number: int) -> int:
        def question() -> int:
            asked.append(number)
            return 10 * number

        return journal._direct.ask(number, question)

    assert [ask(n) for n in (1, 2, 3, 1, 2, 3)] == [10, 20, 30, 10, 20, 30]
    assert asked == [1, 2, 3]
    assert [ask(n) for n in (4, 1, 4)] == [40, 10, 40]
    assert asked == [1, 2, 3, 4, 1]
    assert len(journal._direct._answers) <= direct.ANSWERS_MAX


def test_commit__of_what_was_begun_by_hand__is_seen_by_others_and_without_a_beginning_is_none(
    journal: Journal,
) -> None:
    journal.set_control("armed", "yes", "a test", "")
    journal._direct.commit()
    journal._direct.raw.execute("BEGIN IMMEDIATE")
    journal._direct.exec_driver_sql("DELETE FROM control")
    with Reader.open(journal.path) as reader:
        assert reader.control("armed") is not None
        journal._direct.commit()
        assert not journal._direct.in_transaction()
        assert reader.control("armed") is None
