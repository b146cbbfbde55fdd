"""A loan on the real Aave v3.6, its hedge on GMX's double, one real daemon: the hedge goes, the loan is replanned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from anvil.client import Chain, Reverted
from anvil.deploy_gmx_v2 import allow, execute, orders_of, size_of
from anvil.gmx_keepers import executed
from anvil.node import Anvil
from anvil.stage import keystore
from keeper.config import load
from keeper.daemon.pairs import KIND
from keeper.executor.perp import DECREASE, PerpOrderCall, calldata
from keeper.notify.control import ask
from tests.bench.figures import record
from tests.executor_stage import WAD, ExecutorStage
from tests.joint_stage import PAIR, Joint, joint, joint_home
from tests.perp_node import client, own_node
from tests.perp_stage import DEAD, FOR_LONG
from tests.venue_stage import armed, running


@pytest.fixture
def node() -> Iterator[Anvil]:
    with own_node() as made:
        yield made


@pytest.fixture
def chain(node: Anvil) -> Iterator[Chain]:
    with client(node) as made:
        yield made


@pytest.fixture
def at(node: Anvil, chain: Chain) -> Joint:
    return joint(node, chain)


@pytest.mark.anvil
def test_hedge__taken_away_in_a_crash__the_loan_is_planned_anew_in_that_block(
    tmp_path: Path, node: Anvil, chain: Chain, at: Joint
) -> None:
    home = joint_home(tmp_path, node, at)
    armed(home, {"USDC": "50000"})
    with running(home) as block:
        for price in (1_900, 1_800, 1_700):
            at.moved(price)
            status = block()
        whole = asyncio.run(ask(home.settings.control_path, {"do": "status"}))
        calm = home.rescues(at.owner)
        # 1.176: below the loan's own trigger, above that of a covered loan
        low = at.health()
        at.wicked(3_000)
        gone = block()
        gone_at = chain.block().number
        block()
        after = at.health()
    assert calm == []
    assert 1.15 < low < 1.20
    assert size_of(chain, at.gmx, at.short) == DEAD
    assert home.rescues(at.owner) == ["repay"]
    assert after >= 1.34
    (planned,) = [i.plan for i in home.intents()]
    assert planned.block.number == gone_at
    rows = [e for e in home.entries(KIND) if e.block_number == gone_at]
    assert [r.data["replanned"] for r in rows] == ["repay"]
    assert "the short is gone" in rows[0].why
    assert ("hedge_lost", str(planned.key.position)) in home.alarms()
    # one view of both legs, before and after
    (joined,) = whole["joint"]
    assert {x["label"] for x in joined["legs"]} == {"loan", "hedge"}
    assert joined["worth_usd"] == pytest.approx(17_000 - 12_000 + 4_000 + 1_500, rel=0.01)
    (pair,) = status["pairs"]
    assert pair["covered"] is True
    assert gone["pairs"][0]["covered"] is False
    assert status["adl"][0]["winning"] is True
    replanned = sum(r.data["replanned"] is not None for r in rows)
    record(
        "joint_replans",
        replanned,
        unit="loans",
        bound="= 1",
        holds=replanned == 1,
        evidence="own_double",
        n=1,
    )


def owned(at: Joint, wallet: str) -> str:
    """The owner's Executor with a grant of his dollars, and nothing that he holds of them yet."""
    stage = ExecutorStage(chain=at.chain, market=at.market, owner=at.owner)
    stage.bot = wallet
    stage.guardian, stage.stranger = at.market.roles.actors[-2:]
    stage.configure(
        stage.terms(
            trigger=125 * WAD // 100,
            target=130 * WAD // 100,
            max=160 * WAD // 100,
            emergency=108 * WAD // 100,
            hysteresis=2 * WAD // 100,
            cooldown_blocks=2,
        )
    )
    usdc = at.market.token("USDC").address
    at.chain.send(at.owner, usdc, "approve(address,uint256)", stage.executor, 5_000 * 10**6)
    return stage.executor


@pytest.mark.chaos
def test_hedge__that_has_won__repays_the_loan_by_an_order_and_the_owners_executor(
    tmp_path: Path, node: Anvil, chain: Chain, at: Joint
) -> None:
    executor = owned(at, keystore(tmp_path))
    pair = PAIR.replace('trigger = "1.15"\ntarget = "1.25"\n', "take_profit = true\n")
    home = joint_home(tmp_path, node, at, strategies='["deleverage", "repay_from_reserve"]', pair=pair)
    text = home.config.read_text().replace('label = "loan"', f'label = "loan"\nexecutor = "{executor}"')
    home.config.write_text(text.replace('target = "1.35"', 'target = "1.30"'))
    home = replace(home, settings=load(home.config))
    armed(home, {})
    size = size_of(chain, at.gmx, at.short)[0]
    with running(home) as block:
        for price in (1_900, 1_750):
            at.moved(price)
            block()
        low = at.health()
        for _ in range(4):
            executed(chain, at.gmx, [at.owner])
            block()
        after = at.health()
    assert low < 1.25
    assert home.rescues(at.owner) == ["hedge_profit", "repay_from_reserve"]
    assert 0 < size_of(chain, at.gmx, at.short)[0] < size
    assert after >= 1.29
    told = next(e for e in home.entries("decision") if "for aave_v3" in e.why)
    assert "deleverage" in {r["strategy"] for r in told.data["rejected"]}  # type: ignore[attr-defined]
    assert "surprise" not in {code for code, _ in home.alarms()}


@pytest.mark.chaos
def test_hedge__closed_in_full_at_a_profit__as_by_auto_deleveraging__the_loan_is_planned_anew(
    tmp_path: Path, node: Anvil, chain: Chain, at: Joint
) -> None:
    home = joint_home(tmp_path, node, at)
    armed(home, {"USDC": "50000"})
    with running(home) as block:
        at.moved(1_700)
        block()
        # a decrease of all of it, whoever ordered it: its profit is paid out, and the position is gone
        at.closes()
        block()
        executed(chain, at.gmx, [at.owner])
        block()
        gone_at = chain.block().number
        block()
    assert size_of(chain, at.gmx, at.short) == DEAD
    (planned,) = [i.plan for i in home.intents()]
    assert (planned.strategy, planned.block.number) == ("repay", gone_at)


@pytest.mark.chaos
def test_subaccount__may_be_a_contract__as_gmx_asks_msg_sender_alone(chain: Chain, at: Joint) -> None:
    """A Multicall3 orders for the owner: no code of its own is needed to show who may."""
    caller, gmx = at.market.multicall, at.gmx
    allow(chain, gmx, at.owner, caller, 1, FOR_LONG)
    fee = 2 * 10**16
    order = PerpOrderCall(
        account=at.owner,
        market=gmx.market,
        collateral=gmx.usdc,
        long=False,
        vault=gmx.vault,
        kind=DECREASE,
        size_usd=1_000 * 10**30,
        units=0,
        trigger_price=0,
        worst_price=2_100 * 10**12,
        fee_wei=fee,
    )
    calls = [(gmx.subaccounts, False, fee, calldata(order))]
    send = "aggregate3Value((address,bool,uint256,bytes)[])"
    chain.send(chain.accounts[3], caller, send, calls, value_wei=fee)
    (key,) = orders_of(chain, gmx, at.owner)
    execute(chain, gmx, key)
    assert size_of(chain, gmx, at.short)[0] == 9_000 * 10**30
    with pytest.raises(Reverted):
        # its one action is spent
        chain.send(chain.accounts[3], caller, send, calls, value_wei=fee)
