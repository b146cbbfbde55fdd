"""A commit that SQLite undid by itself because the disk was full, while its writer went on."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Unwritable
from keeper.journal.write import Journal
from keeper.model import Entry

pytestmark = pytest.mark.unit


def entry(why: str) -> Entry:
    return Entry(kind="alarm", chain_id=1, block_number=1, subject="", why=why)


def shrugs(journal: Journal) -> None:
    with journal.batch():
        journal.record(entry("small"))
        # as an alarm does at a disk that does not take it
        with pytest.raises(Unwritable, match="full"):
            journal.record_all(entry("x" * 50_000) for _ in range(3))
        assert not journal._direct.raw.in_transaction


def test_batch__when_a_full_disk_undoes_it_and_the_writer_shrugs__then_unwritable_and_written_again_later(
    tmp_path: Path,
) -> None:
    with Journal.open(tmp_path / "journal.sqlite", ManualClock(1.0)) as journal:
        raw = journal._direct.raw
        raw.execute(f"PRAGMA max_page_count={raw.execute('PRAGMA page_count').fetchone()[0]}")
        before = len(journal.entries(limit=10_000))
        with pytest.raises(Unwritable):
            shrugs(journal)
        assert len(journal.entries(limit=10_000)) == before
        raw.execute("PRAGMA max_page_count=1000000")
        with journal.batch():
            journal.record(entry("again"))
        assert len(journal.entries(limit=10_000)) == before + 1
