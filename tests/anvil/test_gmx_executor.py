"""GMX through the owner's Executor: a real daemon keeps a long in a crash, and what a thief of its key can do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from anvil.client import Chain, Reverted
from anvil.compile import own_artifact
from anvil.deploy_gmx_executor import PerpTerms
from anvil.deploy_gmx_v2 import EVER, PARAMS, PRICES, USD, ZERO, Gmx, deploy_gmx_v2, orders_of, size_of
from anvil.gmx_keepers import Pair, executed, moved, pair, taken
from anvil.guard import START_S, Guard
from anvil.node import Anvil
from keeper.cli import perp_grant, perp_stop, subaccount
from keeper.cli.executor import verify as executors
from keeper.config import Settings, load
from keeper.errors import ConfigError
from keeper.executor import perp, verify
from keeper.executor.perp import STOP_LOSS, PerpOrderCall
from keeper.executor.perp_bounded import NAME
from keeper.inspection import inspect
from keeper.journal.read import Reader
from tests.bench.figures import record
from tests.perp_node import client, own_node
from tests.perp_stage import DEAD, guarded_home
from tests.venue_stage import Guarded, armed

FEE_WEI = 2 * 10**16
LOW, DEEP = 1_905, 1_800
NEEDY = 1_920
"""Below the Executor's trigger, and so far from liquidation that GMX fills at 5 % less."""
REDUCE = "reduce(bytes32,uint64,uint256,uint256,uint256,uint64)"
FAR_S = 2**40


@pytest.fixture
def node() -> Iterator[Anvil]:
    with own_node() as made:
        yield made


@pytest.fixture
def chain(node: Anvil) -> Iterator[Chain]:
    with client(node) as made:
        yield made


@pytest.fixture
def at(chain: Chain) -> Gmx:
    return deploy_gmx_v2(chain)


def worth(chain: Chain, at: Gmx, owner: str, position: bytes, eth_usd: int) -> float:
    """Dollars of the owner's: wallet, and equity at the feed's price."""
    size, tokens, units = size_of(chain, at, position)
    held = int(chain.call(at.usdc, "balanceOf(address)(uint256)", owner)) + units
    return held / 10**6 + tokens * eth_usd / 10**18 - size / USD


def refused(chain: Chain, sender: str, to: str, signature: str, *values: object, value_wei: int = 0) -> str:
    """Why the contract does not take it. AssertionError where it does."""
    try:
        chain.send(sender, to, signature, *values, value_wei=value_wei)
    except Reverted as no:
        return str(no)
    raise AssertionError(f"{signature} was taken")


def sent(row: dict[str, object]) -> tuple[str, str, bytes]:
    """Sender, target and calldata of a printed call."""
    return str(row["from"]), str(row["to"]), bytes.fromhex(str(row["data"])[2:])


@pytest.mark.anvil
def test_executor__granted_by_what_the_command_prints__bounds_a_thief_of_the_key(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx
) -> None:
    made = pair(chain, at, chain.accounts[10:12], True, (20_000, 2_000))
    owner = made.guarded
    home = guarded_home(tmp_path, node, chain, at, [made], ["add_margin", "reduce_perp"])
    asked = perp_grant.Asked(
        label="long-0", actions=50, until_s=10**10, amounts={"USD": "10000", "USDC": "1000"}
    )
    # without an Executor: the key ordered nothing yet
    plain, note = asyncio.run(subaccount.wanted(home.settings, "long-0", 7, 10**10))
    assert int(str(plain[1]["data"])[-64:], 16) == 7
    assert "0 + 7 = 7 is written, so 7 may follow (100 are left" in note
    stopped_by_the_owner(home, chain, at, made)
    rows = asyncio.run(perp_grant.wanted(home.settings, asked)).rows
    assert [r["call"] for r in rows if "ubaccount" in str(r["call"])][-1] == "removeSubaccount"
    for row in rows[:-1]:
        chain.send(*sent(row))
    executor = verify.executor_address(owner, NAME, at.subaccounts)
    text = home.config.read_text().replace(f'subaccount = "{home.wallet}"', f'subaccount = "{executor}"')
    home.config.write_text(text)
    settings = load(home.config)
    # the key that the Executor stands in for may still order what it likes
    (told,) = asyncio.run(executors(settings))
    assert "removeSubaccount" in told[-1]
    assert "wallet_listed" in {f.code for f in asyncio.run(inspect(settings))}
    chain.send(*sent(rows[-1]))
    (told,) = asyncio.run(executors(settings))
    assert (told[1], told[-1]) == (executor, "as committed")
    # and the daemon finds nothing that it lacks but what a test's policy and wallet do
    found = {f.code for f in asyncio.run(inspect(settings))}
    assert not found & {
        "contract",
        "grant_missing",
        "wallet_listed",
        "grant_spent",
        "grant_expired",
        "late_trigger",
        "no_price",
    }
    again = asyncio.run(perp_grant.wanted(home.settings, asked))
    assert [r["call"] for r in again.rows][0::4] == ["setBot", "setSubaccountExpiresAt"]

    chain.learn(own_artifact(NAME))
    bot = home.wallet
    chain.rpc("anvil_impersonateAccount", bot)
    position, bound = made.keys[0], NEEDY * 10**12 * 9_500 // 10_000
    half = (position, 0, 5_000 * USD, bound, FEE_WEI, FAR_S)
    assert "NotTriggered" in refused(chain, bot, executor, REDUCE, *half, value_wei=FEE_WEI)
    chain.send(chain.accounts[0], at.wnt_feed, "set(int256)", NEEDY * 10**8)
    before = worth(chain, at, owner, position, NEEDY)
    # GMX itself: the key is nobody's subaccount
    assert "SubaccountNotAuthorized" in refused(
        chain, bot, at.subaccounts, f"createOrder(address,{PARAMS})", owner, anything(at, bot)
    )
    for code, order in {
        "PriceOutOfBound": (position, 0, 5_000 * USD, bound - 1, FEE_WEI, FAR_S),
        "SpendCap": (position, 0, 10_001 * USD, bound, FEE_WEI, FAR_S),
        "MayNotClose": (position, 0, 20_000 * USD, bound, FEE_WEI, FAR_S),
        "WrongSeq": (position, 1, 5_000 * USD, bound, FEE_WEI, FAR_S),
        "TooLittle": (position, 0, 1, bound, FEE_WEI, FAR_S),
        "PositionUnknown": (made.keys[1], 0, 5_000 * USD, bound, FEE_WEI, FAR_S),
    }.items():
        assert code in refused(chain, bot, executor, REDUCE, *order, value_wei=FEE_WEI)
    # the whole of a day's cap, filled by keepers that sign the worst price that the order takes
    # with what the impact takes besides, below which GMX cancels
    signed = bound * 1_002 // 1_000
    worst = ((signed,) * 2, (signed,) * 2, (10**24,) * 2)
    seq = closed = 0
    while closed < 10_000:
        chain.send(
            bot, executor, REDUCE, position, seq, 5_000 * USD, bound, FEE_WEI, FAR_S, value_wei=FEE_WEI
        )
        (order,) = orders_of(chain, at, owner)
        assert "OrderWaits" in refused(
            chain, bot, executor, REDUCE, position, seq + 1, *half[2:], value_wei=FEE_WEI
        )
        chain.send(chain.accounts[1], at.handler, f"executeOrder(bytes32,{PRICES})", order, worst)
        seq, closed = seq + 1, closed + 5_000
        chain.mine(chain.block().timestamp_s + 60)
    # out of need he closes nothing; and in need again the day's cap is spent
    chain.send(chain.accounts[0], at.wnt_feed, "set(int256)", 2_000 * 10**8)
    assert "NotTriggered" in refused(
        chain, bot, executor, REDUCE, position, seq, *half[2:], value_wei=FEE_WEI
    )
    chain.send(chain.accounts[0], at.wnt_feed, "set(int256)", LOW * 10**8)
    assert "SpendCap" in refused(chain, bot, executor, REDUCE, position, seq, *half[2:], value_wei=FEE_WEI)
    lost = before - worth(chain, at, owner, position, NEEDY)
    most = closed * (0.05 + 0.0006) + 1.0
    record("gmx_stolen_key_lost_usd", round(lost, 2), unit="USD", bound=f"<= {most:.2f}", holds=lost <= most,
           evidence="own_double", n=1)  # fmt: skip
    assert 0.9 * closed * 0.05 < lost <= most
    assert size_of(chain, at, position)[0] == 10_000 * USD
    renewed(home.settings, asked, chain, at)
    chain.send(owner, executor, "pause()")
    assert "IsPaused" in refused(chain, bot, executor, REDUCE, position, seq, *half[2:], value_wei=FEE_WEI)


def stopped_by_the_owner(home: Guarded, chain: Chain, at: Gmx, made: Pair) -> None:
    """What the command prints, signed by the owner: it rests where health is emergency, and is not printed again
    until it is out of place; then it is taken back first."""
    with pytest.raises(ConfigError, match="no ExchangeRouter is known beside"):
        asyncio.run(perp_stop.wanted(home.settings, "long-0"))
    text = home.config.read_text().replace(at.subaccounts, at.exchange)
    himself = home.config.with_name("himself.toml")
    himself.write_text(text)
    settings = load(himself)
    with pytest.raises(ConfigError, match="there is nothing that it grants"):
        asyncio.run(subaccount.wanted(settings, "long-0", 7, 10**10))
    # the wallet is not the account: by that router it could help nobody, and that is told beforehand
    assert "not_account" in {f.code for f in asyncio.run(inspect(settings))}
    ((row,), note) = asyncio.run(perp_stop.wanted(settings, "long-0"))
    assert "emergency 1.02" in note
    order = perp.order_from(sent(row)[2])
    assert isinstance(order, PerpOrderCall)
    assert (order.kind, order.size_usd, order.own) == (STOP_LOSS, 20_000 * USD, True)
    # above liquidation, below the trigger
    assert 1_815 * 10**12 < order.trigger_price < 1_900 * 10**12
    chain.send(*sent(row), value_wei=int(str(row["value_wei"])))
    rows, note = asyncio.run(perp_stop.wanted(settings, "long-0"))
    assert (rows, "rests on the venue already" in note) == ((), True)
    (resting,) = orders_of(chain, at, made.guarded)
    # the same key that ordered it moves it away
    key = (resting, 20_000 * USD, order.worst_price, order.trigger_price * 9 // 10, 0, 0, True)
    update = "updateOrder(bytes32,uint256,uint256,uint256,uint256,uint256,bool)"
    chain.send(made.guarded, at.exchange, update, *key)
    rows, _ = asyncio.run(perp_stop.wanted(settings, "long-0"))
    assert [r["call"] for r in rows] == ["cancelOrder", "createOrder"]
    chain.send(*sent(rows[0]))
    assert orders_of(chain, at, made.guarded) == []
    chain.send(chain.accounts[0], at.wnt_feed, "set(int256)", LOW * 10**8)
    with pytest.raises(ConfigError, match="a rescue is due"):
        asyncio.run(perp_stop.wanted(settings, "long-0"))
    chain.send(chain.accounts[0], at.wnt_feed, "set(int256)", 2_000 * 10**8)


def renewed(settings: Settings, asked: perp_grant.Asked, chain: Chain, at: Gmx) -> None:
    """Long after the hour of the deployment the owner gives a later end: announced, and a day later taken."""

    def printed(*, announce: bool = False) -> perp_grant.Wanted:
        chain.send(chain.accounts[0], at.wnt_feed, "set(int256)", LOW * 10**8)
        chain.send(chain.accounts[0], at.usdc_feed, "set(int256)", 10**8)
        longer = replace(asked, until_s=asked.until_s + 86_400, announce=announce)
        return asyncio.run(perp_grant.wanted(settings, longer))

    chain.mine(chain.block().timestamp_s + 2 * 3_600)
    early = printed()
    named = [(r["call"], r["taken"]) for r in early.rows][:2]
    assert named == [("setBot", "announce first"), ("setPosition", "announce first")]
    assert "2 of these are refused (NotAnnounced)" in early.notes[0]
    with pytest.raises(Reverted, match="NotAnnounced"):
        chain.send(*sent(early.rows[1]))
    first = printed(announce=True)
    assert [r["call"] for r in first.rows] == ["announce"] * 2
    for row in first.rows:
        chain.send(*sent(row))
    assert printed(announce=True).rows == ()
    assert {str(r["taken"])[:4] for r in printed().rows[:2]} == {"from"}
    chain.mine(chain.block().timestamp_s + 86_400)
    due = printed()
    assert {r["taken"] for r in due.rows} == {"now"}
    # what was ordered before counts on GMX for ever: so many more may follow
    used = int(due.notes[-1].split(" so far")[0].split("(")[1])
    assert used > 0
    (most,) = (int(str(r["data"])[-64:], 16) for r in due.rows if "ActionCount" in str(r["call"]))
    assert most == used + asked.actions
    for row in due.rows:
        chain.send(*sent(row))
    assert printed(announce=True).notes[0].startswith("nothing is to be announced")


def anything(at: Gmx, to: str) -> tuple[object, ...]:
    """An order that opens size, to be paid out to whoever asks."""
    addresses = (to, to, ZERO, ZERO, at.market, at.usdc, [])
    numbers = (1_000 * USD, 0, 0, EVER, 0, 0, 0, 0)
    return addresses, numbers, 2, 0, True, False, False, b"\0" * 32, []


@pytest.mark.chaos
@pytest.mark.parametrize("strategy", ["add_margin", "reduce_perp"])
def test_executor__crash__the_long_is_kept_through_it_and_its_twin_is_liquidated(
    tmp_path: Path, node: Anvil, chain: Chain, at: Gmx, strategy: str
) -> None:
    made = pair(chain, at, chain.accounts[10:12], True, (20_000, 2_000))
    home = guarded_home(tmp_path, node, chain, at, [made], [strategy], terms=PerpTerms())
    executor = home.settings.venues[0].subaccount
    assert executor == verify.executor_address(made.guarded, NAME, at.subaccounts)
    armed(home, {"USDC": "50000"})
    chain.rpc("evm_setAutomine", False)
    with Guard(home.config) as guard:
        guard.caught_up(chain.block().number, within_s=START_S)
        for price in (LOW, 1_860, 1_830, DEEP):
            moved(chain, at, price)
            for _ in range(4):
                guard.caught_up(chain.mine().number)
                executed(chain, at, [made.guarded])
            taken(chain, at, [(made.guarded, True), (made.twin, True)])
        guard.caught_up(chain.mine().number)
    chain.rpc("evm_setAutomine", True)
    assert size_of(chain, at, made.keys[1]) == DEAD
    assert size_of(chain, at, made.keys[0]) != DEAD
    done = home.rescues(made.guarded)
    assert len(done) >= 1
    assert set(done) == {strategy}
    with Reader.open(home.settings.journal_path) as journal:
        told = [str(e.data["state"]) for e in journal.entries("order", limit=1_000)]
    assert told.count("PENDING") == told.count("EXECUTED") == len(done)
    # every order was the Executor's: the wallet itself is nobody's subaccount
    sent = [a for i in home.intents() for a in i.attempts]
    assert sent
    assert {str(i.plan.call.target) for i in home.intents() if i.attempts} == {executor}
