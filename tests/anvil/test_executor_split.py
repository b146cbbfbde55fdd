"""Two thin pools together sell for less than the better of them alone: measured through the real Executor."""

from __future__ import annotations

import asyncio
from dataclasses import astuple, replace

import pytest
from eth_abi.abi import encode

from anvil.client import Chain, Reverted
from anvil.deploy_executor import AAVE_V3, DELEVERAGE
from anvil.deployment import Deployment
from keeper.executor import abi, quotes
from keeper.executor.splits import shares, split
from keeper.model import Amount, Deleverage, Route, Source
from tests.anvil_reading import Reader
from tests.bench.figures import record
from tests.executor_stage import ExecutorStage
from tests.thin_pools import Depths

pytestmark = pytest.mark.anvil
WAD = 10**18
REPAY = 9_000 * WAD


def test_split__over_thin_pools__sells_less_than_the_best_single_pool(
    chain: Chain, deployment: Deployment
) -> None:
    stage, depths = ExecutorStage(chain, deployment), Depths(chain, deployment)
    stage.configure(stage.terms(slippage_bps=300), debt="DAI")
    router = deployment.uniswap.router
    stage.by_owner("setRouter(address,bool)", router, True)
    stage.open({"WETH": 10 * WAD}, {"DAI": 17_000 * WAD})
    stage.grant("WETH", 9 * WAD)
    stage.crash({"WETH": 2_060})
    pools = {}
    for fee, side in ((500, 700_000), (3_000, 500_000)):
        pools[fee] = depths.open("WETH", "DAI", fee, 2_060)
        depths.fill(pools[fee], 1_000_000 // 2, side, {"WETH": 2_060.0, "DAI": 1.0})
    ways = [_quoted(depths, fee, pool) for fee, pool in pools.items()]
    together = split(ways, router)
    assert together is not None
    single = min(ways, key=lambda w: quotes.sold_up(w, REPAY) or 2**255)
    fee_units = REPAY * 5 // 10_000 + 1  # Aave's, in debt units
    sold = {}
    for name, route in (("single", single), ("split", together)):
        step = _step(stage, route, fee_units, router)
        snapshot = chain.snapshot()
        before = stage.actors.holdings(stage.owner)[0]["WETH"]
        order = abi.order_of(step)
        chain.send(stage.bot, stage.executor, DELEVERAGE, astuple(order))
        sold[name] = before - stage.actors.holdings(stage.owner)[0]["WETH"]
        assert stage.leftovers() == {}
        chain.revert(snapshot)
        assert sold[name] <= step.sold + 10**12  # what is told is at most what is asked, interest apart
    fair = (REPAY + fee_units) // 2_060
    lost = {name: (units - fair) * 10_000 / fair for name, units in sold.items()}
    saving = lost["single"] - lost["split"]
    print(
        f"split_saving_thin_pools_bps {saving:.1f}, of {lost['single']:.1f} bps lost on the best pool alone"
    )
    record("split_saving_thin_pools_bps", round(saving, 2), unit="bps", bound="> 0", holds=saving > 0,
           evidence="real_bytecode")  # fmt: skip
    assert sold["split"] < sold["single"]
    _an_aggregator_s_calldata(stage, single, fee_units)


def _an_aggregator_s_calldata(stage: ExecutorStage, single: Route, fee_units: int) -> None:
    """Bytes that another composed: done where they pay, undone by the contract's own word where they lie."""
    units = quotes.sold_up(single, REPAY + fee_units)
    assert units is not None
    router, owner = stage.market.uniswap.router, stage.owner
    for lies, error in ((False, ""), (True, "SwapShort")):
        # a liar sells a tenth, and says that it paid for all
        data = _exact_input(stage, units // 10 if lies else units, single.fees[0])
        offer = replace(single, router=router, points=((REPAY + fee_units, units),), calldata=data, legs=())
        step = replace(_step(stage, offer, fee_units, router), shares=(), calldata=data)
        order = abi.order_of(step)
        assert order.data == (data,)
        before = stage.actors.holdings(owner)
        if lies:
            with pytest.raises(Reverted, match=error):
                stage.chain.send(stage.bot, stage.executor, DELEVERAGE, astuple(order))
            assert stage.actors.holdings(owner)[0] == before[0], "nothing moved"
            assert stage.seq() == 0
            continue
        snapshot = stage.chain.snapshot()
        stage.chain.send(stage.bot, stage.executor, DELEVERAGE, astuple(order))
        after = stage.actors.holdings(owner)
        assert before[0]["WETH"] - after[0]["WETH"] <= units + 10**12
        assert before[1]["DAI"] - after[1]["DAI"] >= REPAY - 10**15
        assert stage.leftovers() == {}
        stage.chain.revert(snapshot)


def _exact_input(stage: ExecutorStage, units: int, fee: int) -> bytes:
    weth, dai = stage.token("WETH"), stage.token("DAI")
    body = (abi.path((weth, dai), (fee,)), stage.executor, stage.now_s() + 600, units, 0)
    return abi.ROUTER_EXACT_INPUT + encode([abi.EXACT_INPUT], [body])


def _quoted(depths: Depths, fee: int, pool: str) -> Route:
    """As the desk asks the real Quoter at a block."""
    reader = Reader(depths.chain, depths.market)
    way = depths.way("WETH", "DAI", fee, pool)
    read = reader._reader(reader.block().hash)
    most = 17_340 * WAD
    found = quotes.route(
        way, most, asyncio.run(read(quotes.route_calls(way, depths.market.uniswap.quoter, most)))
    )
    assert found is not None
    return found


def _step(stage: ExecutorStage, route: Route, fee_units: int, router: str) -> Deleverage:
    bought = REPAY + fee_units
    sold = quotes.sold_up(route, bought)
    assert sold is not None
    return Deleverage(
        executor=stage.executor,
        key="0x" + bytes(stage.position).hex(),
        seq=stage.seq(),
        deadline_s=stage.now_s() + 120,
        sell_max=Amount(token=route.sell, units=sold * 1_005 // 1_000),
        sold=sold,
        repay=Amount(token=route.buy, units=REPAY),
        source=Source(AAVE_V3),
        fee_units=fee_units,
        router=router,
        fees=route.fees,
        shares=shares(route, bought),
    )
