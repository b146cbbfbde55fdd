"""What one tick costs our own process for 1,000 guarded accounts on Compound v3, and for 1,000 Maker vaults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from anvil.abi import encode_call
from anvil.client import Chain, transaction
from anvil.deploy_compound_v3 import deploy_compound_v3
from anvil.deploy_maker import ILK, WAD, deploy_maker
from anvil.node import Anvil, AnvilSettings
from keeper.config import Settings, VenueSettings
from tests.bench.tick_cost import N, costs_ms, told
from tests.venue_stage import home

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

SLICE = 50
USDC = 10**6
Done = tuple[str, str, bytes]
"""(sender, target, calldata)."""


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil(AnvilSettings(auto_impersonate=True)) as node:
        yield node


def accounts(name: str) -> list[str]:
    return [str(to_checksum_address(keccak(text=f"{name} {i}")[-20:])) for i in range(N)]


def sent(chain: Chain, done: Sequence[Done]) -> None:
    """A transaction of each of many senders."""
    for start in range(0, len(done), SLICE):
        part = done[start : start + SLICE]
        fields = [transaction(a, to, data, gas=1_000_000) for a, to, data in part]
        chain.confirm(chain.batch([("eth_sendTransaction", (f,)) for f in fields]))


def together(chain: Chain, multicall: str, calls: Sequence[tuple[str, bytes]]) -> None:
    """Many calls of nobody in particular, a slice to a transaction."""
    for start in range(0, len(calls), SLICE):
        part = [(to, False, data) for to, data in calls[start : start + SLICE]]
        chain.send(chain.accounts[0], multicall, "aggregate3((address,bool,bytes)[])", part)


def compound(chain: Chain, folder: Path, node: Anvil) -> Settings:
    market, people, payer = deploy_compound_v3(chain), accounts("lent"), chain.accounts[0]
    chain.batch([("anvil_setBalance", (a, hex(10**21))) for a in people])
    weth, wbtc = market.token("WETH").address, market.token("WBTC").address
    for token in (weth, wbtc):
        chain.send(payer, token, "mint(address,uint256)", market.multicall, 10**24)
        approve = encode_call("approve(address,uint256)", market.comet, 10**24)
        together(chain, market.multicall, [(token, approve)])
    supply = "supplyTo(address,address,uint256)"
    for token, units in ((weth, 10 * WAD), (wbtc, 10**6)):
        calls = [(market.comet, encode_call(supply, a, token, units)) for a in people]
        together(chain, market.multicall, calls)
    sent(
        chain,
        [
            (
                a,
                market.comet,
                encode_call("withdraw(address,uint256)", market.base.address, (9_000 + i) * USDC),
            )
            for i, a in enumerate(people)
        ],
    )
    venue = VenueSettings(name="comet", kind="compound_v3", chain="local", provider=market.comet)
    guarded = {f"p{i}": a for i, a in enumerate(people)}
    return home(folder, node, chain, [(venue, guarded)], multicall=market.multicall, native=weth).settings


def maker(chain: Chain, folder: Path, node: Anvil) -> Settings:
    at, people = deploy_maker(chain), accounts("vault")
    chain.batch([("anvil_setBalance", (a, hex(10**21))) for a in people])
    slip, frob = "slip(bytes32,address,int256)", "frob(bytes32,address,address,address,int256,int256)"
    together(chain, at.multicall, [(at.vat, encode_call(slip, ILK, a, 10 * WAD)) for a in people])
    sent(
        chain,
        [
            (a, at.vat, encode_call(frob, ILK, a, a, a, 10 * WAD, (8_000 + i) * WAD))
            for i, a in enumerate(people)
        ],
    )
    venue = VenueSettings(name="vaults", kind="maker", chain="local", provider=at.chainlog, market=at.ilk)
    guarded = {f"v{i}": a for i, a in enumerate(people)}
    return home(folder, node, chain, [(venue, guarded)], multicall=at.multicall, native=at.gem).settings


@pytest.mark.parametrize("kind", ["compound_v3", "maker"])
def test_tick__a_thousand_accounts__stays_within_its_bound(node: Anvil, tmp_path: Path, kind: str) -> None:
    chain = Chain(node.url)
    try:
        settings = (compound if kind == "compound_v3" else maker)(chain, tmp_path, node)
        found_ms = costs_ms(settings, chain, tmp_path / "log")
    finally:
        chain.close()
    told(kind, found_ms, "own_double")
