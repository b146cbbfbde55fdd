"""A Safe as owner with the real daemon: what `keeper grant --safe` writes is signed, and the night is survived."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
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
from tests.executor_daemon import WAD, Owned, changed, configured, loop_unwound_at_once
from tests.executor_stage import ExecutorStage
from tests.safe_owner import SafeChain, deploy_safe

pytestmark = pytest.mark.anvil


@contextmanager
def held_by_a_safe(folder: Path, *, pair: int, amount: str) -> Iterator[Owned]:
    """The position of that pair opened by a Safe; its Executor as the file of ``keeper grant --safe`` says, armed."""
    scenario = load_scenario("crash")
    scenario = replace(scenario, keeper=replace(scenario.keeper, tokens={}))
    with stage(scenario, folder, mode="live") as on:
        chosen, signer = on.pairs[pair], on.market.roles.actors[-3]
        safe = deploy_safe(on.chain, signer)
        venues = ChainVenues(aave_v3_pool=on.market.pool, uniswap_v3_factory=on.market.uniswap.factory)
        executor = ExecutorStage(SafeChain(on.chain, safe, signer), on.market, owner=safe, venues=venues)
        executor.bot = load(on.config).wallet.address or ""
        executor.guardian, executor.stranger = on.market.roles.actors[-2:]
        borrower = chosen.borrower
        executor.open(borrower.collateral, borrower.debt, emode=borrower.emode)
        changed(on.config, {chosen.guarded: safe})
        configured(on, chosen.label, executor.executor, ())
        pairs = tuple(replace(p, guarded=safe) if p is chosen else p for p in on.pairs)

        written = keeper(on, "grant", "--executor", chosen.label, "--amount", amount, "--safe")
        file = json.loads(written.stdout)
        assert file["meta"]["createdFromSafeAddress"] == safe
        for call in file["transactions"]:
            executor.chain.send(safe, call["to"], bytes.fromhex(call["data"][2:]))
        there = Owned(on=replace(on, pairs=pairs), executor=executor, label=chosen.label)
        there.arm()
        yield there


def test_safe__grants_from_the_builders_file__daemon_reaches_target_in_one_transaction(
    tmp_path: Path,
) -> None:
    with held_by_a_safe(tmp_path, pair=0, amount="WETH=8") as there:
        on, executor = there.on, there.executor
        executor.trade_to("WETH", "USDC", 500, on.scenario.prices_usd8(-1)["WETH"] / 10**8 * 0.7)
        with night(on) as told:
            nonce = told.nonce
            told.falls(WETH=0.7, wstETH=0.7)
            assert WAD < told.health(there.label) < 1.02 * WAD
            told.block()
            told.block()
            assert told.rescues(there.label) == 1, told.guard.tail()
            assert (told.nonce, executor.seq()) == (nonce + 1, 1)
            assert 1.25 * WAD <= told.health(there.label) <= 1.40 * WAD
            assert executor.leftovers() == {}
            assert on.actors.balance("USDC", executor.owner) == 0
        _renewed(there, executor.owner)


def test_safe__loop_in_emode_at_ninety_per_cent__daemon_unwinds_to_target_at_once(tmp_path: Path) -> None:
    with held_by_a_safe(tmp_path, pair=2, amount="wstETH=25") as there:
        loop_unwound_at_once(there)


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
