"""Maker vaults on a chain: 200 states against the Dog's own verdict, and a rescue by a real daemon."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from anvil.client import Chain, Reverted
from anvil.deploy_maker import ILK, PRICE, RAY, WAD, VaultSystem, deploy_maker, open_vault, proxy_of
from anvil.node import Anvil, AnvilSettings
from keeper.config import VenueSettings
from keeper.errors import ConfigError
from keeper.model import Amount, Repay, Supply
from keeper.seams import Shadow
from keeper.venues.maker import math
from tests.bench.figures import record
from tests.venue_stage import VenueReader

pytestmark = pytest.mark.anvil

GENESIS_S = 1_750_000_000
SEED = 20_200_312
STATES = 200
DAY_S = 86_400
DEBT = 10_000 * WAD


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
        client.revert(snapshot)
        client.close()


def settings(at: VaultSystem, numbers: tuple[int, ...] = (), proxy: str | None = None) -> VenueSettings:
    return VenueSettings(
        name="vaults",
        kind="maker",
        chain="local",
        provider=at.chainlog,
        market=at.ilk,
        vaults=numbers,
        proxy=proxy,
    )


def do(chain: Chain, to: str, signature: str, *arguments: object) -> None:
    """Done, and seen: a busy node may tell the receipt before its latest block is the one that holds it."""
    mined = int(chain.send(chain.accounts[0], to, signature, *arguments)["blockNumber"], 16)
    until_s = time.monotonic() + 90
    while chain.block().number < mined:
        assert time.monotonic() < until_s, f"block {mined} is not the latest after 90 s"
        time.sleep(0.01)


def poked(chain: Chain, at: VaultSystem, price: int) -> None:
    """The market says ``price``, and two hours pass: it is what counts."""
    do(chain, at.osm, "setMarket(uint128)", price)
    for _ in range(2):
        chain.mine(chain.block().timestamp_s + 3_600)
        do(chain, at.osm, "poke()")
    do(chain, at.spotter, "poke(bytes32)", ILK)


def barks(chain: Chain, at: VaultSystem, urn: str) -> bool:
    """Whether the Dog would take the vault right after a drip, without doing it."""
    kept = chain.snapshot()
    try:
        chain.rpc("evm_setNextBlockTimestamp", chain.block().timestamp_s)
        do(chain, at.jug, "drip(bytes32)", ILK)
        chain.call(at.dog, "bark(bytes32,address,address)", ILK, urn, chain.accounts[0])
    except Reverted:
        return False
    finally:
        chain.revert(kept)
    return True


def test_states__200_vaults_prices_and_times__equal_the_contracts(chain: Chain, built: VaultSystem) -> None:
    chain.rpc("anvil_setBlockTimestampInterval", 0)
    rng = random.Random(SEED)
    vaults = []
    for _ in range(20):
        art = rng.randint(7_500, 90_000) * WAD + rng.randrange(WAD)
        ink = int(art * rng.uniform(1.46, 2.6)) * WAD // PRICE
        vaults.append(open_vault(chain, built, chain.accounts[3], ink, art))
    eye = VenueReader(chain, settings(built, tuple(n for n, _ in vaults)), built.multicall)
    urns = [u for _, u in vaults]
    wrong, unsafe, asleep = set(), 0, 0
    for round_ in range(STATES // len(vaults)):
        poked(chain, built, int(PRICE * rng.uniform(0.55, 1.15)))
        chain.mine(chain.block().timestamp_s + rng.randint(1, 400 * DAY_S // 10))
        snapshot = eye.snapshot(urns)
        assert not snapshot.unreadable
        before = {
            u: chain.call(built.vat, "ilks(bytes32)(uint256,uint256,uint256,uint256,uint256)", ILK)
            for u in urns
        }
        kept = chain.snapshot()
        chain.rpc("evm_setNextBlockTimestamp", chain.block().timestamp_s)
        do(chain, built.jug, "drip(bytes32)", ILK)
        for position in snapshot.positions:
            urn = position.id.account
            ink, art = chain.call(built.vat, "urns(bytes32,address)(uint256,uint256)", ILK, urn)
            _, rate, spot, _, _ = chain.call(
                built.vat, "ilks(bytes32)(uint256,uint256,uint256,uint256,uint256)", ILK
            )
            try:
                chain.call(built.dog, "bark(bytes32,address,address)", ILK, urn, chain.accounts[0])
                taken = True
            except Reverted:
                taken = False
            health = position.health_wad
            owed = -(-art * rate // RAY)
            right = (
                health == ink * spot * WAD // (art * rate)
                and position.debt[0].amount.units == owed
                and (health < WAD) == taken
            )
            if not right:
                wrong.add((round_, urn))
            unsafe += taken
            asleep += taken and not math.is_unsafe(ink, art, before[urn][2], before[urn][1])
        chain.revert(kept)
    exact = STATES - len(wrong)
    proof: dict[str, Any] = {"evidence": "own_double", "n": STATES, "seed": SEED}
    record("states_exact_maker", exact, unit="states", bound=f"= {STATES}", holds=exact == STATES, **proof)
    record("states_wrong_maker", len(wrong), unit="states", bound="= 0", holds=not wrong, **proof)
    assert not wrong
    assert 0 < unsafe < STATES
    assert asleep, "no vault was ever unsafe only after the fees were dripped"


@pytest.fixture
def vault(chain: Chain, built: VaultSystem) -> tuple[int, str]:
    return open_vault(chain, built, chain.accounts[3], 10 * WAD, DEBT)


def test_verdict__at_the_boundary_price__differs_by_one_unit(
    chain: Chain, built: VaultSystem, vault: tuple[int, str]
) -> None:
    chain.rpc("anvil_setBlockTimestampInterval", 0)
    number, urn = vault
    eye = VenueReader(chain, settings(built, (number,)), built.multicall)
    low, high = 1, 10**30
    while high - low > 1:
        middle = (low + high) // 2
        do(chain, built.vat, "fileSpot(bytes32,uint256)", ILK, middle)
        low, high = (middle, high) if (eye.position(urn).health_wad or 0) < WAD else (low, middle)
    for spot, dead in ((high, False), (low, True)):
        do(chain, built.vat, "fileSpot(bytes32,uint256)", ILK, spot)
        health = eye.position(urn).health_wad
        assert health is not None
        assert ((health < WAD), barks(chain, built, urn)) == (dead, dead)


@pytest.mark.parametrize("days", [0, 200])
def test_steps__locked_and_wiped__health_is_at_least_what_was_promised(
    chain: Chain, built: VaultSystem, vault: tuple[int, str], days: int
) -> None:
    chain.mine(chain.block().timestamp_s + days * DAY_S + 1)
    payer, (number, urn) = chain.accounts[4], vault
    proxy = proxy_of(chain, payer)
    eye = VenueReader(chain, settings(built, (number,), proxy), built.multicall)
    before = eye.position(urn)
    dai, gem = eye.venue.tokens
    assert before.owner == chain.accounts[3]
    for step in (
        Supply(amount=Amount(token=gem, units=WAD + 7)),
        Repay(amount=Amount(token=dai, units=1_000 * WAD + 3)),
        Repay(amount=Amount(token=dai, units=90_000 * WAD)),
    ):
        kept = chain.snapshot()
        token = step.amount.token.address
        do(chain, token, "mint(address,uint256)", payer, step.amount.units)
        chain.send(payer, token, "approve(address,uint256)", proxy, step.amount.units)
        snapshot = eye.snapshot([urn], wallet=payer)
        assert eye.venue.can(step, before, snapshot.means) is None
        promised, call = eye.venue.after((step,), before), eye.venue.encode(step, before)
        shadow = Shadow(
            id=before.id,
            collateral={gem.address: before.collateral[0].stored},
            debt={dai.address: before.debt[0].stored},
        )
        on_paper = eye.venue.fill((step,), chain.block(), snapshot, shadow)
        chain.send(payer, call.target, call.data)
        now = eye.position(urn)
        assert on_paper.collateral[gem.address] == now.collateral[0].stored
        assert on_paper.debt[dai.address] == sum(h.stored for h in now.debt)
        assert None not in (now.health_wad, promised.health_wad, before.health_wad)
        assert (now.health_wad or 0) > (before.health_wad or 0)
        if promised.debt:
            # a few seconds of fees passed since the promise
            assert (promised.health_wad or 0) <= (now.health_wad or 0) * (WAD + 10**10) // WAD
        else:
            assert not now.debt
        chain.revert(kept)


def test_steps__dust_or_nobodys_proxy__are_refused_by_name(
    chain: Chain, built: VaultSystem, vault: tuple[int, str]
) -> None:
    payer, (number, urn) = chain.accounts[4], vault
    proxy = proxy_of(chain, payer)

    def refusal(made: VenueSettings, wallet: str, units: int) -> str:
        eye = VenueReader(chain, made, built.multicall)
        shot = eye.snapshot([urn], wallet=wallet)
        dai, _ = eye.venue.tokens
        no = eye.venue.can(Repay(amount=Amount(token=dai, units=units)), shot.positions[0], shot.means)
        return no.code if no else ""

    good = settings(built, (number,), proxy)
    assert refusal(good, payer, 1_000 * WAD) == ""
    assert refusal(good, payer, 5_000 * WAD) == "dust"
    assert refusal(good, chain.accounts[5], 1_000 * WAD) == "not_proxy_owner"
    assert refusal(replace(good, proxy=None), payer, 1_000 * WAD) == "no_proxy"
    assert refusal(replace(good, vaults=()), payer, 1_000 * WAD) == "vault_unknown"


def test_reading__void_price_or_changed_rules__is_unreadable_never_healthy(
    chain: Chain, built: VaultSystem, vault: tuple[int, str]
) -> None:
    number, urn = vault
    eye = VenueReader(chain, settings(built, (number,)), built.multicall)
    do(chain, built.vat, "fileSpot(bytes32,uint256)", ILK, 0)
    assert "void" in eye.snapshot([urn]).unreadable[0].why
    do(chain, built.spotter, "poke(bytes32)", ILK)
    assert eye.position(urn)
    do(chain, built.spotter, "file(bytes32,address,uint256)", ILK, built.osm, 2 * RAY)
    assert "liquidation ratio" in eye.snapshot([urn]).unreadable[0].why


def test_load__wrong_addresses__name_what_is_wrong(
    chain: Chain, built: VaultSystem, vault: tuple[int, str]
) -> None:
    good = settings(built, (vault[0],))
    other = "0x" + b"WBTC-A".ljust(32, b"\0").hex()
    for made, words in (
        (replace(good, provider="0x" + "11" * 20), "no contract"),
        (replace(good, provider=built.vat), "no chainlog"),
        (replace(good, market=other), "no such collateral type"),
        (replace(good, vaults=(99,)), "knows no vault 99"),
        (replace(good, proxy=built.vat), "no proxy with an owner"),
    ):
        with pytest.raises(ConfigError, match=words):
            VenueReader(chain, made, built.multicall)
    do(chain, built.spotter, "file(bytes32,address,uint256)", ILK, "0x" + "00" * 20, 2 * RAY)
    with pytest.raises(ConfigError, match="price feed is the zero address"):
        VenueReader(chain, good, built.multicall)
