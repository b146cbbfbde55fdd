"""The price falls again while the first attempt is stuck: the larger plan lands, under the same nonce."""

from __future__ import annotations

from pathlib import Path

import pytest

from anvil.scenario import load_scenario
from anvil.stage import stage
from tests.anvil_daemon import armed, night

pytestmark = pytest.mark.anvil


def test_replan__when_the_price_falls_again_while_stuck__then_the_larger_plan_lands_once(
    tmp_path: Path,
) -> None:
    with stage(load_scenario("crash"), tmp_path, mode="live") as on:
        armed(on)
        label = on.pairs[0].label
        with night(on) as told:
            debt_before = on.actors.holdings(told.account(label))[1]["USDC"]
            nonce_before = told.nonce
            told.falls(WETH=0.8, wstETH=0.8)
            (first,) = told.intents(label)
            # no pool keeps it: the next block comes without it, and the price falls again
            on.chain.rpc("anvil_dropAllTransactions")
            told.falls(WETH=0.77, wstETH=0.77)
            (second,) = told.intents(label)
            assert second.key == first.key
            assert second.plan.steps[0].amount.units > first.plan.steps[0].amount.units
            assert {a.nonce for a in second.attempts} == {nonce_before}
            told.block()
            told.block()
            assert told.rescues(label) == 1
            assert told.health(label) >= 1.249 * 10**18
            debt_after = on.actors.holdings(told.account(label))[1]["USDC"]
            repaid = second.plan.steps[0].amount.units
            assert abs(debt_before - debt_after - repaid) < debt_before // 10**5
            # every byte string ever signed is thrown at the chain again: none can act a second time
            nonce_after = told.nonce
            for attempt in told.intents(label)[0].attempts:
                with pytest.raises(Exception, match="nonce too low"):
                    on.chain.rpc("eth_sendRawTransaction", "0x" + attempt.raw.hex())
            told.block()
            assert told.nonce == nonce_after
            assert len(told.intents(label)) == 1
