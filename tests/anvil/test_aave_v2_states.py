"""Aave v2 on its real bytecode: our integers are the pool's own, at the boundary its verdict, and rescues do what
was projected. The 204 states of the figure are the bench's; here some of each class.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from anvil.abi import encode_call
from anvil.client import Chain, Reverted
from anvil.compile import own_artifact
from anvil.deployment import Deployment
from anvil.node import Anvil
from keeper.daemon.governing import CHANGE
from keeper.model import Amount, Position, Repay, Supply
from keeper.phrases import health_text
from keeper.seams import Seen, Venue
from keeper.units import WAD
from keeper.venues.aave_v2 import AaveV2
from keeper.venues.aave_v2.math import LINE
from keeper.venues.aave_v2.rules import liquidate
from keeper.venues.aave_v3.rules import Case, Liquidation
from tests import governing_room
from tests.aave_market import encode_answers
from tests.aave_v2_market import deploy_aave_v2, set_in_ether
from tests.aave_v2_states import (
    BORROW,
    CLASSES,
    DAY_S,
    DEPOSIT,
    PRICES,
    STABLE,
    USD8,
    VARIABLE,
    run,
    settings,
)
from tests.venue_stage import VenueReader

pytestmark = pytest.mark.anvil

SEED = 20_261_122
EACH = 2
ACCOUNT = "getUserAccountData(address)(uint256,uint256,uint256,uint256,uint256,uint256)"
CONFIGURE = "configureReserveAsCollateral(address,uint256,uint256,uint256)"
CREATE = "createPayload((address,bool,uint8,uint256,string,bytes)[])"


@pytest.fixture(scope="module")
def old(upstream: Anvil, deployment: Deployment) -> Iterator[Deployment]:
    """The v2 market in place of the newer one, for this file; each test's own changes are undone by ``chain``."""
    client = deployment.chain(upstream.url)
    snapshot = client.snapshot()
    yield deploy_aave_v2(client, deployment)
    client.revert(snapshot)
    client.close()


@pytest.fixture
def loan(chain: Chain, old: Deployment) -> VenueReader:
    """One account with collateral of two thresholds and one debt, a year old."""
    user = old.roles.actors[1]
    _open(chain, old, user, {"WETH": 10 * 10**18 + 7, "wstETH": 3 * 10**18 + 1}, 25_000 * 10**6 + 1)
    chain.mine(chain.block().timestamp_s + 365 * DAY_S)
    return VenueReader(chain, settings(old), old.multicall)


def _open(chain: Chain, market: Deployment, user: str, given: dict[str, int], owed: int) -> None:
    lender = market.roles.lender
    for symbol, units in given.items():
        token = market.token(symbol).address
        chain.send(chain.accounts[0], token, "mint(address,uint256)", lender, units)
        chain.send(lender, market.pool, DEPOSIT, token, units, user, 0)
    chain.send(user, market.pool, BORROW, market.token("USDC").address, owed, VARIABLE, 0, user)


def _purse(chain: Chain, market: Deployment, who: str, *symbols: str) -> None:
    for symbol in symbols:
        token = market.token(symbol).address
        chain.send(chain.accounts[0], token, "mint(address,uint256)", who, 10**22)
        chain.send(who, token, "approve(address,uint256)", market.pool, 2**256 - 1)


def test_states_exact__some_accounts_of_each_class__equal_the_pool_to_the_wei(
    chain: Chain, old: Deployment
) -> None:
    tally = run(chain, old, EACH, SEED, rounds=2)
    assert tally.states == EACH * len(CLASSES)
    assert not tally.wrong
    assert tally.underwater, (
        "no account was ever liquidatable: the prices do not reach the interesting states"
    )
    assert tally.fixed == 2 * EACH * 3, "debt at a stable rate stands apart, under its own name"


def test_verdict__at_the_exact_boundary_price__is_the_pools_own_on_both_sides(
    chain: Chain, old: Deployment, loan: VenueReader
) -> None:
    user, who = old.roles.actors[1], old.roles.liquidator
    usdc, weth = old.token("USDC"), old.token("WETH")
    _purse(chain, old, who, "USDC")
    chain.rpc("anvil_setBlockTimestampInterval", 0)

    def health(price: int) -> int:
        chain.send(chain.accounts[0], usdc.feed, "set(int256)", price)
        return loan.position(user).health_wad or 0

    def liquidated() -> bool:
        call = "liquidationCall(address,address,address,uint256,bool)()"
        try:
            chain.call(old.pool, call, weth.address, usdc.address, user, 10**6, False, sender=who)
        except Reverted as refused:
            # 42 is LPCM_HEALTH_FACTOR_NOT_BELOW_THRESHOLD
            if "42" not in str(refused):
                raise
            return False
        return True

    # the debt's price in ether: the dearer, the worse
    low, high = 10**18 // 3_000, 10**18 // 300
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if health(middle) >= WAD else (low, middle)
    sides = [(health(price) < WAD, liquidated()) for price in (low, high)]
    assert sides == [(False, False), (True, True)]


def test_rescue__by_top_up_and_by_repayment__does_what_was_projected(
    chain: Chain, old: Deployment, loan: VenueReader
) -> None:
    user, keeper = old.roles.actors[1], old.roles.keeper
    tokens = {t.symbol: t for t in loan.venue.tokens}
    _purse(chain, old, keeper, "WETH", "USDC")
    for step in (
        Supply(amount=Amount(token=tokens["WETH"], units=10**18)),
        Repay(amount=Amount(token=tokens["USDC"], units=5_000 * 10**6)),
        Repay(amount=Amount(token=tokens["USDC"], units=50_000 * 10**6)),
    ):
        chain.rpc("anvil_setBlockTimestampInterval", 0)
        snapshot = loan.snapshot([user], wallet=keeper)
        before = snapshot.positions[0]
        assert loan.venue.can(step, before, snapshot.means) is None
        promised = loan.venue.after([step], before)
        call = loan.venue.encode(step, before)
        receipt = chain.send(keeper, call.target, call.data, gas=loan.venue.gas(step))
        assert int(receipt["gasUsed"], 16) < loan.venue.gas(step)
        real = loan.position(user)
        assert (promised.health_wad or 0) <= (real.health_wad or 0)
        assert (real.health_wad or 0) > (before.health_wad or 0)
    assert not real.debt


def test_refusals__a_paused_pool_and_a_frozen_reserve__are_named_and_a_stable_rate_is_nobodys_step(
    chain: Chain, old: Deployment, loan: VenueReader
) -> None:
    user = old.roles.actors[1]
    tokens, me = {t.symbol: t for t in loan.venue.tokens}, chain.accounts[0]
    steps = (
        Supply(amount=Amount(token=tokens["WETH"], units=10**18)),
        Repay(amount=Amount(token=tokens["USDC"], units=10**9)),
    )

    def refusals() -> list[str]:
        snapshot = loan.snapshot([user])
        (position,) = snapshot.positions
        return [no.code if (no := loan.venue.can(s, position, snapshot.means)) else "" for s in steps]

    assert refusals() == ["", ""]
    chain.send(me, old.configurator, "freezeReserve(address)", tokens["WETH"].address)
    assert refusals() == ["reserve_frozen", ""]
    chain.send(me, old.configurator, "setPoolPause(bool)", True)
    assert refusals() == ["reserve_paused", "reserve_paused"]
    chain.send(me, old.configurator, "setPoolPause(bool)", False)
    usdc = old.token("USDC").address
    chain.send(user, old.pool, BORROW, usdc, 10**9, STABLE, 0, user)
    snapshot = loan.snapshot([user])
    fixed, variable = snapshot.positions[0].debt
    assert fixed.amount.token.symbol == "USDC (stable rate)"
    refused = loan.venue.can(Repay(amount=fixed.amount), snapshot.positions[0], snapshot.means)
    assert refused is not None
    assert (refused.who, refused.code) == ("aave_v2", "reserve_unread")
    assert variable.amount.token == tokens["USDC"]


def test_reading__whichever_call_of_the_batch_fails__the_position_is_the_same_or_unreadable(
    chain: Chain, old: Deployment, loan: VenueReader
) -> None:
    user, venue = old.roles.actors[1], loan.venue
    whole = loan.position(user)
    block = chain.block()
    seen = Seen(assets={user: frozenset(_held(whole, venue))})
    calls = venue.calls([user], seen)
    words = asyncio.run(loan.read(block)(calls))
    lost: list[int] = []
    for broken in range(len(calls)):
        answers = [None if i == broken else words.raw(i) for i in range(len(calls))]
        reading = venue.decode(block, [user], encode_answers(answers), seen, {})
        assert len(reading.positions) + len(reading.unreadable) == 1
        if reading.positions:
            assert reading.positions == (whole,)
        else:
            lost.append(broken)
    n = len(old.tokens)
    always = {0, 1, 2, 4, *range(len(calls) - 5, len(calls))}
    assert always <= set(lost)
    assert len([i for i in lost if 5 <= i < 5 + 2 * n]) == 6, (
        "data and price of each of the three reserves held"
    )
    lie = [words.raw(i) for i in range(len(calls))]
    lie[-4] = lie[-4][:-1] + bytes([lie[-4][-1] ^ 1])
    (unread,) = venue.decode(block, [user], encode_answers(lie), seen, {}).unreadable
    assert "differs from the pool's" in unread.why


def _held(position: Position, venue: Venue) -> list[int]:
    assert isinstance(venue, AaveV2)
    ids = {r.token: r.id for r in venue.market.listings}
    given = [2 * ids[h.amount.token] + 1 for h in position.collateral]
    return [*given, *(2 * ids[h.amount.token] for h in position.debt)]


def test_liquidation__half_of_the_reserves_debt__moves_what_the_rule_says(
    chain: Chain, old: Deployment, loan: VenueReader
) -> None:
    user, who = old.roles.actors[1], old.roles.liquidator
    usdc, weth = old.token("USDC"), old.token("WETH")
    _purse(chain, old, who, "USDC")
    chain.rpc("anvil_setBlockTimestampInterval", 0)
    set_in_ether(chain, old, {**PRICES, "WETH": 1_500 * USD8, "wstETH": 1_800 * USD8})
    before = loan.position(user)
    assert 0.5 < (before.health_wad or 0) / WAD < 0.95
    held = {h.amount.token.symbol: h for h in (*before.collateral, *before.debt)}
    price = "getAssetPrice(address)(uint256)"
    case = Case(
        health_wad=before.health_wad or 0,
        collateral_units=held["WETH"].amount.units,
        collateral_price=chain.call(old.oracle, price, weth.address),
        collateral_unit=weth.unit,
        debt_units=held["USDC"].amount.units,
        debt_price=chain.call(old.oracle, price, usdc.address),
        debt_unit=usdc.unit,
        total_debt_base=held["USDC"].value_base,
        bonus_bps=held["WETH"].bonus_bps,
        bonus_fee_bps=0,
        cover_units=2**200,
    )
    expected = liquidate(case)
    assert isinstance(expected, Liquidation)
    assert not isinstance(liquidate(replace(case, health_wad=WAD)), Liquidation)
    call = "liquidationCall(address,address,address,uint256,bool)"
    chain.send(who, old.pool, call, weth.address, usdc.address, user, 2**256 - 1, False)
    signature = "balanceOf(address)(uint256)"
    assert chain.call(weth.address, signature, who) == expected.seized_units
    assert 10**22 - chain.call(usdc.address, signature, who) == expected.repaid_units


def test_dollars__an_oracle_that_counts_in_them__is_read_without_another_price(
    chain: Chain, deployment: Deployment
) -> None:
    market = deploy_aave_v2(chain, deployment, dollars=True)
    user = market.roles.actors[2]
    _open(chain, market, user, {"WETH": 10**18}, 10**9)
    reader = VenueReader(chain, settings(market), market.multicall)
    position = reader.position(user)
    assert position.base_decimals == 8
    told = chain.call(market.pool, ACCOUNT, user)
    assert (position.collateral[0].value_base, position.debt[0].value_base) == told[:2]
    assert position.health_wad == told[5]
    assert LINE.name == "2"


def _queued(chain: Chain, market: Deployment, lock: str, threshold_bps: int, *, hidden: bool) -> int:
    """A cut of WETH's threshold behind the timelock, in calldata or in a payload's code; when it may land."""
    me, weth = chain.accounts[0], market.token("WETH").address
    cut = (weth, 6_000, threshold_bps, 10_500)
    target, named, data = market.configurator, "", encode_call(CONFIGURE, *cut)
    if hidden:
        target = chain.deploy(own_artifact("CutPayloadDouble"), market.configurator, *cut)
        named, data = "execute()", b""
    chain.send(me, lock, CREATE, [(target, hidden, 1, 0, named, data)])
    chain.send(me, lock, "queuePayload(uint40)", chain.call(lock, "getPayloadsCount()(uint40)") - 1)
    return chain.block().timestamp_s + 2 * DAY_S + 1


@pytest.mark.parametrize(("hidden", "how"), [(False, "calldata, and tried"), (True, "tried")])
def test_pending__when_a_vote_cuts_a_threshold__then_it_is_told_with_the_pools_own_health_after_it(
    chain: Chain, old: Deployment, loan: VenueReader, hidden: bool, how: str
) -> None:
    user, me = old.roles.actors[1], chain.accounts[0]
    lock = chain.deploy(own_artifact("PayloadsDouble"), 2 * DAY_S)
    chain.send(me, old.provider, "setPoolAdmin(address)", lock)
    around = governing_room.settings(old.chain_id, old.multicall, ("aave_payloads", lock))
    lands_s = _queued(chain, old, lock, 7_600, hidden=hidden)
    (fault,) = governing_room.said(chain, around, loan.venue, user)
    assert fault.code == CHANGE
    assert f"({how})" in fault.why
    assert "WETH liquidation threshold" in fault.why
    chain.rpc("evm_setNextBlockTimestamp", lands_s)
    chain.send(me, lock, "executePayload(uint40)", 0)
    # cut off at four decimals, as every health is said
    after = chain.call(old.pool, ACCOUNT, user)[5]
    assert f"becomes {health_text(after)};" in fault.why
    assert governing_room.said(chain, around, loan.venue, user) == []
