"""Whose liquidations are looked at: a book file, the guarded positions, or everybody who owes on a market."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keeper.cli import arguments, subject

if TYPE_CHECKING:
    from keeper.risk.bookfile import NamedBook

LINES_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line names."""

    rpc: str
    provider: str | None
    market: str | None
    first: int
    accounts: Path | None
    book: Path | None


def read(config: Path, wanted: Wanted) -> NamedBook:
    """The book. Raises ConfigError, Transient; exit 2 for options that do not go together."""
    from keeper.cli.endings import drive, say, usage

    if not wanted.rpc:
        for option, value in (("--provider", wanted.provider), ("--market", wanted.market)):
            if value is not None:
                raise usage(option, "goes with --rpc")
        if wanted.accounts is not None or wanted.first:
            raise usage("--accounts", "and --from-block go with --rpc")
        return subject.named_book(config, wanted.book)
    if wanted.book is not None:
        raise usage("--book", "and --rpc are two books: give one")
    if wanted.first < 0:
        raise usage("--from-block", f"{wanted.first} is no block")
    url = arguments.http_url("--rpc", wanted.rpc)
    from keeper.cli import kernels

    kernels.prepare()
    from keeper.daemon.census import Asked, census

    asked = Asked(
        provider=None if wanted.provider is None else arguments.address("--provider", wanted.provider),
        market=None if wanted.market is None else arguments.market_id("--market", wanted.market),
        first=wanted.first,
        accounts=() if wanted.accounts is None else addresses(wanted.accounts),
    )
    found = drive(census(asked, url, say))
    from keeper.model import BookRow
    from keeper.risk.bookfile import NamedBook
    from keeper.risk.rows import conservative

    nothing = BookRow(feeds=(), a=(), b=(), a0=math.nan)
    ids = [p.id for p in found.positions] + [u.id for u in found.unreadable]
    return NamedBook(
        names=tuple(p.id.account for p in found.positions) + tuple(u.id.account for u in found.unreadable),
        rows=tuple(conservative(p) for p in found.positions) + (nothing,) * len(found.unreadable),
        prices=dict(found.snapshot.prices),
        places=tuple((id.venue, str(id.chain_id)) for id in ids),
        oracles={f: subject.oracle_of(f) for f in found.snapshot.prices},
        symbols={h.feed: h.amount.token.symbol for p in found.positions for h in (*p.collateral, *p.debt)},
        tokens=tuple(subject.collateral_tokens(p) for p in found.positions) + ((),) * len(found.unreadable),
    )


def addresses(path: Path) -> tuple[str, ...]:
    """One address a line, ``#`` begins a comment. Raises ConfigError naming every line that is none."""
    from keeper.errors import ConfigError

    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((f"--accounts {path}: cannot be read: {error}",)) from error
    found: dict[str, None] = {}
    wrong: list[str] = []
    for n, line in enumerate(lines[:LINES_MAX], 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        if not arguments.ADDRESS.fullmatch(text):
            wrong.append(f'--accounts {path}:{n}: "{subject.cut(text, 60)}" is not an address')
            continue
        found[arguments.address(f"--accounts {path}:{n}", text)] = None
    if len(lines) > LINES_MAX:
        wrong.append(f"--accounts {path}: has more than {LINES_MAX:,} lines")
    if not found and not wrong:
        wrong.append(f"--accounts {path}: names no address")
    if wrong:
        raise ConfigError(tuple(wrong[:20]))
    return tuple(found)


def owned(named: NamedBook, mine: Sequence[str]) -> tuple[str, ...]:
    """Names of the book that the user calls his, in any case of letters; a name that is not there stays as it is."""
    known = {name.lower(): name for name in named.names}
    return tuple(known.get(name.lower(), name) for name in mine)
