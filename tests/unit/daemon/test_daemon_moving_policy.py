"""A policy that moves, in the loop: what it follows is in the journal before anything else is worth a line there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.daemon.judging import Movers
from keeper.daemon.loop import ChainLoop
from keeper.model import Level
from keeper.units import WAD
from tests import build
from tests.build import USDC, WETH, collateral, debt, position, repriced
from tests.loop_double import loop

pytestmark = pytest.mark.unit
TRAIL = replace(
    build.policy(strategies=("trailing_stop",)), trail_pct=(("WETH", 15 * 10_000),), close_above_trigger=True
)


@pytest.mark.asyncio
async def test_tick__when_a_restart_falls_between_the_best_price_and_its_exit__then_it_is_remembered(
    tmp_path: Path,
) -> None:
    made = loop(tmp_path, policy=TRAIL)
    found = position([collateral(WETH, "10")], [debt(USDC, "8000")])
    for price in ("2000", "2300", "2600"):
        block = made.lay(repriced(found, {"WETH": price}))
        tick = await made.running.tick(block)
        assert {o.level for o in tick.outlooks} == {Level.SAFE}
    assert made.journal.memories()[found.id]["marks"] == [["WETH", 1, str(2600 * WAD)]]
    anew = ChainLoop(made.running.parts, made.running.venues)
    calm = await anew.tick(made.lay(repriced(found, {"WETH": "2211"})))
    assert calm.decisions == ()
    tick = await anew.tick(made.lay(repriced(found, {"WETH": "2209"})))
    (said,) = tick.decisions
    assert (said.level, [r.code for r in said.rejected]) == (Level.ACT, ["no_executor"])
    assert "trigger 1.25 -> 2.2918 to close: WETH at 2209 <= 2210" in said.why
    back = await anew.tick(made.lay(repriced(found, {"WETH": "2300"})))
    assert {o.level for o in back.outlooks} == {Level.SAFE}


def test_movers__when_a_policy_is_put_in_anothers_place__then_whether_it_moves_is_asked_anew() -> None:
    plain, id = build.policy(strategies=("repay",)), position([collateral(WETH, "10")], []).id
    movers, policies = Movers(), {id: plain}
    assert movers.among(policies) == ()
    policies[id] = TRAIL
    assert movers.among(policies) == (id,)
    policies[id] = plain
    assert movers.among(policies) == ()
