"""What capacity promises by day the daemon reaches once the fall is really there, and not where it said no."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from anvil.abi import encode_call
from keeper.capacity import Reach
from keeper.cli.capacity import day_spent, measured
from keeper.config import load
from tests.anvil_daemon import night, until
from tests.executor_daemon import WAD, Owned, changed, owned, terms

pytestmark = pytest.mark.anvil
PARTIAL = 5 * WAD
TOLERANCE_WAD = 2 * WAD // 100
"""docs/capacity.md: of a partial sale, the owner's slippage stays unused."""


def promised(there: Owned) -> dict[str, Reach]:
    """By stress, as ``keeper capacity LABEL`` has it."""
    settings = load(there.on.config)
    rows, unread = asyncio.run(measured(settings, there.label, day_spent(settings) or {}))
    assert not unread
    return {r.stress: r for _, r in rows}


def test_capacity__when_the_falls_come__then_the_daemon_reaches_what_was_promised_and_no_more(
    tmp_path: Path,
) -> None:
    with owned(tmp_path) as there:
        on, executor, label = there.on, there.executor, there.label
        # the fall of this test comes without the storm's price of gas
        changed(on.config, {"native_token =": "storm_gwei = 20\nnative_token ="})
        executor.configure(terms(executor))
        executor.grant("WETH", 8 * WAD)
        enough = promised(there)
        executor.grant("WETH", PARTIAL)
        partial = promised(there)["-35 %"]
        executor.grant("WETH", WAD // 2)
        little = promised(there)["-20 %"]

        assert not enough["-20 %"].short
        assert not enough["-35 %"].short
        assert (partial.binding, little.binding) == (("grant",), ("grant",))
        assert partial.before_wad < WAD < partial.reached_wad < partial.needs_wad
        assert little.reached_wad == little.before_wad < little.needs_wad

        price = on.scenario.prices_usd8(-1)["WETH"] / 10**8
        executor.trade_to("WETH", "USDC", 500, price * 0.65)
        there.arm()
        with night(on) as told:
            told.falls(WETH=0.8, wstETH=0.8)
            told.block()
            assert abs(told.health(label) - little.reached_wad) < TOLERANCE_WAD
            assert told.rescues(label) == 0
            until(lambda: bool(told.alarms(label, "capacity")))

            _granted(there, PARTIAL)
            told.falls(WETH=0.65, wstETH=0.65)
            for _ in range(3):
                told.block()
            assert told.rescues(label) == 1, told.guard.tail()
            assert abs(told.health(label) - partial.reached_wad) < TOLERANCE_WAD

            _granted(there, 8 * WAD - PARTIAL)
            for _ in range(3):
                told.block()
            assert told.health(label) >= enough["-35 %"].reached_wad - TOLERANCE_WAD, told.guard.tail()


def _granted(there: Owned, units: int) -> None:
    """The owner's allowance, in the next block."""
    a_weth = there.on.market.token("WETH").a_token
    data = encode_call("approve(address,uint256)", there.executor.executor, units)
    there.on.chain.submit(there.executor.owner, a_weth, data)
