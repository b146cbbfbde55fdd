"""What one batch asks, in which order: the market, its assets column by column, then the accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.model import Call, PositionId
from keeper.seams import Seen
from keeper.venues.aave_v3.book import word
from keeper.venues.compound_v3 import book
from keeper.venues.compound_v3.book import Market

TOTALS, TOKEN, FEED, COUNT, CASH, PRICE = range(6)
"""The market's own answers; the eight parameters of the curves follow."""
CURVES = 6
HEAD = CURVES + len(book.CURVES)
INFO, ASSET_PRICE, ASSET_TOTAL = range(3)
"""Columns of the assets' part."""
BASIC, OWED, VERDICT = range(3)
"""Columns of the accounts' part: stored state, accrued debt and stored verdict as the market says them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One batch: its calls, and where the answers to them stand."""

    accounts: tuple[str, ...]
    seen: Seen
    ids: tuple[PositionId, ...]
    asked: tuple[tuple[int, ...], ...]
    """For each account the numbers of the assets whose balance is asked, ascending."""
    accounts_at: int
    balances_at: int
    calls: tuple[Call, ...]

    def asset(self, column: int, i: int, assets: int) -> int:
        """Where the answer about asset ``i`` in a column stands."""
        return HEAD + column * assets + i


def layout(market: Market, accounts: Sequence[str], seen: Seen) -> Layout:
    """The batch that reads ``market`` and ``accounts``; an account not seen before is asked for every asset."""
    n = len(market.assets)
    every = tuple(range(n))
    asked = tuple(
        tuple(i for i in sorted(seen.assets[a]) if i < n) if a in seen.assets else every for a in accounts
    )
    head = (*_head(market), *_assets(market))
    words = [word(a) for a in accounts]
    ours = tuple(
        Call(target=market.comet, data=name + w)
        for name in (book.USER_BASIC, book.BORROW_BALANCE_OF, book.IS_LIQUIDATABLE)
        for w in words
    )
    balances = tuple(
        Call(target=market.comet, data=book.USER_COLLATERAL + w + word(market.assets[i].token.address))
        for w, mine in zip(words, asked, strict=True)
        for i in mine
    )
    return Layout(
        accounts=tuple(accounts),
        seen=seen,
        ids=tuple(position_id(market, a) for a in accounts),
        asked=asked,
        accounts_at=len(head),
        balances_at=len(head) + len(ours),
        calls=(*head, *ours, *balances),
    )


def position_id(market: Market, account: str) -> PositionId:
    """An account has one position in a market."""
    return PositionId(venue=book.KIND, chain_id=market.chain_id, account=account, key=market.comet)


def _head(market: Market) -> tuple[Call, ...]:
    comet = market.comet
    return (
        Call(target=comet, data=book.TOTALS_BASIC),
        Call(target=comet, data=book.BASE_TOKEN),
        Call(target=comet, data=book.BASE_FEED),
        Call(target=comet, data=book.NUM_ASSETS),
        Call(target=market.base.token.address, data=book.BALANCE_OF + word(comet)),
        Call(target=comet, data=book.GET_PRICE + word(market.base.oracle)),
        *(Call(target=comet, data=parameter) for parameter in book.CURVES),
    )


def _assets(market: Market) -> tuple[Call, ...]:
    """Factors and caps with every batch: governance changes them by an upgrade, between two blocks."""
    comet, rows = market.comet, market.assets
    return (
        *(Call(target=comet, data=book.ASSET_INFO + word(i)) for i in range(len(rows))),
        *(Call(target=comet, data=book.GET_PRICE + word(r.oracle)) for r in rows),
        *(Call(target=comet, data=book.TOTALS_COLLATERAL + word(r.token.address)) for r in rows),
    )
