"""How a journal file is created, locked, checked and connected; every refusal names the file."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, event, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from keeper.errors import Broken, ConfigError
from keeper.journal.tables import APPEND_ONLY, SCHEMA_VERSION, Row, table
from keeper.seams import Clock

_MAGIC = b"SQLite format 3\x00"
_BUSY_TIMEOUT_MS = 5_000
_VERSION = "schema_version"


class FileLock:
    """An exclusive flock on a sidecar file; the kernel drops it when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        """Takes the lock. Raises ConfigError when another process holds it."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise ConfigError(
                (f"{path}: another keeper (process {holder}) holds this journal; stop it first",)
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the journal up. The file stays: removing it would let two holders lock two inodes."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def create(path: Path, clock: Clock) -> None:
    """Write a complete empty journal and move it into place, so that a crash leaves none or a whole one."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = connect(draft, writable=True)
    with guarded(path), connection.begin():
        Row.metadata.create_all(connection)
        for trigger in APPEND_ONLY:
            connection.exec_driver_sql(trigger)
        facts = ((_VERSION, str(SCHEMA_VERSION)), ("created_at_s", repr(clock.now_s())))
        connection.execute(insert(table("meta")), [{"name": n, "value": v} for n, v in facts])
    # closing the last connection folds the WAL into the file that is renamed
    connection.close()
    connection.engine.dispose()
    os.replace(draft, path)
    _sync_directory(path.parent)


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


def check(connection: Connection, path: Path) -> None:
    """Refuse what is not a whole journal of this schema. Raises Broken (damaged) or ConfigError (newer)."""
    meta = table("meta")
    with guarded(path), connection.begin():
        verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if verdict != "ok":
            raise Broken(f"journal {path} is damaged ({verdict}); restore it or move it away")
        found = connection.execute(select(meta.c.value).where(meta.c.name == _VERSION)).scalar()
    if found is None or not str(found).isdecimal():
        raise Broken(f"journal {path} names no schema version; it was not written by keeper")
    if int(found) > SCHEMA_VERSION:
        raise ConfigError(
            (f"journal {path} has schema {found}, this keeper knows up to {SCHEMA_VERSION}: upgrade keeper",)
        )
    if int(found) < SCHEMA_VERSION:
        raise ConfigError((f"journal {path} has schema {found}, this keeper needs {SCHEMA_VERSION}",))


def check_file(path: Path) -> None:
    """Refuse what is no SQLite file, before SQLite touches it. Raises ConfigError or Broken."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except FileNotFoundError:
        raise ConfigError((f"journal {path} does not exist: `keeper run` creates it",)) from None
    except OSError as error:
        raise ConfigError((f"journal {path} cannot be read: {error.strerror}",)) from error
    if head != _MAGIC:
        raise Broken(f"journal {path} is no SQLite file (damaged or truncated); restore it or move it away")


def open_writer(path: Path, clock: Clock, *, may_create: bool) -> tuple[Connection, FileLock, bool]:
    """(connection, lock, whether the journal is new). Raises ConfigError or Broken naming the file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(path.with_name(path.name + ".lock"))
    except OSError as error:
        raise ConfigError((f"journal {path} cannot be opened: {error.strerror}",)) from error
    opened = False
    try:
        new = not path.exists()
        if new and may_create:
            create(path, clock)
        check_file(path)
        path.chmod(0o600)
        connection = connect(path, writable=True)
        check(connection, path)
        opened = True
        return connection, lock, new
    except OSError as error:
        raise ConfigError((f"journal {path} cannot be opened: {error.strerror}",)) from error
    finally:
        if not opened:
            lock.release()


def open_reader(path: Path) -> Connection:
    """A read-only connection beside a running daemon. Raises ConfigError or Broken naming the file."""
    check_file(path)
    connection = connect(path, writable=False)
    check(connection, path)
    return connection


@contextmanager
def guarded(path: Path) -> Generator[None]:
    """Turn a database failure into Broken naming the file; IntegrityError stays, callers know its meaning."""
    try:
        yield
    except IntegrityError:
        raise
    except (SQLAlchemyError, sqlite3.Error, OverflowError) as error:
        # str(error) of SQLAlchemy carries statement and parameters (signed bytes): only its cause is told
        cause = getattr(error, "orig", None) or error
        raise Broken(f"journal {path} failed: {type(cause).__name__}: {cause}") from None


def _sync_directory(directory: Path) -> None:
    """Make a rename durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
