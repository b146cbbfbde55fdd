"""How often the daemon ended without being stopped, as its own journal tells it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.journal.starts import CRASHES, ENTRIES, WITHIN_S, crashes, why_safe
from keeper.journal.write import Journal
from keeper.model import Entry

pytestmark = pytest.mark.unit
NOW_S = 1_800_000_000.0


def entry(kind: str, age_s: float = 0.0, subject: str = "") -> Entry:
    return Entry(kind=kind, chain_id=0, block_number=0, subject=subject, why="", at_s=NOW_S - age_s)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def told(path: Path, *kinds: str, at_s: float = NOW_S) -> None:
    """Kept at that second."""
    with Journal.open(path, ManualClock(at_s)) as journal:
        journal.record_all(entry(kind) for kind in kinds)


@pytest.mark.parametrize(
    ("story", "count"),
    [
        ([], 0),
        ([("start", 10)], 1),
        ([("start", 30), ("start", 20), ("start", 10)], 3),
        ([("start", 30), ("stop", 25), ("start", 10)], 1),
        ([("start", 30), ("start", 20), ("stop", 10)], 0),
        ([("start", WITHIN_S + 1), ("start", WITHIN_S), ("start", 0)], 2),
        # a clock that was set back: what lies ahead of now tells nothing
        ([("start", -1), ("start", 10)], 1),
        ([("tick", 10), ("start", 10)], 1),
    ],
)
def test_crashes__when_starts_and_stops_are_read__then_only_starts_that_nobody_stopped(
    story: list[tuple[str, float]], count: int
) -> None:
    assert crashes([entry(kind, age_s) for kind, age_s in story], NOW_S) == count


def test_crashes__when_chains_tell_of_their_recovery__then_one_start_is_one() -> None:
    starts = [replace(entry("start", 10), subject=about) for about in ("", "0xWallet", "0xWallet", "journal")]
    assert crashes(starts, NOW_S) == 1


def test_why_safe__when_it_crashed_often__then_the_reason_names_how_often_and_ends_with_the_hour(
    path: Path,
) -> None:
    assert (CRASHES, WITHIN_S) == (3, 600.0)
    told(path, "start", "start")
    assert why_safe(path, NOW_S) == ""
    told(path, "start")
    why = "it ended 3 times within 10 minutes without being stopped"
    assert why_safe(path, NOW_S) == why_safe(path, NOW_S + WITHIN_S) == why
    assert why_safe(path, NOW_S + WITHIN_S + 1) == ""


def test_why_safe__when_a_person_stopped_it_between__then_read_in_the_order_in_which_it_happened(
    path: Path,
) -> None:
    told(path, "start", "start", "stop", "start", "start")
    assert why_safe(path, NOW_S) == ""
    told(path, "start")
    assert why_safe(path, NOW_S) != ""


def test_why_safe__when_years_of_starts_are_kept__then_the_newest_are_what_counts(path: Path) -> None:
    told(path, *["start"] * ENTRIES, at_s=NOW_S - 10**6)
    told(path, *["start"] * CRASHES)
    assert why_safe(path, NOW_S) != ""


def test_why_safe__when_the_journal_is_damaged_or_missing__then_no_reason(path: Path) -> None:
    assert why_safe(path, NOW_S) == ""
    path.write_bytes(b"nonsense" * 1000)
    path.chmod(0o600)
    assert why_safe(path, NOW_S) == ""
