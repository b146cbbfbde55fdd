"""What one batch asks, in which order: the market, then the modes in use, then accounts, then balances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from keeper.model import Call, PositionId
from keeper.seams import Seen
from keeper.venues.aave_v3 import book
from keeper.venues.aave_v3.book import Listing, Market
from keeper.words import I64

HEAD = 3
"""Calls before the reserves: revision, oracle, list of reserves."""
STABLE = 256
"""Added to the bit of a debt: its part at a stable rate, which the pool's bitmap does not tell apart."""
PER_RESERVE = 5
"""Columns of the reserves' part: data, price, scaled supply, scaled debt, cash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One batch: its calls, and where the answers to them stand.

    A holding is named by its bit in the pool's user configuration: ``2 * id`` debt, ``2 * id + 1``
    collateral.
    """

    accounts: tuple[str, ...]
    seen: Seen
    ids: tuple[PositionId, ...]
    modes: tuple[int, ...]
    bits: tuple[tuple[int, ...], ...]
    """For each account the holdings asked, ascending."""
    masks: tuple[int, ...]
    """For each account the same as one bitmap."""
    modes_at: int
    accounts_at: int
    """Three columns follow: configuration, e-mode, the pool's own account data."""
    balances: tuple[int, ...]
    """Where the holdings of each account begin, and where those of the last one end."""
    calls: tuple[Call, ...]

    @property
    def balances_at(self) -> int:
        """Where the holdings of the first account begin."""
        return self.balances[0]

    def column(self, kind: int, reserves: int) -> int:
        """Where the ``kind``-th column of the reserves' part begins."""
        return HEAD + kind * reserves

    def of(self, chosen: Sequence[int]) -> I64:
        """Where the answers stand that the layout of the accounts at ``chosen`` alone would have asked."""
        n = len(self.accounts)
        balances = [i for k in chosen for i in range(self.balances[k], self.balances[k + 1])]
        columns = [self.accounts_at + part * n + k for part in range(3) for k in chosen]
        return np.array([*range(self.accounts_at), *columns, *balances], np.int64)


def layout(market: Market, accounts: Sequence[str], seen: Seen) -> Layout:
    """The batch that reads ``market`` and ``accounts``, asking only the holdings ``seen`` before.

    An account not seen before is asked for every aToken, so that collateral that is switched off (which no
    bitmap shows) is found; its debts follow from the bitmap in the second round.
    """
    every = tuple(2 * r.id + 1 for r in market.listings)
    by_id = {r.id: r for r in market.listings}
    bits = tuple(
        tuple(b for b in sorted(seen.assets[a]) if (b & 0xFF) >> 1 in by_id) if a in seen.assets else every
        for a in accounts
    )
    modes = tuple(sorted(seen.modes))
    head = (*_head(market), *_reserves(market))
    regimes = tuple(c for m in modes for c in _mode(market, m))
    words = [book.word(a) for a in accounts]
    balances = [
        _balance(by_id[(b & 0xFF) >> 1], b, w) for w, mine in zip(words, bits, strict=True) for b in mine
    ]
    accounts_at = len(head) + len(regimes)
    return Layout(
        accounts=tuple(accounts),
        seen=seen,
        ids=tuple(position_id(market, a) for a in accounts),
        modes=modes,
        bits=bits,
        masks=tuple(sum(1 << b for b in mine) for mine in bits),
        modes_at=len(head),
        accounts_at=accounts_at,
        balances=tuple(accumulate(map(len, bits), initial=accounts_at + 3 * len(accounts))),
        calls=(
            *head,
            *regimes,
            *(Call(target=market.pool, data=book.GET_USER_CONFIGURATION + w) for w in words),
            *(Call(target=market.pool, data=book.GET_USER_EMODE + w) for w in words),
            *(Call(target=market.pool, data=book.GET_USER_ACCOUNT_DATA + w) for w in words),
            *balances,
        ),
    )


def position_id(market: Market, account: str) -> PositionId:
    """An account has one position in a market."""
    return PositionId(venue="aave_v3", chain_id=market.chain_id, account=account, key=market.provider)


def calls_per_mode(market: Market) -> int:
    """How many calls describe one e-mode category."""
    return len(_mode_names(market))


def _head(market: Market) -> tuple[Call, ...]:
    """What tells that the static facts no longer hold: an upgrade, another oracle, another list."""
    return (
        Call(target=market.pool, data=book.POOL_REVISION),
        Call(target=market.provider, data=book.GET_PRICE_ORACLE),
        Call(target=market.pool, data=book.GET_RESERVES_LIST),
    )


def _reserves(market: Market) -> tuple[Call, ...]:
    """Column by column; each price by itself, so that one broken feed fails alone."""
    rows = [(r, book.word(r.token.address)) for r in market.listings]
    return (
        *(Call(target=market.pool, data=book.GET_RESERVE_DATA + w) for _, w in rows),
        *(Call(target=market.oracle, data=book.GET_ASSET_PRICE + w) for _, w in rows),
        *(Call(target=r.a_token, data=book.SCALED_TOTAL_SUPPLY) for r, _ in rows),
        *(Call(target=r.debt_token, data=book.SCALED_TOTAL_SUPPLY) for r, _ in rows),
        *(_cash(market, r, w) for r, w in rows),
        # a sixth column of the 3.0 line: only where somebody owes at a stable rate are accounts asked for it
        *(Call(target=r.stable_token, data=book.TOTAL_SUPPLY) for r, _ in rows if r.stable_token),
    )


def _cash(market: Market, listing: Listing, token: bytes) -> Call:
    """What can be withdrawn now; the 3.0 line has no virtual accounting, so the aToken's balance is it."""
    if market.line.modes_are_liquid:
        return Call(target=market.pool, data=book.GET_VIRTUAL_BALANCE + token)
    return Call(target=listing.token.address, data=book.BALANCE_OF + book.word(listing.a_token))


def _mode(market: Market, mode: int) -> tuple[Call, ...]:
    """The parameters of one e-mode category."""
    return tuple(Call(target=market.pool, data=name + book.word(mode)) for name in _mode_names(market))


def _mode_names(market: Market) -> tuple[bytes, ...]:
    """What one category is asked for; the bitmap of LTV 0 comes last, because not every release has it."""
    if not market.line.modes_are_liquid:
        return (book.GET_EMODE_DATA,)
    names = (book.GET_EMODE_CONFIG, book.GET_EMODE_BITMAP, book.GET_EMODE_LABEL)
    return (*names, book.GET_EMODE_LTVZERO) if market.line.modes_have_ltv_zero else names


def _balance(listing: Listing, bit: int, account: bytes) -> Call:
    """What tells the holding of that bit: a scaled balance, or with its interest what is owed at a stable rate."""
    if bit >= STABLE:
        return Call(target=listing.stable_token, data=book.BALANCE_OF + account)
    holder = listing.a_token if bit & 1 else listing.debt_token
    return Call(target=holder, data=book.SCALED_BALANCE_OF + account)
