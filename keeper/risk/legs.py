"""Legs of one owner seen together: what he is worth under a shock, over every venue that he stands on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from keeper.model import BookRow, Position, Shock
from keeper.model.perp import USD_DECIMALS
from keeper.risk.bookfile import NamedBook
from keeper.risk.shocks import for_feeds


def worth_usd(row: BookRow, tokens: Sequence[float], prices: dict[str, float]) -> float:
    """What is owned less what is owed, at full prices: of a loan its collateral less its debt, of a perp its equity.

    ``tokens``: the collateral behind each entry of a loan's row, empty where the row is no loan.
    """
    # a loan owes its b; what a perp's margin must cover is owed to nobody, and its a0 (-size x entry) is not 0
    loan = len(tokens) == len(row.feeds) and row.a0 == 0.0
    held, owed = (tokens, row.b) if loan else (row.a, (0.0,) * len(row.b))
    parts = (
        (h - b) * prices.get(f, math.nan) for f, h, b in zip(row.feeds, held, owed, strict=True) if h or b
    )
    return math.fsum((row.a0, -row.b0 if loan else 0.0, *parts))


def equity(position: Position) -> BookRow | None:
    """What a perpetual position is worth to its owner, as a form in prices; None of a loan and of one that is closed.

    Its row in the book measures how far liquidation is and may stand on other terms; this is margin and profit less
    what is owed, at the prices of now exactly what its venue says remains.
    """
    found = position.perp
    if found is None or not found.tokens:
        return None
    sign = 1.0 if found.long else -1.0
    index = position.collateral[1].feed if found.long else position.debt[0].feed
    usd, margin = 10.0**USD_DECIMALS, found.margin / 10.0**found.collateral.decimals
    price = found.collateral_price * 10.0**found.collateral.decimals / usd
    worth = found.index_price * 10.0**found.index.decimals / usd
    tokens = sign * found.tokens / 10.0**found.index.decimals
    rest = found.remaining_usd / usd - margin * price - tokens * worth
    feeds = (index, position.collateral[0].feed)
    return BookRow(feeds=feeds, a=(tokens, margin), b=(0.0, 0.0), a0=rest)


def worth_now_usd(position: Position) -> float:
    """What a position is worth to its owner at the venue's own prices of its block: collateral less debt, or what
    remains of a perpetual's margin."""
    if position.perp is not None:
        return position.perp.remaining_usd / 10.0**USD_DECIMALS
    held = sum(h.value_base for h in position.collateral) - sum(h.value_base for h in position.debt)
    return held / 10.0**position.base_decimals


def joint_usd(book: NamedBook, shocks: Sequence[Shock]) -> dict[str, tuple[float, ...]]:
    """Owner -> what he is worth under each shock, before any liquidation, for owners of two legs and more. NaN where
    one leg cannot be told: unknown is never worth something."""
    owned: dict[str, list[int]] = {}
    for u, owner in enumerate(book.owners):
        if owner:
            owned.setdefault(owner, []).append(u)
    symbols = {f: s for f, s in book.symbols.items() if f not in book.fixed}
    worlds = []
    for shock in shocks:
        moves = for_feeds(shock, symbols).moves
        worlds.append({f: p * (1.0 + moves.get(f, 0.0)) for f, p in book.prices.items()})

    def worth(u: int, world: dict[str, float]) -> float:
        own = book.equities[u] if book.equities else None
        if own is not None:
            return worth_usd(own, (), world)
        return worth_usd(book.rows[u], book.tokens[u] if book.tokens else (), world)

    return {
        owner: tuple(math.fsum(worth(u, world) for u in rows) for world in worlds)
        for owner, rows in owned.items()
        if len(rows) > 1
    }
