"""Calldata of the orders that the keeper gives on GMX v2: as its owner's subaccount, or as the owner himself.

Read back from bytes too, because neither guard nor signer believes whoever encoded them. What is not said here is
fixed: money goes to the account alone, nobody is called back, nothing is swapped, unwrapped or taken out of the
margin, and what is paid in comes from the keeper's own wallet. Sources: SubaccountRouter and ExchangeRouter, their
multicall, sendWnt, sendTokens, createOrder and cancelOrder as in the ABI of npm @gmx-io/sdk 1.4.0.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.executor import perp_bounded

ACTION = "0x" + keccak(encode(["string"], ["SUBACCOUNT_ORDER_ACTION"])).hex()
"""What a subaccount is allowed: to order."""
INCREASE, DECREASE, STOP_LOSS = 2, 4, 6
"""GMX's OrderType: MarketIncrease, MarketDecrease, StopLossDecrease."""
_ADDRESSES = "(address,address,address,address,address,address,address[])"
_NUMBERS = "(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256)"
PARAMS = f"({_ADDRESSES},{_NUMBERS},uint8,uint8,bool,bool,bool,bytes32,bytes32[])"
MULTICALL = keccak(text="multicall(bytes[])")[:4]
SEND_WNT = keccak(text="sendWnt(address,uint256)")[:4]
SEND_TOKENS = keccak(text="sendTokens(address,address,uint256)")[:4]
CREATE = keccak(text=f"createOrder(address,{PARAMS})")[:4]
CREATE_OWN = keccak(text=f"createOrder({PARAMS})")[:4]
"""Of the ExchangeRouter: whoever calls is the account."""
CANCEL = keccak(text="cancelOrder(bytes32)")[:4]
_ZERO = "0x" + "0" * 40


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpOrderCall:
    """One order: margin that comes from the keeper, or a part of the position that is closed."""

    account: str
    """Whose position it is. An order that is ``own`` names him only as the receiver of all that it pays."""
    market: str
    collateral: str
    long: bool
    vault: str
    """Where fee and margin are sent."""
    kind: int
    size_usd: int
    """0 where margin is added."""
    units: int
    """Of the collateral, from the keeper's wallet; 0 where the position is reduced."""
    trigger_price: int
    worst_price: int
    fee_wei: int
    own: bool = False
    """By the ExchangeRouter: the account is whoever sends the transaction. Else by the SubaccountRouter."""


def calldata(order: PerpOrderCall) -> bytes:
    """``multicall`` of the router: pay the fee, send the margin, create the order."""
    account, stops = order.account, order.kind == STOP_LOSS
    addresses: tuple[object, ...] = (account, account, _ZERO, _ZERO, order.market, order.collateral, [])
    numbers = (order.size_usd, 0, order.trigger_price, order.worst_price, order.fee_wei, 0, 0, 0)
    # a stop goes when its position is closed
    params: tuple[object, ...] = (addresses, numbers, order.kind, 0, order.long, False, stops, b"\0" * 32, [])
    calls = [SEND_WNT + encode(["address", "uint256"], [order.vault, order.fee_wei])]
    if order.units:
        sent = encode(["address", "address", "uint256"], [order.collateral, order.vault, order.units])
        calls.append(SEND_TOKENS + sent)
    if order.own:
        calls.append(CREATE_OWN + encode([PARAMS], [params]))
    else:
        calls.append(CREATE + encode(["address", PARAMS], [account, params]))
    return MULTICALL + encode(["bytes[]"], [calls])


def order_from(data: bytes) -> PerpOrderCall | str:
    """Inverse of ``calldata``; why not, where the bytes are anything else, to the last one."""
    if data[:4] != MULTICALL:
        return f"selector 0x{data[:4].hex()} is not multicall"
    try:
        (calls,) = decode(["bytes[]"], data[4:])
        if len(calls) not in (2, 3) or calls[0][:4] != SEND_WNT or calls[-1][:4] not in (CREATE, CREATE_OWN):
            return "multicall: not a fee, perhaps a margin, and an order"
        vault, fee_wei = decode(["address", "uint256"], calls[0][4:])
        units = 0
        if len(calls) == 3:
            if calls[1][:4] != SEND_TOKENS:
                return "multicall: what stands between fee and order is not sendTokens"
            units = decode(["address", "address", "uint256"], calls[1][4:])[2]
        own = calls[-1][:4] == CREATE_OWN
        *named, params = decode([PARAMS] if own else ["address", PARAMS], calls[-1][4:])
        addresses, numbers, kind, _, long, *_ = params
    except (DecodingError, OverflowError, ValueError) as error:
        return f"multicall: calldata does not decode ({type(error).__name__})"
    order = PerpOrderCall(
        account=str(to_checksum_address(named[0] if named else addresses[0])),
        market=str(to_checksum_address(addresses[4])),
        collateral=str(to_checksum_address(addresses[5])),
        long=long,
        vault=str(to_checksum_address(vault)),
        kind=kind,
        size_usd=numbers[0],
        units=units,
        trigger_price=numbers[2],
        worst_price=numbers[3],
        fee_wei=fee_wei,
        own=own,
    )
    if calldata(order) != data:
        return "multicall: receiver, callback, swap, amounts or tail are not what the keeper writes"
    return order


def cancel(key: str) -> bytes:
    """``cancelOrder``."""
    return CANCEL + bytes.fromhex(key[2:]).rjust(32, b"\0")


def cancelled_from(data: bytes) -> str | None:
    """The key of the order that is cancelled; None where the bytes are anything else."""
    return "0x" + data[4:].hex() if data[:4] == CANCEL and len(data) == 36 else None


def fee_wei(data: bytes) -> int:
    """What a transaction with that calldata pays to the venue's keeper: its value; 0 of any other calldata."""
    order = order_from(data) if data[:4] == MULTICALL else ""
    return order.fee_wei if isinstance(order, PerpOrderCall) else perp_bounded.fee_wei(data)
