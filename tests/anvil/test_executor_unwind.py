"""What strategies propose, carried out by the bot: a loop in steps where nobody lends, a close to debt at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from anvil import deploy_uniswap_v3 as uniswap
from anvil.deploy_uniswap_v3 import PoolSettings
from anvil.shock import set_prices
from keeper.config import load
from keeper.daemon.wiring import opened
from keeper.model import Deleverage, Policy, Proposal, Refusal, Source
from keeper.plan import Case, compile_plan
from keeper.units import UINT256_MAX, wad_from
from strategies.close_position import ClosePosition
from strategies.deleverage import Deleverage as Sell
from strategies.unwind import STEPS_MAX
from tests import build
from tests.bench.figures import record
from tests.executor_daemon import WAD, Owned, owned, terms

pytestmark = pytest.mark.anvil
WIDE = build.limits(action=10**7, day=10**7, gas=10**6, gas_emergency=10**6)


def pool_of(there: Owned, first: str, second: str, percent: int = 100) -> None:
    """A pool that the market did not have, at the feeds' prices (of the first so many per cent), as deep as all."""
    market, prices = there.on.market, dict(there.on.scenario.prices_usd8(-1))
    prices[first] = prices[first] * percent // 100
    wanted = PoolSettings(symbols=(first, second), fee=500, side_usd=30_000_000)
    around = ({t.symbol: t for t in market.tokens}, prices)
    uniswap._open(there.on.chain, market.uniswap.factory, wanted, *around)
    for symbol in wanted.symbols:
        there.on.chain.send(
            there.on.chain.accounts[0],
            market.token(symbol).address,
            "approve(address,uint256)",
            market.uniswap.position_manager,
            UINT256_MAX,
        )
    uniswap._fill(there.on.chain, market.uniswap.position_manager, wanted, *around)


def acted(
    there: Owned, strategy: Sell | ClosePosition, policy: Policy
) -> tuple[Deleverage, int, str] | Refusal:
    """The strategy's step, judged by the guard and sent by the bot: (it, gas used, why); or the first no."""

    async def proposed() -> Proposal | Refusal:
        settings = load(there.on.config)
        async with opened(settings, settings.chains[0]) as site:
            guarded = next(g for g in site.guarded if g.label == there.label)
            snapshot, venue = (await site.view()).snapshot, site.venues[guarded.venue_id]
            position = snapshot.position(guarded.id)
            assert position is not None
            block, outlook = snapshot.block, build.outlook(position)
            answer = strategy.propose(position, outlook, policy, snapshot.means, venue, block)
            if isinstance(answer, Refusal):
                return answer
            case = Case(position=position, venue=venue, policy=policy, snapshot=snapshot, seq=1)
            plan = compile_plan(answer, case)
            assert not isinstance(plan, Refusal), plan
            calls.append((plan.call.target, plan.call.data, plan.bounds.gas_limit))
            return answer

    calls: list[tuple[str, bytes, int]] = []
    answer = asyncio.run(proposed())
    if isinstance(answer, Refusal):
        return answer
    (target, data, gas), (step,) = calls[0], answer.steps
    assert isinstance(step, Deleverage)
    there.on.chain.rpc("anvil_impersonateAccount", there.executor.bot)
    there.on.chain.rpc("anvil_setBalance", there.executor.bot, hex(10**6 * WAD))
    receipt = there.on.chain.send(there.executor.bot, target, data, gas=gas)
    return step, int(receipt["gasUsed"], 16), answer.why


def falls_to(there: Owned, health: float) -> None:
    """The loop's collateral loses so much that the position stands there."""
    market = there.on.market
    prices = there.on.chain.call(
        market.oracle, "getAssetPrice(address)(uint256)", there.executor.token("wstETH")
    )
    set_prices(there.on.chain, market, {"wstETH": int(prices * health * WAD / there.executor.health())})


def test_loop__nobody_lends__is_unwound_in_steps_and_in_an_emergency_over_several_transactions(
    tmp_path: Path,
) -> None:
    with owned(tmp_path, pair=2, via=("USDC",)) as there:
        on, executor = there.on, there.executor
        # where the feed will be, or nearly
        pool_of(there, "wstETH", "USDC", 96)
        line = {"trigger": 1030, "target": 1040, "max": 1140, "emergency": 1008}
        loop = terms(executor, hysteresis=5 * WAD // 1000, cooldown_blocks=1, flash_fee_bps=0, slippage_bps=200,
                     **{k: v * WAD // 1000 for k, v in line.items()})  # fmt: skip
        executor.configure(loop, collateral="wstETH", debt="WETH")
        executor.by_owner("setRouter(address,bool)", on.market.uniswap.router, True)
        executor.grant("wstETH", 10**6 * WAD)
        start = on.scenario.prices_usd8(-1)
        # the pool of the pair is pushed to where nothing may be sold; no loan is as cheap as the owner wants it
        executor.trade_to("wstETH", "WETH", 500, start["wstETH"] / start["WETH"] * 0.8)
        policy = build.policy(warn="1.045", trigger="1.03", target="1.04", emergency="1.008", max_health="1.14",
                              hysteresis="0.005", caps=WIDE, strategies=("deleverage",))  # fmt: skip

        before = on.chain.snapshot()
        falls_to(there, 1.0115)
        done = acted(there, Sell(), policy)
        assert not isinstance(done, Refusal), done
        step, gas, why = done
        assert step.source is Source.STEPWISE
        assert 12 < len(step.sells) <= STEPS_MAX
        assert f"{len(step.sells)} steps" in why
        assert 1.04 * WAD <= executor.health() <= 1.14 * WAD
        assert executor.leftovers() == {}
        print(f"stepwise_gas {gas} for {len(step.sells)} steps")
        record("stepwise_gas_per_step", gas // len(step.sells), unit="gas", bound="<= 600000",
               holds=gas // len(step.sells) <= 600_000, evidence="real_bytecode", n=len(step.sells))  # fmt: skip

        on.chain.revert(before)
        falls_to(there, 1.0045)
        counts, whys = [], []
        while executor.health() < 104 * WAD // 100 and len(counts) < 4:
            done = acted(there, Sell(), policy)
            assert not isinstance(done, Refusal), done
            counts.append(len(done[0].sells))
            whys.append(done[2])
            on.chain.mine()
        assert executor.health() >= 104 * WAD // 100
        assert counts[0] == STEPS_MAX
        assert len(counts) > 1
        assert "PARTIAL" in whys[0]
        assert "of them fit into a transaction" in whys[0]


def test_close_to_debt__at_its_level__sells_all_and_leaves_the_rest_to_the_owner(tmp_path: Path) -> None:
    with owned(tmp_path, via=("DAI",)) as there:
        on, executor = there.on, there.executor
        pool_of(there, "WETH", "DAI", 80)
        executor.configure(terms(executor))
        executor.by_owner("setRouter(address,bool)", on.market.uniswap.router, True)
        executor.grant("WETH", 10**6 * WAD)
        start = on.scenario.prices_usd8(-1)["WETH"]
        set_prices(on.chain, on.market, {"WETH": start * 80 // 100})
        executor.trade_to("WETH", "USDC", 500, start / 10**8 * 0.8)
        plain = build.policy(trigger="1.20", target="1.25", max_health="1.40", caps=WIDE)
        policy = replace(
            plain, close_at_wad=wad_from("1.19"), close_to="debt", strategies=("close_position",)
        )
        assert executor.health() < policy.close_at_wad
        worth = on.actors.account(executor.owner)
        done = acted(there, ClosePosition(), policy)
        assert not isinstance(done, Refusal), done
        step, _, why = done
        assert step.sell_all
        assert step.router == on.market.uniswap.router
        assert "STOP-LOSS" in why
        held, owed = on.actors.holdings(executor.owner)
        assert owed.get("USDC", 0) == 0
        assert held.get("WETH", 0) <= 10**12, "what interest added since the block read"
        assert executor.leftovers() == {}
        left = (worth.collateral_base - worth.debt_base) // 10**2
        got = on.actors.balance("USDC", executor.owner)
        # what the slippage and the loan may take of the whole sale, and no more
        assert left - worth.collateral_base // 10**2 * 2 // 100 <= got <= left
