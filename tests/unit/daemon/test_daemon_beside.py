"""What no block holds: markets' words and the warning reach the rooms; what is over a limit is alarmed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.daemon.beside import LIMIT_OVER, WARNING_FILE, WARNING_STALE, Beside, omen_of, omen_text
from keeper.daemon.triage import EVERY_HEALTH, line_wad
from keeper.model import Omen, Reduce
from keeper.oracle.room import Told
from keeper.seams import Severity
from keeper.units import WAD
from tests import build
from tests.build import USDC, WETH, collateral, debt, position

pytestmark = pytest.mark.unit
LOAN = position([collateral(WETH, "10")], [debt(USDC, "8000")])
OMEN = Omen(stands=True, score=1.75, line=1.5, at_s=1_700_000_000, source="ETH/USDT")
WARNED = replace(build.policy(), warning_target_wad=WAD // 10)


class Heard:
    """Alarms as they come and go."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []

    def raise_alarm(self, severity: Severity, code: str, subject: str, why: str) -> None:
        self.said.append((severity.value, code, why))

    def clear(self, code: str, subject: str) -> None:
        self.said.append(("cleared", code, ""))


def test_beside__when_markets_were_heard__then_the_snapshot_shows_each_source_and_nonsense_is_left_out() -> (
    None
):
    beside, snapshot = Beside(), build.snapshot([LOAN])
    assert beside.on(snapshot) is snapshot
    told = [
        Told(feed="USDC", source=s, price=p, at_s=at_s)
        for s, p, at_s in (("pool", 0.97, 90), ("exchanges", 0.96, 61), ("bad", float("nan"), 90))
    ]
    beside.see(tuple(told))
    seen = beside.on(snapshot).means.quoted
    assert [(q.source, q.price_wad, q.at_s) for q in seen] == [
        ("pool", 97 * WAD // 100, 90),
        ("exchanges", 96 * WAD // 100, 61),
    ]
    assert beside.on(snapshot).digest == snapshot.digest


def test_omen__when_written__then_read_the_same_and_only_where_a_policy_asks(tmp_path: Path) -> None:
    (tmp_path / WARNING_FILE).write_text(omen_text(OMEN))
    beside = Beside()
    beside.look({LOAN.id: build.policy()}, tmp_path)
    assert beside.omen is None
    beside.look({LOAN.id: WARNED}, tmp_path)
    assert beside.omen == OMEN


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"stands": 1}', omen_text(OMEN).replace("1.75", '"x"'), "x" * 9_999]
)
def test_omen__when_the_file_is_no_such_thing__then_nobody_measures_it(tmp_path: Path, text: str) -> None:
    (tmp_path / WARNING_FILE).write_text(text)
    assert omen_of(tmp_path / WARNING_FILE) is None
    assert omen_of(tmp_path / "nothing") is None


def test_tell__when_over_a_limit_or_the_warning_is_stale__then_alarmed_and_cleared_when_it_is_over() -> None:
    heard, beside = Heard(), Beside()
    beside.omen = OMEN
    reduce = Reduce(by="floor", targets=(), why="too much at risk")
    late_s = OMEN.at_s + 40 * 3_600
    beside.tell({LOAN.id: replace(WARNED, reduces=(reduce,))}, late_s, heard)
    assert [(severity, code) for severity, code, _ in heard.said] == [
        ("WARNING", LIMIT_OVER),
        ("WARNING", WARNING_STALE),
    ]
    assert "too much at risk" in heard.said[0][2]
    assert "40 h old" in heard.said[1][2]
    heard.said.clear()
    beside.tell({LOAN.id: WARNED}, OMEN.at_s + 60, heard)
    assert {(severity, code) for severity, code, _ in heard.said} == {
        ("cleared", LIMIT_OVER),
        ("cleared", WARNING_STALE),
    }


def test_triage__when_a_limit_counts_all_positions__then_it_is_not_judged_on_the_few() -> None:
    alone = replace(build.policy(), floor_usd=5, floor_times_wad=2 * WAD)
    assert line_wad(alone) == EVERY_HEALTH
    assert line_wad(replace(alone, exposure_max_usd=(("asset", "WETH", 5),))) == alone.trigger_wad
