"""SIGKILL between journal and broadcast, and between broadcast and receipt: the action happens exactly once."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from anvil import shock
from anvil.demo import nonce
from anvil.guard import START_S, Guard
from anvil.scenario import load_scenario
from anvil.stage import Stage, stage
from keeper.clock import SystemClock
from keeper.config import load
from keeper.granting import grant
from keeper.journal.read import Reader
from keeper.journal.write import Journal
from keeper.model import IntentState

ROOT = Path(__file__).parents[2]
MINED = {IntentState.INCLUDED, IntentState.SETTLED, IntentState.FINAL}


@pytest.mark.anvil
@pytest.mark.parametrize("point", ["planned", "signed", "journaled", "broadcast", "sent"])
def test_kill_9__at_each_point_of_the_first_rescue__acts_exactly_once(tmp_path: Path, point: str) -> None:
    with stage(load_scenario("crash"), tmp_path, mode="live") as on:
        _armed(on)
        nonce_before = nonce(on)
        in_danger = on.pairs[0]
        debt_before = on.actors.holdings(in_danger.guarded)[1]["USDC"]
        _fall(on)
        assert _run_until_killed(on, point) == -signal.SIGKILL
        assert nonce(on) == nonce_before
        with Guard(on.config) as guard:
            guard.caught_up(on.chain.block().number, within_s=START_S)
            for _ in range(4):
                guard.caught_up(on.chain.mine().number)
        assert nonce(on) == nonce_before + 1
        debt_after = on.actors.holdings(in_danger.guarded)[1]["USDC"]
        assert on.actors.account(in_danger.guarded).health_wad >= 1.249 * 10**18
        with Reader.open(load(on.config).journal_path) as journal:
            rescues = [i for i in journal.intents() if i.plan.steps]
            done = [i for i in rescues if i.state in MINED]
        assert len(done) == 1
        repaid = done[0].plan.steps[0].amount.units
        # interest of a few blocks is the only other thing that moves the debt
        assert abs(debt_before - debt_after - repaid) < debt_before // 10**5


def _armed(on: Stage) -> None:
    settings = load(on.config)
    asyncio.run(grant(settings, {"USDC": "60000", "WETH": "20"}, True))
    with Journal.open(settings.journal_path, SystemClock()) as journal:
        journal.set_control("armed", settings.digest, "test", "to be killed")


def _fall(on: Stage) -> None:
    """ETH falls so that one position is below its trigger and none below 1."""
    on.chain.rpc("evm_setAutomine", False)
    prices = {"WETH": on.scenario.prices_usd8(-1)["WETH"] * 80 // 100}
    prices["wstETH"] = on.scenario.prices_usd8(-1)["wstETH"] * 80 // 100
    shock.set_prices(on.chain, on.market, prices, wait=False)
    on.chain.mine()


def _run_until_killed(on: Stage, point: str) -> int:
    with on.config.with_suffix(".killed.log").open("wb") as log:
        ended = subprocess.run(
            [sys.executable, "-m", "tests.anvil.kill_worker", str(on.config), point],
            stdout=log,
            stderr=log,
            timeout=600,
            cwd=ROOT,
        )
    return ended.returncode
