"""What a risk command looks at: a book file, or the guarded positions of a live configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from keeper.risk.bookfile import NamedBook

NAME_MAX = 20
"""Characters of a position's name in a table: a label, or a cut id."""
BookOption = Annotated[
    Path | None, typer.Option("--book", help="A JSON book instead of a live configuration (see docs).")
]


def named_book(config: Path, book: Path | None) -> NamedBook:
    """The book file's rows, or those read now from the configuration's chains. Prepares the kernel cache."""
    from keeper.cli import kernels
    from keeper.risk import bookfile

    if book is not None:
        found = bookfile.read(book)
        kernels.prepare()
        return found
    from keeper.cli.endings import drive
    from keeper.config import load

    settings = load(config)
    kernels.prepare()
    from keeper.daemon.wiring import photograph
    from keeper.model import BookRow
    from keeper.risk.rows import conservative

    views = drive(photograph(settings))
    labels = {id: label for v in views for id, label in v.labels.items()}
    positions = [p for v in views for p in v.snapshot.positions]
    lost = [u for v in views for u in v.snapshot.unreadable]
    ids = [p.id for p in positions] + [u.id for u in lost]
    nothing = BookRow(feeds=(), a=(), b=(), a0=math.nan)
    return bookfile.NamedBook(
        names=tuple(labels.get(id) or str(id) for id in ids),
        rows=tuple(conservative(p) for p in positions) + (nothing,) * len(lost),
        prices={feed: price for v in views for feed, price in v.snapshot.prices.items()},
        symbols={h.feed: h.amount.token.symbol for p in positions for h in (*p.collateral, *p.debt)},
    )


def feed_names(symbols: Mapping[str, str]) -> dict[str, str]:
    """Feed -> what a table calls it: its token's symbol, with the feed's end where two share a symbol."""
    taken = list(symbols.values())
    return {f: s if taken.count(s) == 1 else f"{s} {cut(f, 6, tail=True)}" for f, s in symbols.items()}


def cut(text: str, size: int, *, tail: bool = False) -> str:
    """At most ``size`` characters of it, its end when ``tail``; what is left out shows as one dot."""
    if len(text) <= size:
        return text
    return "…" + text[1 - size :] if tail else text[: size - 1] + "…"


def number(x: float | None) -> float | None:
    """A float that JSON can hold; NaN and infinities become null."""
    return x if x is not None and math.isfinite(x) else None


def health_cell(x: float | None) -> str:
    """Health for a table: ``-`` where nothing is to be covered, ``unknown`` where it cannot be told."""
    if x is None:
        return "-"
    return "unknown" if math.isnan(x) else f"{x:.4f}"
