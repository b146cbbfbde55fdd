"""Five hundred reorganisations of a real node, and what the comparison says of one that is not noticed."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.ground import ground
from tests.chaos.reorg import REORGS_A_UNIT, storm
from tests.chaos.sim.bugs import BUGS

pytestmark = [pytest.mark.anvil, pytest.mark.usefixtures("anvil_binary")]
MANY = 500


def test_reorganisation__when_500_come_with_planted_transactions__then_journal_equals_chain() -> None:
    counts: Counter[str] = Counter()
    for seed in range(MANY // REORGS_A_UNIT):
        with ground(seed, history=True) as on:
            found = storm(on, REORGS_A_UNIT)
            assert found.failure == "", f"seed {seed}"
            assert on.first > 3
        counts.update(found.counts)
    print(dict(counts))
    assert counts["reorganisations"] == MANY
    assert counts["planted"] > 10


def test_reorganisation__when_it_is_not_noticed__then_the_comparison_says_so() -> None:
    with BUGS["one_confirmation_is_final"](), ground(seed=3, history=True) as on:
        # one is enough as a rule; which actions meet a reorganisation depends on how fast a node answers
        assert any(storm(on, 10).failure for _ in range(3))
