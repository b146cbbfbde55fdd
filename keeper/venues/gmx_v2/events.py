"""What GMX's EventEmitter tells of positions and orders. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.seams import LogFilter

_KINDS = ("address", "uint256", "int256", "bool", "bytes32", "bytes", "string")
_DATA = "(" + ",".join(f"((string,{k})[],(string,{k}[])[])" for k in _KINDS) + ")"
LOG1 = "0x" + keccak(text=f"EventLog1(address,string,string,bytes32,{_DATA})").hex()
LOG2 = "0x" + keccak(text=f"EventLog2(address,string,string,bytes32,bytes32,{_DATA})").hex()
LIQUIDATION = 7
"""OrderType of a liquidation, in PositionDecrease."""
ERRORS = {
    keccak(text=signature)[:4]: signature.split("(")[0]
    for signature in (
        "DisabledMarket(address)",
        "EmptyPosition()",
        "InsufficientCollateralAmount(uint256,int256)",
        "InsufficientCollateralUsd(int256)",
        "InsufficientFundsToPayForCosts(uint256,string)",
        "InvalidDecreaseOrderSize(uint256,uint256)",
        "LiquidatablePosition(string,int256,int256,int256)",
        "OrderNotFulfillableAtAcceptablePrice(uint256,uint256)",
    )
}
"""Why an order was not executed, by the selector of the venue's own error."""


class OrderState(StrEnum):
    """Life of an order on the venue."""

    PENDING = "PENDING"
    EXECUTED = "EXECUTED"
    CANCELLED = "CANCELLED"
    FROZEN = "FROZEN"
    TIMEOUT = "TIMEOUT"
    """Still there after the time in which the venue's keeper should have executed it; it may be taken back."""

    @property
    def ended(self) -> bool:
        """Nothing more comes of it."""
        return self in (OrderState.EXECUTED, OrderState.CANCELLED)


BY_EVENT = {
    "OrderCreated": OrderState.PENDING,
    "OrderExecuted": OrderState.EXECUTED,
    "OrderCancelled": OrderState.CANCELLED,
    "OrderFrozen": OrderState.FROZEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEvent:
    """One log about one order."""

    order: str
    """0x-hex of 32 bytes."""
    account: str
    state: OrderState
    why: str
    block_number: int


_WORD, _NUMBER = re.compile(r"0x[0-9a-f]{64}"), re.compile(r"0x[0-9a-fA-F]{1,64}")


def named(text: str) -> str:
    """The topic of an event's name."""
    return "0x" + keccak(text=text).hex()


_BY_TOPIC = {named(n): (n, s) for n, s in BY_EVENT.items()}


def order_events(logs: Sequence[Mapping[str, object]], emitter: str) -> tuple[OrderEvent, ...]:
    """What the logs of ``emitter`` tell of orders, in their order; anything else, malformed or not, is left out."""
    each = (_order_event(log, emitter) for log in logs if isinstance(log, Mapping))
    return tuple(event for event in each if event is not None)


def _order_event(log: Mapping[str, object], emitter: str) -> OrderEvent | None:
    topics = [str(t).lower() for t in _list(log.get("topics"))]
    if str(log.get("address")).lower() != emitter.lower() or len(topics) != 4 or topics[0] != LOG2:
        return None
    name, state = _BY_TOPIC.get(topics[1], ("", None))
    number = log.get("blockNumber") or "0x0"
    # one endpoint's malformed word must not stop the reading of a chain
    if state is None or not all(_WORD.fullmatch(t) for t in topics) or not _NUMBER.fullmatch(str(number)):
        return None
    return OrderEvent(
        order=topics[2],
        account=str(to_checksum_address("0x" + topics[3][-40:])),
        state=state,
        why=_reason(fields(str(log.get("data")), name)),
        block_number=int(str(number), 16),
    )


def fields(data: str, name: str) -> dict[str, object]:
    """Name -> value of an event's items; empty where the data is not what the emitter writes."""
    try:
        _, told, items = decode(["address", "string", _DATA], bytes.fromhex(data[2:]))
    except (DecodingError, OverflowError, ValueError):
        return {}
    return {key: value for kind in items for key, value in kind[0]} if told == name else {}


def _reason(items: Mapping[str, object]) -> str:
    reason, raw = str(items.get("reason") or ""), items.get("reasonBytes")
    if reason or not isinstance(raw, bytes) or not raw:
        return reason
    return ERRORS.get(raw[:4], f"error 0x{raw[:4].hex()}")


def of_order(emitter: str, order: str) -> LogFilter:
    """Every log about one order."""
    return LogFilter(target=emitter, topics=(LOG2, None, order))


def increases(emitter: str, account: str) -> LogFilter:
    """The logs of positions that an account opened or added to."""
    return LogFilter(target=emitter, topics=(LOG1, named("PositionIncrease"), _topic(account)))


def decreases(emitter: str, account: str) -> LogFilter:
    """The logs of positions that were closed or reduced, liquidations among them (orderType 7)."""
    return LogFilter(target=emitter, topics=(LOG1, named("PositionDecrease"), _topic(account)))


def slots(logs: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Slots of the positions that the logs tell of, as a configuration names them, newest first."""
    found: dict[str, None] = {}
    for log in reversed(logs):
        items = fields(str(log.get("data")), "PositionIncrease")
        if {"market", "collateralToken", "isLong"} <= items.keys():
            market, token = (str(to_checksum_address(str(items[k]))) for k in ("market", "collateralToken"))
            found[f"{market}:{token}:{'long' if items['isLong'] else 'short'}"] = None
    return tuple(found)


def _topic(account: str) -> str:
    return "0x" + account[2:].lower().rjust(64, "0")


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
