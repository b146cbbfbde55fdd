"""An aggregator's offer for one sale: what was asked, what came, and why it is not taken. Pure.

The Executor's contract has the room: any listed router may be called with any bytes, of which it measures the effect
(Executor.sol, _swapOnRouter). The router must be the contract that pulls the tokens too, because the allowance goes
to the one that is called. What an offer is worth is decided on chain, by the oracle's price less the owner's slippage
and by what the loan needs back; here it is refused earlier, by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from keeper.executor.abi import DATA_BYTES_MAX
from keeper.model import Refusal, Route, Token

WHO = "aggregator"
SELECTOR_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One sale, as it is put to an aggregator."""

    executor: str
    """Who pays and is paid."""
    sell: Token
    buy: Token
    sell_units: int
    least: int
    """Units bought below which the Executor would refuse: the oracle's price less the owner's slippage, up."""
    slippage_bps: int
    routers: tuple[str, ...]
    """Those that the owner allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bid:
    """What an aggregator answered, as it says itself."""

    name: str
    sell: str
    buy: str
    sell_units: int
    bought_min: int
    router: str
    """Where the call goes."""
    spender: str
    """Who is to be allowed the tokens."""
    data: bytes
    value_wei: int = 0


def refused(ask: Ask, bid: Bid) -> Refusal | None:
    """Why the offer is not taken; None where it may be tried."""
    tokens = (bid.sell.lower(), bid.buy.lower())
    if tokens != (ask.sell.address.lower(), ask.buy.address.lower()):
        return no("other_token", f"it answered for {bid.sell} into {bid.buy}")
    if bid.sell_units != ask.sell_units:
        return no("other_amount", f"it sells {bid.sell_units} units, {ask.sell_units} were asked for")
    if bid.router.lower() not in {r.lower() for r in ask.routers}:
        return no("router_not_allowed", f"its router {bid.router} is not on the owner's list")
    if bid.spender.lower() != bid.router.lower():
        return no("other_spender", f"{bid.spender} would pull the tokens, {bid.router} is called")
    if bid.value_wei:
        return no("native_value", f"it wants {bid.value_wei} wei with the call")
    if not SELECTOR_BYTES <= len(bid.data) <= DATA_BYTES_MAX:
        return no("calldata", f"{len(bid.data)} bytes of calldata; a swap has 4 to {DATA_BYTES_MAX}")
    if bid.bought_min < ask.least:
        return no("slippage", f"it pays {bid.bought_min}, the owner's slippage asks {ask.least}")
    return None


def route_of(ask: Ask, bid: Bid, pools: Sequence[str] = ()) -> Route:
    """The offer as a way of one size: whatever is bought of it, all of it is sold."""
    return Route(
        executor=ask.executor,
        sell=ask.sell,
        buy=ask.buy,
        fees=(),
        via=(),
        pools=tuple(pools),
        # the guard holds the order to the step letter by letter, and aggregators write in lower case
        router=to_checksum_address(bid.router),
        points=((bid.bought_min, bid.sell_units),),
        calldata=bid.data,
    )


def no(code: str, why: str) -> Refusal:
    """The aggregator's offer, or its silence, as a refusal."""
    return Refusal(who=WHO, code=code, why=why)
