"""A price that a feed has not said yet, or a payload that waits, is told; it spends nothing, however bad it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.decision import Memory, Options, decide
from keeper.decision.levels import level_of
from keeper.model import Level
from keeper.oracle.ahead import Next, health_down, raised
from keeper.units import WAD
from strategies.registry import SHIPPED
from tests import build
from tests.build import USDC, WETH, amount, collateral, debt, position
from tests.fakes import LendingDouble

pytestmark = pytest.mark.scenario
VENUE = LendingDouble()
POLICY = build.policy(strategies=("repay", "add_collateral"))


@pytest.mark.parametrize("move", [0.88, 0.75, 0.40], ids=["to act", "to urgent", "past liquidation"])
def test_prediction__when_feeds_will_cross_every_line_and_the_wallet_is_full__then_watch_and_nothing_is_spent(
    move: float,
) -> None:
    held = position([collateral(WETH, "10")], [debt(USDC, "11900")])
    assert POLICY.warn_wad < (held.health_wad or 0)
    wallet = build.means([amount(USDC, "100000"), amount(WETH, "100")])
    shown = build.snapshot([held], wallet=wallet, at=build.block())
    coming = [
        Next(feed=f, source=f, move=move, why="") for f in held.row.feeds if f == held.collateral[0].feed
    ]
    assert coming
    worst = health_down(held, shown.prices, coming)
    assert worst is not None
    assert worst < POLICY.trigger_wad
    policies = {held.id: POLICY}
    foreseen = raised([build.outlook(held)], shown, policies, coming)
    assert foreseen[0].level in (Level.ACT, Level.URGENT)
    assert level_of(held, foreseen[0], POLICY) is Level.WATCH
    options = Options(venues={VENUE.id: VENUE}, strategies=SHIPPED)
    said, memory = decide(shown, foreseen, policies, Memory(), options)
    assert not [p for d in said for p in d.chosen]
    assert memory.rows()[held.id].known_level is Level.WATCH
    # the same health, once the venue says it itself, is acted on in that block
    fallen = replace(held, health_wad=POLICY.trigger_wad - 1)
    said, _ = decide(
        build.snapshot([fallen], wallet=wallet, at=build.block()),
        [build.outlook(fallen)],
        policies,
        memory,
        options,
    )
    assert [p for d in said for p in d.chosen], said
    assert POLICY.trigger_wad > WAD
