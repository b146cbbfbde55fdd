"""Forgetting: only what explains nothing, in bounded bites, and the diary stays append-only."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.journal import retention
from keeper.journal.write import Journal
from keeper.model import Entry
from tests.plans import CHAIN_ID, block, plan, snapshot

pytestmark = pytest.mark.unit
DAY_S = 86_400.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000.0)


@pytest.fixture
def journal(tmp_path: Path, clock: ManualClock) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", clock) as opened:
        yield opened


def said(journal: Journal, kind: str, number: int) -> None:
    """One diary entry at a block."""
    journal.record(
        Entry(kind=kind, chain_id=CHAIN_ID, block_number=number, subject="", why=f"{kind} {number}")
    )


def test_prune__when_old__then_only_ticks_and_photographs_that_explain_nothing_go(
    journal: Journal, clock: ManualClock
) -> None:
    for number in (99, 100, 101):
        said(journal, "tick", number)
        journal.save_snapshot(snapshot(block(number)), full=True)
    for kind in ("decision", "level", "alarm", "control", "refusal", "replan"):
        said(journal, kind, 99)
    journal.open_intent(plan(at=block(100)))
    clock.advance(31 * DAY_S)
    said(journal, "tick", 200)
    assert journal.prune(clock.now_s() - retention.KEEP_S) == 4
    assert [e.block_number for e in journal.entries("tick")] == [100, 200]
    assert [n for n in (99, 100, 101) if journal.snapshot(CHAIN_ID, n)] == [100]
    kept = {e.kind for e in journal.entries()}
    assert kept == {"tick", "decision", "level", "alarm", "control", "refusal", "replan", "plan"}
    assert journal.prune(clock.now_s() - retention.KEEP_S) == 0


def test_prune__when_young__then_nothing_goes(journal: Journal, clock: ManualClock) -> None:
    said(journal, "tick", 99)
    clock.advance(29 * DAY_S)
    assert journal.prune(clock.now_s() - retention.KEEP_S) == 0


def test_prune__when_there_is_much__then_in_bites(
    journal: Journal, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS_MAX", 2)
    for number in range(5):
        said(journal, "tick", number)
    assert [journal.prune(clock.now_s() + 1) for _ in range(4)] == [2, 2, 1, 0]


def test_prune__when_done_or_undone__then_the_diary_is_append_only_as_before(journal: Journal) -> None:
    said(journal, "tick", 1)
    journal.prune(0.0)
    for undone in (False, True):
        if undone:
            with contextlib.suppress(ZeroDivisionError):
                _pruned_and_undone(journal)
        other = sqlite3.connect(journal.path)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute("DELETE FROM entry")
        other.close()


def _pruned_and_undone(journal: Journal) -> None:
    with journal.batch():
        journal.prune(0.0)
        raise ZeroDivisionError
