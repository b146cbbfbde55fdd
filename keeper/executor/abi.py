"""Signatures of the Executor and what it swaps through, and calldata both ways."""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.model import Amount, Call, Deleverage, Repay, Side, Source, Supply
from keeper.units import BPS, UINT256_MAX, mul_div_down

ZERO = "0x" + "00" * 20
ALL = UINT256_MAX
"""As ``repay`` of an order: whatever is owed."""
UINT112_MAX = 2**112 - 1

ORDER = (
    "(bytes32,uint64,uint64,address,address,uint256,uint256,uint8,address,uint24,"
    "address,uint24,uint256[],bytes[])"
)
TERMS = "(uint64,uint64,uint64,uint64,uint64,uint24,uint24,uint40,uint16,uint8,uint40,uint40)"
PAY_IN = ("bytes32", "uint64", "address", "uint256", "uint64")
EXACT_OUTPUT = "(bytes,address,uint256,uint256,uint256)"
EXACT_INPUT = "(bytes,address,uint256,uint256,uint256)"
STEP_KEEP_BPS = 9_950
"""What one step of a stepwise sale must bring, of the average that the whole is planned with."""
DATA_BYTES_MAX = 4_096
"""More calldata than any router needs for one swap."""


def selector(signature: str) -> bytes:
    """The four bytes that name a function, e.g. ``paused()``."""
    return keccak(text=signature)[:4]


DELEVERAGE = selector(f"deleverage({ORDER})")
ADD_COLLATERAL = selector(f"addCollateral({','.join(PAY_IN)})")
REPAY_FROM_RESERVE = selector(f"repayFromReserve({','.join(PAY_IN)})")
ROUTER_EXACT_OUTPUT = selector(f"exactOutput({EXACT_OUTPUT})")
ROUTER_EXACT_INPUT = selector(f"exactInput({EXACT_INPUT})")
ROUTER_MULTICALL = selector("multicall(bytes[])")
"""Uniswap v3 SwapRouter (the one with a deadline in its parameters)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The struct ``Order`` in its own order: what one ``deleverage`` asks."""

    position: bytes
    seq: int
    deadline_s: int
    collateral: str
    debt: str
    repay: int
    sell_max: int
    source: int
    source_token: str
    source_fee: int
    router: str
    swap_fee: int
    sells: tuple[int, ...]
    data: tuple[bytes, ...]


def order_of(step: Deleverage) -> Order:
    """What the Executor is asked for a step."""
    stepwise = step.source is Source.STEPWISE
    repay = 0 if stepwise else ALL if step.whole else step.repay.units
    return Order(
        position=bytes.fromhex(step.key[2:]),
        seq=step.seq,
        deadline_s=step.deadline_s,
        collateral=step.sell_max.token.address,
        debt=step.repay.token.address,
        repay=repay,
        sell_max=step.sell_max.units,
        source=int(step.source),
        source_token=step.source_token or ZERO,
        source_fee=step.source_fee,
        router=step.router or ZERO,
        swap_fee=0 if step.router else step.fees[0],
        sells=step.sells,
        data=_router_data(step),
    )


def deleverage(step: Deleverage) -> Call:
    """The transaction of a step."""
    order = order_of(step)
    body = tuple(getattr(order, name) for name in Order.__slots__)
    return Call(target=step.executor, data=DELEVERAGE + encode([ORDER], [body]))


@dataclass(frozen=True, slots=True, kw_only=True)
class PayIn:
    """Supplying or repaying from the Executor's reserve, then from the owner's wallet."""

    executor: str
    key: str
    side: Side
    """COLLATERAL is supplied, DEBT repaid."""
    seq: int
    amount: Amount
    deadline_s: int


def pay_in(wanted: PayIn) -> Call:
    """``addCollateral`` or ``repayFromReserve``."""
    name = ADD_COLLATERAL if wanted.side is Side.COLLATERAL else REPAY_FROM_RESERVE
    amount = wanted.amount
    body = (bytes.fromhex(wanted.key[2:]), wanted.seq, amount.token.address, amount.units, wanted.deadline_s)
    return Call(target=wanted.executor, data=name + encode(PAY_IN, body))


def pay_in_of(step: Supply | Repay) -> PayIn | None:
    """What the Executor is asked for a step that it pays; None where the keeper's wallet pays."""
    errand = step.through
    if errand is None:
        return None
    return PayIn(
        executor=errand.executor,
        key=errand.key,
        side=Side.DEBT if isinstance(step, Repay) else Side.COLLATERAL,
        seq=errand.seq,
        amount=step.amount,
        deadline_s=errand.deadline_s,
    )


def pay_in_from(data: bytes) -> tuple[str, int, str, int, int] | str:
    """(position, seq, token, units, deadline) of a pay-in's calldata, canonical, or what is wrong with it."""
    if data[:4] not in (ADD_COLLATERAL, REPAY_FROM_RESERVE):
        return f"selector 0x{data[:4].hex()} pays nothing in"
    try:
        position, seq, token, units, deadline_s = decode(PAY_IN, data[4:])
        again = encode(PAY_IN, (position, seq, token, units, deadline_s))
    except (DecodingError, OverflowError, ValueError) as error:
        return f"pay-in: calldata does not decode ({type(error).__name__})"
    if again != data[4:]:
        return "pay-in: calldata is not canonical"
    return "0x" + position.hex(), seq, str(token).lower(), units, deadline_s


def order_from(data: bytes) -> Order | str:
    """The order in a ``deleverage``'s calldata, canonical to the last byte, or what is wrong with it."""
    if data[:4] != DELEVERAGE:
        return f"selector 0x{data[:4].hex()} is not deleverage"
    try:
        (body,) = decode([ORDER], data[4:])
        again = encode([ORDER], [body])
    except (DecodingError, OverflowError, ValueError) as error:
        return f"deleverage: calldata does not decode ({type(error).__name__})"
    if again != data[4:]:
        return "deleverage: calldata is not canonical"
    fields = dict(zip(Order.__slots__, body, strict=True))
    for name in ("collateral", "debt", "source_token", "router"):
        fields[name] = to_checksum_address(fields[name])
    return Order(**fields)


def path(tokens: tuple[str, ...], fees: tuple[int, ...]) -> bytes:
    """Uniswap v3's packed path: token, fee (3 bytes), token, ..."""
    packed = bytes.fromhex(tokens[0][2:])
    for fee, token in zip(fees, tokens[1:], strict=True):
        packed += fee.to_bytes(3) + bytes.fromhex(token[2:])
    return packed


def _router_data(step: Deleverage) -> tuple[bytes, ...]:
    """What the router is told: what comes back goes to the Executor, and never less than it asks for."""
    if not step.router:
        return ()
    if step.calldata:
        return (step.calldata,)
    way = (step.sell_max.token.address, *step.via, step.repay.token.address)
    if step.source is Source.STEPWISE:
        return tuple(ROUTER_EXACT_INPUT + _exact_input(step, way, units) for units in step.sells)
    bought = step.repay.units + step.fee_units
    if step.shares:
        return (ROUTER_MULTICALL + encode(["bytes[]"], [_parts(step)]),)
    if step.sell_all:  # what it must bring besides, the Executor asks by the oracle's price
        return (_all_of(step, step.via, step.fees, (step.sell_max.units, bought)),)
    return (_exact_output(step, step.via, step.fees, bought),)


def _parts(step: Deleverage) -> list[bytes]:
    """One call of the router for each way that a sale is split over."""
    if not step.sell_all:
        return [_exact_output(step, s.via, s.fees, s.bought) for s in step.shares]
    total = sum(s.bought for s in step.shares)
    sells = [step.sell_max.units * s.bought // total for s in step.shares]
    sells[-1] += step.sell_max.units - sum(sells)
    leasts = [s.bought * STEP_KEEP_BPS // BPS for s in step.shares]
    ways = zip(step.shares, sells, leasts, strict=True)
    return [_all_of(step, s.via, s.fees, (sold, least)) for s, sold, least in ways]


def _all_of(step: Deleverage, via: tuple[str, ...], fees: tuple[int, ...], units: tuple[int, int]) -> bytes:
    """Sells so much, and takes at least so much for it."""
    way = (step.sell_max.token.address, *via, step.repay.token.address)
    body = (path(way, fees), step.executor, step.deadline_s, *units)
    return ROUTER_EXACT_INPUT + encode([EXACT_INPUT], [body])


def _exact_output(step: Deleverage, via: tuple[str, ...], fees: tuple[int, ...], bought: int) -> bytes:
    """Of several, each may take up to all that may be sold: what they take together the allowance bounds."""
    way = (step.sell_max.token.address, *via, step.repay.token.address)
    body = (path(way[::-1], fees[::-1]), step.executor, step.deadline_s, bought, step.sell_max.units)
    return ROUTER_EXACT_OUTPUT + encode([EXACT_OUTPUT], [body])


def _exact_input(step: Deleverage, way: tuple[str, ...], units: int) -> bytes:
    # a later step sells at a worse price than the average; the Executor holds each to the oracle's besides
    least = mul_div_down(step.repay.units * STEP_KEEP_BPS, units, step.sell_max.units * BPS)
    return encode([EXACT_INPUT], [(path(way, step.fees), step.executor, step.deadline_s, units, least)])
