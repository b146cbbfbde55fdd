"""The signer's store as a file: its schema, step by step, one exclusive lock, and what its failures mean."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from keeper.errors import Broken, ConfigError, Unwritable

STEPS: Mapping[int, tuple[str, ...]] = {
    1: (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE adopted (chain_id TEXT PRIMARY KEY, nonce TEXT NOT NULL, why TEXT NOT NULL, "
        "at_s REAL NOT NULL)",
        "CREATE TABLE signed (chain_id TEXT NOT NULL, nonce INTEGER NOT NULL, n INTEGER NOT NULL, "
        "intent TEXT NOT NULL, payload BLOB NOT NULL, max_fee TEXT NOT NULL, tip TEXT NOT NULL, "
        "fee_wei TEXT NOT NULL, token TEXT NOT NULL, units TEXT NOT NULL, cancel INTEGER NOT NULL, "
        "raw BLOB NOT NULL, hash TEXT NOT NULL, at_s REAL NOT NULL, PRIMARY KEY (chain_id, nonce, n))",
        "CREATE INDEX signed_intent ON signed (chain_id, intent)",
    ),
    # the day's sums were found by reading everything ever signed
    2: ("CREATE INDEX signed_day ON signed (chain_id, at_s)",),
}
"""Schema -> the statements that lead there from the one before. What was released is never changed."""
SCHEMA = max(STEPS)
_MAY_PASS = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
    }
)


class Exclusive:
    """One exclusive transaction; what fails is rolled back whole, and nothing leaves.

    Raises Unwritable when the disk takes nothing, Broken for any other failure and when the file is not where
    it was: a signature kept in a deleted file would be forgotten, and its nonce signed a second time.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path, self._connection = path, connection
        self._seen = {p: inode(p) for p in (path, path.with_name(f"{path.name}-wal"))}

    def __enter__(self) -> None:
        try:
            self._connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise failed(self._path, error) from None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._connection.execute("COMMIT")
        except sqlite3.Error as failure:
            raise failed(self._path, failure) from None
        finally:
            # a disk that is full has often rolled back by itself
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise failed(self._path, error) from None
        for path, seen in self._seen.items():
            if inode(path) != seen:
                raise Broken(
                    f"signer store {self._path}: {path.name} was replaced or deleted under the signer"
                )


def failed(path: Path, error: sqlite3.Error) -> Broken:
    """What a database's failure means, in words that name the file."""
    kind = Unwritable if may_pass(error) else Broken
    return kind(f"signer store {path} failed: {error}")


def may_pass(error: sqlite3.Error) -> bool:
    """Whether it is a disk's that may take it again: full, read-only, failing, locked."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _MAY_PASS


def inode(path: Path) -> tuple[int, int] | None:
    """Which file stands at ``path``; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def refuse_cut(path: Path) -> None:
    """Raises Broken for a file that ends in the middle of a page, whose rest SQLite would read as zeros."""
    with path.open("rb") as file:
        head = file.read(18)
    page_bytes = int.from_bytes(head[16:18]) or 1
    wal = path.with_name(f"{path.name}-wal")
    waiting = wal.exists() and wal.stat().st_size
    # a page half written by a checkpoint is whole in the WAL
    if len(head) < 18 or (path.stat().st_size % (65_536 if page_bytes == 1 else page_bytes) and not waiting):
        raise Broken(f"signer store {path} was cut short; restore it")


def connect(path: Path) -> sqlite3.Connection:
    """A connection that holds the file for as long as it lives. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=0.0)
    connection.row_factory = sqlite3.Row
    try:
        # the lock is taken with the first transaction and kept until the process ends
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except sqlite3.Error:
        # what is damaged must not stay locked while that is told
        connection.close()
        raise
    return connection


def bring_forward(path: Path, connection: sqlite3.Connection, found: int) -> None:
    """From schema ``found`` to today's: a copy of the file first (of none, nothing), then one transaction.

    Raises ConfigError when the store was written by a newer signer, Broken when it is of no schema.
    """
    if found > SCHEMA:
        why = f"has schema {found}, this signer knows up to {SCHEMA}: upgrade keeper"
        raise ConfigError((f"{path}: signer store {why}",))
    if found == SCHEMA:
        return
    if found:
        back_up(path, connection, found)
    with Exclusive(path, connection):
        for step in range(found + 1, SCHEMA + 1):
            for statement in STEPS[step]:
                connection.execute(statement)
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))


def back_up(path: Path, connection: sqlite3.Connection, found: int) -> None:
    """A durable copy beside the store, complete under its name or not there at all."""
    kept = path.with_name(f"{path.name}.schema{found}")
    draft = kept.with_name(f"{kept.name}.new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    target = sqlite3.connect(draft)
    try:
        connection.backup(target)
    except sqlite3.Error as error:
        raise failed(path, error) from None
    finally:
        target.close()
    os.replace(draft, kept)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
