"""A journal in memory while the disk takes none: it keeps the watch's diary, and lets nothing be signed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Broken, Unwritable
from keeper.journal import adrift
from keeper.journal.write import Journal
from keeper.model import Entry, Plan
from tests.plans import CHAIN_ID, WALLET, attempt, plan, position_id, snapshot

pytestmark = pytest.mark.unit
WHY = "journal /state/journal.sqlite cannot be opened: No space left on device"
KEEPS: dict[str, Callable[[Journal, Plan], object]] = {
    "intent": lambda j, p: j.open_intent(p),
    "dry intent": lambda j, p: j.open_intent(p, spend_usd=1, dry=True),
    "attempt": lambda j, p: j.add_attempt(attempt(p.key), WALLET),
    "replan": lambda j, p: j.replan(p, attempt(p.key), WALLET, spend_usd=1),
    "control": lambda j, p: j.set_control("armed", "yes", "alice", "a test"),
}


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with adrift.adrift(tmp_path / "state" / "journal.sqlite", WHY, ManualClock(5.0)) as opened:
        yield opened


@pytest.mark.parametrize("what", KEEPS)
def test_adrift__when_asked_to_keep_what_must_outlive_it__then_refused_with_the_disks_words(
    journal: Journal, what: str
) -> None:
    with pytest.raises(Unwritable) as refused:
        KEEPS[what](journal, plan())
    assert str(refused.value) == WHY
    assert journal.intents() == ()
    assert journal.control("armed") is None
    assert journal.entries() == ()


def test_adrift__when_the_watch_goes_on__then_its_diary_is_kept_and_the_disk_untouched(
    journal: Journal, tmp_path: Path
) -> None:
    journal.record(Entry(kind="alarm", chain_id=CHAIN_ID, block_number=7, subject="a", why="health 1.02"))
    journal.save_snapshot(snapshot(), full=True)
    journal.set_memory(position_id(), {"level": "ACT"})
    assert [(e.block_number, e.why, e.at_s) for e in journal.entries("alarm")] == [(7, "health 1.02", 5.0)]
    assert journal.digest(CHAIN_ID, snapshot().block.hash) == "d"
    assert journal.memory(position_id()) == {"level": "ACT"}
    assert list(tmp_path.iterdir()) == []


def test_adrift__when_a_journal_is_put_in_place__then_it_goes_on_and_is_not_called_replaced(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"damaged")
    with adrift.adrift(path, WHY, ManualClock()) as journal:
        assert journal.path == path
        path.unlink()
        journal.record(Entry(kind="tick", chain_id=CHAIN_ID, block_number=1, subject="", why="w"))
        with pytest.raises(Broken, match=f"^journal {path} failed"):
            journal.record(Entry(kind="tick", chain_id=CHAIN_ID, block_number=2**64, subject="", why="w"))
        assert [e.block_number for e in journal.entries()] == [1]


def test_hold__when_the_keeper_pauses_itself__then_kept_as_its_own_word_and_the_diary_tells_it(
    journal: Journal,
) -> None:
    adrift.hold(journal, "paused", "99", WHY)
    found = journal.control("paused")
    assert found is not None
    assert (found.value, found.actor, found.why) == ("99", "keeper", WHY)
    assert [(e.subject, e.data["value"]) for e in journal.entries("control")] == [("paused", "99")]


def test_close__when_there_is_no_lock__then_nobody_elses_descriptor_is_closed(tmp_path: Path) -> None:
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(2)]
    before = sorted(os.listdir("/proc/self/fd"))
    journal = adrift.adrift(tmp_path / "journal.sqlite", WHY, ManualClock())
    journal.close()
    journal.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
    for fd in opened:
        os.close(fd)
