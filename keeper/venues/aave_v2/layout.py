"""What one batch asks, in which order: the market, its reserves column by column, then accounts, then balances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from keeper.model import Call, PositionId
from keeper.seams import Seen
from keeper.venues.aave_v2 import book
from keeper.venues.aave_v2.book import Market
from keeper.venues.aave_v3.book import Listing, word
from keeper.venues.aave_v3.layout import STABLE
from keeper.words import I64

HEAD = 5
"""Calls before the reserves: revision, oracle, list of reserves, whether the pool is paused, the dollar."""
DATA, PRICE, CASH, FIXED = range(4)
"""Columns of the reserves' part: data, price, what can be withdrawn, all debt at a stable rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One batch: its calls, and where the answers to them stand.

    A holding is named by its bit in the pool's user configuration: ``2 * id`` debt, ``2 * id + 1`` collateral.
    """

    accounts: tuple[str, ...]
    seen: Seen
    ids: tuple[PositionId, ...]
    bits: tuple[tuple[int, ...], ...]
    """For each account the holdings asked, ascending."""
    masks: tuple[int, ...]
    """For each account the same as one bitmap."""
    accounts_at: int
    """Two columns follow: configuration, the pool's own account data."""
    balances_at: int
    calls: tuple[Call, ...]

    @property
    def told_at(self) -> int:
        """Where the pool's own account data begin."""
        return self.accounts_at + len(self.accounts)

    def of(self, chosen: Sequence[int]) -> I64:
        """Where the answers stand that the layout of the accounts at ``chosen`` alone would have asked."""
        first = list(accumulate((len(b) for b in self.bits), initial=self.balances_at))
        balances = [i for k in chosen for i in range(first[k], first[k] + len(self.bits[k]))]
        columns = [start + k for start in (self.accounts_at, self.told_at) for k in chosen]
        return np.array([*range(self.accounts_at), *columns, *balances], np.int64)


def layout(market: Market, accounts: Sequence[str], seen: Seen) -> Layout:
    """The batch that reads ``market`` and ``accounts``, asking only the holdings ``seen`` before.

    An account not seen before is asked for every aToken, so that collateral that is switched off is found; its debts
    follow from the bitmap in the second round.
    """
    every = tuple(2 * r.id + 1 for r in market.listings)
    by_id = {r.id: r for r in market.listings}
    bits = tuple(
        tuple(b for b in sorted(seen.assets[a]) if (b & 0xFF) >> 1 in by_id) if a in seen.assets else every
        for a in accounts
    )
    words = [word(a) for a in accounts]
    head = (*_head(market), *_reserves(market))
    return Layout(
        accounts=tuple(accounts),
        seen=seen,
        ids=tuple(position_id(market, a) for a in accounts),
        bits=bits,
        masks=tuple(sum(1 << b for b in mine) for mine in bits),
        accounts_at=len(head),
        balances_at=len(head) + 2 * len(accounts),
        calls=(
            *head,
            *(Call(target=market.pool, data=book.GET_USER_CONFIGURATION + w) for w in words),
            *(Call(target=market.pool, data=book.GET_USER_ACCOUNT_DATA + w) for w in words),
            *(
                _balance(by_id[(b & 0xFF) >> 1], b, w)
                for w, mine in zip(words, bits, strict=True)
                for b in mine
            ),
        ),
    )


def position_id(market: Market, account: str) -> PositionId:
    """An account has one position in a market."""
    return PositionId(venue=book.KIND, chain_id=market.chain_id, account=account, key=market.provider)


def _head(market: Market) -> tuple[Call, ...]:
    """What tells that the static facts no longer hold, then what holds for every reserve."""
    return (
        Call(target=market.pool, data=book.REVISION),
        Call(target=market.provider, data=book.GET_PRICE_ORACLE),
        Call(target=market.pool, data=book.GET_RESERVES_LIST),
        Call(target=market.pool, data=book.PAUSED),
        # where the oracle counts in dollars its price of the dollar is not asked: the answer stands unread
        Call(target=market.oracle, data=book.GET_ASSET_PRICE + word(market.dollar))
        if market.dollar
        else Call(target=market.provider, data=book.GET_PRICE_ORACLE),
    )


def _reserves(market: Market) -> tuple[Call, ...]:
    """Column by column; each price by itself, so that one broken feed fails alone."""
    rows = [(r, word(r.token.address)) for r in market.listings]
    return (
        *(Call(target=market.pool, data=book.GET_RESERVE_DATA + w) for _, w in rows),
        *(Call(target=market.oracle, data=book.GET_ASSET_PRICE + w) for _, w in rows),
        *(Call(target=r.token.address, data=book.BALANCE_OF + word(r.a_token)) for r, _ in rows),
        *(Call(target=r.stable_token, data=book.TOTAL_SUPPLY) for r, _ in rows),
    )


def _balance(listing: Listing, bit: int, account: bytes) -> Call:
    """A scaled balance, or with its interest what is owed at a stable rate."""
    if bit >= STABLE:
        return Call(target=listing.stable_token, data=book.BALANCE_OF + account)
    holder = listing.a_token if bit & 1 else listing.debt_token
    return Call(target=holder, data=book.SCALED_BALANCE_OF + account)
