"""Borrowers of the test market, one by one or thousands at once."""

from __future__ import annotations

UINT256_MAX = 2**256 - 1
VARIABLE_RATE = 2
_BORROW = "borrow(address,uint256,uint256,uint16,address)"
_ACCOUNT = "getUserAccountData(address)(uint256,uint256,uint256,uint256,uint256,uint256)"
_USER_RESERVE = (
    "getUserReserveData(address,address)(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint40,bool)"
)
