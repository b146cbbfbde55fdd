"""One real daemon guards a Compound v3 account and a Maker vault of one owner, and rescues each in two ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from anvil.abi import encode_call
from anvil.client import Chain
from anvil.deploy_compound_v3 import deploy_compound_v3, supply
from anvil.deploy_maker import ILK, RAY, WAD, deploy_maker, open_vault, proxy_of
from anvil.node import Anvil, AnvilSettings
from anvil.stage import keystore
from anvil.tools import ToolMissing, find_anvil
from keeper.config import VenueSettings
from keeper.venues.maker import math
from tests.venue_stage import VenueReader, armed, home, running

pytestmark = pytest.mark.anvil

GENESIS_S = 1_750_000_000
PRICES = (2_500, 2_150)
SPOTS = (1_680, 1_430)
TARGET_WAD = 1_299 * 10**15


@pytest.fixture
def node() -> Anvil:
    try:
        find_anvil()
    except ToolMissing as missing:
        pytest.skip(str(missing))
    return Anvil(AnvilSettings(timestamp_s=GENESIS_S))


def test_daemon__two_venues_fall_twice__repays_and_then_tops_up_on_both(node: Anvil, tmp_path: Path) -> None:
    with node:
        chain = Chain(node.url)
        try:
            _night(node, chain, tmp_path)
        finally:
            chain.close()


def _night(node: Anvil, chain: Chain, folder: Path) -> None:
    comet, maker = deploy_compound_v3(chain), deploy_maker(chain)
    deployer, owner = chain.accounts[0], chain.accounts[3]
    supply(chain, comet, owner, "WETH", 10 * WAD)
    chain.send(owner, comet.comet, "withdraw(address,uint256)", comet.base.address, 19_400 * 10**6)
    number, urn = open_vault(chain, maker, owner, 10 * WAD, 10_000 * WAD)
    lent = VenueSettings(name="comet", kind="compound_v3", chain="local", provider=comet.comet)
    vaults = VenueSettings(
        name="vaults",
        kind="maker",
        chain="local",
        provider=maker.chainlog,
        market=maker.ilk,
        vaults=(number,),
        proxy=proxy_of(chain, keystore(folder)),
    )
    weth = comet.token("WETH").address
    at = home(
        folder,
        node,
        chain,
        [(lent, {"lent": owner}), (vaults, {"vault": urn})],
        multicall=comet.multicall,
        native=weth,
    )
    # enough of what repays for the first fall only; both collaterals are called WETH
    for token, units in (
        (comet.base.address, 2_200 * 10**6),
        (weth, 10 * WAD),
        (maker.dai, 1_500 * WAD),
        (maker.gem, 10 * WAD),
    ):
        chain.send(deployer, token, "mint(address,uint256)", at.wallet, units)
    armed(at, {"USDC": "2200", "DAI": "1500", "WETH": "10"})
    eyes = [(VenueReader(chain, lent, comet.multicall), owner)]
    eyes.append((VenueReader(chain, vaults, comet.multicall), urn))
    with running(at) as block:
        block()
        assert not at.intents()
        for price, spot in zip(PRICES, SPOTS, strict=True):
            data = encode_call("set(int256)", price * 10**8)
            chain.submit(deployer, comet.token("WETH").feed, data)
            new = math.spot_of(spot * WAD, RAY, 145 * RAY // 100)
            chain.submit(deployer, maker.vat, encode_call("fileSpot(bytes32,uint256)", ILK, new))
            for _ in range(6):
                block()
    for kind in ("compound_v3", "maker"):
        assert at.done(kind) == ["repay", "add_collateral"], at.alarms()
    for eye, account in eyes:
        assert (eye.position(account).health_wad or 0) >= TARGET_WAD
