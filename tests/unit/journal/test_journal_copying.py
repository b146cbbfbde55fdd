"""A copy of a journal: private, of one file, whole under its name or not there at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.errors import Broken, ConfigError
from keeper.journal import copying
from keeper.journal.copying import copy_to
from keeper.journal.read import Reader
from keeper.journal.write import Journal
from keeper.model import Entry
from tests.plans import CHAIN_ID, plan

pytestmark = pytest.mark.unit


def tick(why: str) -> Entry:
    return Entry(kind="tick", chain_id=CHAIN_ID, block_number=1, subject="", why=why)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal that its daemon closed, with one plan and one entry in it."""
    path = tmp_path / "state" / "journal.sqlite"
    with Journal.open(path, ManualClock(5.0)) as journal:
        journal.open_intent(plan())
        journal.record(tick("kept"))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """In a folder of its own, in which nothing else may appear."""
    (tmp_path / "copies").mkdir()
    return tmp_path / "copies" / "copy.sqlite"


def names(out: Path) -> list[str]:
    return sorted(p.name for p in out.parent.iterdir())


def test_copy__when_the_daemon_is_writing__then_whole_up_to_its_last_commit_in_one_private_file(
    path: Path, out: Path
) -> None:
    with Journal.open(path, ManualClock(5.0)) as journal:
        journal.record(tick("in the WAL"))
        assert copy_to(path, out) == out.stat().st_size
        journal.record(tick("after the copy"))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    # no WAL is asked for where it is opened next: bytes 18 and 19 of the header
    assert out.read_bytes()[18:20] == b"\x01\x01"
    with Reader.open(out) as reader:
        assert [e.why for e in reader.entries("tick")] == ["kept", "in the WAL"]
        assert [i.key for i in reader.open_intents(CHAIN_ID)] == [plan().key]
    assert names(out) == ["copy.sqlite"]


def test_copy__when_the_name_is_taken_or_its_folder_is_not_there__then_refused_before_a_page_is_copied(
    path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_copy", lambda source, draft: pytest.fail("copied"))
    out.write_text("mine")
    with pytest.raises(ConfigError, match=r"copy\.sqlite: is there already; name a new file"):
        copy_to(path, out)
    assert out.read_text() == "mine"
    with pytest.raises(ConfigError, match="none/copy: No such file"):
        copy_to(path, out.parent / "none" / "copy")
    assert names(out) == ["copy.sqlite"]


def test_copy__when_another_takes_the_name_meanwhile__then_refused_and_theirs_stays(
    path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copying._copy

    def slow(source: Path, draft: Path) -> None:
        copy(source, draft)
        out.write_text("theirs")

    monkeypatch.setattr(copying, "_copy", slow)
    with pytest.raises(ConfigError, match="is there already"):
        copy_to(path, out)
    assert out.read_text() == "theirs"
    assert names(out) == ["copy.sqlite"]


def test_copy__when_one_before_was_killed__then_its_draft_is_in_nobodys_way(path: Path, out: Path) -> None:
    out.with_name("copy.sqlite.new").write_bytes(b"half")
    copy_to(path, out)
    with Reader.open(out) as reader:
        assert [e.why for e in reader.entries("tick")] == ["kept"]
    assert names(out) == ["copy.sqlite"]


def test_copy__when_made__then_its_bytes_and_its_name_are_on_the_disk(
    path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    copy_to(path, out)
    assert synced == [out.stat().st_ino, out.parent.stat().st_ino]


def test_copy__when_the_disk_is_full__then_it_says_so_and_nothing_stays_open_or_behind(
    path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ConfigError, match=r"copy\.sqlite: No space left on device"):
        copy_to(path, out)
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert names(out) == []


def page_lost(path: Path) -> None:
    """Of many, one in the middle."""
    with Journal.open(path, ManualClock(5.0)) as journal:
        journal.record_all(tick(f"{i} " + "x" * 500) for i in range(200))
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)


def row_altered(path: Path) -> None:
    """An entry's kind, which its index still tells as it was: every page can be read."""
    content = path.read_bytes()
    at = content.rindex(b"tick", 0, content.index(b"kept"))
    path.write_bytes(content[:at] + b"tock" + content[at + 4 :])


@pytest.mark.parametrize(
    ("damage", "words"), [(page_lost, "malformed"), (row_altered, "index.* its copy was not kept")]
)
def test_copy__when_the_journal_is_damaged__then_broken_by_name_and_no_copy_is_kept(
    path: Path, out: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(path)
    with pytest.raises(Broken, match=f"journal {path} .*{words}"):
        copy_to(path, out)
    assert names(out) == []


def test_copy__when_there_is_no_journal__then_refused_and_none_is_made(path: Path, out: Path) -> None:
    path.unlink()
    with pytest.raises(ConfigError, match="does not exist"):
        copy_to(path, out)
    assert (names(out), path.exists()) == ([], False)
