"""The journal as a file: who holds it, what it looks like from outside, and what its failures mean."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from keeper.errors import Broken, ConfigError, Held, Undecodable, Unwritable, unopened

_MAGIC = b"SQLite format 3\x00"
_HEAD_BYTES = 100
"""The file format's header; the page size is in its bytes 16 and 17, 1 for 65,536."""
_MAY_PASS = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
    }
)
"""What a disk says that is full, read-only or failing: nothing was kept, and a later write may be."""
_FILE_IS_WRONG = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_READONLY_DBMOVED})
"""Their kin that no patience heals: the file was cut short, or another one stands in its place."""


class FileLock:
    """An exclusive flock on a sidecar file; the kernel drops it when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        """Takes the lock. Raises Held when another process holds it, OSError when the disk takes nothing."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            why = f"{path}: another keeper (process {holder}) holds this journal; stop it first"
            raise Held((why,)) from error
        except OSError:
            self.release()
            raise
        # who holds it is told for people only: a full disk must not keep the lock from being held, or given up
        with suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the journal up. The file stays: removing it would let two holders lock two inodes."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def check_file(path: Path) -> None:
    """Refuse what is no SQLite file, before SQLite touches it. Raises ConfigError, Unwritable or Broken."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise ConfigError((f"journal {path} does not exist: `keeper run` creates it",)) from None
    except OSError as error:
        raise unopened(error, f"journal {path} cannot be read: {error.strerror}") from error
    if len(head) < _HEAD_BYTES or not head.startswith(_MAGIC):
        raise Broken(f"journal {path} is no SQLite file (damaged or truncated); restore it or move it away")
    page_bytes = int.from_bytes(head[16:18]) or 1
    # a page half written by a checkpoint is whole in the WAL; without one it was cut, and SQLite would read zeros
    if path.stat().st_size % (65_536 if page_bytes == 1 else page_bytes) and not wal_of(path):
        raise Broken(f"journal {path} was cut short in the middle of a page; restore it or move it away")


def wal_of(path: Path) -> int:
    """How many bytes of commits wait beside the file, which a crash leaves and the next opening folds in."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except OSError:
        return 0


class Place:
    """The very files that a journal was opened at: what is written to a deleted file is lost with it."""

    def __init__(self, path: Path) -> None:
        """Looks once, with the journal open; a file that is not there is not watched."""
        self._path = path
        names = (path.name, f"{path.name}-wal", f"{path.name}.lock")
        self._seen = {p: seen for n in names if (seen := _inode(p := path.with_name(n))) is not None}

    def refuse_replaced(self) -> None:
        """Raises Broken when one of them was moved, deleted or replaced since: a few microseconds."""
        for path, seen in self._seen.items():
            if _inode(path) != seen:
                raise Broken(
                    f"journal {self._path}: {path.name} was replaced or deleted under the running keeper; "
                    "what it writes would be lost. Stop it, put the newest journal in place, start again"
                )


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def guarded(path: Path) -> Generator[None]:
    """Turn a database failure, and text that is no record, into words naming the file; IntegrityError stays, callers
    know its meaning.

    Unwritable where the disk may take it again later, Broken for everything else.
    """
    try:
        yield
    except IntegrityError:
        raise
    except Undecodable as error:
        raise Broken(f"journal {path} is damaged: {error}; restore it") from error
    except (SQLAlchemyError, sqlite3.Error, OverflowError) as error:
        # str(error) of SQLAlchemy carries statement and parameters (signed bytes): only its cause is told
        cause = getattr(error, "orig", None) or error
        kind = Unwritable if may_pass(cause) else Broken
        raise kind(f"journal {path} failed: {type(cause).__name__}: {cause}") from None


def may_pass(error: BaseException) -> bool:
    """Whether a database's failure is one of the disk that may end: full, read-only, failing, locked."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code not in _FILE_IS_WRONG and code & 0xFF in _MAY_PASS


def sync_directory(directory: Path) -> None:
    """Make a rename durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
