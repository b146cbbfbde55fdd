"""Who waits for a commit is told once it is there, and never of one that was undone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Raced
from keeper.journal.write import Journal

pytestmark = pytest.mark.unit


def undone(journal: Journal, tell: Callable[[], None]) -> None:
    """A transaction that is refused after somebody asked to be told of it."""
    with journal.batch():
        journal.when_durable(tell)
        raise Raced("the seq is taken")


def test_durable__when_a_commit_is_undone__then_nobody_is_told_of_it_later(tmp_path: Path) -> None:
    told: list[str] = []
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as journal:
        with pytest.raises(Raced):
            undone(journal, lambda: told.append("undone"))
        with journal.batch():
            with journal.batch():
                journal.when_durable(lambda: told.append("inner"))
            # the inner one is part of the outer one, which may still be undone
            assert told == []
        assert told == ["inner"]
        with journal.batch():
            pass
        journal.when_durable(lambda: told.append("at once"))
    assert told == ["inner", "at once"]
