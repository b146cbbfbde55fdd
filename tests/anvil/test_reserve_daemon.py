"""One night on real contracts: the hot key holds gas alone, the owner's reserve rescues, the stop-loss ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.model import Deleverage, Repay
from tests.anvil_daemon import MINED, night
from tests.executor_daemon import STRATEGIES, WAD, changed, owned, terms

pytestmark = pytest.mark.anvil
NAMED = "['repay', 'repay_from_reserve', 'deleverage', 'close_position']"


def test_night__hot_key_with_gas_only__reserve_to_target_then_stop_loss_leaves_no_debt(
    tmp_path: Path,
) -> None:
    with owned(tmp_path) as there:
        on, executor, label = there.on, there.executor, there.label
        plain = f"[policies.plain]\nstrategies = {STRATEGIES}"
        start = on.scenario.prices_usd8(-1)["WETH"] / 10**8
        close = f"[policies.plain]\nstrategies = {NAMED}\nclose_prices = {{ WETH = '{start * 0.72:.2f}' }}"
        changed(on.config, {plain: close})
        executor.configure(terms(executor))
        executor.grant("WETH", 10 * WAD)
        on.actors.mint("USDC", executor.executor, 6_000 * 10**6)
        executor.trade_to("WETH", "USDC", 500, start * 0.8)
        there.arm()
        with night(on) as told:
            told.falls(WETH=0.8, wstETH=0.8)
            told.block()
            told.block()
            assert told.rescues(label) == 1, told.guard.tail()
            first = next(i.plan.steps[0] for i in told.intents(label) if i.state in MINED)
            assert isinstance(first, Repay)
            assert first.through is not None, "paid by the Executor, not by the key"
            assert told.health(label) >= 1.25 * WAD
            assert executor.seq() == 1
            assert on.actors.balance("USDC", told.settings.wallet.address or "") == 0
            told.falls(WETH=0.71, wstETH=0.71)
            for _ in range(4):
                told.block()
            steps = [i.plan.steps[0] for i in told.intents(label) if i.state in MINED]
            assert isinstance(steps[-1], Deleverage), told.guard.tail()
            assert on.actors.holdings(told.account(label))[1].get("USDC", 0) == 0, "no debt is left"
            assert on.actors.holdings(told.account(label))[0]["WETH"] > WAD, "and what remains is the owner's"
            assert "STOP-LOSS, WETH at" in told.intents(label)[-1].plan.why
