"""The same crash live and in dry-run: the same whole sequence of decisions and plans, and nothing sent."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from anvil import demo
from anvil.demo import Clock, page_url, tell
from anvil.report import Report
from anvil.scenario import load_scenario
from anvil.stage import KEY_FILES, stage
from keeper.config import load
from keeper.journal.read import Reader
from keeper.model import Entry, Level
from tests.bench.figures import record

AMOUNT_REL_MAX = 1e-6
"""A live repayment moves its reserve's rate, so interest, and with it the next amount, differs by dust."""
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One story and the journal it left."""

    report: Report
    entries: tuple[Entry, ...]
    log: str
    key_files: tuple[str, ...]
    """Those that lay there when the daemon had ended."""
    guarded: tuple[str, ...]
    page: Mapping[str, str] = field(default_factory=dict)
    """Label -> level, as the status page told it when the story was over; empty where none was served."""


class Visitor(Clock):
    """Looks at the page once, when it is said to stay; then presses Enter."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.page: dict[str, str] = {}

    def say(self, text: str) -> None:
        """What is said, and the look."""
        super().say(text)
        if self._url in text and "stays" in text:
            self.page = _looked_at(self._url)


def _looked_at(url: str) -> dict[str, str]:
    """Its positions; a page that is still starting is waited for, as a browser's reload would."""
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{url}/api/positions", timeout=5) as answer:
                found = {row["label"]: row["level"] for row in json.load(answer)["rows"]}
        except (urllib.error.URLError, ConnectionError):
            found = {}
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{url} shows no position")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return _told(tmp_path_factory.mktemp("live"), dry_run=False)


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return _told(tmp_path_factory.mktemp("dry"), dry_run=True)


@pytest.mark.anvil
def test_story__live__keeps_every_guarded_position_and_loses_every_twin(live: Told) -> None:
    assert live.report.ok, live.report
    for line in live.report.lines:
        assert line.done
        assert all(d.gas_usd > 0 and d.idle_usd is not None for d in line.done)
        assert not line.liquidated
        assert line.end_wad >= line.target_wad
        assert line.lowest_wad > 10**18
        assert line.twin_liquidated
        assert 0 < live.report.largest_step[line.label] < 1
    # one transaction an action, and none without one
    assert live.report.transactions == sum(len(x.done) for x in live.report.lines)


@pytest.mark.anvil
def test_story__dry_run__sends_nothing_and_loads_no_key(dry: Told) -> None:
    assert dry.key_files == ()  # taken away before the daemon started: loading them would have ended it
    assert dry.report.transactions == 0
    assert dry.report.ok, dry.report
    assert not [e for e in dry.entries if e.kind == "attempt" and "SIGNED" in json.dumps(dict(e.data))]


@pytest.mark.anvil
def test_story__with_its_page__shows_every_guarded_position_until_enter(dry: Told) -> None:
    assert dry.page.keys() == set(dry.guarded)
    assert set(dry.page.values()) <= {level.value for level in Level}


@pytest.mark.anvil
def test_story__live_and_dry_run__journal_the_same_decisions_and_plans(live: Told, dry: Told) -> None:
    ours, theirs = list(_wishes(live)), list(_wishes(dry))
    assert [shape for shape, _ in ours] == [shape for shape, _ in theirs]
    gaps = [
        abs(a - b) / max(a, b)
        for (_, one), (_, other) in zip(ours, theirs, strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    assert len(gaps) >= 10
    worst = max(gaps)
    record(
        "dry_run_amount_gap_max",
        worst,
        unit="relative",
        bound=f"<= {AMOUNT_REL_MAX}",
        holds=worst <= AMOUNT_REL_MAX,
        evidence="real_bytecode",
        n=len(gaps),
        seed=SEED,
    )
    assert worst <= AMOUNT_REL_MAX


def _told(folder: Path, *, dry_run: bool) -> Told:
    mode = "dry-run" if dry_run else "live"
    with stage(load_scenario("crash"), folder, mode=mode) as on, pytest.MonkeyPatch.context() as patched:
        url = page_url(on) if dry_run else ""
        clock = Visitor(url) if dry_run else Clock()
        with open("/dev/null") as enter:
            # nobody looks between two steps, and Enter is pressed at once
            patched.setattr(demo, "STEP_S", 0.0)
            patched.setattr(sys, "stdin", enter)
            report = tell(on, clock, dry_run=dry_run, url=url)
        with Reader.open(load(on.config).journal_path) as journal:
            entries = tuple(journal.entries(limit=100_000))
        left = tuple(name for name in KEY_FILES if (folder / name).exists())
        return Told(
            report=report,
            entries=entries,
            log=on.config.with_suffix(".log").read_text(),
            key_files=left,
            guarded=tuple(pair.label for pair in on.pairs),
            page=clock.page if isinstance(clock, Visitor) else {},
        )


def _wishes(told: Told) -> Iterator[tuple[tuple[object, ...], tuple[int, ...]]]:
    """(shape, amounts) of every decision and plan in order: what must be equal, and what may differ by dust."""
    for entry in told.entries:
        if entry.kind == "decision":
            data = entry.data
            steps = [step for chosen in _list(data["chosen"]) for step in _list(chosen["steps"])]
            shape = (
                "decision",
                entry.block_number,
                entry.subject,
                data["level"],
                tuple(c["strategy"] for c in _list(data["chosen"])),
                tuple((s["do"], s["token"]) for s in steps),
                tuple((r["strategy"], r["code"]) for r in _list(data["rejected"])),
            )
            yield shape, tuple(int(s["units"]) for s in steps)
        elif entry.kind == "plan" and not entry.subject.startswith("grant:"):
            yield ("plan", entry.block_number, entry.subject, entry.data["strategy"]), ()


def _list(value: object) -> list[Mapping[str, object]]:
    assert isinstance(value, list)
    return value
