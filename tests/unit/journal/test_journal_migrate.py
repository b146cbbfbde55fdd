"""Journals of an older schema: brought forward whole or not at all, copied before, refused when newer."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hatchling.builders.wheel import WheelBuilder
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from keeper.clock import ManualClock
from keeper.errors import Broken, ConfigError, Unwritable
from keeper.journal import migrate, opening
from keeper.journal.migrations.versions import first
from keeper.journal.read import Reader
from keeper.journal.tables import SCHEMA_VERSION, Row
from keeper.journal.write import Journal
from keeper.model import IntentState
from tests.journal_v1 import STATEMENTS, rows_of, write_v1
from tests.plans import CHAIN_ID, WALLET, attempt, plan, position_id

pytestmark = pytest.mark.unit
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


@pytest.fixture
def old(path: Path) -> Path:
    write_v1(path)
    return path


def open_journal(path: Path) -> Journal:
    return Journal.open(path, ManualClock(7.0))


def schema_of(path: Path) -> set[str]:
    """Every statement that made the file, without the layout of its words."""
    raw = sqlite3.connect(path)
    found = raw.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    raw.close()
    return {re.sub(r"\s*([(),])\s*", r"\1", " ".join(s.split())) for (s,) in found}


def differences(path: Path) -> list[object]:
    """What alembic would change to make the file what the models say."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), Row.metadata))


def from_nothing(path: Path, revision: str) -> None:
    """Every step, from an empty file on."""
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    with create_engine(f"sqlite:///{path}", poolclass=NullPool).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_open__when_schema_is_the_first__then_every_row_is_kept_and_it_works_on(old: Path) -> None:
    before = rows_of(old)
    with open_journal(old) as journal:
        assert not journal.new
        [going] = journal.open_intents(CHAIN_ID)
        assert going.plan == plan(3)
        assert going.attempts == (attempt(plan(3).key, nonce=2), attempt(plan(3).key, nonce=2, n=1))
        assert journal.next_nonce(CHAIN_ID, WALLET) == 3
        assert journal.memory(position_id()) == {"level": "ACT"}
        journal.set_state(going.key, IntentState.INCLUDED, "mined", 101)
    after = rows_of(old)
    told = after["entry"].pop(-2)
    assert told[1:] == (
        "start",
        0,
        0,
        "journal",
        "schema 1 brought forward to 2; as it was: journal.sqlite.schema1",
        "{}",
        7.0,
    )
    assert after.pop("meta") == [("schema_version", str(SCHEMA_VERSION)), ("created_at_s", "5.0")]
    assert after["entry"][:-1] == before["entry"]
    assert after["intent"][:-1] == before["intent"][:-1]
    for name in ("attempt", "nonce", "snapshot", "control", "memory", "shadow", "purse"):
        assert after[name] == before[name], name


def test_open__when_brought_forward__then_foreign_keys_are_on_again_and_the_next_opening_does_nothing(
    old: Path,
) -> None:
    with open_journal(old) as journal:
        assert journal._connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        journal._connection.rollback()
        count = len(journal.entries())
    with open_journal(old) as journal:
        assert len(journal.entries()) == count


def test_open__when_brought_forward__then_the_copy_is_private_and_what_the_old_keeper_wrote(
    old: Path,
) -> None:
    before = rows_of(old)
    open_journal(old).close()
    kept = migrate.backup_path(old, 1)
    names = sorted(p.name for p in old.parent.iterdir())
    assert names == ["journal.sqlite", "journal.sqlite.lock", "journal.sqlite.schema1"]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert rows_of(kept) == before


def test_open__when_rows_are_only_in_the_wal__then_the_copy_holds_them_too(old: Path) -> None:
    # a reader that stays keeps the WAL from being folded in
    reader = sqlite3.connect(old)
    reader.execute("SELECT * FROM meta").fetchall()
    writer = sqlite3.connect(old)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("INSERT INTO control VALUES ('late', 'x', 'a', 'w', 1.0)")
    writer.commit()
    writer.close()
    open_journal(old).close()
    reader.close()
    assert "late" in [row[0] for row in rows_of(migrate.backup_path(old, 1))["control"]]


def test_open__when_an_older_copy_is_there__then_it_is_replaced_whole(old: Path) -> None:
    migrate.backup_path(old, 1).write_text("left by a start that was cut short")
    migrate.backup_path(old, 1).with_name("journal.sqlite.schema1.new").write_text("a half")
    before = rows_of(old)
    open_journal(old).close()
    assert rows_of(migrate.backup_path(old, 1)) == before


def test_schema__when_migrated_or_created_or_built_step_by_step__then_all_are_what_the_models_say(
    old: Path, tmp_path: Path
) -> None:
    open_journal(old).close()
    created, stepped = tmp_path / "created.sqlite", tmp_path / "stepped.sqlite"
    open_journal(created).close()
    from_nothing(stepped, "head")
    assert schema_of(old) == schema_of(created) == schema_of(stepped)
    assert differences(old) == differences(created) == []
    # and the comparison can find something
    first_only = tmp_path / "first.sqlite"
    from_nothing(first_only, "1")
    assert [d[0] for d in differences(first_only)] == ["add_index"]  # type: ignore[index]


def test_first_schema__when_compared_with_the_first_release__then_word_for_word() -> None:
    assert first.STATEMENTS == STATEMENTS


def test_revisions__when_listed__then_one_line_from_1_to_the_version_of_the_tables() -> None:
    steps = list(ScriptDirectory(str(migrate.FOLDER)).walk_revisions())[::-1]
    assert [s.revision for s in steps] == [str(n) for n in range(1, SCHEMA_VERSION + 1)]
    assert [s.down_revision for s in steps] == [None, *(s.revision for s in steps[:-1])]


def test_wheel__when_built__then_the_steps_travel_with_it() -> None:
    shipped = {f.distribution_path for f in WheelBuilder(str(ROOT)).recurse_included_files()}
    wanted = {p.relative_to(ROOT).as_posix() for p in migrate.FOLDER.rglob("*.py")}
    assert len(wanted) >= 4
    assert wanted <= shipped


def test_open__when_written_by_a_newer_keeper__then_refused_untouched(old: Path) -> None:
    open_journal(old).close()
    with sqlite3.connect(old) as raw:
        raw.execute("UPDATE meta SET value = '3' WHERE name = 'schema_version'")
    raw.close()
    for attempted in (open_journal, Reader.open):
        with pytest.raises(ConfigError, match="has schema 3, this keeper knows up to 2: upgrade keeper"):
            attempted(old)
    assert not migrate.backup_path(old, 3).exists()


def test_reader__when_schema_is_older__then_refused_and_nothing_is_touched(old: Path) -> None:
    before = old.read_bytes()
    with pytest.raises(
        ConfigError, match="has schema 1, this keeper reads 2: `keeper run` brings it forward"
    ):
        Reader.open(old)
    assert old.read_bytes() == before
    assert not migrate.backup_path(old, 1).exists()


def test_reader__when_open_while_another_brings_it_forward__then_reads_on(old: Path) -> None:
    reader = sqlite3.connect(f"{old.as_uri()}?mode=ro", uri=True)
    assert reader.execute("SELECT count(*) FROM intent").fetchone() == (3,)
    open_journal(old).close()
    assert reader.execute("SELECT count(*) FROM intent").fetchone() == (3,)
    reader.close()


def test_open__when_an_old_row_refers_to_nothing__then_broken_and_the_journal_is_as_it_was(old: Path) -> None:
    with sqlite3.connect(old) as raw:
        raw.execute("DELETE FROM intent WHERE id = 1")
    raw.close()
    before, schema = rows_of(old), schema_of(old)
    with pytest.raises(Broken, match="a row of attempt refers to nothing"):
        open_journal(old)
    assert (rows_of(old), schema_of(old)) == (before, schema)


def test_open__when_alembic_stands_at_an_unknown_step__then_broken_and_as_it_was(old: Path) -> None:
    with sqlite3.connect(old) as raw:
        raw.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        raw.execute("INSERT INTO alembic_version VALUES ('77')")
    raw.close()
    before = rows_of(old)
    with pytest.raises(Broken, match="schema 1 cannot be brought forward"):
        open_journal(old)
    assert rows_of(old) == before
    # the refusal left the lock free
    with pytest.raises(Broken, match="schema 1 cannot be brought forward"):
        open_journal(old)


def test_open__when_there_is_no_room_for_the_copy__then_refused_by_name_and_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows_of(old)

    def full(path: Path, found: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(migrate, "back_up", full)
    with pytest.raises(Unwritable, match=r"journal\.sqlite cannot be opened: No space left on device"):
        open_journal(old)
    assert rows_of(old) == before


def forward_until(old: Path, die: Callable[[int, str], None]) -> int:
    """Open in a child whose every statement asks ``die`` first; the child's wait status."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    try:
        count = 0
        connected = opening.connect

        def traced(path: Path, *, writable: bool) -> Connection:
            nonlocal count
            made = connected(path, writable=writable)

            def told(statement: str) -> None:
                nonlocal count
                count += 1
                die(count, statement)

            raw = made.connection.driver_connection
            assert raw is not None
            raw.set_trace_callback(told)
            return made

        opening.connect = traced
        open_journal(old).close()
    finally:
        os._exit(0)


def test_open__when_killed_before_any_statement_of_it__then_old_or_new_and_the_next_start_finishes(
    old: Path, tmp_path: Path
) -> None:
    before = rows_of(old)
    whole = old.read_bytes()
    at, seen = 0, set()
    while True:
        at += 1
        old.write_bytes(whole)
        for beside in old.parent.glob("journal.sqlite?*"):
            beside.unlink()

        def die(count: int, statement: str, at: int = at) -> None:
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)

        status = forward_until(old, die)
        found = sqlite3.connect(old)
        version = found.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()[0]
        tables = {n for (n,) in found.execute("SELECT name FROM sqlite_master")}
        found.close()
        seen.add(version)
        assert ("ix_intent_at_s" in tables) == ("alembic_version" in tables) == (version == "2")
        open_journal(old).close()
        after = rows_of(old)
        assert (after["intent"], after["attempt"]) == (before["intent"], before["attempt"])
        assert differences(old) == []
        if os.WIFEXITED(status):
            break
    assert at > 20, "it was killed at every statement of the way"
    assert seen == {"1", "2"}
