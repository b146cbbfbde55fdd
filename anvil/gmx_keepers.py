"""The part of GMX's own keepers over the doubles: they execute orders, and liquidate what the engine lets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anvil.abi import encode_call
from anvil.client import Chain
from anvil.deploy_gmx_v2 import PRICES, Gmx, open_position, orders_of, quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A guarded position and its twin, alike to the last unit."""

    label: str
    long: bool
    guarded: str
    twin: str
    keys: tuple[bytes, bytes]


def pair(
    chain: Chain, at: Gmx, accounts: Sequence[str], long: bool, dollars: tuple[int, int], label: str = ""
) -> Pair:
    """Both opened at the feed's price, (size, margin) in dollars."""
    keys = [open_position(chain, at, a, long, *dollars) for a in accounts]
    name = label or ("long" if long else "short")
    return Pair(label=name, long=long, guarded=accounts[0], twin=accounts[1], keys=(keys[0], keys[1]))


def moved(chain: Chain, at: Gmx, eth_usd: float) -> None:
    """The feed will say so in the next block."""
    chain.submit(chain.accounts[0], at.wnt_feed, encode_call("set(int256)", int(eth_usd * 10**8)))


def executed(chain: Chain, at: Gmx, accounts: Sequence[str], prices: object = None) -> int:
    """The fake keeper hands in the execution of every order that waits, for the next block; how many."""
    keys = [k for a in accounts for k in orders_of(chain, at, a)]
    for key in keys:
        data = encode_call(f"executeOrder(bytes32,{PRICES})", key, prices or quoted(chain, at))
        chain.submit(chain.accounts[1], at.handler, data)
    return len(keys)


def taken(chain: Chain, at: Gmx, who: Sequence[tuple[str, bool]]) -> None:
    """The fake liquidation keeper hands in every liquidation that the engine would carry out now."""
    for account, long in who:
        data = encode_call(
            f"executeLiquidation(address,address,address,bool,{PRICES})",
            account,
            at.market,
            at.usdc,
            long,
            quoted(chain, at),
        )
        chain.submit(chain.accounts[2], at.handler, data)
