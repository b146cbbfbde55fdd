"""What one batch asks, in which order: the market, then positions, then authorisations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.model import Call, PositionId
from keeper.venues.aave_v3.book import ZERO_ADDRESS, word
from keeper.venues.morpho_blue import book
from keeper.venues.morpho_blue.book import Market

STORED, RATE, CASH, LOCKED, ACCRUED, AGAIN, PRICES = range(7)
"""Places in the batch: totals as stored, rate at target, loan and collateral tokens that the contract holds, the
accrual, the totals after it, then the oracle's price, those of the PreLiquidations, and the dollar price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One batch: its calls, and where the answers to them stand."""

    accounts: tuple[str, ...]
    ids: tuple[PositionId, ...]
    positions_at: int
    permits_at: int
    """A column of accounts for each PreLiquidation contract."""
    calls: tuple[Call, ...]


def layout(market: Market, accounts: Sequence[str]) -> Layout:
    """The batch that reads ``market`` and ``accounts``.

    ``market()`` leaves interest out. We add it ourselves; the contract's own accrual, run inside the same
    ``eth_call`` between two readings, is what ours is held against.
    """
    key = bytes.fromhex(market.key[2:])
    totals = Call(target=market.morpho, data=book.MARKET + key)
    # a market without interest asks its totals in place of a rate, so that the order stays one
    bears = market.irm != ZERO_ADDRESS
    rate = Call(target=market.irm, data=book.RATE_AT_TARGET + key) if bears else totals
    holds = book.BALANCE_OF + word(market.morpho)
    head = (
        totals,
        rate,
        Call(target=market.loan.address, data=holds),
        Call(target=market.collateral.address, data=holds),
        Call(target=market.morpho, data=book.ACCRUE + market.params),
        totals,
        *(Call(target=o, data=book.PRICE) for o in (market.oracle, *(p.oracle for p in market.pre))),
        *((market.dollars.call,) if market.dollars is not None else ()),
    )
    words = [word(a) for a in accounts]
    return Layout(
        accounts=tuple(accounts),
        ids=tuple(position_id(market, a) for a in accounts),
        positions_at=len(head),
        permits_at=len(head) + len(words),
        calls=(
            *head,
            *(Call(target=market.morpho, data=book.POSITION + key + w) for w in words),
            *(
                Call(target=market.morpho, data=book.IS_AUTHORIZED + w + word(p.address))
                for p in market.pre
                for w in words
            ),
        ),
    )


def position_id(market: Market, account: str) -> PositionId:
    """An account has one position in a market."""
    return PositionId(venue=book.KIND, chain_id=market.chain_id, account=account, key=market.key)
