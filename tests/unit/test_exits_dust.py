"""An exit by price is not switched off by dust on the other side, nor erased by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper import exits
from keeper.decision.memory import PositionMemory
from keeper.decision.standing import Beside, standing
from keeper.units import WAD
from tests import build
from tests.build import USDC, WETH

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("sent", "sides"), [("0.00001", [("WETH", -1)]), ("0.019", [("WETH", -1)]), ("0.02", []), ("1", [])]
)
def test_seen__when_a_stranger_sends_dust_of_what_is_owed__then_the_debts_exit_stands(
    sent: str, sides: list[tuple[str, int]]
) -> None:
    held = [build.collateral(USDC, "9000"), build.collateral(WETH, sent)]
    position = build.position(held, [build.debt(WETH, "2")])
    found = [(s.symbol, s.side) for s in exits.seen(position) if s.symbol == "WETH"]
    assert found == sides


def test_standing__when_a_moved_target_passes_what_the_executor_takes__then_it_stays_within() -> None:
    policy = replace(build.policy(trigger="1.25", target="1.40", max_health="1.50"), leverage_max_wad=2 * WAD)
    policy = replace(policy, leverage_target_wad=18 * WAD // 10)
    position = build.position([build.collateral(WETH, "10")], [build.debt(USDC, "13000")])
    free = standing(policy, PositionMemory(id=position.id), position, 0)
    assert free.target_wad > 150 * WAD // 100, "the band does not move it so far: the test is idle"
    held = standing(policy, PositionMemory(id=position.id), position, 0, Beside(highest_wad=150 * WAD // 100))
    assert held.target_wad == 148 * WAD // 100
    assert held.trigger_wad <= held.target_wad - held.hysteresis_wad
    assert "the Executor lets no sale pass 1.50" in held.moved[-1]
    tight = standing(
        policy, PositionMemory(id=position.id), position, 0, Beside(highest_wad=130 * WAD // 100)
    )
    assert tight.target_wad == policy.target_wad
