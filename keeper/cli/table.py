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

    table = Table(*headers, box=None, header_style="dim", pad_edge=False)
    for row in rows:
        # Text, not markup: a token's symbol is chosen by strangers
        table.add_row(*(Text(cell, style=STYLE.get(cell, "")) for cell in row))
    Console().print(table)
