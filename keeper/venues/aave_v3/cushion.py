"""What an Executor keeps of an aToken where the pool rounds half up, so that no sale lacks its last unit. Pure.

On the 3.0 line a transfer of aTokens moves round(amount / index) scaled units, and a withdrawal gives at most
round(scaled * index): of what the Executor was given it may lack one unit, and the pool reverts the sale ("32",
NOT_ENOUGH_AVAILABLE_USER_BALANCE). That happens to (1 - 1 / index) / 2 of all amounts: at an index of 1.05 to one in
forty, whichever the daemon asks for, since pool and block decide the last digits. One scaled unit that stays there
covers it for good: what a withdrawal burns is what the transfer brought. Later lines round up what they transfer
(TokenMath.getATokenTransferScaledAmount), and need nothing.

Sources: ScaledBalanceTokenBase._transfer, SupplyLogic.executeWithdraw, ValidationLogic.validateWithdraw of v3.0.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.model import Call, Token
from keeper.venues.aave_v3 import book
from keeper.venues.aave_v3.book import Market, selector, word
from keeper.venues.aave_v3.math import LINE_3_0

UNITS = 10
"""What is given: at least one scaled unit at any index below 20."""
TRANSFER = selector("transfer(address,uint256)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cushion:
    """That of one aToken at one Executor."""

    token: Token
    a_token: str
    asks: Call
    """Its first word is what the Executor keeps, scaled: nothing is too little."""
    gives: Call
    """What anybody who holds the aToken sends, once."""


def cushions(market: Market, executor: str) -> tuple[Cushion, ...]:
    """One for each listed token; none where the pool's line needs none."""
    if market.line is not LINE_3_0:
        return ()
    return tuple(
        Cushion(
            token=listing.token,
            a_token=listing.a_token,
            asks=Call(target=listing.a_token, data=book.SCALED_BALANCE_OF + word(executor)),
            gives=Call(target=listing.a_token, data=TRANSFER + word(executor) + word(UNITS)),
        )
        for listing in market.listings
    )
