"""The daemon brings a borrower with an empty wallet back to target, through the owner's Executor, in one transaction."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.anvil_daemon import night
from tests.executor_daemon import WAD, owned, terms

pytestmark = pytest.mark.anvil


def test_deleverage__wallet_empty_after_a_crash__daemon_reaches_target_in_one_transaction(
    tmp_path: Path,
) -> None:
    with owned(tmp_path) as there:
        on, executor = there.on, there.executor
        executor.configure(terms(executor))
        executor.grant("WETH", 8 * WAD)
        usd = on.scenario.prices_usd8(-1)["WETH"] * 80 // 100 / 10**8
        executor.trade_to("WETH", "USDC", 500, usd)
        there.arm()
        with night(on) as told:
            before = on.actors.holdings(told.account(there.label))
            nonce = told.nonce
            told.falls(WETH=0.8, wstETH=0.8)
            told.block()
            told.block()
            assert told.rescues(there.label) == 1, told.guard.tail()
            assert told.nonce == nonce + 1
            assert 1.25 * WAD <= told.health(there.label) <= 1.30 * WAD
            after = on.actors.holdings(told.account(there.label))
            assert after[0]["WETH"] < before[0]["WETH"]
            assert after[1]["USDC"] < before[1]["USDC"]
            assert executor.leftovers() == {}
            assert executor.seq() == 1
            assert on.actors.balance("USDC", executor.owner) == 0
