"""A Safe as owner with the real daemon: what `keeper grant --safe` writes is signed, and the night is survived."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from anvil.deploy_executor import ChainVenues
from anvil.scenario import load_scenario
from anvil.stage import stage
from keeper.config import load
from tests.anvil_daemon import keeper, night
from tests.executor_daemon import WAD, Owned, changed, configured
from tests.executor_stage import ExecutorStage
from tests.safe_owner import SafeChain, deploy_safe

pytestmark = pytest.mark.anvil


def test_safe__grants_from_the_builders_file__daemon_reaches_target_in_one_transaction(
    tmp_path: Path,
) -> None:
    scenario = load_scenario("crash")
    scenario = replace(scenario, keeper=replace(scenario.keeper, tokens={}))
    with stage(scenario, tmp_path, mode="live") as on:
        pair, signer = on.pairs[0], on.market.roles.actors[-3]
        safe = deploy_safe(on.chain, signer)
        venues = ChainVenues(aave_v3_pool=on.market.pool, uniswap_v3_factory=on.market.uniswap.factory)
        executor = ExecutorStage(SafeChain(on.chain, safe, signer), on.market, owner=safe, venues=venues)
        executor.bot = load(on.config).wallet.address or ""
        executor.guardian, executor.stranger = on.market.roles.actors[-2:]
        executor.open(pair.borrower.collateral, pair.borrower.debt)
        changed(on.config, {pair.guarded: safe})
        configured(on, pair.label, executor.executor, ())
        on = replace(on, pairs=(replace(pair, guarded=safe), *on.pairs[1:]))
        there = Owned(on=on, executor=executor, label=pair.label)

        written = keeper(on, "grant", "--executor", pair.label, "--amount", "WETH=8", "--safe")
        file = json.loads(written.stdout)
        assert file["meta"]["createdFromSafeAddress"] == safe
        for call in file["transactions"]:
            executor.chain.send(safe, call["to"], bytes.fromhex(call["data"][2:]))

        executor.trade_to("WETH", "USDC", 500, on.scenario.prices_usd8(-1)["WETH"] / 10**8 * 0.8)
        there.arm()
        with night(on) as told:
            nonce = told.nonce
            told.falls(WETH=0.8, wstETH=0.8)
            told.block()
            told.block()
            assert told.rescues(pair.label) == 1, told.guard.tail()
            assert (told.nonce, executor.seq()) == (nonce + 1, 1)
            assert 1.25 * WAD <= told.health(pair.label) <= 1.40 * WAD
            assert executor.leftovers() == {}
            assert on.actors.balance("USDC", safe) == 0
