"""A journal of an older schema, brought forward: copied first, then changed in one exclusive transaction.

Only who opens for writing does this, with the file lock held; readers refuse and say so. A crash at any moment
leaves the old journal or the new one, never a half, and the copy stays for a person who wants to go back.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlalchemy import Connection, insert, update

from keeper.errors import Broken
from keeper.journal.files import sync_directory
from keeper.journal.tables import SCHEMA_VERSION, VERSION, table

FOLDER = Path(__file__).with_name("migrations")


def backup_path(path: Path, found: int) -> Path:
    """Where the journal of schema ``found`` is kept when it is brought forward."""
    return path.with_name(f"{path.name}.schema{found}")


def back_up(path: Path, found: int) -> Path:
    """A durable copy of the whole journal, WAL included; complete under its name or not there at all."""
    kept = backup_path(path, found)
    draft = kept.with_name(kept.name + ".new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    source, target = sqlite3.connect(path), sqlite3.connect(draft)
    try:
        source.backup(target)
    finally:
        target.close()
        source.close()
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(draft, kept)
    sync_directory(path.parent)
    return kept


def forward(connection: Connection, found: int, kept: Path, at_s: float) -> None:
    """All steps from schema ``found`` to this keeper's, as one transaction that ends whole or not at all.

    Raises Broken, with the journal as it was, when a step fails or leaves a row without what it refers to.
    """
    raw = connection.connection.cursor()
    # rebuilding a table that others refer to needs this, and it cannot be turned inside a transaction
    raw.execute("PRAGMA foreign_keys=OFF")
    with connection.begin():
        _run_steps(connection, found)
        orphan = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if orphan is not None:
            raise Broken(f"schema {found} cannot be brought forward: a row of {orphan[0]} refers to nothing")
        meta, entry = table("meta"), table("entry")
        connection.execute(update(meta).where(meta.c.name == VERSION).values(value=str(SCHEMA_VERSION)))
        why = f"schema {found} brought forward to {SCHEMA_VERSION}; as it was: {kept.name}"
        told = {"kind": "start", "chain_id": 0, "block_number": 0, "subject": "journal", "why": why}
        connection.execute(insert(entry), {**told, "data": "{}", "at_s": at_s})
    raw.execute("PRAGMA foreign_keys=ON")


def stamp(connection: Connection) -> None:
    """A new journal says which step it stands at, in alembic's own words."""
    connection.exec_driver_sql(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
        "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{SCHEMA_VERSION}')")


def _run_steps(connection: Connection, found: int) -> None:
    # a third of a second that only an upgrade pays
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        if not connection.dialect.has_table(connection, "alembic_version"):
            command.stamp(config, str(found))
        command.upgrade(config, str(SCHEMA_VERSION))
    except CommandError as error:
        raise Broken(f"schema {found} cannot be brought forward: {error}") from error
