"""GMX slots on a chain: random positions, prices and times against the engine, and what is wrong by name."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from anvil.abi import encode_call
from anvil.client import Chain, Reverted
from anvil.deploy_gmx_v2 import (
    CODE_SIZE_MAX,
    DECREASE,
    PRICES,
    STOP_LOSS,
    USD,
    ZERO,
    Asked,
    Gmx,
    allow,
    deploy_gmx_v2,
    key,
    market_moves,
    name,
    open_position,
    order,
    put,
    quoted,
)
from anvil.node import Anvil, AnvilSettings
from anvil.transport import ChainTransport
from keeper.errors import ConfigError, Rejected
from keeper.model import AddMargin, Amount, Position, ReducePerp, Step
from keeper.seams import LogFilter
from keeper.units import WAD
from keeper.venues.asking import Asking, Fact, facts
from keeper.venues.gmx_v2 import deployments, events, orders
from tests.command import typed
from tests.perp_stage import FOR_LONG, slot
from tests.venue_stage import VenueReader

pytestmark = pytest.mark.anvil

GENESIS_S = 1_750_000_000
ARBITRUM = 42161
SEED = 20_260_313
ROUNDS = 4
DAY_S = 86_400
UNAUTHORIZED = "0xa35b150b"
"""``Unauthorized(address,string)``."""
JUDGE = f"executeLiquidation(address,address,address,bool,{PRICES})"


@pytest.fixture(scope="module")
def node(anvil_binary: None) -> Iterator[Anvil]:
    # by its id the chain is one where the keeper knows where GMX stands
    settings = AnvilSettings(timestamp_s=GENESIS_S, code_size_max=CODE_SIZE_MAX, chain_id=ARBITRUM)
    with Anvil(settings) as node:
        yield node


@pytest.fixture(scope="module")
def built(node: Anvil) -> Gmx:
    chain = Chain(node.url)
    try:
        chain.rpc("anvil_setBlockTimestampInterval", 0)
        (known,) = deployments.contracts(ARBITRUM)
        places = {
            "GmxSubaccountRouterDouble": known.provider,
            "GmxOrderReaderDouble": str(known.reader),
            "GmxEventEmitterDouble": deployments.openings(known.provider, ZERO).target,
        }
        return deploy_gmx_v2(chain, places)
    finally:
        chain.close()


@pytest.fixture
def chain(node: Anvil, built: Gmx) -> Iterator[Chain]:
    client = Chain(node.url)
    snapshot = client.snapshot()
    try:
        yield client
    finally:
        client.revert(snapshot)
        client.close()


def dies(chain: Chain, at: Gmx, account: str, long: bool) -> bool:
    """Whether the engine would liquidate in this very second, without doing it."""
    data = encode_call(JUDGE, account, at.market, at.usdc, long, quoted(chain, at))
    asked = {"from": chain.accounts[2], "to": at.handler, "data": "0x" + data.hex()}
    try:
        chain.rpc("eth_call", asked, "latest")
    except Rejected as refused:
        return "revert" not in str(refused)
    return True


def test_states__random_positions_prices_and_times__equal_the_engine(chain: Chain, built: Gmx) -> None:
    rng = random.Random(SEED)
    held = []
    for i in range(10):
        size = rng.randint(1_000, 900_000)
        long = bool(i % 2)
        open_position(chain, built, chain.accounts[20 + i], long, size, int(size / rng.uniform(4, 40)) + 20)
        held.append((chain.accounts[20 + i], long))
    eyes = {long: VenueReader(chain, slot(built, long, None), built.multicall) for long in (True, False)}
    dead = wrong = 0
    for _ in range(ROUNDS):
        chain.mine(chain.block().timestamp_s + rng.randint(1, 5 * DAY_S // 6))
        market_moves(chain, built, int(2_000 * 10**8 * rng.uniform(0.88, 1.12)))
        chain.send(chain.accounts[0], built.usdc_feed, "set(int256)", 10**8)
        for account, long in held:
            position = eyes[long].position(account)
            taken = dies(chain, built, account, long)
            dead += taken
            wrong += ((position.health_wad or 0) < WAD) != taken
    assert wrong == 0
    assert 0 < dead < ROUNDS * len(held)


@pytest.mark.parametrize("long", [True, False])
def test_verdict__at_the_boundary__differs_by_one_unit_of_price(chain: Chain, built: Gmx, long: bool) -> None:
    account = chain.accounts[40]
    open_position(chain, built, account, long, 20_000, 1_500)
    eye = VenueReader(chain, slot(built, long, None), built.multicall)
    low, high = 1_500 * 10**8, 2_500 * 10**8
    while high - low > 1:
        middle = (low + high) // 2
        market_moves(chain, built, middle)
        unsafe = (eye.position(account).health_wad or 0) < WAD
        low, high = (middle, high) if unsafe == long else (low, middle)
    for price, dead in ((low, long), (high, not long)):
        market_moves(chain, built, price)
        health = eye.position(account).health_wad
        assert health is not None
        assert (health < WAD, dies(chain, built, account, long)) == (dead, dead)


def test_forms__shocked_along_the_price__never_healthier_than_the_chain(chain: Chain, built: Gmx) -> None:
    account = chain.accounts[41]
    open_position(chain, built, account, True, 50_000, 5_000)
    eye = VenueReader(chain, slot(built, True, None), built.multicall)
    row = eye.position(account).row
    for price in (2_400, 2_000, 1_900, 1_850, 1_800):
        market_moves(chain, built, price * 10**8)
        real = (eye.position(account).health_wad or 0) / WAD
        prices = (float(price), 1.0)
        by_row = (row.a0 + sum(a * p for a, p in zip(row.a, prices, strict=True))) / row.b0
        assert by_row == pytest.approx(real, rel=1e-9)


def refusal(eye: VenueReader, account: str, wallet: str, step: Step) -> str:
    shot = eye.snapshot([account], wallet=wallet)
    no = eye.venue.can(step, shot.positions[0], shot.means)
    return no.code if no else ""


def margin(eye: VenueReader, units: int = 10**8) -> AddMargin:
    return AddMargin(amount=Amount(token=eye.venue.tokens[0], units=units), fee_wei=10**16)


def test_steps__each_wrong_input__is_refused_by_name(chain: Chain, built: Gmx) -> None:
    account, wallet = chain.accounts[42], chain.accounts[43]
    open_position(chain, built, account, True, 20_000, 2_000)
    eye = VenueReader(chain, slot(built, True, wallet), built.multicall)
    good = margin(eye)
    assert refusal(eye, account, wallet, good) == "grant_missing"
    allow(chain, built, account, wallet, 0, FOR_LONG)
    assert refusal(eye, account, wallet, good) == "grant_spent"
    allow(chain, built, account, wallet, 5, FOR_LONG)
    assert refusal(eye, account, wallet, good) == ""
    assert refusal(eye, account, chain.accounts[44], good) == "not_subaccount"
    assert refusal(eye, account, wallet, replace(good, fee_wei=0)) == "fee_short"
    other = replace(good, amount=Amount(token=eye.position(account).perp.index, units=1))  # type: ignore[union-attr]
    assert refusal(eye, account, wallet, other) == "collateral_mismatch"
    assert refusal(eye, chain.accounts[45], wallet, good) == "position_closed"
    market_moves(chain, built, 1_700 * 10**8)
    assert refusal(eye, account, wallet, good) == "not_cured"
    market_moves(chain, built, 2_000 * 10**8)
    disabled = key("IS_MARKET_DISABLED", built.market)
    chain.send(chain.accounts[0], built.store, "setBool(bytes32,bool)", disabled, True)
    assert refusal(eye, account, wallet, good) == "market_disabled"
    chain.send(chain.accounts[0], built.store, "setBool(bytes32,bool)", disabled, False)
    asked = Asked(kind=4, size_usd30=1_000 * USD, units=0, long=True, acceptable=0)
    order(chain, built, account, asked)
    assert refusal(eye, account, wallet, good) == "order_pending"
    assert "pending" in eye.position(account).mode
    bare = VenueReader(chain, slot(built, True, None), built.multicall)
    assert refusal(bare, account, wallet, good) == "no_subaccount"


@pytest.mark.parametrize("increases", [True, False])
def test_fee__of_one_wei_less_than_the_gas_that_we_count__is_what_the_venue_refuses(
    chain: Chain, built: Gmx, increases: bool
) -> None:
    account, wallet, price = chain.accounts[50], chain.accounts[51], 3 * 10**9
    open_position(chain, built, account, True, 20_000, 2_000)
    allow(chain, built, account, wallet, 9, FOR_LONG)
    # the two kinds of order cost differently
    put(
        chain,
        built,
        {name("INCREASE_ORDER_GAS_LIMIT"): 3_210_987, name("DECREASE_ORDER_GAS_LIMIT"): 2_109_876},
    )
    chain.send(chain.accounts[0], built.usdc, "mint(address,uint256)", wallet, 10**9)
    chain.send(wallet, built.usdc, "approve(address,uint256)", built.router, 10**9)
    eye = VenueReader(chain, slot(built, True, wallet), built.multicall)
    held = eye.position(account)
    assert held.perp is not None
    gas = held.perp.increase_gas if increases else held.perp.decrease_gas
    fee = gas * price

    def created(fee_wei: int) -> None:
        step = margin(eye) if increases else replace(part(held, 3), worst_price=1)
        call = eye.venue.encode(replace(step, fee_wei=fee_wei), held)
        asked = {"from": wallet, "to": call.target, "data": "0x" + call.data.hex()}
        chain.rpc("eth_call", {**asked, "value": hex(call.value_wei), "gasPrice": hex(price)}, "latest")

    with pytest.raises(Rejected) as no:
        created(fee - 1)
    error = keccak(text="InsufficientExecutionFee(uint256,uint256)")[:4]
    assert f"0x{error.hex()}: {encode(['uint256'] * 2, [fee, fee - 1]).hex()}" in str(no.value)
    created(fee)


def test_prices__missing_old_or_void__position_is_unreadable_never_healthy(chain: Chain, built: Gmx) -> None:
    account = chain.accounts[46]
    open_position(chain, built, account, True, 20_000, 2_000)
    eye = VenueReader(chain, slot(built, True, None), built.multicall)
    assert eye.position(account)
    kept = chain.snapshot()
    chain.send(chain.accounts[0], built.wnt_feed, "setBroken(bool)", True)
    assert "did not answer" in eye.snapshot([account]).unreadable[0].why
    chain.revert(kept)
    kept = chain.snapshot()
    chain.send(chain.accounts[0], built.wnt_feed, "set(int256)", 0)
    assert "no price" in eye.snapshot([account]).unreadable[0].why
    chain.revert(kept)
    chain.mine(chain.block().timestamp_s + 2 * DAY_S)
    assert "heartbeat" in eye.snapshot([account]).unreadable[0].why


def test_load__wrong_addresses__name_what_is_wrong(chain: Chain, built: Gmx) -> None:
    good = slot(built, True, None)
    for made, words in (
        (replace(good, provider="0x" + "11" * 20), "no contract"),
        (replace(good, provider=built.store), "no SubaccountRouter"),
        (replace(good, provider=built.handler), "it does not say router"),
        (replace(good, reader=built.store), "no Reader"),
        (replace(good, market=f"{built.usdc}:{built.usdc}:long"), "no such market"),
        (replace(good, market=f"{built.market}:{built.router}:long"), "takes no other"),
        (replace(good, market="ETH-A"), "write MARKET"),
    ):
        with pytest.raises(ConfigError, match=words):
            VenueReader(chain, made, built.multicall)


def told(chain: Chain, eye: VenueReader, at: Gmx, account: str, found: Position) -> Mapping[str, Fact]:
    """What ``keeper verify`` sets side by side."""
    asking = Asking(ChainTransport(chain), at.multicall, chain.block())
    return {f.what: f for f in asyncio.run(facts(eye.venue, account, found, asking))}


@pytest.mark.parametrize("long", [True, False])
def test_verify__by_the_readers_own_verdict__equal_alive_and_dead_and_a_wrong_number_of_ours_shows(
    chain: Chain, built: Gmx, long: bool
) -> None:
    account = chain.accounts[53]
    open_position(chain, built, account, long, 20_000, 2_000)
    eye = VenueReader(chain, slot(built, long, None), built.multicall)
    chain.mine(chain.block().timestamp_s + DAY_S // 2)
    verdicts = []
    for price in (2_000, 1_700 if long else 2_300):
        market_moves(chain, built, price * 10**8)
        chain.send(chain.accounts[0], built.usdc_feed, "set(int256)", 10**8)
        found = eye.position(account)
        assert found.perp is not None
        assert found.perp.owed, "what is not stored yet counts, and the Reader's verdict leaves it out"
        rows = told(chain, eye, built, account, found)
        assert [f for f in rows.values() if not f.equal] == []
        verdicts.append(rows["liquidatable as stored"].venue)
        for change, what in (
            ({"minimum_factor": 10**30}, "needed, 1e-30 USD"),
            ({"remaining_usd": found.perp.remaining_usd + 1}, "remaining as stored, 1e-30 USD"),
            # an impact of ours that is wrong is in what we count and in what we add to the Reader's accruals
            (
                {"impact_usd": -1, "remaining_usd": found.perp.remaining_usd - 1},
                "remaining as stored, 1e-30 USD",
            ),
        ):
            perp = replace(found.perp, **change)  # type: ignore[arg-type]
            wrong = told(chain, eye, built, account, replace(found, perp=perp))
            assert what in [f.what for f in wrong.values() if not f.equal], change
    assert verdicts == [False, True]


@pytest.mark.parametrize("own", [False, True])
def test_after__reduced_and_topped_up__never_better_than_the_engine_makes_it(
    chain: Chain, built: Gmx, own: bool
) -> None:
    """``own``: by the owner's key, which asks the ExchangeRouter, to which nobody granted anything."""
    account = chain.accounts[47]
    wallet = account if own else chain.accounts[48]
    open_position(chain, built, account, False, 60_000, 6_000)
    chain.mine(chain.block().timestamp_s + DAY_S // 2)
    market_moves(chain, built, 2_080 * 10**8)
    asked = slot(built, False, wallet)
    if own:
        asked = replace(asked, provider=built.exchange)
    else:
        allow(chain, built, account, wallet, 9, FOR_LONG)
    chain.send(chain.accounts[0], built.usdc, "mint(address,uint256)", wallet, 10**10)
    chain.send(wallet, built.usdc, "approve(address,uint256)", built.router, 10**10)
    eye = VenueReader(chain, asked, built.multicall)
    for make in (lambda p: margin(eye, 700 * 10**6), lambda p: part(p, 3), lambda p: part(p, 1)):
        before = eye.position(account)
        step = make(before)
        promised = eye.venue.after((step,), before)
        assert refusal(eye, account, wallet, step) == ""
        call = eye.venue.encode(step, before)
        assert call.target == asked.provider
        chain.send(wallet, call.target, call.data, value_wei=call.value_wei)
        waits = eye.position(account).perp
        assert waits is not None
        assert waits.pending is not None
        with pytest.raises(Reverted, match=UNAUTHORIZED):
            # GMX takes whoever calls for the account: another's order is not his to touch
            chain.send(
                chain.accounts[3],
                built.exchange,
                "cancelOrder(bytes32)",
                bytes.fromhex(waits.pending.key[2:]),
            )
        execution = f"executeOrder(bytes32,{PRICES})"
        args = (bytes.fromhex(waits.pending.key[2:]), quoted(chain, built))
        chain.send(chain.accounts[1], built.handler, execution, *args)
        now = eye.position(account)
        assert (now.perp is None) == (promised.perp is None)
        if now.perp is not None and promised.perp is not None:
            assert (promised.health_wad or 0) <= (now.health_wad or 0)
            assert now.perp.size_usd == promised.perp.size_usd
            assert promised.perp.margin - promised.perp.owed <= now.perp.margin


def part(position: Position, share: int) -> ReducePerp:
    """A third, or all."""
    assert position.perp is not None
    size = position.perp.size_usd // share
    return ReducePerp(
        amount=Amount(token=position.perp.index, units=position.perp.tokens // share),
        size_usd=size,
        worst_price=position.perp.index_price * 103 // 100,
        fee_wei=2 * 10**16,
    )


def test_stop__rests_beside_a_position__is_no_pending_order(chain: Chain, built: Gmx) -> None:
    account = chain.accounts[49]
    open_position(chain, built, account, True, 20_000, 2_000)
    stop = Asked(
        kind=STOP_LOSS, size_usd30=20_000 * USD, units=0, long=True, acceptable=0, trigger=1_850 * 10**12
    )
    order(chain, built, account, stop)
    perp = VenueReader(chain, slot(built, True, None), built.multicall).position(account).perp
    assert perp is not None
    assert perp.pending is None
    assert perp.stop is not None
    assert perp.stop.trigger_price == 1_850 * 10**12


def test_orders__more_than_a_page__the_last_one_is_seen_and_beyond_all_pages_it_is_unknown(
    chain: Chain, built: Gmx, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = chain.accounts[52]
    open_position(chain, built, account, True, 20_000, 2_000)
    stop = Asked(kind=STOP_LOSS, size_usd30=USD, units=0, long=False, acceptable=0, trigger=1_850 * 10**12)
    for _ in range(orders.PAGE):
        order(chain, built, account, stop)
    under_way = order(chain, built, account, replace(stop, kind=DECREASE, long=True))
    eye = VenueReader(chain, slot(built, True, None), built.multicall)
    for _ in range(2):
        perp = eye.position(account).perp
        assert perp is not None
        assert perp.pending is not None
        assert perp.pending.key == "0x" + under_way.hex()
    monkeypatch.setattr(orders, "MOST", orders.PAGE + 1)
    fresh = VenueReader(chain, slot(built, True, None), built.multicall)
    assert "33 orders or more" in fresh.snapshot([account]).unreadable[0].why


def test_search__by_the_logs_an_account_left__finds_its_slots_newest_first(chain: Chain, built: Gmx) -> None:
    account = chain.accounts[50]
    assert events.slots(chain.rpc("eth_getLogs", asked(events.increases(built.emitter, account)))) == ()
    open_position(chain, built, account, True, 20_000, 2_000)
    open_position(chain, built, account, False, 10_000, 2_000)
    found = events.slots(chain.rpc("eth_getLogs", asked(events.increases(built.emitter, account))))
    assert found == tuple(f"{built.market}:{built.usdc}:{side}" for side in ("short", "long"))
    eye = VenueReader(chain, replace(slot(built, False, None), market=found[0]), built.multicall)
    assert eye.position(account).mode == "short WETH"


def test_scan__an_address_alone__both_positions_found_by_their_logs_and_judged(
    tmp_path: Path, node: Anvil, chain: Chain, built: Gmx
) -> None:
    account = chain.accounts[51]
    open_position(chain, built, account, True, 20_000, 2_000)
    open_position(chain, built, account, False, 30_000, 5_000)
    market_moves(chain, built, 1_900 * 10**8)
    eye = VenueReader(chain, slot(built, True, None), built.multicall)
    done = typed(tmp_path, "scan", account, "--rpc", node.url, "--json")
    rows = {row["perp"]["side"]: row for row in json.loads(done.stdout)["positions"]}
    assert rows["long"]["health_wad"] == str(eye.position(account).health_wad)
    assert rows["long"]["perp"]["entry_price_usd"] == "2000"
    assert rows["long"]["perp"]["pnl_usd"] == "-1000"
    assert rows["short"]["perp"]["pnl_usd"] == "1500"
    assert rows["short"]["perp"]["orders"] == []
    # nineteen times leveraged, and an ordinary day takes it: by no reading is that safe
    assert (rows["long"]["level"], done.returncode) == ("URGENT", 1)
    assert "not looked at" in done.stderr, "the other markets known there do not stand on this chain"


def asked(what: LogFilter) -> dict[str, object]:
    """As eth_getLogs takes it."""
    return {"address": what.target, "topics": list(what.topics), "fromBlock": "0x0", "toBlock": "latest"}
