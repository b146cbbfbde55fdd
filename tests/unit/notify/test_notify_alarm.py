"""Alarms: said once, again by age while CRITICAL, cleared once, and never a reason to stop watching."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from keeper.clock import ManualClock
from keeper.errors import Broken
from keeper.model import Entry
from keeper.notify.alarm import REPEAT_CRITICAL_S, Alarms
from keeper.seams import Severity

pytestmark = pytest.mark.unit


class Diary:
    """Entries as the journal would take them."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def record(self, entry: Entry) -> int:
        self.entries.append(entry)
        return len(self.entries)

    @property
    def said(self) -> list[tuple[object, str]]:
        return [(e.data["severity"], e.why) for e in self.entries]


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(100.0)


@pytest.fixture
def alarms(diary: Diary, clock: ManualClock) -> Alarms:
    return Alarms(diary.record, clock, 31337)


def test_alarm__when_raised_every_block__then_said_once_and_logged_as_journaled(
    alarms: Alarms, diary: Diary
) -> None:
    with capture_logs() as lines:
        for block in (7, 8, 9):
            alarms.at_block(block)
            alarms.raise_alarm(Severity.WARNING, "endpoint_down", "first", f"refused at {block}")
    (entry,) = diary.entries
    assert (entry.kind, entry.chain_id, entry.block_number, entry.subject) == ("alarm", 31337, 7, "first")
    assert entry.data == {"severity": "WARNING", "code": "endpoint_down"}
    (line,) = lines
    assert (line["code"], line["severity"], line["why"]) == ("endpoint_down", "WARNING", "refused at 7")


def test_alarm__when_critical_and_standing__then_said_again_by_age(
    alarms: Alarms, diary: Diary, clock: ManualClock
) -> None:
    alarms.raise_alarm(Severity.CRITICAL, "blind", "local", "no head")
    clock.advance(REPEAT_CRITICAL_S - 1)
    alarms.raise_alarm(Severity.CRITICAL, "blind", "local", "no head still")
    assert len(diary.entries) == 1
    clock.advance(1)
    alarms.raise_alarm(Severity.CRITICAL, "blind", "local", "no head still")
    assert diary.said == [("CRITICAL", "no head"), ("CRITICAL", "no head still")]


def test_alarm__when_only_a_warning__then_never_repeated(
    alarms: Alarms, diary: Diary, clock: ManualClock
) -> None:
    for _ in range(3):
        alarms.raise_alarm(Severity.WARNING, "unguarded", "position", "debt")
        clock.advance(2 * REPEAT_CRITICAL_S)
    assert len(diary.entries) == 1


def test_alarm__when_it_becomes_worse__then_said_at_once(alarms: Alarms, diary: Diary) -> None:
    alarms.raise_alarm(Severity.WARNING, "venue_refuses", "position", "repay only")
    alarms.raise_alarm(Severity.CRITICAL, "venue_refuses", "position", "nothing is left")
    assert [severity for severity, _ in diary.said] == ["WARNING", "CRITICAL"]


def test_clear__when_it_stood__then_said_once_with_its_age(
    alarms: Alarms, diary: Diary, clock: ManualClock
) -> None:
    alarms.clear("blind", "local")
    assert diary.entries == []
    alarms.raise_alarm(Severity.CRITICAL, "blind", "local", "no head")
    clock.advance(42)
    alarms.clear("blind", "local")
    alarms.clear("blind", "local")
    assert diary.said[1:] == [("CLEARED", "over after 42 s: no head")]
    assert alarms.standing == ()
    alarms.raise_alarm(Severity.CRITICAL, "blind", "local", "no head again")
    assert len(diary.entries) == 3


def test_alarm__when_two_subjects__then_each_stands_for_itself(alarms: Alarms, diary: Diary) -> None:
    alarms.raise_alarm(Severity.CRITICAL, "unknown", "a", "feed")
    alarms.raise_alarm(Severity.CRITICAL, "unknown", "b", "feed")
    alarms.clear("unknown", "a")
    assert [s.subject for s in alarms.standing] == ["b"]


def test_alarm__when_the_journal_fails__then_it_is_still_logged_and_nothing_is_raised(
    clock: ManualClock,
) -> None:
    def full(entry: Entry) -> int:
        raise Broken("journal: disk is full")

    alarms = Alarms(full, clock, 1)
    with capture_logs() as lines:
        alarms.raise_alarm(Severity.CRITICAL, "broken", "", "disk is full")
    assert [line["event"] for line in lines] == ["alarm", "alarm not journaled"]
    assert lines[0]["severity"] == "CRITICAL"


def test_alarm__when_its_cause_changes__then_said_at_once_and_figures_are_no_cause(
    alarms: Alarms, diary: Diary
) -> None:
    for why in (
        "caps: day cap",
        "caps: day cap of 5",
        "means: wallet empty",
        "3 blocks: old",
        "4 blocks: old",
    ):
        alarms.raise_alarm(Severity.CRITICAL, "not_acting", "position", why)
    assert [why for _, why in diary.said] == ["caps: day cap", "means: wallet empty", "3 blocks: old"]
