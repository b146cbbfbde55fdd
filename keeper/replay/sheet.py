"""A table from a file, CSV or parquet: its columns by name, each row with the number by which a person finds it."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keeper.errors import ConfigError

EXTRA = "pip install 'keeper[analysis]'"
Reads = Callable[[str], bool]
"""Whether a column is read, by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """``line`` is where the row begins in its file, blank lines and cells of several lines counted; a cell that is
    not there is empty; ``beyond`` stands after the last column, empty where nothing is written there."""

    line: int
    cells: Mapping[str, str]
    beyond: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """``columns`` of the row ``line`` without empty ones at its end, and the rows under it. Iterating ``rows``
    raises ConfigError on a broken quote."""

    line: int
    columns: tuple[str, ...]
    rows: Iterator[Row]


def text(path: Path, needed: str, reads: Reads) -> Sheet:
    """A ``.csv`` or ``.csv.gz`` file; ``needed`` is said of one without columns, and what it ``reads`` stands there
    once. ConfigError naming file and row."""
    try:
        data = path.read_bytes()
        body = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError((f"{path}: cannot be read: {why}",)) from error
    except UnicodeDecodeError as error:
        why = f"is not text: {error.reason} at byte {error.start}; {needed}"
        raise ConfigError((f"{path}: {why}",)) from error
    lines = _lines(path, body)
    line, first = next(lines, (1, []))
    columns = tuple(c.strip() for c in first)
    while columns and not columns[-1]:
        # a spreadsheet writes as many commas as its widest row has; what stands there all the same has no name
        columns = columns[:-1]
    if not columns:
        raise ConfigError((f"{path}: is empty; {needed}",))
    if len(columns) == 1 and (mark := next((m for m in ";\t|" if m in columns[0]), "")):
        raise ConfigError(
            (f"{path}: row {line}: {mark!r} separates its columns; commas are needed; {needed}",)
        )
    if twice := _twice(columns, reads):
        raise ConfigError((f"{path}: row {line}: the column {twice!r} is there twice; which is meant?",))
    return Sheet(line=line, columns=columns, rows=(_row(n, columns, cells) for n, cells in lines))


def parquet(path: Path, reads: Reads) -> Any:
    """A ``.parquet`` file as a pyarrow table, in which what is read stands once. ConfigError."""
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
        reader: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError(
            (f"{path}: reading parquet needs pyarrow, which the extra installs: {EXTRA}",)
        ) from error
    try:
        names = reader.read_schema(path).names if path.is_file() else []
        # as a data set, what names come from folders too, no name may be there twice; as a file it may
        repeated = len(set(names)) < len(names)
        table = reader.ParquetFile(path).read() if repeated else reader.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise ConfigError((f"{path}: cannot be read: {why}",)) from error
    if twice := _twice(table.column_names, reads):
        raise ConfigError((f"{path}: the column {twice!r} is there twice; which is meant?",))
    return table


def _twice(columns: Sequence[str], reads: Reads) -> str:
    """The first column that is read and there more than once; what is never read may be called as it likes."""
    return next((c for c, n in Counter(columns).items() if n > 1 and reads(c)), "")


def _row(line: int, columns: Sequence[str], cells: Sequence[str]) -> Row:
    padded = [*cells, *[""] * (len(columns) - len(cells))]
    beyond = tuple(cells[len(columns) :])
    return Row(
        line=line,
        cells=dict(zip(columns, padded[: len(columns)], strict=True)),
        beyond=beyond if any(c.strip() for c in beyond) else (),
    )


def _lines(path: Path, body: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, and the line on which it begins."""
    reader = csv.reader(io.StringIO(body, newline=""), strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ConfigError(
                (
                    f"{path}: row {begins}: {error}; is a quote not closed, or do semicolons separate the columns?",
                )
            ) from error
        if cells is None:
            return
        if any(c.strip() for c in cells):
            yield begins, cells
