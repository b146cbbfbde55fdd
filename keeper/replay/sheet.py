"""A table from a file, CSV or parquet: its columns by name, each row with the number by which a person finds it."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keeper.errors import ConfigError

EXTRA = "pip install 'keeper[analysis]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """``line`` is where the row begins in its file, blank lines and cells of several lines counted; a cell that is
    not there is empty; ``beyond`` stands after the last column."""

    line: int
    cells: Mapping[str, str]
    beyond: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """``columns`` of the row ``line``, and the rows under it. Iterating ``rows`` raises ConfigError on a broken
    quote."""

    line: int
    columns: tuple[str, ...]
    rows: Iterator[Row]


def text(path: Path, needed: str) -> Sheet:
    """A ``.csv`` or ``.csv.gz`` file; ``needed`` is said of one without columns. ConfigError naming file and row."""
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
    if not columns:
        raise ConfigError((f"{path}: is empty; {needed}",))
    if len(columns) == 1 and (mark := next((m for m in ";\t|" if m in columns[0]), "")):
        raise ConfigError(
            (f"{path}: row {line}: {mark!r} separates its columns; commas are needed; {needed}",)
        )
    if twice := [c for c, n in Counter(columns).items() if n > 1]:
        raise ConfigError((f"{path}: row {line}: the column {twice[0]!r} is there twice; which is meant?",))
    return Sheet(line=line, columns=columns, rows=(_row(n, columns, cells) for n, cells in lines))


def parquet(path: Path) -> Any:
    """A ``.parquet`` file as a pyarrow table. ConfigError."""
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
        reader: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError(
            (f"{path}: reading parquet needs pyarrow, which the extra installs: {EXTRA}",)
        ) from error
    try:
        table = reader.read_table(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        why = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise ConfigError((f"{path}: cannot be read: {why}",)) from error
    if twice := [c for c, n in Counter(table.column_names).items() if n > 1]:
        raise ConfigError((f"{path}: the column {twice[0]!r} is there twice; which is meant?",))
    return table


def _row(line: int, columns: Sequence[str], cells: Sequence[str]) -> Row:
    padded = [*cells, *[""] * (len(columns) - len(cells))]
    return Row(
        line=line,
        cells=dict(zip(columns, padded[: len(columns)], strict=True)),
        beyond=tuple(cells[len(columns) :]),
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
        if len(cells) > 1 or any(c.strip() for c in cells):
            yield begins, cells
