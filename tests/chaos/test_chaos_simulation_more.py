"""The other half of the simulation's seeds, and those in which bytes of the past come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.chaos.sim.quiet import hushed
from tests.chaos.sim.revival import run_revival
from tests.chaos.sim.scenes import run_overtaken, run_undone
from tests.chaos.sim.world import Result, run

pytestmark = pytest.mark.scenario
SHARDS = 25
EACH = 10
REVIVALS = range(30)
COOLDOWN_AFTER_A_CRASH = 153
"""Killed between a decision and its intent: the restart waited for the cooldown of what nobody had done."""
LARGER_BYTES_AFTER_ALL = 3126
"""A plan made when an earlier one had acted by its smaller bytes; a reorganisation then held its larger ones."""
RECEIPT_DENIED = 11_412
"""Nodes that were behind denied a receipt twice: the keeper took its own transaction for another's, and stopped."""
LATER_GREW = (547, 614, 2823)
"""A reorganisation opened a plan again upon which a later one was made, and the later grew as if it did nothing."""


@pytest.fixture(autouse=True)
def _hushed() -> Iterator[None]:
    with hushed():
        yield


@pytest.mark.parametrize("shard", range(SHARDS))
def test_simulation__when_more_seeds_are_run__then_no_invariant_is_violated(shard: int) -> None:
    first = 2_000_000 + shard * EACH
    results = [run(seed)[0] for seed in range(first, first + EACH)]
    bad = [(r.seed, r.violations) for r in results if r.violations]
    assert bad == [], "python -m tests.chaos.sim --seed N prints the trace"
    assert sum(r.crashes for r in results) > 3 * EACH


@pytest.mark.parametrize("seed", [COOLDOWN_AFTER_A_CRASH, LARGER_BYTES_AFTER_ALL, RECEIPT_DENIED])
def test_simulation__when_a_seed_once_found_something__then_it_passes(seed: int) -> None:
    assert run(seed)[0].violations == ()


@pytest.mark.parametrize("seed", LATER_GREW)
def test_simulation__when_two_plans_of_one_position_are_open__then_they_act_for_one_need(seed: int) -> None:
    result = run(seed)[0]
    assert (result.violations, result.doubles) == ((), ())


@pytest.mark.parametrize("scene", [run_overtaken, run_undone])
def test_scene__when_set_up_for_one_mistake__then_the_code_as_it_is_does_not_make_it(
    scene: Callable[[int], tuple[Result, list[str]]],
) -> None:
    results = [scene(seed)[0] for seed in range(10)]
    assert [(r.seed, r.violations) for r in results if r.violations] == []
    assert all(r.actions and r.crashes <= 2 for r in results)


def test_revival__when_old_bytes_are_mined__then_only_what_nobody_could_keep_acts_twice() -> None:
    results = [run_revival(seed)[0] for seed in REVIVALS]
    assert [(r.seed, r.violations) for r in results if r.violations] == []
    doubles = [d for r in results for d in r.doubles]
    # the worst case does happen here, within the caps (an invariant of each seed), and in one step only
    assert doubles
    assert not any(d.avoidable for d in doubles)
