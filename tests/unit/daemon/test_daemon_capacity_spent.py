"""After a first rescue capacity promises only what is left of the day's cap, as decision and guard count it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keeper.cli import capacity as command
from keeper.clock import SystemClock
from keeper.config import load
from keeper.daemon.chores import Chores
from keeper.daemon.facts import Guarded
from keeper.journal.write import Journal
from keeper.seams import Severity
from tests import build
from tests.build import USDC, amount
from tests.fakes import LendingDouble
from tests.loop_double import CHAIN, vault
from tests.plans import plan
from tests.unit.cli.test_cli_commands import GOOD

pytestmark = pytest.mark.unit
MINE = Guarded(
    label="vault",
    policy=build.policy(strategies=("repay",), caps=build.limits(action=3_000, day=3_000)),
    venue_id=build.VENUE,
    id=build.position_id(),
)
"""After -35 % some $2,560 bring it to its target."""


class Standing:
    """Alarms that stand."""

    def __init__(self) -> None:
        self.why: dict[tuple[str, str], str] = {}

    def raise_alarm(self, severity: Severity, code: str, subject: str, why: str) -> None:
        self.why[code, subject] = why

    def clear(self, code: str, subject: str) -> None:
        del self.why[code, subject]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", SystemClock()) as opened:
        yield opened


def asked(journal: Journal) -> dict[tuple[str, str], str]:
    """What stands after the chore has looked once."""
    chain: Any = replace(CHAIN, storm_gwei=20.0)
    site: Any = SimpleNamespace(
        chain=chain,
        endpoints=(),
        camera=SimpleNamespace(supplement=None),
        guarded=(MINE,),
        settings={},
        unproven=(),
    )
    taken = build.snapshot([vault()], wallet=build.means([amount(USDC, "5000")]))
    loop: Any = SimpleNamespace(last=SimpleNamespace(snapshot=taken), venues={build.VENUE: LendingDouble()})
    alarms, settings = Standing(), SimpleNamespace()
    chores = Chores(settings, site, journal, alarms)  # type: ignore[arg-type]
    asyncio.run(chores.do("capacity", loop, None))
    return alarms.why


def test_chore__when_a_rescue_has_used_part_of_the_day__then_the_cap_is_short_and_named(
    journal: Journal,
) -> None:
    fresh = asked(journal)["capacity", str(MINE.id)]
    assert "after -50 %" in fresh, "-35 % is within the day's cap while nothing of it is used"
    journal.open_intent(plan(position=MINE.id), spend_usd=2_000)
    after = asked(journal)["capacity", str(MINE.id)]
    assert "after -35 %" in after
    assert "cap_per_day: what is left of the day's cap is $1,000" in after


def test_command__when_the_journal_holds_a_rescue__then_it_is_counted_and_else_said(tmp_path: Path) -> None:
    config = tmp_path / "keeper.toml"
    config.write_text(GOOD)
    settings = load(config)
    assert command.day_spent(settings) is None
    settings.journal_path.parent.mkdir(parents=True)
    with Journal.open(settings.journal_path, SystemClock()) as opened:
        opened.open_intent(plan(position=MINE.id), spend_usd=2_000)
    assert command.day_spent(settings) == {MINE.id: 2_000}
