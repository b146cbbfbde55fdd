"""How each aggregator is asked and how it answers: query, headers, and the fields of its reply.

Sources: the public interfaces of 0x (swap v2, AllowanceHolder) and 1inch (swap v6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keeper.executor.bids import Ask, Bid
from keeper.units import BPS

PERCENT_BPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One aggregator's interface. ``parse`` raises KeyError, TypeError or ValueError for what it cannot read."""

    name: str
    query: Callable[[Ask], tuple[str, dict[str, str]]]
    """Path below the base URL, and parameters."""
    headers: Callable[[str], dict[str, str]]
    """By the key."""
    parse: Callable[[Ask, Mapping[str, Any]], Bid]


def _zero_ex_query(ask: Ask) -> tuple[str, dict[str, str]]:
    return "/swap/allowance-holder/quote", {
        "chainId": str(ask.sell.chain_id),
        "sellToken": ask.sell.address,
        "buyToken": ask.buy.address,
        "sellAmount": str(ask.sell_units),
        "taker": ask.executor,
        "slippageBps": str(ask.slippage_bps),
    }


def _zero_ex_bid(ask: Ask, body: Mapping[str, Any]) -> Bid:
    if not body["liquidityAvailable"]:
        raise ValueError("no liquidity")
    call = body["transaction"]
    return Bid(
        name="0x",
        sell=str(body["sellToken"]),
        buy=str(body["buyToken"]),
        sell_units=_units(body["sellAmount"]),
        bought_min=_units(body["minBuyAmount"]),
        router=str(call["to"]),
        spender=str(body.get("allowanceTarget") or call["to"]),
        data=_bytes(call["data"]),
        value_wei=_units(call.get("value", "0")),
    )


def _one_inch_query(ask: Ask) -> tuple[str, dict[str, str]]:
    return f"/swap/v6.0/{ask.sell.chain_id}/swap", {
        "src": ask.sell.address,
        "dst": ask.buy.address,
        "amount": str(ask.sell_units),
        "from": ask.executor,
        "origin": ask.executor,
        "slippage": f"{ask.slippage_bps / PERCENT_BPS:g}",
        "disableEstimate": "true",
        "includeTokensInfo": "true",
    }


def _one_inch_bid(ask: Ask, body: Mapping[str, Any]) -> Bid:
    call = body["tx"]
    return Bid(
        name="1inch",
        sell=str(body["srcToken"]["address"]),
        buy=str(body["dstToken"]["address"]),
        sell_units=ask.sell_units,  # it does not repeat what it sells; the Executor measures it
        bought_min=_units(body["dstAmount"]) * (BPS - ask.slippage_bps) // BPS,
        router=str(call["to"]),
        spender=str(call["to"]),
        data=_bytes(call["data"]),
        value_wei=_units(call.get("value", "0")),
    )


def _units(value: object) -> int:
    """A positive decimal integer as text, or an int; what is none raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("no amount")
    found = int(value)
    if not 0 <= found < 2**256 or len(str(value)) > 78:
        raise ValueError("no amount")
    return found


def _bytes(value: object) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError("no calldata")
    return bytes.fromhex(value[2:])


DIALECTS: Mapping[str, Dialect] = {
    "0x": Dialect(
        name="0x",
        query=_zero_ex_query,
        headers=lambda key: {"0x-version": "v2", **({"0x-api-key": key} if key else {})},
        parse=_zero_ex_bid,
    ),
    "1inch": Dialect(
        name="1inch",
        query=_one_inch_query,
        headers=lambda key: {"Authorization": f"Bearer {key}"} if key else {},
        parse=_one_inch_bid,
    ),
}
