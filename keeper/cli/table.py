"""Tables for people: rich on a terminal, plain aligned columns in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

SCHEMA = 1
"""Version of every JSON document that a command prints."""
STYLE = {
    "SAFE": "green",
    "WATCH": "yellow",
    "ACT": "bold red",
    "URGENT": "bold white on red",
    "UNKNOWN": "bold magenta",
    "CRITICAL": "bold red",
    "WARNING": "yellow",
}
Rows = Sequence[Sequence[str]]


def show(headers: Sequence[str], rows: Rows) -> None:
    """Print a table on stdout, styled only when stdout is a terminal."""
    if sys.stdout.isatty():
        _rich(headers, rows)
    else:
        print(plain(headers, rows))


def plain(headers: Sequence[str], rows: Rows) -> str:
    """Columns padded to their widest cell and parted by two spaces; lines inside a cell joined by commas."""
    grid = [[cell.replace("\n", ", ") for cell in row] for row in (headers, *rows)]
    widths = [max(len(row[i]) for row in grid) for i in range(len(headers))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in grid
    )


def document(body: Mapping[str, object]) -> str:
    """``body`` as a JSON document of the current schema; keys keep their order."""
    return json.dumps({"schema": SCHEMA, **body}, indent=2, ensure_ascii=False)


def _rich(headers: Sequence[str], rows: Rows) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = fitted(headers, rows, console.width)
    if widths is None:
        # wider than the terminal, which breaks its lines: a number cut short would read as another one
        print(plain(headers, rows))
        return
    table = Table(box=None, header_style="dim", pad_edge=False)
    for header, width in zip(headers, widths, strict=True):
        table.add_column(header, width=width)
    for row in rows:
        # Text, not markup: a token's symbol is chosen by strangers
        table.add_row(*(Text(cell, style=STYLE.get(cell, "")) for cell in row))
    console.print(table)


def fitted(headers: Sequence[str], rows: Rows, width: int) -> list[int] | None:
    """A width for each column, parted by two spaces, in which no word and no number is cut; None where ``width`` does
    not hold them. The widest columns are wrapped first, between words.
    """
    from rich.cells import cell_len

    columns = [[row[i] for row in (headers, *rows)] for i in range(len(headers))]
    widths = [max(cell_len(line) for cell in column for line in cell.split("\n")) for column in columns]
    least = [max(cell_len(word) for cell in column for word in (cell.split() or [""])) for column in columns]
    room = width - 2 * (len(headers) - 1)
    while sum(widths) > room:
        wide = [i for i, w in enumerate(widths) if w > least[i]]
        if not wide:
            return None
        widths[max(wide, key=lambda i: widths[i])] -= 1
    return widths
