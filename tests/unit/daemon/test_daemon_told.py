"""What the diary is told comes with an intent or not at all; what an earlier loop alarmed, the next one clears."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keeper.daemon import carried
from keeper.daemon.loop import ChainLoop
from keeper.errors import Raced
from keeper.journal.write import Journal
from keeper.seams import Severity
from tests.build import USDC, WETH, collateral, debt, position
from tests.loop_double import DIGEST, Loop, loop, vault

pytestmark = pytest.mark.unit
LOW, HIGH = "1200", "2000"
"""Health below trigger, and above every line."""


def decided(journal: Journal) -> int:
    """How many decisions the diary holds."""
    return len(journal.entries("decision"))


def undone(journal: Journal, beside: Callable[[], None]) -> None:
    """What is written beside an intent that is then refused."""
    with journal.batch():
        beside()
        raise Raced("the seq is taken")


async def in_need(tmp_path: Path) -> Loop:
    """A loop that judged those in need first, and handed their plan over."""
    made = loop(tmp_path)
    made.journal.set_control("armed", DIGEST, "test", "")
    running = made.running
    options = running._options()
    made.lay(vault(LOW))
    assert not isinstance(made.facts.next, Exception)
    running._first = running._judged(made.facts.next, (), {}, few=options)
    running.lane.given = frozenset(p.key for p in running.hand(running._first))
    assert running.lane.given
    return made


@pytest.mark.asyncio
async def test_told__when_the_intent_beside_it_is_refused__then_told_again_and_once(tmp_path: Path) -> None:
    made = await in_need(tmp_path)
    with pytest.raises(Raced):
        undone(made.journal, made.running.tell_first)
    assert decided(made.journal) == 0
    made.running.tell_first()
    assert decided(made.journal) == 1
    made.running.tell_first()
    assert decided(made.journal) == 1


@pytest.mark.asyncio
async def test_alarms__when_a_reload_makes_the_loop_anew__then_what_is_over_is_cleared(
    tmp_path: Path,
) -> None:
    made = loop(tmp_path)
    running, journal = made.running, made.journal
    running.hand(await running.tick(made.lay(vault(LOW))))
    assert {"not_acting", "empty_wallet"} <= {s.code for s in made.alarms.standing}
    anew = ChainLoop(running.parts, running.venues)
    assert anew._refused == running._refused != {}
    anew.hand(await anew.tick(made.lay(vault(HIGH))))
    assert made.alarms.standing == ()
    assert carried.refusals(made.alarms, journal, running.policies) == {}


def test_carried__when_an_alarm_of_the_position_is_no_refusal__then_it_is_not_taken_over(
    tmp_path: Path,
) -> None:
    made = loop(tmp_path)
    id = next(iter(made.running.policies))
    made.alarms.raise_alarm(Severity.WARNING, "capacity", str(id), "too little in the wallet for -50 %")
    assert carried.refusals(made.alarms, made.journal, [id]) == {}
    assert carried.subjects(made.alarms, "capacity") == {str(id)}
    assert carried.subjects(object(), "capacity") == frozenset()
    assert position([collateral(WETH, "1")], [debt(USDC, "1")]).id == id
