"""A chain with GMX's doubles on it, guarded and unguarded positions, and the turns of its fake keepers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from anvil.abi import encode_call
from anvil.client import Chain, Reverted
from anvil.deploy_gmx_v2 import PRICES, Gmx, allow, liquidate, open_position, orders_of, quoted, size_of
from anvil.node import Anvil
from anvil.stage import keystore
from keeper.config import VenueSettings, load
from keeper.executor.perp import ACTION
from tests.venue_stage import Guarded, home

TERMS = """warn = "1.08"
trigger = "1.05"
target = "1.07"
emergency = "1.02"
hysteresis = "0.005"
stress_pct = "0"
"""
FOR_LONG = 10**10
"""Unix seconds that no test outlives."""
DEAD = (0, 0, 0)


def slot(at: Gmx, long: bool, subaccount: str | None, name: str = "") -> VenueSettings:
    """One side of the market, margined in USDC."""
    side = "long" if long else "short"
    return VenueSettings(
        name=name or f"gmx-{side}",
        kind="gmx_v2",
        chain="local",
        provider=at.subaccounts,
        reader=at.reader,
        market=f"{at.market}:{at.usdc}:{side}",
        subaccount=subaccount,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A guarded position and its twin, alike to the last unit."""

    long: bool
    guarded: str
    twin: str
    keys: tuple[bytes, bytes]


def pair(chain: Chain, at: Gmx, accounts: Sequence[str], long: bool, dollars: tuple[int, int]) -> Pair:
    """Both opened at the feed's price, (size, margin) in dollars."""
    keys = [open_position(chain, at, a, long, *dollars) for a in accounts]
    return Pair(long=long, guarded=accounts[0], twin=accounts[1], keys=(keys[0], keys[1]))


def guarded_home(
    folder: Path, node: Anvil, chain: Chain, at: Gmx, pairs: Sequence[Pair], strategies: Sequence[str]
) -> Guarded:
    """A live keeper of the guarded positions, granted and funded."""
    wallet = keystore(folder)
    for p in pairs:
        allow(chain, at, p.guarded, wallet, 100, FOR_LONG)
    chain.send(chain.accounts[0], at.usdc, "mint(address,uint256)", wallet, 100_000 * 10**6)
    venues: list[tuple[VenueSettings, Mapping[str, str]]] = []
    for long in (True, False):
        mine = {
            f"{'long' if long else 'short'}-{i}": p.guarded for i, p in enumerate(pairs) if p.long == long
        }
        if mine:
            venues.append((slot(at, long, wallet), mine))
    names = ", ".join(f'"{s}"' for s in strategies)
    terms = f"{TERMS}strategies = [{names}]"
    made = home(folder, node, chain, venues, multicall=at.multicall, native=at.wnt, terms=terms)
    text = made.config.read_text()
    text = text.replace('policy = "default"', 'policy = "default"\naccept_thin_emergency = true')
    # nothing is sold, nor closed, on the word of one endpoint
    second = f'[[chains.endpoints]]\nname = "second"\nurl = "{node.url}"\nrate_per_s = 1000\n[[venues]]'
    made.config.write_text(text.replace("[[venues]]", second, 1))
    return replace(made, settings=load(made.config))


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


__all__ = ["ACTION", "DEAD", "Reverted", "liquidate", "size_of", "suppress"]
