"""A threshold that is cut while its position is unread, or while nobody watches, is said; and stands for a while."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from keeper.clock import ManualClock
from keeper.config import ChainSettings
from keeper.daemon import oracles
from keeper.daemon.oracles import EVENT_S, Around, Oracles
from keeper.journal.write import Journal
from keeper.model import Position, Snapshot
from keeper.seams import Severity
from tests import build
from tests.build import USDC, WETH, collateral, debt

pytestmark = pytest.mark.unit


class Bell:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.standing: set[str] = set()

    def raise_alarm(self, severity: Severity, code: str, subject: str, why: str) -> None:
        self.said.append(why)
        self.standing.add(code)

    def clear(self, code: str, subject: str) -> None:
        self.standing.discard(code)


class Blank:
    def reader(self, block: object) -> object:
        return None  # no venue is there to be asked


CHAIN = ChainSettings(
    name="c", chain_id=build.CHAIN_ID, block_time_s=12.0, multicall="", native_token=None, endpoints=()
)


class Room:
    def __init__(self, journal: Journal | None = None) -> None:
        self.bell, self.clock = Bell(), ManualClock(now_s=1.0)
        around = Around(chain=CHAIN, endpoints=cast(Any, None), camera=cast(Any, Blank()))
        self.oracles = Oracles(around, self.bell, journal)
        self.oracles.clock = self.clock
        self.number = 100

    def look(self, position: Position | None) -> set[str]:
        self.number += 1
        at = build.block(self.number)
        seen: Snapshot = (
            build.snapshot([], at=at, unreadable=[build.unreadable()])
            if position is None
            else build.snapshot([position], at=at)
        )
        asyncio.run(self.oracles.look(seen, {}, {}))
        return self.bell.standing


def loan(threshold: str) -> Position:
    return build.position([collateral(WETH, "10", threshold=threshold)], [debt(USDC, "8000")])


def test_cut__when_the_block_between_could_not_be_read__then_it_is_said_all_the_same() -> None:
    room = Room()
    assert not room.look(loan("0.83"))
    room.look(None)
    assert "threshold_cut" in room.look(loan("0.78"))
    assert "83.00% -> 78.00%" in room.bell.said[0]


def test_cut__when_it_came_while_the_daemon_was_down__then_the_next_start_says_it_once(
    tmp_path: Path,
) -> None:
    clock = ManualClock(now_s=1_700_000_000.0)
    journal = Journal.open(tmp_path / "j.sqlite", clock)
    try:
        before = Room(journal)
        before.look(loan("0.83"))
        before.look(loan("0.83"))
        assert len(journal.entries("thresholds")) == 1
        after = Room(journal)
        after.look(None)
        assert "threshold_cut" in after.look(loan("0.78"))
        assert Room(journal).look(loan("0.78")) == set()
    finally:
        journal.close()


def test_cut__when_it_was_said__then_it_stands_for_an_hour_and_not_until_the_next_block() -> None:
    room = Room()
    room.look(loan("0.83"))
    room.look(loan("0.78"))
    assert room.look(loan("0.78")) == {"threshold_cut"}
    assert len(room.bell.said) == 1
    room.clock.advance(EVENT_S - 1.0)
    assert room.look(loan("0.78")) == {"threshold_cut"}
    room.clock.advance(2.0)
    assert room.look(loan("0.78")) == set()


def test_events__each__then_it_is_a_code_of_the_room() -> None:
    from keeper.oracle import drift, faults

    assert set(oracles.EVENTS) <= {*drift.CODES, *faults.CODES}
