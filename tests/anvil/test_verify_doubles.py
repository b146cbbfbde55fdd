"""``keeper verify``'s questions to Compound v3 and Maker, over doubles of their interfaces: verdicts, interest."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from eth_utils.address import to_checksum_address

from anvil.client import Chain
from anvil.compile import own_artifact
from anvil.deploy_compound_v3 import CometMarket, deploy_compound_v3, set_price, supply
from anvil.deploy_maker import ILK, PRICE, WAD, VaultSystem, deploy_maker, open_vault
from anvil.node import Anvil, AnvilSettings
from anvil.transport import ChainTransport
from keeper.config import VenueSettings
from keeper.model import Position
from keeper.venues.asking import Asking, Fact, facts
from tests.venue_stage import VenueReader

pytestmark = pytest.mark.anvil

GENESIS_S = 1_750_000_000
IDLE_S = 300 * 86_400
USD8 = 10**8


@pytest.fixture(scope="module")
def chain(anvil_binary: None) -> Iterator[Chain]:
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S, auto_impersonate=True)) as node:
        client = Chain(node.url)
        client.learn(own_artifact("CometDouble"))
        yield client
        client.close()


def compared(eye: VenueReader, multicall: str, account: str, found: Position | None) -> Mapping[str, Fact]:
    asking = Asking(ChainTransport(eye.chain), multicall, eye.chain.block())
    return {f.what: f for f in asyncio.run(facts(eye.venue, account, found, asking))}


def borrower(chain: Chain, market: CometMarket, seed: int, owed_usd: int) -> str:
    who = str(to_checksum_address(random.Random(seed).randbytes(20)))
    supply(chain, market, who, "WETH", 10 * market.token("WETH").unit)
    chain.rpc("anvil_setBalance", who, hex(10**21))
    chain.send(
        who, market.comet, "withdraw(address,uint256)", market.base.address, owed_usd * market.base.unit
    )
    return who


def test_compound__when_interest_of_months_is_stored_nowhere__then_all_three_answers_are_the_markets_own(
    chain: Chain,
) -> None:
    market = deploy_compound_v3(chain)
    weth = market.token("WETH")
    # a lender's money and three loans: safe, between the factors, below both
    people = [borrower(chain, market, n, usd) for n, usd in enumerate((5_000, 22_000, 24_000))]
    chain.rpc("anvil_setBlockTimestampInterval", 0)
    chain.mine(chain.block().timestamp_s + IDLE_S)
    named = VenueSettings(name="comet", kind="compound_v3", chain="local", provider=market.comet)
    eye = VenueReader(chain, named, market.multicall)
    verdicts = set()
    price = chain.call(weth.feed, "latestAnswer()(int256)")
    for share in (100, 88, 80):
        set_price(chain, weth, price * share // 100)
        for who in people:
            position = eye.position(who)
            told = compared(eye, market.multicall, who, position)
            assert all(f.equal for f in told.values()), told
            verdicts.add((told["liquidatable"].venue, told["collateralized"].venue))
            units = position.debt[0].amount.units
            assert told["debt, USDC"].venue == units
            owed = replace(position.debt[0], amount=replace(position.debt[0].amount, units=units - 1))
            wrong = compared(eye, market.multicall, who, replace(position, debt=(owed,)))
            assert [f.what for f in wrong.values() if not f.equal] == ["debt, USDC"]
    assert verdicts == {(False, True), (False, False), (True, False)}


def test_maker__when_fees_of_months_wait_for_a_drip__then_the_numbers_are_the_vats_after_it(
    chain: Chain,
) -> None:
    chain.rpc("anvil_setBlockTimestampInterval", 12)
    system: VaultSystem = deploy_maker(chain)
    chain.rpc("anvil_setBlockTimestampInterval", 0)
    art = 10_000 * WAD
    number, safe = open_vault(chain, system, chain.accounts[3], art * 3 * WAD // PRICE, art)
    other, close = open_vault(chain, system, chain.accounts[3], art * 1451 * WAD // PRICE // 1000, art)
    chain.mine(chain.block().timestamp_s + IDLE_S)
    named = VenueSettings(
        name="vaults",
        kind="maker",
        chain="local",
        provider=system.chainlog,
        market=system.ilk,
        vaults=(number, other),
    )
    eye = VenueReader(chain, named, system.multicall)
    rate = chain.call(system.vat, "ilks(bytes32)(uint256,uint256,uint256,uint256,uint256)", ILK)[1]
    for urn, low in ((safe, False), (close, True)):
        told = compared(eye, system.multicall, urn, eye.position(urn))
        assert all(f.equal for f in told.values()), told
        assert told["liquidatable"].venue is low
        assert told["debt, DAI"].venue > -(-art * rate // 10**27)
    # the delayed price moved and nobody poked: who liquidates may do it, or leave it
    for price, low in ((1_400, True), (6_000, False)):
        chain.send(chain.accounts[0], system.osm, "file(uint128,uint128)", price * WAD, price * WAD)
        for urn, is_low in ((safe, low), (close, True)):
            told = compared(eye, system.multicall, urn, eye.position(urn))
            assert all(f.equal for f in told.values()), told
            assert told["liquidatable"].venue is is_low
