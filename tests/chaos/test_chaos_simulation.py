"""The simulation in small: seeds without a violation, planted bugs caught, the same seed the same trace.

Half of the seeds are here, half in ``test_chaos_simulation_more.py``: whole files go to one worker each.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.sim.bugs import BUGS
from tests.chaos.sim.campaigns import hunt
from tests.chaos.sim.quiet import hushed
from tests.chaos.sim.world import World, play, run

pytestmark = pytest.mark.scenario
SHARDS = 25
EACH = 10
QUICKLY_CAUGHT = {
    "journal_after_broadcast": range(6),
    "nonce_gap": range(4),
    "recovery_abandons_signed": range(6),
    "anything_is_signed": range(4),
    "attempt_commit_not_durable": range(4),
    "trigger_ignored": range(4),
    "acts_a_block_late": range(4),
    "revival_not_noticed": range(5, 8),
    "bump_not_journaled": range(2),
    "only_latest_hash_watched": range(2),
    "open_intents_not_awaited": range(4, 6),
    "resign_on_nonce_too_low": range(3),
    "crash_leaves_cooldown": range(2),
}
"""Planted bug -> seeds within which it shows; the others need a campaign."""


@pytest.fixture(autouse=True)
def _hushed() -> Iterator[None]:
    with hushed():
        yield


@pytest.mark.parametrize("shard", range(SHARDS))
def test_simulation__when_seeds_are_run__then_no_invariant_is_violated(shard: int) -> None:
    first = 1_000_000 + shard * EACH
    results = [run(seed)[0] for seed in range(first, first + EACH)]
    bad = [(r.seed, r.violations) for r in results if r.violations]
    assert bad == [], "python -m tests.chaos.sim --seed N prints the trace"
    assert sum(r.crashes for r in results) > 3 * EACH
    assert sum(r.actions for r in results) > 2 * EACH
    # needs that arose while every endpoint was healthy, each on the wire before the next block
    assert sum(r.prompt_n for r in results) > 2 * EACH


def test_simulation__when_a_seed_is_run_twice__then_its_trace_is_the_same() -> None:
    first, again = (run(1_000_003)[0] for _ in range(2))
    assert first.trace_hash == again.trace_hash
    assert run(1_000_004)[0].trace_hash != first.trace_hash


def test_simulation__when_the_journal_runs_without_shortcuts__then_the_trace_is_the_same() -> None:
    slow = World(1_000_005)
    slow.quick = False
    assert play(slow)[0].trace_hash == run(1_000_005)[0].trace_hash


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
