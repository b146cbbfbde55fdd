"""What a book stands on: its money by asset, venue, oracle, chain and issuer, and what each one's failure takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from keeper.issuers import issuer_of
from keeper.risk.bookfile import NamedBook
from keeper.risk.leverage.borrowing import Leverage, held_usd
from keeper.risk.leverage.concentration import Slice
from keeper.risk.leverage.contagion import Failure, Stake, failures

ASSET, VENUE, ORACLE, CHAIN, ISSUER = "asset", "venue", "oracle", "chain", "issuer"
TOKEN = "token "
"""Tokens stand between issuers and positions; they are told by their issuer, not by themselves."""


def slices(book: NamedBook, found: Leverage) -> tuple[Slice, ...]:
    """The book by each kind. By asset: exposure to each volatile factor, netted. By the others: USD held (of a perp
    its margin); a name that nobody gives is counted as unknown, never as another one of many."""
    by: dict[str, dict[str, float]] = {k: {} for k in (VENUE, ORACLE, CHAIN, ISSUER)}
    for u, _, usd in _judged(book, found):
        venue, chain = _place(book, u)
        total = math.fsum(usd.values())
        _add(by[VENUE], venue, total)
        _add(by[CHAIN], chain, total)
        for feed, value in usd.items():
            _add(by[ORACLE], book.oracles.get(feed, ""), value)
            _add(by[ISSUER], issuer_of(book.symbols.get(feed, feed)), value)
    exposed = {s.factor: 100.0 * s.delta_usd for s in found.exposures if s.delta_usd}
    rest = tuple(
        Slice(by=kind, usd={n: v for n, v in usd.items() if n}, unknown_usd=usd.get("", 0.0))
        for kind, usd in by.items()
    )
    return (Slice(by=ASSET, usd=exposed), *rest)


def fallen(book: NamedBook, found: Leverage, more: Mapping[tuple[str, str], float]) -> tuple[Failure, ...]:
    """What the failure of each issuer, oracle, venue and chain would take of the book's equity; ``more``: links of
    the reader's own, {(what, on): share}. A price that fails is taken as all that it prices."""
    equities = {str(b.row): b.equity for b in found.borrowers if b.equity > 0.0}
    stakes: list[Stake] = []
    links: dict[tuple[str, str], float] = {}
    for u, name, usd in _judged(book, found):
        venue, chain = _place(book, u)
        if venue:
            stakes.append(Stake(position=name, on=f"{VENUE} {venue}", usd=math.fsum(usd.values())))
        if venue and chain:
            links[f"{VENUE} {venue}", f"{CHAIN} {chain}"] = 1.0
        for feed, value in usd.items():
            symbol = book.symbols.get(feed, feed)
            stakes.append(Stake(position=name, on=TOKEN + symbol, usd=value))
            if issuer := issuer_of(symbol):
                links[TOKEN + symbol, f"{ISSUER} {issuer}"] = 1.0
            if oracle := book.oracles.get(feed, ""):
                stakes.append(Stake(position=name, on=f"{ORACLE} {oracle}", usd=value))
    told = failures(equities, stakes, {**links, **more})
    return tuple(f for f in told if not f.name.startswith(TOKEN))


def names_of(failed: Sequence[Failure]) -> tuple[str, ...]:
    """What can be written in a file of links."""
    return tuple(sorted(f.name for f in failed))


def _judged(book: NamedBook, found: Leverage) -> Iterator[tuple[int, str, Mapping[str, float]]]:
    """(row, key, USD held by feed) of every position that can be judged; a perp of which nothing is told counts with
    its equity at its venue."""
    for b in found.borrowers:
        yield b.row, str(b.row), held_usd(book, b.row) or {"": max(0.0, b.equity)}


def _place(book: NamedBook, u: int) -> tuple[str, str]:
    """(venue, chain); one venue on two chains is two."""
    venue, chain = book.places[u] if book.places else ("", "")
    return (f"{venue} on {chain}" if venue and chain else venue), chain


def _add(to: dict[str, float], name: str, usd: float) -> None:
    to[name] = to.get(name, 0.0) + usd
