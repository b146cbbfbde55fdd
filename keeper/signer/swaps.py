"""What a router is told where its encoding is the project's own: Uniswap v3's SwapRouter. Pure.

Told by its functions, for a policy does not say which router is which. Whatever else a router is told stays closed to
the signer: what it did is measured by the Executor's balances and held against the oracle.
"""

from __future__ import annotations

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from keeper.executor.abi import (
    EXACT_INPUT,
    EXACT_OUTPUT,
    ROUTER_EXACT_INPUT,
    ROUTER_EXACT_OUTPUT,
    ROUTER_MULTICALL,
    Order,
)

_ADDRESS_BYTES = 20


def refuses(data: bytes, order: Order, executor: str) -> str | None:
    """Why an order's calldata for its router is not allowed, or None: who is paid, what is sold, for what."""
    if data[:4] not in (ROUTER_EXACT_INPUT, ROUTER_EXACT_OUTPUT, ROUTER_MULTICALL):
        return None
    try:
        if data[:4] != ROUTER_MULTICALL:
            return _swap(data, order, executor)
        (parts,) = decode(["bytes[]"], data[4:])
        ours = [p for p in parts if p[:4] in (ROUTER_EXACT_INPUT, ROUTER_EXACT_OUTPUT)]
        return next((why for part in ours if (why := _swap(part, order, executor))), None)
    except (DecodingError, OverflowError, ValueError) as error:
        return f"deleverage: the router's calldata does not decode ({type(error).__name__})"


def _swap(data: bytes, order: Order, executor: str) -> str | None:
    buys = data[:4] == ROUTER_EXACT_OUTPUT
    ((path, recipient, _, exactly, limit),) = decode([EXACT_OUTPUT if buys else EXACT_INPUT], data[4:])
    if recipient.lower() != executor.lower():
        return f"deleverage: the router would pay {recipient}, not the Executor"
    # what buys an exact amount names its way backwards
    ends = [path[:_ADDRESS_BYTES], path[-_ADDRESS_BYTES:]][:: -1 if buys else 1]
    sold, bought = ("0x" + end.hex() for end in ends)
    if (sold, bought) != (order.collateral.lower(), order.debt.lower()):
        return f"deleverage: the router would sell {sold} for {bought}"
    most = limit if buys else exactly
    if most > order.sell_max:
        return f"deleverage: the router would take {most}, the order sells {order.sell_max}"
    return None
