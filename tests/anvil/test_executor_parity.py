"""The rules in Python and the contract on chain, over generated states: the same yes, or the same no."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import astuple, replace
from typing import Any

import pytest
from eth_abi.abi import encode

from anvil.client import Chain, Reverted
from anvil.deploy_executor import TERMS
from anvil.deployment import Deployment
from keeper.errors import Rejected
from keeper.executor import abi, read, rules
from keeper.executor.errors import Fault, fault_from
from keeper.executor.read import Listed, Post
from keeper.executor.rules import Deal, Moment
from keeper.model import Mandate, PositionId, Side, Token
from keeper.words import Words
from tests.executor_stage import WAD, ExecutorStage

pytestmark = pytest.mark.anvil
STATES = 200
SEED = 11
USDC = 10**6
ORDER_FIELDS = abi.Order.__slots__


class World:
    """One borrower in need on the real market, asked the same question twice: of the contract, and of the rules."""

    def __init__(self, chain: Chain, market: Deployment) -> None:
        self.chain, self.market = chain, market
        self.stage = stage = ExecutorStage(chain, market)
        stage.configure(stage.terms(cooldown_blocks=1))
        stage.open({"WETH": 10 * WAD}, {"USDC": 17_000 * USDC})
        stage.grant("WETH", 8 * WAD)
        stage.crash({"WETH": 2_200})
        tokens = {
            s: Token(chain_id=market.chain_id, address=market.token(s).address, symbol=s, decimals=d)
            for s, d in (("WETH", 18), ("USDC", 6))
        }
        self.post = Post(
            id=PositionId(venue="aave_v3", chain_id=market.chain_id, account=stage.owner, key="x"),
            executor=stage.executor,
            owner=stage.owner,
            key="0x" + stage.position.hex(),
            bot=stage.bot,
            multicall=market.multicall,
            listed=(
                Listed(token=tokens["WETH"], side=Side.COLLATERAL, receipt=market.token("WETH").a_token),
                Listed(token=tokens["USDC"], side=Side.DEBT, receipt=market.token("USDC").debt_token),
            ),
            routers=(market.uniswap.router,),
        )

    def mandate(self) -> Mandate:
        """As the daemon reads it."""
        asked = [({"to": c.target, "data": "0x" + c.data.hex()}, "latest") for c in read.calls(self.post)]
        raw = self.chain.batch(("eth_call", list(a)) for a in asked)
        rows = [(True, bytes.fromhex(r[2:])) for r in raw]
        found = read.mandate(
            self.post, self.chain.block(), Words([encode(["(bool,bytes)[]"], [rows])], [len(rows)])
        )
        assert found is not None
        return found

    def order(self, repay: int, sell_max: int) -> abi.Order:
        """A sale through the direct pool."""
        return abi.Order(
            position=self.stage.position,
            seq=self.stage.seq(),
            deadline_s=self.stage.now_s() + 600,
            collateral=self.stage.token("WETH"),
            debt=self.stage.token("USDC"),
            repay=repay,
            sell_max=sell_max,
            source=1,
            source_token=abi.ZERO,
            source_fee=0,
            router=abi.ZERO,
            swap_fee=500,
            sells=(),
            data=(),
        )

    def contract(self, order: abi.Order) -> Fault | None:
        """What the Executor says at the newest block."""
        body = tuple(getattr(order, name) for name in ORDER_FIELDS)
        data = "0x" + (abi.DELEVERAGE + encode([abi.ORDER], [body])).hex()
        call = {"from": self.stage.bot, "to": self.stage.executor, "data": data, "gas": hex(5_000_000)}
        try:
            self.chain.rpc("eth_call", call, "latest")
        except Rejected as refused:
            data = refused.data or "0x"
        else:
            return None
        fault = fault_from(bytes.fromhex(data[2:]))
        assert fault is not None, data
        return fault

    def deal(self, order: abi.Order) -> Deal:
        """What pool, oracle and protocol answer to the order."""
        stage, market = self.stage, self.market
        prices = [
            self.chain.call(market.oracle, "getAssetPrice(address)(uint256)", stage.token(s))
            for s in ("WETH", "USDC")
        ]
        owed = stage.actors.holdings(stage.owner)[1]["USDC"]
        amount = owed if order.repay == abi.ALL else order.repay
        try:
            quote = self.chain.call(
                market.uniswap.quoter,
                "quoteExactOutputSingle((address,address,uint256,uint24,uint160))(uint256,uint160,uint32,uint256)",
                (stage.token("WETH"), stage.token("USDC"), amount, 500, 0),
            )
            sold = int(quote[0])
        except Reverted:
            sold = 0
        return Deal(
            owed=owed, price_collateral=prices[0], price_debt=prices[1], swap_there=True, lender_there=True, fee=0,
            bought=amount, sold=sold, health_after_wad=self.after(order),
        )  # fmt: skip

    def after(self, order: abi.Order) -> int:
        """Health that the sale would leave, had the owner allowed everything; 0 where it cannot be done at all."""
        stage, before = self.stage, self.chain.snapshot()
        try:
            stage.by_owner("unpause()")
            stage.configure(
                stage.terms(cooldown_blocks=1, emergency=124 * WAD // 100, max=2**63, slippage_bps=300)
            )
            stage.grant("WETH", 2**255)
            free = replace(order, seq=stage.seq(), deadline_s=2**40, sell_max=2**100)
            body = tuple(getattr(free, name) for name in ORDER_FIELDS)
            self.chain.send(stage.bot, stage.executor, abi.DELEVERAGE + encode([abi.ORDER], [body]))
            return stage.health()
        except Reverted:
            return 0
        finally:
            self.chain.revert(before)


def changed(world: World, order: abi.Order, dice: random.Random, after: int) -> abi.Order:
    """One thing of state or order as a generator likes it."""
    stage, now = world.stage, world.stage.now_s()
    near = dice.choice([0.9, 0.97, 0.99, 1.01])
    on_chain: dict[str, Any] = {
        "trigger": lambda: _terms(stage, emergency=101, trigger=dice.choice([104, 110, 124]), target=140),
        "target": lambda: _terms(stage, target_wad=int(max(after, 127 * WAD // 100) * near), max_wad=2**63),
        "max": lambda: _terms(stage, target_wad=127 * WAD // 100, max_wad=max(int(after * near), 130 * WAD // 100)),
        "emergency": lambda: _terms(stage, emergency=124, target=150, max_wad=2**63),
        "slippage": lambda: stage.by_owner(*_position(stage, slippage_bps=dice.choice([1, 20, 300]))),
        "pause": lambda: stage.by_owner("pause()"),
        "remove": lambda: stage.by_owner("removePosition(bytes32)", stage.position),
        "bot": lambda: _bot(stage, dice.choice([0, 5_000]), 2**40 - 1),
        "term": lambda: _bot(stage, 10_000, now + dice.choice([1, 10**6])),
        "cap": lambda: _cap(stage, int(order.sell_max * near)),
        "asset": lambda: stage.by_owner("removeAsset(bytes32,address,uint8)", stage.position, order.debt, 1),
        "grant": lambda: stage.grant("WETH", int(order.sell_max * near)),
        "pool": lambda: stage.trade_to("WETH", "USDC", 500, 2_200 * dice.choice([0.98, 0.995, 1.01])),
    }  # fmt: skip
    in_order: dict[str, Any] = {
        "seq": {"seq": order.seq + dice.choice([-1, 1]) if order.seq else 1},
        "deadline": {"deadline_s": now + dice.choice([-1, 100])},
        "sell_max": {"sell_max": int(order.sell_max * near)},
        "nothing": {"sell_max": 0},
        "repay": {"repay": dice.choice([0, 2**112, 17_001 * USDC])},
        "router": {"router": world.market.uniswap.router},
        "source": {"source": 0},
        "data": {"data": (b"1",)},
        "other": {"debt": order.collateral},
        "unlisted": {"collateral": stage.token("DAI")},
    }
    money = ("target", "max", "emergency", "slippage", "cap", "grant", "pool", "sell_max")
    name = dice.choice([*on_chain, *in_order, *money * 3])
    if name in on_chain:
        on_chain[name]()
        return order
    return replace(order, **in_order[name])


def _position(stage: ExecutorStage, **changes: int) -> tuple[Any, ...]:
    return f"setPosition(bytes32,{TERMS})", stage.position, astuple(stage.terms(cooldown_blocks=1, **changes))


def _terms(stage: ExecutorStage, **changes: int) -> None:
    fields = {n.removesuffix("_wad"): v if n.endswith("_wad") else v * WAD // 100 for n, v in changes.items()}
    target = fields.get("target", 140 * WAD // 100)
    stage.by_owner(
        *_position(
            stage, **{"max": max(fields.get("max", 0), target + WAD // 50), **fields, "target": target}
        )
    )


def _bot(stage: ExecutorStage, share_bps: int, expiry_s: int) -> None:
    stage.by_owner("setBot(address,uint16,uint40)", stage.bot, share_bps, expiry_s)


def _cap(stage: ExecutorStage, cap: int) -> None:
    setter = "setAsset(bytes32,address,uint8,uint112,uint112)"
    stage.by_owner(setter, stage.position, stage.token("WETH"), 0, cap, 0)


def test_rules__over_generated_states__accept_and_refuse_as_the_contract_does(
    chain: Chain, deployment: Deployment
) -> None:
    world, dice = World(chain, deployment), random.Random(SEED)
    said: Counter[str] = Counter()
    for _ in range(STATES):
        before = chain.snapshot()
        repay = dice.randint(6_000, 16_000) * USDC
        order = world.order(repay, repay * WAD // (2_150 * USDC))
        after = world.after(order)
        for _ in range(dice.randint(0, 2)):
            try:
                order = changed(world, order, dice, after)
            except Reverted:
                continue  # a policy that the contract does not take from its owner either
        mandate, deal = world.mandate(), world.deal(order)
        at = Moment(
            block_number=mandate.block_number,
            timestamp_s=mandate.timestamp_s,
            health_wad=world.stage.health(),
        )
        ours, theirs = rules.verdict(mandate, order, at, deal), world.contract(order)
        assert (ours and ours.name) == (theirs and theirs.name), (ours, theirs, order, mandate.terms, deal)
        said[theirs.name if theirs else "accepted"] += 1
        chain.revert(before)
    print(f"executor rules: {STATES} states, {dict(said)}")
    assert said["accepted"] >= STATES // 20
    assert len(said) >= 15
