"""Events of the pool that the keeper looks for; those of v3 but for borrowing."""

from __future__ import annotations

from eth_utils.crypto import keccak

BORROW = "0x" + keccak(text="Borrow(address,address,address,uint256,uint256,uint256,uint16)").hex()
"""ILendingPool.Borrow; reserve, onBehalfOf and referral code are indexed."""
LIQUIDATION_CALL = (
    "0x" + keccak(text="LiquidationCall(address,address,address,uint256,uint256,address,bool)").hex()
)
"""ILendingPool.LiquidationCall; collateral, debt asset and user are indexed."""
