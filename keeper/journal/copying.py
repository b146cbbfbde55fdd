"""A whole, consistent copy of a journal, taken beside a running daemon."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from keeper.errors import Broken, ConfigError
from keeper.journal.files import check_file, guarded, sync_directory

PAGES_A_STEP = 1_024
"""4 MiB: between two steps the daemon may write; SQLite then begins the copy anew, and it still ends whole."""


def copy_to(path: Path, out: Path) -> int:
    """Copy the journal at ``path``, its WAL included, into the new file ``out`` of mode 0600; its size in bytes.

    ``out`` appears whole or not at all, and replaces nothing. Raises ConfigError naming the file that cannot
    be read or written, Broken when the journal, and so its copy, is damaged.
    """
    check_file(path)
    if out.exists():
        raise ConfigError((f"{out}: is there already; name a new file",))
    draft = out.with_name(out.name + ".new")
    try:
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            _copy(path, draft)
            # a link refuses where another put a file of that name meanwhile; a rename would replace it
            os.link(draft, out)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(out.parent)
    except FileExistsError:
        raise ConfigError((f"{out}: is there already; name a new file",)) from None
    except OSError as error:
        raise ConfigError((f"{out}: {error.strerror}",)) from error
    return out.stat().st_size


def _copy(path: Path, draft: Path) -> None:
    with (
        guarded(path),
        closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(draft)) as target,
    ):
        source.backup(target, pages=PAGES_A_STEP)
        # a copy is one file: without this it would ask for a WAL beside it where it is opened next
        target.execute("PRAGMA journal_mode=DELETE")
        (verdict,) = target.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise Broken(f"journal {path} is damaged ({verdict}); its copy was not kept")
    fd = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
