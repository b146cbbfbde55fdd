"""Events of the pool that the keeper looks for."""

from __future__ import annotations

from eth_utils.crypto import keccak

from keeper.seams import LogFilter
from keeper.venues.aave_v3.book import Market

LIQUIDATION_CALL = (
    "0x" + keccak(text="LiquidationCall(address,address,address,uint256,uint256,address,bool)").hex()
)
"""IPool.LiquidationCall; collateral, debt asset and user are indexed."""

BORROW = "0x" + keccak(text="Borrow(address,address,address,uint256,uint8,uint256,uint16)").hex()
"""IPool.Borrow; reserve, onBehalfOf and referral code are indexed (the caller is not)."""


def liquidations(market: Market, account: str) -> LogFilter:
    """Liquidations of ``account`` in this market."""
    user = "0x" + account[2:].lower().rjust(64, "0")
    return LogFilter(target=market.pool, topics=(LIQUIDATION_CALL, None, None, user))
