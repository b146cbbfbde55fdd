"""The journal's file: locked, private, append-only, and refused by name when it is not whole."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from keeper.clock import ManualClock
from keeper.errors import Broken, ConfigError
from keeper.journal.files import FileLock, sync_directory
from keeper.journal.read import Reader
from keeper.journal.write import Journal
from keeper.model import Entry, IntentState
from keeper.seams import Shadow
from tests.plans import CHAIN_ID, attempt, plan, position_id

pytestmark = pytest.mark.unit


def tick(number: int = 1, why: str = "all well") -> Entry:
    return Entry(kind="tick", chain_id=CHAIN_ID, block_number=number, subject="", why=why)


def open_journal(path: Path, *, create: bool = True) -> Journal:
    return Journal.open(path, ManualClock(5.0), create=create)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


def test_open__when_new__then_private_and_durable(path: Path) -> None:
    with open_journal(path) as journal:
        assert journal.new
        pragmas = [
            journal._connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
        journal._connection.rollback()
        modes = {f.stat().st_mode & 0o777 for f in path.parent.iterdir()}
    assert pragmas == ["wal", 2, 1, 5000]
    assert modes == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with open_journal(path) as again:
        assert not again.new


def test_open__when_another_holds_it__then_refused_until_released(path: Path) -> None:
    first = open_journal(path)
    with pytest.raises(ConfigError, match="another keeper") as refused:
        open_journal(path)
    assert str(path) in str(refused.value)
    first.close()
    open_journal(path).close()


def test_open__when_the_holder_is_another_process__then_refused_with_its_number(path: Path) -> None:
    program = (
        "import sys, pathlib; from keeper.clock import SystemClock;"
        "from keeper.journal.write import Journal;"
        "j = Journal.open(pathlib.Path(sys.argv[1]), SystemClock());"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=f"process {holder.pid}"):
            open_journal(path)
    finally:
        holder.kill()
        holder.communicate()
    # the kernel released the lock with the process
    open_journal(path).close()


def test_open__when_missing_and_not_to_be_created__then_names_the_file(path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        open_journal(path, create=False)
    with pytest.raises(ConfigError, match="does not exist"):
        Reader.open(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a database at all, just text",
        # a header that names no page size
        b"SQLite format 3\0" + bytes(84),
        b"SQLite format 3\0" + bytes(65_520),
    ],
)
def test_open__when_file_is_no_database__then_broken_names_it(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(Broken, match=str(path)):
        open_journal(path)
    with pytest.raises(Broken, match=str(path)):
        Reader.open(path)
    # and the refusal left the lock free
    path.unlink()
    open_journal(path).close()


def test_open__when_database_is_foreign__then_broken(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE something (x)")
    other.close()
    with pytest.raises(Broken, match=str(path)):
        open_journal(path)


def test_open__when_pages_are_damaged__then_broken_names_it(path: Path) -> None:
    with open_journal(path) as journal:
        for number in range(200):
            journal.record(tick(number, "x" * 200))
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 8] = b"\xff" * (4096 * 5)
    path.write_bytes(bytes(content))
    with pytest.raises(Broken, match=str(path)):
        open_journal(path)


def test_open__when_truncated__then_broken_names_it(path: Path) -> None:
    with open_journal(path) as journal:
        journal.record(tick())
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(Broken, match=str(path)):
        open_journal(path)


@pytest.mark.parametrize("version", ["0", "", "first"])
def test_open__when_schema_is_no_version__then_broken(path: Path, version: str) -> None:
    open_journal(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (version,))
    raw.close()
    with pytest.raises(Broken, match="was not written by keeper"):
        open_journal(path)


def test_open__when_creation_was_cut_short__then_the_draft_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    path.with_name(path.name + ".new").write_bytes(b"half")
    with open_journal(path) as journal:
        assert journal.new


def test_reader__when_the_daemon_writes__then_sees_commits_and_cannot_write(path: Path) -> None:
    with open_journal(path) as journal, Reader.open(path) as reader:
        journal.record(tick(1))
        journal.record(tick(2))
        assert [e.block_number for e in reader.entries("tick")] == [1, 2]
        assert [e.block_number for e in reader.entries("tick", newest=True, limit=1)] == [2]
        assert [e.block_number for e in reader.entries(since_id=1)] == [2]
        with (
            pytest.raises(sqlite3.OperationalError),
            sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as c,
        ):
            c.execute("DELETE FROM intent")
        assert not hasattr(reader, "record")


def test_reader__when_the_daemon_is_gone__then_still_reads(path: Path) -> None:
    with open_journal(path) as journal:
        journal.record(tick())
    with Reader.open(path) as reader:
        assert reader.entries()[0].why == "all well"


@pytest.mark.parametrize("statement", ["UPDATE entry SET why = 'other'", "DELETE FROM entry"])
def test_diary__when_somebody_rewrites_it__then_the_database_refuses(path: Path, statement: str) -> None:
    with open_journal(path) as journal:
        journal.record(tick())
    with sqlite3.connect(path) as raw, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        raw.execute(statement)
    raw.close()


def test_write__when_disk_is_full__then_broken_without_the_signed_bytes(path: Path) -> None:
    with open_journal(path) as journal:
        journal.open_intent(plan())
        pages = journal._connection.exec_driver_sql("PRAGMA page_count").scalar()
        journal._connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        journal._connection.rollback()
        with pytest.raises(Broken, match="full") as refused:
            journal.record_all(tick(n, "x" * 4000) for n in range(100))
        with pytest.raises(Broken, match="full"):
            journal.set_control("a", "x" * 99_999, "test", "test")
        assert str(path) in str(refused.value)
        # what was committed stays readable, and the failure rolled back whole
        assert journal.intent(plan().key) is not None


def test_write__when_it_fails__then_the_message_holds_no_parameters(path: Path) -> None:
    with open_journal(path) as journal:
        journal.open_intent(plan())
        canary = attempt(plan().key)
        journal._connection.exec_driver_sql("DROP TABLE attempt")
        journal._connection.commit()
        with pytest.raises(Broken) as refused:
            journal.add_attempt(canary, "0xabc")
        assert canary.hash not in str(refused.value)
        assert canary.raw.decode() not in str(refused.value)


def test_write__when_a_number_is_beyond_the_column__then_broken(path: Path) -> None:
    with open_journal(path) as journal, pytest.raises(Broken):
        journal.record(tick(2**64))


def test_control__when_set_twice__then_last_counts_and_the_diary_keeps_both(path: Path) -> None:
    with open_journal(path) as journal:
        assert journal.control("armed") is None
        journal.set_control("armed", "yes", "operator", "first live start")
        journal.set_control("armed", None, "daemon", "config loosened")
        found = journal.control("armed")
        assert found is not None
        assert (found.value, found.actor, found.why) == (None, "daemon", "config loosened")
        assert [(e.data["was"], e.data["value"]) for e in journal.entries("control")] == [
            (None, "yes"),
            ("yes", None),
        ]


def test_memory_and_shadow__when_kept__then_survive_reopening(path: Path) -> None:
    shadow = Shadow(id=position_id(), collateral={"0xA": 2**100}, debt={"0xB": 5})
    with open_journal(path) as journal:
        journal.set_memory(position_id(), {"level": "ACT", "since": 7})
        journal.set_shadow(shadow, {"0xB": -(2**90)})
    with open_journal(path) as journal:
        assert journal.memory(position_id()) == {"level": "ACT", "since": 7}
        assert journal.memories() == {position_id(): {"level": "ACT", "since": 7}}
        assert journal.shadows() == {position_id(): shadow}
        assert journal.wallet_deltas(CHAIN_ID) == {"0xB": -(2**90)}
        journal.set_shadow(shadow, {})
        assert journal.wallet_deltas(CHAIN_ID) == {}
        journal.clear_shadow(position_id())
        assert journal.shadow(position_id()) is None


@pytest.mark.parametrize("call", ["os.ftruncate", "os.pwrite"])
def test_lock__when_the_disk_takes_not_even_a_number__then_it_is_held_and_given_up_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with monkeypatch.context() as failing:
        failing.setattr(call, full)
        lock = FileLock(tmp_path / "lock")
    with pytest.raises(ConfigError, match=r"process unknown\) holds this journal; stop it first"):
        FileLock(tmp_path / "lock")
    lock.release()
    FileLock(tmp_path / "lock").release()


def test_lock__when_it_cannot_be_taken__then_the_failure_comes_out_and_no_descriptor_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as failing:
        failing.setattr("fcntl.flock", full)
        with pytest.raises(OSError, match="No space left"):
            FileLock(tmp_path / "lock")
    assert len(os.listdir("/proc/self/fd")) == before
    FileLock(tmp_path / "lock").release()


def full(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_sync_directory__when_done__then_the_directory_itself_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a new journal may be gone after a power cut, and its nonces with it."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    sync_directory(tmp_path)
    assert synced == [tmp_path.stat().st_ino]
    open_journal(tmp_path / "journal.sqlite").close()
    assert synced[1:] == [tmp_path.stat().st_ino]


def test_sync_directory__when_done__then_no_descriptor_stays_open(tmp_path: Path) -> None:
    """A daemon that keeps one at every copy runs out of them in the end."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        sync_directory(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE intent SET plan = replace(plan, 'gas_', 'gax_')", "stored data is no Plan"),
        ("UPDATE intent SET plan = 'x' || plan", "stored text is not JSON"),
        ("UPDATE intent SET position = 'nowhere'", "stored position is none"),
        ("UPDATE entry SET data = '[1]'", "stored text is no JSON object"),
    ],
)
@pytest.mark.parametrize("reads", [False, True])
def test_read__when_what_a_row_says_is_no_record__then_broken_names_the_file(
    path: Path, statement: str, words: str, reads: bool
) -> None:
    """``reads``: from beside the daemon."""
    with open_journal(path) as journal:
        journal.open_intent(plan())
        journal.record(tick())
        raw = journal._connection.connection.driver_connection
        assert raw is not None
        raw.execute("DROP TRIGGER IF EXISTS entry_is_not_updated")
        raw.execute(statement)
        raw.commit()
        with Reader.open(path) if reads else nullcontext(journal) as asked:
            damaged = pytest.raises(Broken, match=f"journal {path} is damaged: {words}.*; restore it")
            with damaged:
                asked.entries() if "entry" in statement else asked.open_intents()


@pytest.mark.parametrize("data", [{}, {"state": "INCLUDeD"}])
def test_entry__when_a_word_of_it_is_none__then_undecodable_says_which(data: dict[str, object]) -> None:
    entry = replace(tick(), kind="outcome", data=data, subject="x#1", id=7)
    with pytest.raises(Broken, match=r"damaged: state of its outcome 7 of x#1: .*(INCLUDeD|'state')"):
        entry.told("state", IntentState)
