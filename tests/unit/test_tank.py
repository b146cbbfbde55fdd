"""The gas tank: two levels, said once, in the words of what is there and what is needed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.daemon.tank import RESCUES, SALE_GAS, Tank, rescue_gas, tank_of
from keeper.errors import Transient
from keeper.seams import Severity
from keeper.units import GWEI, WAD
from tests import build
from tests.fakes import LendingDouble
from tests.loop_double import Loop, loop, vault
from tests.mandates import mandate

pytestmark = pytest.mark.unit
GAS = 300_000
STORM = RESCUES * GAS * 1_000 * GWEI
NOW = RESCUES * GAS * (4 * 10 + 2) * GWEI
"""At the builders' 10 gwei and a tip of one."""


@pytest.mark.parametrize(
    ("native_wei", "level"),
    [
        (STORM, None),
        (STORM - 1, Severity.WARNING),
        (NOW, Severity.WARNING),
        (NOW - 1, Severity.CRITICAL),
        (0, Severity.CRITICAL),
    ],
)
def test_tank__by_what_it_holds__then_full_low_or_empty(native_wei: int, level: Severity | None) -> None:
    assert Tank(native_wei=native_wei, now_wei=NOW, storm_wei=STORM).level is level


def test_tank_of__at_a_snapshot__then_three_rescues_at_urgent_fees_and_in_a_storm() -> None:
    tank = tank_of(build.snapshot(), [LendingDouble()], 1_000.0)
    assert (tank.now_wei, tank.storm_wei) == (NOW, STORM)
    dearer = tank_of(build.snapshot(), [LendingDouble(), LendingDouble(gas_limit=2 * GAS)], 10.0)
    assert (dearer.now_wei, dearer.storm_wei) == (2 * NOW, 2 * STORM // 100)
    assert rescue_gas(LendingDouble(tokens=())) == 0
    assert tank_of(build.snapshot(), [], 1_000.0).level is None


def said(under: Loop) -> list[tuple[str, str]]:
    return [
        (str(e.data["severity"]), e.subject)
        for e in under.journal.entries("alarm")
        if e.data["code"] == "gas_low"
    ]


def ticked(under: Loop, native: str) -> None:
    asyncio.run(under.running.tick(under.lay(vault(), native=native)))


def test_loop__when_the_tank_empties_and_is_filled__then_each_level_is_said_once(tmp_path: Path) -> None:
    under = loop(tmp_path)
    ticked(under, "1")
    assert said(under) == []
    for native in ("0.5", "0.49", "0.48", "0.03", "0.02", "1", "1"):
        ticked(under, native)
    assert said(under) == [("WARNING", "local"), ("CRITICAL", "local"), ("CLEARED", "local")]
    (low, *_) = [e.why for e in under.journal.entries("alarm")]
    assert f"holds 0.500000 native, they need {STORM / WAD:.6f}" in low


def test_loop__when_a_block_cannot_be_read__then_nothing_is_said_of_the_tank(tmp_path: Path) -> None:
    under = loop(tmp_path)
    ticked(under, "0.5")
    before = said(under)
    under.facts.next = Transient("nobody answers")
    under.running.unseen(build.block(102), "nobody answers")
    assert said(under) == before


def test_loop__when_no_wallet_is_configured__then_there_is_no_tank(tmp_path: Path) -> None:

    under = loop(tmp_path)
    block = under.lay(vault(), native="0")
    shown = under.facts.next
    assert not isinstance(shown, Exception)
    under.facts.next = replace(shown, means=replace(shown.means, wallet=""))
    asyncio.run(under.running.tick(block))
    assert said(under) == []


def test_tank_of__when_a_position_has_an_executor__then_three_sales_must_be_paid_for() -> None:
    means = replace(build.means(), mandates=(mandate(),))
    plain = tank_of(build.snapshot(), [LendingDouble()], 1_000.0)
    selling = tank_of(build.snapshot(wallet=means), [LendingDouble()], 1_000.0)
    assert selling.storm_wei == plain.storm_wei // GAS * SALE_GAS
