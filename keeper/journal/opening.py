"""How a journal file is created, checked, connected and brought forward; every refusal names the file."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlalchemy import Connection, create_engine, event, insert, select
from sqlalchemy.pool import StaticPool

from keeper.errors import Broken, ConfigError, unopened
from keeper.journal import migrate
from keeper.journal.files import FileLock, check_file, guarded, sync_directory, wal_of
from keeper.journal.tables import APPEND_ONLY, SCHEMA_VERSION, VERSION, Row, table
from keeper.seams import Clock

_BUSY_TIMEOUT_MS = 5_000


def create(path: Path, clock: Clock) -> None:
    """Write a complete empty journal and move it into place, so that a crash leaves none or a whole one."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = connect(draft, writable=True)
    with guarded(path):
        try:
            with connection.begin():
                _lay_out(connection, clock)
        finally:
            # closing the last connection folds the WAL into the file that is renamed
            _close(connection)
    os.replace(draft, path)
    sync_directory(path.parent)


def _lay_out(connection: Connection, clock: Clock) -> None:
    """An empty journal of today's schema."""
    Row.metadata.create_all(connection)
    migrate.stamp(connection)
    for trigger in APPEND_ONLY:
        connection.exec_driver_sql(trigger)
    facts = ((VERSION, str(SCHEMA_VERSION)), ("created_at_s", repr(clock.now_s())))
    connection.execute(insert(table("meta")), [{"name": n, "value": v} for n, v in facts])


def in_memory(path: Path, clock: Clock) -> Connection:
    """An empty journal that is kept nowhere; ``path`` is for messages."""

    def made() -> sqlite3.Connection:
        return sqlite3.connect(":memory:", isolation_level=None)

    connection = create_engine("sqlite://", creator=made, poolclass=StaticPool).connect()
    with guarded(path), connection.begin():
        _lay_out(connection, clock)
    return connection


def connect(path: Path, *, writable: bool) -> Connection:
    """A connection with the journal's pragmas; read-only ones can never write, whatever they execute."""

    def open_file() -> sqlite3.Connection:
        mode = "rw" if writable else "ro"
        raw = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=_BUSY_TIMEOUT_MS / 1000,
        )
        raw.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        raw.execute("PRAGMA foreign_keys=ON")
        if writable:
            raw.execute("PRAGMA journal_mode=WAL")
            raw.execute("PRAGMA synchronous=FULL")
        return raw

    engine = create_engine("sqlite://", creator=open_file, poolclass=StaticPool)
    # IMMEDIATE takes the write lock before the first read: check and insert see one state
    begin = "BEGIN IMMEDIATE" if writable else "BEGIN"
    event.listen(engine, "begin", lambda c: c.exec_driver_sql(begin))
    with guarded(path):
        return engine.connect()


def check(connection: Connection, path: Path, how: str) -> int:
    """The schema of a whole journal. Raises Broken (damaged, foreign) or ConfigError (of a newer keeper).

    ``how``: integrity_check also compares every index with its table, which finds an altered nonce or state.
    """
    meta = table("meta")
    with guarded(path), connection.begin():
        verdict = connection.exec_driver_sql(f"PRAGMA {how}(1)").scalar()
        if verdict != "ok":
            raise Broken(f"journal {path} is damaged ({verdict}); restore it or move it away")
        found = connection.execute(select(meta.c.value).where(meta.c.name == VERSION)).scalar()
    if found is None or not str(found).isdecimal() or int(found) == 0:
        raise Broken(f"journal {path} names no schema version; it was not written by keeper")
    if int(found) > SCHEMA_VERSION:
        raise ConfigError(
            (f"journal {path} has schema {found}, this keeper knows up to {SCHEMA_VERSION}: upgrade keeper",)
        )
    return int(found)


def open_writer(path: Path, clock: Clock, *, may_create: bool) -> tuple[Connection, FileLock, bool]:
    """(connection, lock, whether the journal is new); an older schema is brought forward first.

    Raises ConfigError (held, of a newer keeper, no such place), Unwritable (the disk is full, read-only or failing)
    or Broken (damaged), naming the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(path.with_name(path.name + ".lock"))
    except OSError as error:
        raise unopened(error, f"journal {path} cannot be opened: {error.strerror}") from error
    opened = False
    try:
        new = not path.exists()
        if new and wal_of(path):
            # SQLite would fold these commits into whatever file bears the name
            raise Broken(
                f"journal {path} is gone and its {path.name}-wal is not: restore it, or move that away"
            )
        if new and may_create:
            create(path, clock)
        check_file(path)
        path.chmod(0o600)
        connection = _current(path, clock)
        opened = True
        return connection, lock, new
    except OSError as error:
        raise unopened(error, f"journal {path} cannot be opened: {error.strerror}") from error
    finally:
        if not opened:
            lock.release()


def open_reader(path: Path) -> Connection:
    """A read-only connection beside a running daemon. Raises ConfigError or Broken naming the file."""
    check_file(path)
    connection = connect(path, writable=False)
    whole = False
    try:
        found = check(connection, path, "quick_check")
        whole = found == SCHEMA_VERSION
    finally:
        if not whole:
            _close(connection)
    if not whole:
        why = f"has schema {found}, this keeper reads {SCHEMA_VERSION}: `keeper run` brings it forward"
        raise ConfigError((f"journal {path} {why}",))
    return connection


def _current(path: Path, clock: Clock) -> Connection:
    """A writable connection to a journal of today's schema."""
    connection = connect(path, writable=True)
    whole = False
    try:
        found = check(connection, path, "integrity_check")
        if found < SCHEMA_VERSION:
            with guarded(path):
                migrate.forward(connection, found, migrate.back_up(path, found), clock.now_s())
        whole = True
        return connection
    finally:
        if not whole:
            _close(connection)


def _close(connection: Connection) -> None:
    engine = connection.engine
    connection.close()
    engine.dispose()
