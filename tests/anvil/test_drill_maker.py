"""A Maker vault in a drill: prices known an update before they count, an auction as the competing liquidator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anvil.client import Chain
from anvil.deploy_maker import CHOP, PRICE, VaultSystem, deploy_maker, open_vault, proxy_of
from anvil.drill import feeds
from anvil.drill.course import Course, spread
from anvil.drill.fork import Market, Purse
from anvil.drill.play import Scene, play
from anvil.drill.rival import Rival
from anvil.node import Anvil, AnvilSettings
from keeper.config import VenueSettings
from keeper.errors import ConfigError
from keeper.model import Shock
from keeper.units import GWEI, WAD
from tests.anvil_daemon import ROOT
from tests.venue_stage import Guarded, home

GENESIS_S = 1_750_000_000
DEBT = 13_000
FALL = Shock(name="ETH=-45", moves={"ETH": -0.45})


@pytest.fixture(scope="module")
def node(anvil_binary: None) -> Iterator[Anvil]:
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S)) as node:
        yield node


@pytest.fixture(scope="module")
def built(node: Anvil) -> VaultSystem:
    chain = Chain(node.url)
    try:
        return deploy_maker(chain)
    finally:
        chain.close()


@pytest.fixture
def chain(node: Anvil, built: VaultSystem) -> Iterator[Chain]:
    client = Chain(node.url)
    snapshot = client.snapshot()
    try:
        yield client
    finally:
        client.rpc("evm_setAutomine", True)
        client.revert(snapshot)
        client.close()


@pytest.fixture
def vault(chain: Chain, built: VaultSystem) -> tuple[int, str]:
    return open_vault(chain, built, chain.accounts[3], 10 * WAD, DEBT * WAD)


def settled(folder: Path, node: Anvil, chain: Chain, at: VaultSystem, vault: tuple[int, str]) -> Guarded:
    """The user's own keeper.toml: a wallet with Dai, and a proxy that may spend it."""
    number, urn = vault
    blank = VenueSettings(
        name="vaults", kind="maker", chain="local", provider=at.chainlog, market=at.ilk, vaults=(number,)
    )
    folder.mkdir()
    wallet = home(folder, node, chain, [(blank, {"vault": urn})], multicall=at.multicall).wallet
    proxy = proxy_of(chain, wallet)
    for name in ("keystore.json", "password"):
        (folder / name).unlink()
    chain.send(chain.accounts[0], at.dai, "mint(address,uint256)", wallet, 20_000 * WAD)
    chain.rpc("anvil_impersonateAccount", wallet)
    chain.send(wallet, at.dai, "approve(address,uint256)", proxy, 20_000 * WAD)
    venue = replace(blank, proxy=proxy)
    return home(folder, node, chain, [(venue, {"vault": urn})], multicall=at.multicall, native=at.gem)


def scene(chain: Chain, guarded: Guarded, urn: str) -> Scene:
    chain.rpc("anvil_autoImpersonateAccount", True)
    market = Market(chain, guarded.settings.chains[0], guarded.settings.venues[0], urn)
    position = market.position()
    sources = feeds.found(chain, market.venue, position, ())
    feeds.program(chain, sources)
    return Scene(
        chain=chain,
        market=market,
        feeds=sources,
        pools=(),
        rival=Rival(chain, market.venue, position),
        purse=Purse(wallet=guarded.wallet, accounts=(guarded.wallet,), tokens=market.venue.tokens),
        base_fee_wei=20 * GWEI,
    )


@pytest.mark.anvil
def test_vault__falls_without_a_keeper__each_price_counts_one_update_late_and_the_auction_takes_its_penalty(
    node: Anvil, built: VaultSystem, chain: Chain, vault: tuple[int, str], tmp_path: Path
) -> None:
    guarded = settled(tmp_path / "home", node, chain, built, vault)
    on = scene(chain, guarded, vault[1])
    chain.rpc("evm_setAutomine", False)
    course: Course = spread(FALL, 6)
    run = play(on, course, wait=lambda block: None, said=lambda text: None)
    for n, update in enumerate(course.updates[1:5], 1):
        told = 10 * WAD * int(PRICE * course.updates[n - 1].multiple("WETH")) // WAD
        fair = told * 100 / 145 / (DEBT * WAD)
        assert run.turns[n].update.health == pytest.approx(fair, rel=1e-4), update
    assert run.liquidations == 1
    assert run.lost_usd == pytest.approx(DEBT * (CHOP - WAD) / WAD, rel=1e-4)
    # the rest of the auction is the owner's: his wealth after it is what it was, less the penalty
    taken = next(t for t in run.turns if t.liquidated)
    assert taken.after.equity_usd == pytest.approx(taken.update.equity_usd - run.lost_usd, rel=1e-9)
    assert run.moments[-1].equity_usd == pytest.approx(taken.after.equity_usd, rel=1e-9)


@pytest.mark.anvil
def test_vault__its_number_is_not_configured_or_its_price_is_not_delayed__is_refused_with_the_reason(
    node: Anvil, built: VaultSystem, chain: Chain, vault: tuple[int, str], tmp_path: Path
) -> None:
    guarded = settled(tmp_path / "home", node, chain, built, vault)
    (settings,), place = guarded.settings.venues, guarded.settings.chains[0]
    market = Market(chain, place, replace(settings, vaults=()), vault[1])
    with pytest.raises(ConfigError, match="its number is not known"):
        feeds.found(chain, market.venue, market.position(), ())
    chain.send(chain.accounts[0], built.osm, "stop()")
    market = Market(chain, place, settings, vault[1])
    with pytest.raises(ConfigError, match="no delayed feed that goes on"):
        feeds.found(chain, market.venue, market.position(), ())


@pytest.mark.chaos
def test_drill__a_vault_and_a_wallet_with_a_proxy__is_rescued_before_the_price_counts(
    node: Anvil, built: VaultSystem, chain: Chain, vault: tuple[int, str], tmp_path: Path
) -> None:
    guarded = settled(tmp_path / "home", node, chain, built, vault)
    code, told, errors = drill(node.url, guarded, vault[1], "--shock", "ETH=-45", "--updates", "8")
    assert code == 0, errors
    alone, kept = told["without_keeper"], told["with_keeper"]
    assert (alone["liquidations"], kept["liquidations"]) == (1, 0)
    assert alone["lost_usd"] == pytest.approx(DEBT * 0.13, rel=1e-3)
    assert kept["transactions"] >= 1
    assert 0 < kept["cost_usd"] < alone["lost_usd"]
    assert kept["health_lowest"] > 1.15
    # from 1.59 a fall of 37 % liquidates: what is known an hour ahead is survived beyond it
    assert told["largest_step"] > 0.37
    assert any("obeys the throwaway key" in line for line in told["made_of"])


def drill(url: str, guarded: Guarded, urn: str, *line: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON document and stderr."""
    words = (
        "drill",
        urn,
        "--rpc",
        url,
        "--config",
        str(guarded.config),
        "--precision",
        "22.5",
        "--json",
        *line,
    )
    ran = subprocess.run(
        [sys.executable, "-m", "keeper", *words],
        cwd=guarded.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    return ran.returncode, json.loads(ran.stdout) if ran.stdout.startswith("{") else {}, ran.stderr
