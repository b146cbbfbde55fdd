"""The journal's statements on the journal's SQLite file, without what SQLAlchemy does around each.

Compiling and binding are SQLAlchemy's own; cursors, transactions and rows are sqlite3's. Answers are kept as
long as no table that they came from has changed: the real code computes each of them once.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

_TABLES = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+\"?(\w+)")
_WAYS: WeakKeyDictionary[Any, dict[tuple[Any, ...], Way]] = WeakKeyDictionary()
"""Statement -> what is given -> how it is run; a dialect is kept from life to life."""
_ANY = "any"
"""Counts changes of which nothing is known but that they happened."""


@dataclass(slots=True)
class Prepared:
    """What a compiled statement is run with, found out once."""

    tables: tuple[str, ...]
    writes: bool
    names: tuple[str, ...]
    processed: tuple[tuple[str, Callable[[Any], Any]], ...]
    """Columns whose values are not what SQLite holds."""


@dataclass(slots=True)
class Way:
    """A statement as SQLite gets it, and where each of its arguments comes from."""

    known: Prepared
    sql: str
    sources: tuple[tuple[Any, int | None, Any, Callable[[Any], Any] | None], ...]
    """(name of a given value or None, place in it when it is a list, a constant, how it is bound)."""

    def args(self, given: Mapping[str, Any]) -> list[Any]:
        """What SQLite is given."""
        found = []
        for name, place, value, bind in self.sources:
            if name is not None:
                value = given[name] if place is None else given[name][place]
            found.append(value if bind is None else bind(value))
        return found


@dataclass(slots=True)
class Result:
    """As much of a result as the journal asks for."""

    rows: Sequence[Mapping[str, Any]] = ()
    inserted_primary_key: tuple[int, ...] = (0,)
    rowcount: int = 0

    def mappings(self) -> Result:
        """Rows are mappings already."""
        return self

    def all(self) -> Sequence[Mapping[str, Any]]:
        """Every row."""
        return self.rows

    def first(self) -> Mapping[str, Any] | None:
        """The first row."""
        return self.rows[0] if self.rows else None

    def scalar(self) -> Any:
        """The first column of the first row."""
        return next(iter(self.rows[0].values())) if self.rows else None


@dataclass(slots=True)
class Disk:
    """Stands where the journal has its ``Connection``."""

    connection: Connection
    compiled: dict[Any, Any]
    """SQLAlchemy's cache of compiled statements, kept from life to life."""
    prepared: dict[int, Prepared] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    answers: dict[tuple[Any, ...], tuple[tuple[tuple[str, int], ...], Any]] = field(default_factory=dict)
    raw: sqlite3.Connection = field(init=False)
    _watching: list[set[str]] = field(default_factory=list)
    _begun: bool = False

    def __post_init__(self) -> None:
        self.raw = self.connection.connection.driver_connection  # type: ignore[assignment]

    @property
    def engine(self) -> Any:
        """For closing."""
        return self.connection.engine

    def close(self) -> None:
        """Release the file."""
        self.connection.close()

    def in_transaction(self) -> bool:
        """Whether one was begun."""
        return self._begun

    @contextmanager
    def begin(self) -> Generator[Disk]:
        """One exclusive transaction, as the engine's own listener begins it; SQLite hears of it at the first
        write, for nobody else has the file.
        """
        self._begun = True
        try:
            yield self
            if self.raw.in_transaction:
                self.raw.execute("COMMIT")
        except BaseException:
            self._changed(_ANY)
            if self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
            raise
        finally:
            self._begun = False

    def _begin(self) -> None:
        if self._begun and not self.raw.in_transaction:
            self.raw.execute("BEGIN IMMEDIATE")

    def exec_driver_sql(self, sql: str) -> Result:
        """Plain SQL, which may change anything."""
        self._changed(_ANY)
        self._begin()
        return Result(rowcount=self.raw.execute(sql).rowcount)

    def execute(self, statement: Any, values: Any = None) -> Result:
        """A statement of SQLAlchemy's, or the same once for each of several rows."""
        if isinstance(values, list):
            return [self.execute(statement, row) for row in values][-1]
        given = values or {}
        # a list is written out, so its length is part of the statement
        key = tuple([(k, len(v)) if type(v) is list else k for k, v in given.items()])
        ways = _WAYS.get(statement)
        way = None if ways is None else ways.get(key)
        if way is None:
            way = self._way(statement, given)
            _WAYS.setdefault(statement, {})[key] = way
        if way.known.writes:
            return self._write(way.known, way.sql, way.args(given))
        for watched in self._watching:
            watched.update(way.known.tables)
        rows = self.raw.execute(way.sql, way.args(given)).fetchall()
        return Result(rows=[_row(way.known, row) for row in rows])

    def _way(self, statement: Any, given: Mapping[str, Any]) -> Way:
        """How SQLAlchemy would run it."""
        compiled, extracted, collected, _ = statement._compile_w_cache(
            self.connection.dialect, compiled_cache=self.compiled, column_keys=sorted(given)
        )
        bound = compiled.construct_params(
            given, extracted_parameters=extracted, escape_names=False, _collected_params=collected
        )
        sql, order, processors = compiled.string, compiled.positiontup, compiled._bind_processors
        written: dict[str, tuple[str, int]] = {}
        if compiled.post_compile_params or compiled._render_postcompile:
            expanded = compiled._process_parameters_for_postcompile(bound)
            sql, order = expanded.statement, expanded.positiontup
            lists = [k for k, v in given.items() if type(v) is list]
            written = {f"{k}_{i + 1}": (k, i) for k in lists for i in range(len(given[k]))}
            bound = {**bound, **expanded.additional_parameters}
            processors = {**processors, **expanded.processors}
        keys = {name: bind.key for bind, name in compiled.bind_names.items()}
        sources: list[Any] = []
        for name in order:
            bind = processors.get(name)
            if name in written:
                sources.append((*written[name], None, bind))
            elif keys.get(name) in given:
                sources.append((keys[name], None, None, bind))
            else:
                sources.append((None, None, bound[name], bind))
        made = Way(
            known=self.prepared.get(id(compiled)) or self._prepare(compiled), sql=sql, sources=tuple(sources)
        )
        assert made.args(given) == [processors[n](bound[n]) if n in processors else bound[n] for n in order]
        return made

    def ask(self, key: tuple[Any, ...], question: Callable[[], Any]) -> Any:
        """The answer, computed anew only when a table that it was read from has changed."""
        kept = self.answers.get(key)
        if kept is not None and all(self.versions.get(t, 0) == v for t, v in kept[0]):
            return kept[1]
        self._watching.append(set())
        try:
            answer = question()
        finally:
            read = self._watching.pop() | {_ANY}
        self.answers[key] = (tuple((t, self.versions.get(t, 0)) for t in sorted(read)), answer)
        return answer

    def _write(self, known: Prepared, sql: str, args: Sequence[Any]) -> Result:
        for table in known.tables:
            self._changed(table)
        self._begin()
        try:
            cursor = self.raw.execute(sql, args)
        except sqlite3.IntegrityError as error:
            raise IntegrityError(sql, None, error) from error
        return Result(inserted_primary_key=(cursor.lastrowid or 0,), rowcount=cursor.rowcount)

    def _changed(self, table: str) -> None:
        self.versions[table] = self.versions.get(table, 0) + 1

    def _prepare(self, compiled: Any) -> Prepared:
        dialect = self.connection.dialect
        columns = tuple(
            (str(c.keyname), c.type._cached_result_processor(dialect, None)) for c in compiled._result_columns
        )
        made = Prepared(
            tables=tuple(sorted(set(_TABLES.findall(compiled.string)))),
            writes=bool(compiled.isinsert or compiled.isupdate or compiled.isdelete),
            names=tuple(n for n, _ in columns),
            processed=tuple((n, p) for n, p in columns if p is not None),
        )
        self.prepared[id(compiled)] = made
        return made


def _row(known: Prepared, row: Sequence[Any]) -> dict[str, Any]:
    found = dict(zip(known.names, row, strict=True))
    for name, process in known.processed:
        found[name] = process(found[name])
    return found
