"""A live keeper of positions on GMX's doubles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from anvil.client import Chain
from anvil.deploy_gmx_executor import PerpTerms, granted_executor
from anvil.deploy_gmx_v2 import Gmx, allow
from anvil.gmx_keepers import Pair
from anvil.node import Anvil
from anvil.stage import keystore
from keeper.config import VenueSettings, load
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


def guarded_home(
    folder: Path,
    node: Anvil,
    chain: Chain,
    at: Gmx,
    pairs: Sequence[Pair],
    strategies: Sequence[str],
    *,
    terms: PerpTerms | None = None,
) -> Guarded:
    """A live keeper of the guarded positions, granted and funded. ``terms``: through the one owner's Executor."""
    wallet = keystore(folder)
    subaccount = wallet
    for p in pairs:
        if terms is None:
            allow(chain, at, p.guarded, wallet, 100, FOR_LONG)
        else:
            subaccount = granted_executor(chain, at, p.guarded, wallet, p.long, terms)
    chain.send(chain.accounts[0], at.usdc, "mint(address,uint256)", wallet, 100_000 * 10**6)
    venues: list[tuple[VenueSettings, Mapping[str, str]]] = []
    for long in (True, False):
        mine = {
            f"{'long' if long else 'short'}-{i}": p.guarded for i, p in enumerate(pairs) if p.long == long
        }
        if mine:
            venues.append((slot(at, long, subaccount), mine))
    names = ", ".join(f'"{s}"' for s in strategies)
    written = f"{TERMS}strategies = [{names}]"
    made = home(folder, node, chain, venues, multicall=at.multicall, native=at.wnt, terms=written)
    text = made.config.read_text()
    text = text.replace('policy = "default"', 'policy = "default"\naccept_thin_emergency = true')
    # nothing is sold, nor closed, on the word of one endpoint
    second = f'[[chains.endpoints]]\nname = "second"\nurl = "{node.url}"\nrate_per_s = 1000\n[[venues]]'
    made.config.write_text(text.replace("[[venues]]", second, 1))
    return replace(made, settings=load(made.config))
