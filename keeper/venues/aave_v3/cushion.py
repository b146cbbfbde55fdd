"""What an Executor keeps of an aToken where the pool rounds half up, so that no sale lacks its last unit. Pure.

On the lines up to 3.2 a transfer of aTokens moves round(amount / index) scaled units, and a withdrawal gives at most
round(scaled * index): of what the Executor was given it may lack one unit, and the pool reverts the sale ("32",
NOT_ENOUGH_AVAILABLE_USER_BALANCE). That happens to (1 - 1 / index) / 2 of all amounts: at an index of 1.05 to one in
forty, whichever the daemon asks for, since pool and block decide the last digits. One scaled unit that stays there
covers it for good: what a withdrawal burns is what the transfer brought. Later lines round up what they transfer
(TokenMath.getATokenTransferScaledAmount), and need nothing.

Sources: ScaledBalanceTokenBase._transfer, SupplyLogic.executeWithdraw, ValidationLogic.validateWithdraw of v3.0.2 and
v3.2.
"""

from __future__ import annotations

from keeper.model import Call
from keeper.venues.aave_v3 import book
from keeper.venues.aave_v3.book import Market, selector, word
from keeper.venues.cushion import Cushion

UNITS = 10
"""What is given: at least one scaled unit at any index below 20."""
TRANSFER = selector("transfer(address,uint256)")


def cushions(market: Market, executor: str) -> tuple[Cushion, ...]:
    """One for each listed token; none where the pool's line needs none."""
    if not market.line.transfers_half_up:
        return ()
    return tuple(
        Cushion(
            token=listing.token,
            receipt=listing.a_token,
            units=UNITS,
            asks=Call(target=listing.a_token, data=book.SCALED_BALANCE_OF + word(executor)),
            gives=Call(target=listing.a_token, data=TRANSFER + word(executor) + word(UNITS)),
        )
        for listing in market.listings
    )
