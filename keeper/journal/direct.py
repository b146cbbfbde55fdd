"""The journal's statements run by sqlite3 itself: SQLAlchemy compiles each once, and is not asked again.

Running a statement through SQLAlchemy costs 0.1 to 0.7 ms, here 0.01, and a dozen of them stand between a head and
a signature. One process holds the file (``files.FileLock``), so an answer stays true until this connection changes
a table that it came from; the commit of another connection, which nobody should make, is noticed as well.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError

T = TypeVar("T")
Row = Mapping[Any, Any]
ANSWERS_MAX = 512
"""More kept answers than a night's intents ask for; then all are forgotten and asked anew."""
STATEMENTS_MAX = 256
_TABLES = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+\"?(\w+)")
_ANY = "*"
"""Counts changes of which nothing is known but that they happened."""


class Undone(sqlite3.OperationalError):
    """A transaction was undone before its end."""

    sqlite_errorcode = sqlite3.SQLITE_FULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A statement as SQLite gets it."""

    text: str
    writes: bool
    tables: tuple[str, ...]
    binds: tuple[tuple[str | None, Any, Callable[[Any], Any] | None], ...]
    """Of each question mark: the name whose value is given or None, else a constant, and how it is stored."""
    reads: tuple[tuple[int, Callable[[Any], Any]], ...]
    """Columns of an answer that are not what SQLite holds, and how they are read."""

    def values(self, given: Row) -> list[Any]:
        """What SQLite is given."""
        found = []
        for name, constant, store in self.binds:
            value = constant if name is None else given[name]
            found.append(value if store is None else store(value))
        return found


@lru_cache(maxsize=STATEMENTS_MAX)
def ready(statement: Any, names: tuple[str, ...]) -> Ready:
    """``statement`` compiled for values of those names."""
    dialect = sqlite.dialect()
    asks = isinstance(statement, Select)
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    # with lists of constants written out
    state = compiled.construct_expanded_state(dict.fromkeys(names), escape_names=False)
    binds = []
    for place in state.positiontup or ():
        bind = compiled.binds.get(place)
        name = None if bind is None or bind.key not in names else bind.key
        store = None if bind is None else bind.type.dialect_impl(dialect).bind_processor(dialect)
        binds.append((name, None if name else state.parameters[place], store))
    columns = statement.selected_columns if asks else ()
    processors = [c.type.dialect_impl(dialect).result_processor(dialect, None) for c in columns]
    return Ready(
        text=state.statement,
        writes=not asks,
        tables=tuple(sorted(set(_TABLES.findall(state.statement)))),
        binds=tuple(binds),
        reads=tuple((i, p) for i, p in enumerate(processors) if p is not None),
    )


class Answer:
    """As much of SQLAlchemy's result as a journal asks for."""

    __slots__ = ("inserted_primary_key", "rowcount", "rows")

    def __init__(self, rows: Sequence[Row] = (), *, id: int = 0, rowcount: int = -1) -> None:
        self.rows = rows
        self.inserted_primary_key = (id,)
        self.rowcount = rowcount

    def mappings(self) -> Answer:
        """Rows are mappings already."""
        return self

    def all(self) -> Sequence[Row]:
        """Every row."""
        return self.rows

    def first(self) -> Row | None:
        """The first row."""
        return self.rows[0] if self.rows else None

    def scalar(self) -> Any:
        """The first column of the first row."""
        return next(iter(self.rows[0].values())) if self.rows else None


class Direct:
    """Stands in a writing journal where SQLAlchemy's connection stood."""

    def __init__(self, connection: Connection) -> None:
        self.opened = connection
        self.raw = cast(sqlite3.Connection, connection.connection.driver_connection)
        self._versions: dict[str, int] = {}
        self._answers: dict[object, tuple[tuple[tuple[str, int], ...], Any]] = {}
        self._watching: list[set[str]] = []
        self._foreign = self._data_version()

    @property
    def engine(self) -> Any:
        """For closing."""
        return self.opened.engine

    @property
    def connection(self) -> Any:
        """What holds the driver's own connection."""
        return self.opened.connection

    def close(self) -> None:
        """Release the file."""
        self._answers.clear()
        self.opened.close()

    def in_transaction(self) -> bool:
        """Whether one was begun."""
        return self.raw.in_transaction

    @contextmanager
    def begin(self) -> Generator[Direct]:
        """One exclusive transaction: the write lock is taken before the first read."""
        self.raw.execute("BEGIN IMMEDIATE")
        try:
            yield self
            if not self.raw.in_transaction:
                # SQLite undoes all of it by itself where the disk is full; a writer may have gone on all the same
                raise Undone("a full or failing disk undid it")
            self.raw.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise

    def commit(self) -> None:
        """Of a transaction that was begun by hand."""
        if self.raw.in_transaction:
            self.raw.execute("COMMIT")

    def rollback(self) -> None:
        """Undo what was begun; nothing that was answered meanwhile is believed."""
        self._changed(_ANY)
        if self.raw.in_transaction:
            with suppress(sqlite3.Error):
                self.raw.execute("ROLLBACK")

    def exec_driver_sql(self, text: str) -> Answer:
        """Plain SQL, which may change anything."""
        self._changed(_ANY)
        cursor = self.raw.execute(text)
        names = [d[0] for d in cursor.description or ()]
        return Answer([dict(zip(names, r, strict=True)) for r in cursor.fetchall()], rowcount=cursor.rowcount)

    def execute(self, statement: Any, given: Row | Sequence[Row] | None = None) -> Answer:
        """A statement of SQLAlchemy's; the same once for each of several rows."""
        if isinstance(given, Sequence):
            known = ready(statement, tuple(given[0]))
            self._change(known)
            return Answer(rowcount=self.raw.executemany(known.text, map(known.values, given)).rowcount)
        given = given or {}
        known = ready(statement, tuple(given))
        if known.writes:
            self._change(known)
            try:
                cursor = self.raw.execute(known.text, known.values(given))
            except sqlite3.IntegrityError as error:
                raise IntegrityError(known.text, None, error) from error
            return Answer(id=cursor.lastrowid or 0, rowcount=cursor.rowcount)
        for watched in self._watching:
            watched.update(known.tables)
        cursor = self.raw.execute(known.text, known.values(given))
        names = [d[0] for d in cursor.description]
        rows = cursor.fetchall()
        if known.reads:
            rows = [_read(known, row) for row in rows]
        return Answer([dict(zip(names, row, strict=True)) for row in rows])

    def ask(self, key: object, question: Callable[[], T]) -> T:
        """The answer to ``question``, asked anew when a table that it came from has changed. Not to be mutated."""
        now = self._data_version()
        if now != self._foreign:
            self._foreign = now
            self._changed(_ANY)
        kept = self._answers.get(key)
        if kept is not None and all(self._versions.get(t, 0) == v for t, v in kept[0]):
            for watched in self._watching:
                watched.update(t for t, _ in kept[0])
            return cast(T, kept[1])
        self._watching.append({_ANY})
        try:
            answer = question()
        finally:
            read = self._watching.pop()
        if len(self._answers) >= ANSWERS_MAX:
            self._answers.clear()
        self._answers[key] = (tuple([(t, self._versions.get(t, 0)) for t in sorted(read)]), answer)
        return answer

    def _data_version(self) -> int:
        """Changes when another connection commits."""
        return int(self.raw.execute("PRAGMA data_version").fetchone()[0])

    def _change(self, known: Ready) -> None:
        for table in known.tables:
            self._changed(table)

    def _changed(self, table: str) -> None:
        self._versions[table] = self._versions.get(table, 0) + 1


def _read(known: Ready, row: Sequence[Any]) -> Sequence[Any]:
    found = list(row)
    for i, read in known.reads:
        found[i] = read(found[i])
    return found
