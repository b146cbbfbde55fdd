"""The table of automatic stops while the price falls on: who is stopped, and who was well and falls meanwhile.

Rows whose stop is not of one loop alone (a canary, a chain that is blind, a journal that was replaced) are here too.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from keeper.daemon.canary.record import State
from keeper.daemon.control import ACK
from keeper.daemon.stops import PAUSE
from keeper.errors import Broken, Unwritable
from keeper.model import IntentState, Level, Plan
from keeper.notify.alarm import REPEAT_CRITICAL_S
from strategies.registry import SHIPPED
from tests.build import ALICE, BOB, block, position_id
from tests.loop_double import DIGEST, Loop, loop, vault
from tests.scenario.test_scenario_automatic_stops import (
    CAROL,
    Clumsy,
    Night,
    cancelled,
    day_spent,
    reverted,
    stormy,
)
from tests.unit.test_canary import Bird, never_taken
from tests.unit.test_pulse import Watched

pytestmark = pytest.mark.scenario
THREE = {"alice": ALICE, "bob": BOB, "carol": CAROL}
CALM_BLOCKS = 2
"""Carol is well in so many; then she is in need as the others are."""


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    with stormy(tmp_path, THREE) as made:
        yield made


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table that a loop knows by itself."""

    name: str
    begins: Callable[[Night], object]
    ends: Callable[[Night], object]
    alarm: str
    stopped: frozenset[str] = frozenset({ALICE})


EVERYBODY = frozenset(THREE.values())


def _reverts(night: Night) -> None:
    for number in (101, 101, 101):
        reverted(night, ALICE, number)


def _orders(night: Night) -> None:
    for seq in (1, 2, 3):
        cancelled(night, ALICE, seq)


def _clumsy(night: Night) -> None:
    night.loop.parts = replace(night.loop.parts, strategies=(Clumsy(ALICE), SHIPPED[1]))


def _able(night: Night) -> None:
    night.loop.parts = replace(night.loop.parts, strategies=SHIPPED)


def _paused(key: str) -> Callable[[Night], None]:
    return lambda night: night.journal.set_control(key, repr(night.clock.now_s() + 86_000), "me", "by hand")


def _on(key: str) -> Callable[[Night], None]:
    return lambda night: night.journal.set_control(key, None, "me", "go on")


def _armed(value: str | None) -> Callable[[Night], None]:
    return lambda night: night.journal.set_control("armed", value, "me", "by hand")


def _window(night: Night) -> None:
    """What was counted leaves its window."""
    night.number += 10


def _endpoints(live: int) -> Callable[[Night], None]:
    def have(night: Night) -> None:
        night.live[0] = live

    return have


def _full(night: Night) -> None:
    night.bank.refuses_with = Unwritable("signer store signer.sqlite failed: database or disk is full")


def _free(night: Night) -> None:
    night.bank.refuses_with = None


ALICE_PAUSE = f"{PAUSE}:{position_id(ALICE)}"
ROWS = (
    Row(name="reverts", begins=_reverts, ends=_window, alarm="not_acting"),
    Row(name="orders in vain", begins=_orders, ends=_window, alarm="not_acting"),
    Row(name="broken position", begins=_clumsy, ends=_able, alarm="broken_position"),
    Row(
        name="day cap",
        begins=lambda night: day_spent(night, ALICE),
        ends=lambda night: night.clock.advance(86_400.0),
        alarm="caps",
    ),
    Row(name="pause of a position", begins=_paused(ALICE_PAUSE), ends=_on(ALICE_PAUSE), alarm="not_acting"),
    Row(
        name="quorum lost",
        begins=_endpoints(1),
        ends=_endpoints(2),
        alarm="quorum_lost",
        stopped=frozenset(),
    ),
    Row(name="pause", begins=_paused(PAUSE), ends=_on(PAUSE), alarm="not_acting", stopped=EVERYBODY),
    Row(name="disarmed", begins=_armed(None), ends=_armed("d"), alarm="not_acting", stopped=EVERYBODY),
    Row(name="unwritable disk", begins=_full, ends=_free, alarm="not_sent", stopped=EVERYBODY),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row__when_the_price_falls_on__then_who_is_not_stopped_is_rescued_also_who_was_well_when_it_began(
    night: Night, row: Row
) -> None:
    assert night.block() == {ALICE, BOB}
    row.begins(night)
    assert night.block(CALM_BLOCKS - 1) == {ALICE, BOB} - row.stopped
    for _ in range(3):
        assert night.block() == EVERYBODY - row.stopped, "carol too, who was well"
    tick = night.loop.last
    assert tick is not None
    assert {o.level for o in tick.outlooks} == {Level.ACT}
    named = {s.split(":")[-1] for s in night.standing(row.alarm)} & {
        str(position_id(a)).rpartition(":")[2] for a in EVERYBODY
    }
    if row.stopped:
        assert named == {str(position_id(a)).rpartition(":")[2] for a in row.stopped}
    else:
        assert night.standing(row.alarm)
    assert set(night.alarms(row.alarm)) == {"CRITICAL"}
    row.ends(night)
    night.block()
    assert night.block() == EVERYBODY
    assert night.standing(row.alarm) == set()


def test_row_foreign_nonce__when_the_price_falls_on__then_everybody_is_judged_and_told_of_and_none_is_sent(
    night: Night,
) -> None:
    night.bank.refuses_with = Broken("foreign nonce: 0xa1 has sent 5 transactions")
    assert night.block(CALM_BLOCKS) == set()
    night.bank.refuses_with = None
    assert night.block() == set()
    _told_of_everybody(night)


def test_row_broken_invariant__when_the_journal_is_replaced_in_a_crash__then_watched_told_and_nothing_is_sent(
    night: Night, tmp_path: Path
) -> None:
    assert night.block() == {ALICE, BOB}
    path = tmp_path / "journal.sqlite"
    shutil.copy(path, tmp_path / "copy")
    os.replace(tmp_path / "copy", path)
    assert night.block(CALM_BLOCKS - 1) == set()
    assert "was replaced or deleted under the running keeper" in night.loop.broken
    for _ in range(3):
        assert night.block() == set(), "for good"
    _told_of_everybody(night)


def test_row_broken_invariant__when_a_person_looked_and_started_again__then_all_who_fell_meanwhile_are_rescued(
    tmp_path: Path,
) -> None:
    with stormy(tmp_path, THREE) as night:
        assert night.block() == {ALICE, BOB}
        path = tmp_path / "journal.sqlite"
        path.rename(tmp_path / "aside")
        assert night.block(CALM_BLOCKS + 1) == set()
        assert night.loop.broken
        price = night.bank.price
    (tmp_path / "aside").rename(path)
    with stormy(tmp_path, THREE) as night:
        night.bank.price = price
        assert night.block() == EVERYBODY
        assert night.loop.broken == ""


def _told_of_everybody(night: Night) -> None:
    """Judged at the price of now, in need, each said not to be acted for, and CRITICAL again by age."""
    tick = night.loop.last
    assert tick is not None
    assert {o.level for o in tick.outlooks} == {Level.ACT}
    assert night.standing("broken") == {""}
    assert night.standing("not_acting") == {str(position_id(a)) for a in EVERYBODY}


@pytest.mark.asyncio
async def test_row_canary__when_it_failed_and_a_crash_comes__then_it_alone_waits_and_every_rescue_goes_on(
    tmp_path: Path,
) -> None:
    on = loop(tmp_path, accounts=(ALICE, BOB))
    on.journal.set_control("armed", DIGEST, "test", "")
    bird = Bird(on)
    await _failed(bird)
    assert bird.state is State.FAILED
    for price in range(1_700, 1_600, -20):
        # its own vault falls as any other does, and is rescued as any other is
        plans = await _rescued(on, price)
        assert {p.key.position.account for p in plans} == {ALICE, BOB}, price
        assert all(on.running.stops.of(p) is None for p in plans)
        await bird.cage.look()
        assert "the last one failed at" in bird.cage.waiting
        assert bird.state is State.FAILED, "none begins"
        on.clock.advance(REPEAT_CRITICAL_S)
    said = [s for s, code in on.said if code == "canary_failed"]
    assert len(said) > 3, "again by age"
    assert set(said) == {"CRITICAL"}
    on.journal.set_control(ACK, repr(on.clock.now_s()), "ann", "seen")
    await bird.cage.look()
    assert "is in need" in bird.cage.waiting, "the crash, and not the failure"
    on.journal.close()


async def _failed(bird: Bird) -> None:
    """One whose transaction no node ever took, given up as ``confirmation`` does it."""
    plan = await never_taken(bird)
    bird.becomes(plan, IntentState.CANCELLING)
    bird.becomes(plan, IntentState.CANCELLED)
    # the next one is due
    bird.on.clock.advance(10_000)


async def _rescued(on: Loop, price: int) -> tuple[Plan, ...]:
    """One block at that price: what its plans became of on the lane."""
    on.number += 10
    on.sender.asked.clear()
    at = on.lay(*(vault(str(price), owed="12000", account=a) for a in (ALICE, BOB)), wallet=("90000",))
    tick = await on.running.tick(at)
    for plan in on.running.hand(tick):
        await on.running.act(plan, tick.snapshot)
        on.running.lane.waiting.pop(plan.key.position, None)
    return tuple(on.sender.asked)


@pytest.mark.asyncio
async def test_row_blind__when_one_chain_shows_no_head_in_a_crash__then_the_other_s_rescues_go_on_and_a_head_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dark, light = (_watched(tmp_path / name, monkeypatch) for name in ("dark", "light"))
    assert await _block(dark, 1_700) == await _block(light, 1_700) == {ALICE}
    for price in range(1_690, 1_600, -10):
        dark.clock.advance(60.0)
        await dark.pulse()
        light.endpoints.head = light.under.number
        assert await _block(light, price) == {ALICE}, price
        await light.pulse()
        assert light.daemon.blind is None
    assert dark.daemon.blind is not None
    assert "no new head for" in dark.daemon.blind.why
    said = [e.data["severity"] for e in dark.under.journal.entries("alarm") if e.data["code"] == "blind"]
    assert said == ["CRITICAL"] * len(said)
    assert len(said) > 1, "again by age"
    assert await _block(dark, 1_610) == {ALICE}, "at once, at the price of now"
    assert dark.daemon.blind is None
    assert dark.daemon.loop is not None
    assert dark.daemon.loop.last is not None
    (seen,) = dark.daemon.loop.last.outlooks
    assert seen.level is Level.ACT
    for each in (dark, light):
        each.under.journal.close()


def _watched(home: Path, patch: pytest.MonkeyPatch) -> Watched:
    home.mkdir()
    made = Watched(home, patch, dry=False)
    made.daemon.alarms = made.under.alarms
    made.under.journal.set_control("armed", DIGEST, "test", "")
    return made


async def _block(on: Watched, price: int) -> set[str]:
    """One head at that price; accounts for which something was sent."""
    on.under.sender.asked.clear()
    on.under.number += 10
    while block(on.under.number + 1).timestamp_s < on.clock.now_s():
        on.under.number += 1
    at = on.under.lay(vault(str(price), owed="12000"), wallet=("90000",))
    on.endpoints.head = at.number
    on.clock.advance(max(0.0, block(at.number).timestamp_s - on.clock.now_s()))
    await on.block(seconds=0.0)
    running = on.under.running
    assert running.last is not None
    for plan in tuple(running.lane.waiting.values()):
        await running.act(plan, running.last.snapshot)
        running.lane.waiting.pop(plan.key.position, None)
    return {p.key.position.account for p in on.under.sender.asked}
