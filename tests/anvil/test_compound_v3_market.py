"""Compound v3 on a chain: read against the double's own answers, absorbed at the boundary, rescued by a daemon."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from eth_utils.address import to_checksum_address

from anvil.client import Chain, Reverted
from anvil.compile import own_artifact
from anvil.deploy_compound_v3 import CometMarket, deploy_compound_v3, set_price, supply
from anvil.node import Anvil, AnvilSettings
from keeper.config import VenueSettings
from keeper.errors import ConfigError
from keeper.model import Amount, Repay, Supply
from keeper.seams import Shadow
from keeper.units import UINT256_MAX, WAD
from tests.venue_stage import VenueReader

pytestmark = pytest.mark.anvil

GENESIS_S = 1_750_000_000
SEED = 20_261_121
CROWD = 40
DAY_S = 86_400


@pytest.fixture(scope="module")
def node(anvil_binary: None) -> Iterator[Anvil]:
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S, auto_impersonate=True)) as node:
        yield node


@pytest.fixture(scope="module")
def built(node: Anvil) -> CometMarket:
    chain = Chain(node.url)
    try:
        return deploy_compound_v3(chain)
    finally:
        chain.close()


@pytest.fixture
def chain(node: Anvil, built: CometMarket) -> Iterator[Chain]:
    client = Chain(node.url)
    client.learn(own_artifact("CometDouble"))
    snapshot = client.snapshot()
    try:
        yield client
    finally:
        client.revert(snapshot)
        client.close()


def settings(market: CometMarket) -> VenueSettings:
    return VenueSettings(name="comet", kind="compound_v3", chain="local", provider=market.comet)


def reader(chain: Chain, market: CometMarket) -> VenueReader:
    return VenueReader(chain, settings(market), market.multicall)


def account(rng: random.Random) -> str:
    return str(to_checksum_address(rng.randbytes(20)))


def opened(chain: Chain, market: CometMarket, who: str, held: dict[str, int], owed: int) -> str:
    for symbol, units in held.items():
        supply(chain, market, who, symbol, units)
    if owed:
        chain.rpc("anvil_setBalance", who, hex(10**21))
        chain.send(who, market.comet, "withdraw(address,uint256)", market.base.address, owed)
    return who


def said(chain: Chain, market: CometMarket, question: str, who: str) -> object:
    return chain.call(market.comet, question, who)


def absorbs(chain: Chain, market: CometMarket, who: str) -> bool:
    """Whether ``absorb`` goes through now, without doing it."""
    try:
        chain.call(market.comet, "absorb(address,address[])", chain.accounts[0], [who])
    except Reverted:
        return False
    return True


def test_crowd__random_accounts_prices_and_times__is_read_to_the_unit(
    chain: Chain, built: CometMarket
) -> None:
    rng = random.Random(SEED)
    people = []
    for n in range(CROWD):
        symbols = rng.sample([a.symbol for a in built.assets], rng.randint(1, 3))
        held = {s: int(built.token(s).unit * 10 ** rng.uniform(-1, 1.5)) | 1 for s in symbols}
        worth = sum(
            units
            * chain.call(built.comet, "getPrice(address)(uint256)", built.token(s).feed)
            // built.token(s).unit
            for s, units in held.items()
        )
        owed = 0 if n % 8 == 7 else max(1, int(worth / 100 * rng.uniform(0.05, 0.65)) | 1)
        people.append(opened(chain, built, account(rng), held, owed))
    lender = account(rng)
    supply(chain, built, lender, "USDC", 12_345_678_901)
    people.append(lender)
    eye = reader(chain, built)
    start = {a.symbol: chain.call(a.feed, "latestAnswer()(int256)") for a in built.assets}
    for _ in range(4):
        for asset in built.assets:
            set_price(chain, asset, int(start[asset.symbol] * rng.uniform(0.5, 1.2)))
        chain.mine(chain.block().timestamp_s + rng.randint(1, 60 * DAY_S))
        snapshot = eye.snapshot(people)
        assert not snapshot.unreadable
        for position in snapshot.positions:
            who = position.id.account
            owes = said(chain, built, "borrowBalanceOf(address)(uint256)", who)
            assert sum(h.amount.units for h in position.debt) == owes
            assert (position.health_wad is not None and position.health_wad < WAD) == absorbs(
                chain, built, who
            )


@pytest.fixture
def borrower(chain: Chain, built: CometMarket) -> str:
    who = account(random.Random(7))
    weth = built.token("WETH").unit
    return opened(chain, built, who, {"WETH": 10 * weth, "WBTC": 10**6}, 20_000 * built.base.unit)


@pytest.mark.parametrize("idle_days", [0, 60])
def test_verdict__at_the_boundary_price__differs_by_one_unit_of_the_feed(
    chain: Chain, built: CometMarket, borrower: str, idle_days: int
) -> None:
    chain.mine(chain.block().timestamp_s + idle_days * DAY_S + 1)
    chain.rpc("anvil_setBlockTimestampInterval", 0)
    eye = reader(chain, built)
    low, high = 1, 3_000 * 10**8
    while high - low > 1:
        middle = (low + high) // 2
        set_price(chain, built.token("WETH"), middle)
        low, high = (middle, high) if (eye.position(borrower).health_wad or 0) < WAD else (low, middle)
    for price, dead in ((high, False), (low, True)):
        set_price(chain, built.token("WETH"), price)
        health = eye.position(borrower).health_wad
        assert health is not None
        assert ((health < WAD), absorbs(chain, built, borrower)) == (dead, dead)
    # the trap: after idle time the market's own view calls an account safe that absorb takes
    assert said(chain, built, "isLiquidatable(address)(bool)", borrower) is False
    chain.send(chain.accounts[0], built.comet, "accrueAccount(address)", borrower)
    assert said(chain, built, "isLiquidatable(address)(bool)", borrower) is True


@pytest.mark.parametrize("days", [0, 30])
def test_steps__supplied_and_repaid__health_is_at_least_what_was_promised(
    chain: Chain, built: CometMarket, borrower: str, days: int
) -> None:
    chain.mine(chain.block().timestamp_s + days * DAY_S + 1)
    eye = reader(chain, built)
    payer = chain.accounts[0]
    weth, usdc = built.token("WETH"), built.base
    before = eye.position(borrower)
    token = {t.symbol: t for t in eye.venue.tokens}
    for step in (
        Supply(amount=Amount(token=token["WETH"], units=weth.unit + 7)),
        Repay(amount=Amount(token=token["USDC"], units=5_000 * usdc.unit + 3)),
        Repay(amount=Amount(token=token["USDC"], units=90_000 * usdc.unit)),
    ):
        start = chain.snapshot()
        promised = eye.venue.after((step,), before)
        shot = eye.snapshot([borrower])
        shadow = Shadow(
            id=before.id,
            collateral={h.amount.token.address: h.stored for h in before.collateral},
            debt={h.amount.token.address: h.stored for h in before.debt},
        )
        call = eye.venue.encode(step, before)
        spent = step.amount.token.address
        chain.send(payer, spent, "mint(address,uint256)", payer, step.amount.units)
        chain.send(payer, spent, "approve(address,uint256)", built.comet, step.amount.units)
        chain.rpc("evm_setNextBlockTimestamp", chain.block().timestamp_s)
        chain.send(payer, call.target, call.data)
        now = eye.position(borrower)
        on_paper = eye.venue.fill((step,), chain.block(), shot, shadow)
        stored = {h.amount.token.address: h.stored for h in now.debt}
        assert {t: s for t, s in on_paper.debt.items() if s} == stored
        assert all(on_paper.collateral[h.amount.token.address] == h.stored for h in now.collateral)
        assert now.health_wad is not None
        assert promised.health_wad is not None
        assert before.health_wad is not None
        assert now.health_wad > before.health_wad
        if promised.health_wad != UINT256_MAX:
            assert promised.health_wad <= now.health_wad * (WAD + 10**9) // WAD
        else:
            # what was paid beyond the debt never becomes a loan of the owner's
            assert not [h for h in now.collateral if h.amount.token == token["USDC"]]
        chain.revert(start)


def test_reading__broken_or_lying_parts__are_unreadable_never_healthy(
    chain: Chain, built: CometMarket, borrower: str
) -> None:
    eye = reader(chain, built)
    deployer = chain.accounts[0]
    chain.send(deployer, built.token("WBTC").feed, "setBroken(bool)", True)
    broken = eye.snapshot([borrower])
    assert not broken.positions
    assert "WBTC" in broken.unreadable[0].why
    chain.send(deployer, built.token("WBTC").feed, "setBroken(bool)", False)
    chain.send(deployer, built.token("WBTC").feed, "set(int256)", 0)
    assert "WBTC" in eye.snapshot([borrower]).unreadable[0].why
    chain.send(deployer, built.token("WBTC").feed, "set(int256)", 9 * 10**12)
    chain.send(deployer, built.comet, "setFeed(uint256,address)", 1, built.token("LINK").feed)
    swapped = eye.snapshot([borrower])
    assert "not the one loaded" in swapped.unreadable[0].why


def test_factors__cut_by_governance__show_in_the_next_block(
    chain: Chain, built: CometMarket, borrower: str
) -> None:
    eye = reader(chain, built)
    before = eye.position(borrower)
    chain.send(
        chain.accounts[0],
        built.comet,
        "setFactors(uint256,uint64,uint64,uint64)",
        0,
        0,
        8 * 10**17,
        9 * 10**17,
    )
    after = eye.position(borrower)
    assert (after.health_wad or 0) < (before.health_wad or 0)


def test_steps__paused_or_full__are_refused_with_a_reason(
    chain: Chain, built: CometMarket, borrower: str
) -> None:
    eye = reader(chain, built)
    token = {t.symbol: t for t in eye.venue.tokens}
    top_up = Supply(amount=Amount(token=token["WETH"], units=10**18))
    pay = Repay(amount=Amount(token=token["USDC"], units=10**6))

    def refusals() -> list[str]:
        shot = eye.snapshot([borrower])
        answers = [eye.venue.can(s, shot.positions[0], shot.means) for s in (top_up, pay)]
        return [a.code if a else "" for a in answers]

    deployer = chain.accounts[0]
    assert refusals() == ["", ""]
    chain.send(deployer, built.comet, "setCap(uint256,uint128)", 0, 10 * 10**18)
    assert refusals() == ["supply_cap", ""]
    chain.send(deployer, built.comet, "setPauseFlags(uint8)", 1)
    assert refusals() == ["reserve_paused", "reserve_paused"]


def test_allow__granted_to_the_executor__lets_only_it_withdraw(
    chain: Chain, built: CometMarket, borrower: str
) -> None:
    from keeper.venues.compound_v3 import CompoundV3, encode

    eye = reader(chain, built)
    assert isinstance(eye.venue, CompoundV3)
    executor, stranger = chain.accounts[5], chain.accounts[6]
    call = encode.allow(eye.venue.market, executor, True)
    chain.send(borrower, call.target, call.data)
    logs = eye.venue.permission_logs(borrower)
    asked = {"address": logs.target, "topics": list(logs.topics), "fromBlock": "0x0"}
    assert eye.venue.permitted(chain.rpc("eth_getLogs", asked)) == (executor,)
    arguments = (borrower, executor, built.token("WETH").address, 10**17)
    with pytest.raises(Reverted, match="Unauthorized"):
        chain.send(stranger, built.comet, "withdrawFrom(address,address,address,uint256)", *arguments)
    chain.send(executor, built.comet, "withdrawFrom(address,address,address,uint256)", *arguments)
    back = encode.allow(eye.venue.market, executor, False)
    chain.send(borrower, back.target, back.data)
    assert eye.venue.permitted(chain.rpc("eth_getLogs", asked)) == ()
    with pytest.raises(Reverted, match="Unauthorized"):
        chain.send(executor, built.comet, "withdrawFrom(address,address,address,uint256)", *arguments)


def test_load__wrong_addresses_and_feeds__name_what_is_wrong(chain: Chain, built: CometMarket) -> None:
    deployer = chain.accounts[0]
    for provider, words in (
        ("0x" + "11" * 20, "no contract"),
        (built.base.address, "not a Compound v3 market"),
    ):
        with pytest.raises(ConfigError, match=words):
            VenueReader(chain, replace(settings(built), provider=provider), built.multicall)
    odd = chain.deploy(own_artifact("PriceFeed"), 18, 10**18, "WETH / USD")
    chain.send(deployer, built.comet, "setFeed(uint256,address)", 0, odd)
    with pytest.raises(ConfigError, match="has 18 decimals, the market counts in 8"):
        reader(chain, built)
    chain.send(deployer, built.comet, "setFeed(uint256,address)", 0, "0x" + "00" * 20)
    with pytest.raises(ConfigError, match="price feed of WETH is the zero address"):
        reader(chain, built)
