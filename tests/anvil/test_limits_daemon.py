"""The daemon sells what is above its owner's limit through the real Executor, where nothing else is sold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.anvil_daemon import night
from tests.executor_daemon import STRATEGIES, WAD, changed, owned, terms

pytestmark = pytest.mark.anvil


def test_exposure__ether_above_the_limit_in_calm_times__daemon_sells_down_to_it_and_says_why(
    tmp_path: Path,
) -> None:
    with owned(tmp_path) as there:
        on, executor = there.on, there.executor
        price = on.scenario.prices_usd8(-1)["WETH"] / 10**8
        held = on.actors.holdings(executor.owner)[0]["WETH"] / WAD
        limit = int(0.9 * held * price)
        lines = f"strategies = ['deleverage', 'exposure_limits']\nexposure_max_usd = {{ 'asset:WETH' = {limit} }}\n"
        lines += "reduce_above_trigger = true\nmax_health = '2.5'"
        changed(on.config, {f"[policies.plain]\nstrategies = {STRATEGIES}": f"[policies.plain]\n{lines}"})
        executor.configure(
            terms(executor, trigger=160 * WAD // 100, target=163 * WAD // 100, max=240 * WAD // 100)
        )
        executor.grant("WETH", 8 * WAD)
        there.arm()
        with night(on) as told:
            before = told.health(there.label)
            assert 1.25 * WAD < before < 1.6 * WAD
            told.block()
            told.block()
            assert told.rescues(there.label) == 1, told.guard.tail()
            left = on.actors.holdings(executor.owner)[0]["WETH"] / WAD
            assert left * price <= limit * 1.001
            assert told.health(there.label) >= 1.63 * WAD
            said = next(e for e in told.entries("decision", there.label) if e.data["chosen"])
            assert "to reduce: asset WETH" in said.why
            assert executor.leftovers() == {}
