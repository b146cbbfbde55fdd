"""A Safe as owner with the real daemon: what `keeper grant --safe` writes is signed, and the night is survived."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from anvil.client import Reverted
from anvil.deploy_executor import ChainVenues
from anvil.scenario import load_scenario
from anvil.stage import Stage, stage
from keeper.cli import owner_grant
from keeper.cli.owner_grant import Asked, Wanted
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
        _renewed(there, safe)


def _renewed(there: Owned, safe: str) -> None:
    """After the first hour the same batch is refused, and taken a day after it was announced: to the byte."""
    on, executor = there.on, there.executor
    on.chain.rpc("evm_setAutomine", True)
    _later(there, 3_700)
    guardian = executor.guardian
    asked = Asked(
        label=there.label,
        amounts={"WETH": "9"},
        reserve={"USDC": "2500"},
        share_bps=5_000,
        others={executor.stranger: 2_500},
        guardian=guardian,
        until_s=executor.now_s() + 200 * 86_400,
    )
    before = wanted(on, asked)
    loose = [s.signs for s in before.refused]
    assert len(loose) == 4, loose  # two caps, and both bots; terms of the same bounds are no looser
    assert "--announce --until" in before.notes[0]
    with pytest.raises(Reverted):
        executor.chain.send(safe, before.refused[0].call.target, before.refused[0].call.data)

    first = wanted(on, replace(asked, announce=True))
    assert [s.call.data[4:].hex() for s in first.signings] == [s.announcement[2:] for s in before.refused]
    for signing in first.signings:
        executor.chain.send(safe, signing.call.target, signing.call.data)
    waits = wanted(on, asked)
    assert len(waits.refused) == 4
    assert "taken from" in waits.notes[0]
    _later(there, 86_400)
    after = wanted(on, asked)
    assert (after.refused, after.notes) == ((), ())
    assert [s.call for s in after.signings] == [s.call for s in before.signings]
    for signing in after.signings:
        executor.chain.send(safe, signing.call.target, signing.call.data)
    assert executor.chain.call(executor.executor, "guardian()(address)") == guardian
    for bot, share in ((executor.bot, 5_000), (executor.stranger, 2_500)):
        told = executor.chain.call(executor.executor, "botOf(address)((uint16,uint40))", bot)
        assert told == (share, asked.until_s)
    usdc = executor.token("USDC")
    granted = executor.chain.call(usdc, "allowance(address,address)(uint256)", safe, executor.executor)
    assert granted == 2_500 * 10**6


def _later(there: Owned, seconds: int) -> None:
    there.on.chain.rpc("evm_setNextBlockTimestamp", there.executor.now_s() + seconds)
    there.on.chain.rpc("evm_mine")


def wanted(on: Stage, asked: Asked) -> Wanted:
    """As ``keeper grant --executor``."""
    return asyncio.run(owner_grant.wanted(load(on.config), asked))
