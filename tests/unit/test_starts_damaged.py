"""A start on a journal whose file says something else than was written: watched, told, and nothing signed."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.daemon import starts
from keeper.errors import Broken
from keeper.journal.write import Journal
from keeper.seams import Severity
from keeper.transaction.send import Live
from tests.chain_double import ChainDouble, FakeSigner
from tests.loop_double import heard, settings
from tests.patience import becomes
from tests.plans import CHAIN_ID, WALLET, plan, position_id, snapshot
from tests.virtual_time import run

pytestmark = pytest.mark.unit
DAMAGES = (
    "UPDATE intent SET plan = 'x' || plan",
    "UPDATE attempt SET raw = x'00'",
    "UPDATE memory SET data = '[1]'",
    "ALTER TABLE control RENAME COLUMN actor TO acuor",
)


def damaged(path: Path, statement: str) -> None:
    """A journal of an unfinished rescue whose file says something else since."""
    plan_, signer = plan(position=position_id("one")), FakeSigner()
    with Journal.open(path, ManualClock()) as journal:
        journal.adopt_nonce(CHAIN_ID, WALLET, 0, "unused")
        journal.set_memories({position_id("one"): {"level": "SAFE"}})
        run(Live(journal, ChainDouble(), signer).act(plan_, snapshot()))
        assert len(journal.open_intents()) == 1
    raw = sqlite3.connect(path)
    raw.execute(statement)
    raw.commit()
    raw.close()


@pytest.mark.parametrize("statement", DAMAGES)
def test_opened__when_a_row_that_a_start_reads_is_damaged__then_broken_and_no_start_is_kept(
    tmp_path: Path, statement: str
) -> None:
    given = settings(tmp_path / "state")
    (tmp_path / "state").mkdir()
    damaged(given.journal_path, statement)
    with pytest.raises(Broken, match=f"journal {given.journal_path} (is damaged|failed)"):
        starts.opened(given, ManualClock())
    raw = sqlite3.connect(given.journal_path)
    assert raw.execute("SELECT count(*) FROM entry WHERE kind = 'start'").fetchone() == (0,)
    raw.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("statement", DAMAGES)
async def test_relieved__while_a_row_is_damaged__then_told_and_tried_until_a_whole_journal_lies_there(
    tmp_path: Path, statement: str
) -> None:
    given, told = settings(tmp_path / "state"), heard()
    (tmp_path / "state").mkdir()
    await asyncio.to_thread(damaged, given.journal_path, statement)
    with starts.adrift(given, "damaged", ManualClock()) as journal:
        task = asyncio.create_task(starts.relieved(given, journal, Broken("damaged"), told, ManualClock()))
        await becomes(lambda: len(told.raised) > 2)
        assert not task.done()
        for old in given.journal_path.parent.glob("journal.sqlite*"):
            old.unlink()
        await asyncio.wait_for(task, 60)
    assert {(s, c) for s, c, _, _ in told.raised} == {(Severity.CRITICAL, "broken")}
