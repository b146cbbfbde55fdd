"""Capacity that is short is said once for a position, by its first short stress, and taken back when it is mended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.capacity import Reach
from keeper.daemon import capacity
from keeper.model import PositionId
from keeper.seams import Severity
from keeper.units import WAD
from tests import build

pytestmark = pytest.mark.unit
MINE, OTHER = build.position_id(), build.position_id(build.BOB)


class Said:
    """Alarms that stand."""

    def __init__(self) -> None:
        self.stand: dict[tuple[str, str], str] = {}

    def raise_alarm(self, severity: Severity, code: str, subject: str, why: str) -> None:
        assert severity is Severity.WARNING
        self.stand[code, subject] = why

    def clear(self, code: str, subject: str) -> None:
        del self.stand[code, subject]


def reached(id: PositionId, stress: str, short: bool) -> Reach:
    """1.25 is wanted, 1.10 or all of it is reached."""
    return Reach(
        id=id,
        stress=stress,
        before_wad=WAD,
        needs_wad=125 * WAD // 100,
        reached_wad=(110 if short else 125) * WAD // 100,
        ways=(),
        binding=("grant",) if short else (),
        why="grant: the owner lets the Executor take 1 WETH" if short else "",
    )


def test_say__when_short_then_mended_then_unread__then_raised_cleared_and_kept() -> None:
    said = Said()
    first = capacity.say(
        [reached(MINE, "-20 %", False), reached(MINE, "-35 %", True), reached(MINE, "-50 %", True),
         reached(OTHER, "depeg", True)],
        frozenset(), said,
    )  # fmt: skip
    assert first == {str(MINE), str(OTHER)}
    why = said.stand["capacity", str(MINE)]
    assert why.startswith("after -35 % it could not be brought back: ")
    assert "grant" in why
    assert "1.1" in why
    # the other could not be read this time: what was known of it stays
    second = capacity.say([reached(MINE, "-35 %", False)], first, said)
    assert second == {str(OTHER)}
    assert set(said.stand) == {("capacity", str(OTHER))}


def test_stresses__for_a_loop_and_a_stable__then_each_feed_moves_against_us() -> None:
    # the market's reserves do not name what this position's collateral is priced by
    held = replace(build.collateral(build.WETH, "1"), feed="only-here")
    snapshot = build.snapshot([build.position([held], [build.debt(build.USDC, "100")])])
    falls = {s.name: s for s in capacity.stresses(snapshot)}
    assert list(falls) == ["-20 %", "-35 %", "-50 %", "depeg"]
    assert falls["-35 %"].factors_ppm["only-here"] == 650_000
    assert falls["-35 %"].factors_ppm["WETH"] == falls["-35 %"].debt_factors_ppm["WETH"] == 650_000
    assert falls["-35 %"].factors_ppm["USDC"] == 1_000_000
    assert falls["depeg"].factors_ppm["USDC"] == 870_000
    assert falls["depeg"].debt_factors_ppm["USDC"] == 1_100_000
    assert falls["depeg"].factors_ppm["WETH"] == 1_000_000
