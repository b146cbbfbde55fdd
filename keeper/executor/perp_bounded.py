"""Calls of GmxV2Executor, the owner's subaccount on GMX in the keeper's stead; and what it says of itself.

Read back from bytes too, because neither guard nor signer believes whoever encoded them. A call names the position
by GMX's own key, which binds account, market, collateral and side; the rest of an order stands in the contract.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.model import OrderBounds
from keeper.words import Words

NAME = "GmxV2Executor"
ADD_KINDS = ("bytes32", "uint64", "uint256", "uint256", "uint64")
REDUCE_KINDS = ("bytes32", "uint64", "uint256", "uint256", "uint256", "uint64")
ADD = keccak(text=f"addMargin({','.join(ADD_KINDS)})")[:4]
REDUCE = keccak(text=f"reduce({','.join(REDUCE_KINDS)})")[:4]
TAKE_BACK = keccak(text="takeBack(bytes32,bytes32)")[:4]
VENUE = keccak(text="venue()")[:4]
OWNER = keccak(text="owner()")[:4]
STATE_OF = keccak(text="stateOf(bytes32)")[:4]
PRICE_OF = keccak(text="priceOf(bytes32)")[:4]
STATE_WORDS = 25
DEADLINE_S = 300
"""An order is good for so long after the block that it was made from."""
_BOTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundedOrder:
    """One call that orders."""

    position: str
    """GMX's key of it, 0x-hex."""
    seq: int
    adds: bool
    amount: int
    """Units of the collateral that become margin, or dollars (30 decimals) of size that are closed."""
    worst_price: int
    """0 where margin is added: nothing is filled."""
    fee_wei: int
    deadline_s: int


def calldata(order: BoundedOrder) -> bytes:
    """``addMargin`` or ``reduce``; worth ``fee_wei``."""
    position = bytes.fromhex(order.position[2:])
    if order.adds:
        return ADD + encode(ADD_KINDS, [position, order.seq, order.amount, order.fee_wei, order.deadline_s])
    values = [position, order.seq, order.amount, order.worst_price, order.fee_wei, order.deadline_s]
    return REDUCE + encode(REDUCE_KINDS, values)


def order_from(data: bytes) -> BoundedOrder | str:
    """Inverse of ``calldata``; why not, where the bytes are anything else, to the last one."""
    kinds = {ADD: ADD_KINDS, REDUCE: REDUCE_KINDS}.get(data[:4])
    if kinds is None:
        return f"selector 0x{data[:4].hex()} is neither addMargin nor reduce"
    try:
        position, seq, amount, *price, fee_wei, deadline_s = decode(kinds, data[4:])
    except (DecodingError, OverflowError, ValueError) as error:
        return f"calldata does not decode ({type(error).__name__})"
    order = BoundedOrder(
        position="0x" + position.hex(),
        seq=seq,
        adds=not price,
        amount=amount,
        worst_price=price[0] if price else 0,
        fee_wei=fee_wei,
        deadline_s=deadline_s,
    )
    return order if calldata(order) == data else "calldata is not canonical"


def take_back(position: str, order: str) -> bytes:
    """``takeBack``."""
    return TAKE_BACK + bytes.fromhex(position[2:]) + bytes.fromhex(order[2:]).rjust(32, b"\0")


def taken_from(data: bytes) -> tuple[str, str] | None:
    """(position, order) that is taken back; None where the bytes are anything else."""
    if data[:4] != TAKE_BACK or len(data) != 68:
        return None
    return "0x" + data[4:36].hex(), "0x" + data[36:].hex()


def fee_wei(data: bytes) -> int:
    """The value of a transaction with that calldata; 0 of any other."""
    order = order_from(data) if data[:4] in (ADD, REDUCE) else ""
    return order.fee_wei if isinstance(order, BoundedOrder) else 0


def bounds_from(executor: str, words: Words, at: int, timestamp_s: int) -> OrderBounds | None:
    """What ``stateOf`` (call ``at``) and ``priceOf`` (the next) say; None where the first said nothing."""
    if not words.ok[at] or words.count[at] < STATE_WORDS:
        return None
    n = [words.uint(at, i) for i in range(STATE_WORDS)]
    priced = words.ok[at + 1] and words.count[at + 1] >= 2
    bots = tuple((_address(n[19 + i]), n[22 + i]) for i in range(_BOTS) if n[19 + i])
    return OrderBounds(
        executor=executor,
        timestamp_s=timestamp_s,
        expiry_s=n[0],
        slippage_bps=n[4],
        may_close=bool(n[5]),
        trigger_ppm=n[6],
        max_ppm=n[7],
        size_min_usd=n[9],
        margin_min=n[11],
        fee_wei_max=n[12],
        paused=bool(n[13]),
        seq=n[14],
        ready_s=n[15],
        size_left_usd=n[16],
        margin_left=n[17],
        order="0x" + n[18].to_bytes(32).hex() if n[18] else "",
        bots=bots,
        price=words.uint(at + 1, 0) if priced else None,
        equity_ppm=words.uint(at + 1, 1) if priced else None,
    )


def _address(word: int) -> str:
    return str(to_checksum_address(word.to_bytes(20)))


def position_key(account: str, market: str, collateral: str, long: bool) -> str:
    """GMX's key of a position, 0x-hex."""
    kinds = ["address", "address", "address", "bool"]
    return "0x" + keccak(encode(kinds, [account, market, collateral, long])).hex()
