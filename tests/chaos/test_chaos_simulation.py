"""The simulation in small: seeds without a violation, planted bugs caught, the same seed the same trace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.sim.bugs import BUGS
from tests.chaos.sim.campaigns import hunt
from tests.chaos.sim.quiet import hushed
from tests.chaos.sim.world import run

pytestmark = pytest.mark.scenario
SEEDS = range(1_000_000, 1_000_010)
QUICKLY_CAUGHT = {
    "journal_after_broadcast": 6,
    "nonce_gap": 4,
    "recovery_abandons_signed": 6,
    "anything_is_signed": 4,
    "attempt_commit_not_durable": 4,
    "trigger_ignored": 4,
}
"""Planted bug -> seeds within which it shows; the others need a campaign."""


@pytest.fixture(autouse=True)
def _hushed() -> Iterator[None]:
    with hushed():
        yield


def test_simulation__when_seeds_are_run__then_no_invariant_is_violated() -> None:
    results = [run(seed)[0] for seed in SEEDS]
    bad = [(r.seed, r.violations) for r in results if r.violations]
    assert bad == [], "python -m tests.chaos.sim --seed N prints the trace"
    assert sum(r.crashes for r in results) > 3 * len(results)
    assert sum(r.actions for r in results) > 2 * len(results)
    assert sum(r.reorgs for r in results) > 0


def test_simulation__when_a_seed_is_run_twice__then_its_trace_is_the_same() -> None:
    first, again = (run(1_000_003)[0] for _ in range(2))
    assert first.trace_hash == again.trace_hash
    assert run(1_000_004)[0].trace_hash != first.trace_hash


@pytest.mark.parametrize("name", QUICKLY_CAUGHT)
def test_simulation__when_a_bug_is_planted__then_it_is_caught(name: str) -> None:
    assert hunt(name, QUICKLY_CAUGHT[name]) is not None


def test_planted_bugs__when_counted__then_there_are_twenty_and_they_leave_nothing_behind() -> None:
    assert len(BUGS) >= 20
    before = _fingerprint()
    for planted in BUGS.values():
        with planted():
            assert _fingerprint() != before
        assert _fingerprint() == before


def _fingerprint() -> list[tuple[str, str, int]]:
    """Every attribute of the rooms that a bug may replace."""
    import sys

    found = []
    for name, module in sys.modules.items():
        if not name.startswith("keeper."):
            continue
        for key, value in vars(module).items():
            if callable(value) or isinstance(value, int):
                found.append((name, key, id(value)))
            if isinstance(value, type) and value.__module__ == name:
                found += [
                    (name, f"{key}.{k}", id(v))
                    for k, v in vars(value).items()
                    if callable(v) or isinstance(v, property)
                ]
    return sorted(found)
