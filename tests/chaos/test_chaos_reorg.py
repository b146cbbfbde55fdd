"""Five hundred reorganisations of a real node, and what the comparison says of one that is not noticed."""

from __future__ import annotations

from collections import Counter

import pytest

from keeper.errors import Transient
from keeper.model import Refusal
from keeper.transaction.send import Live
from tests.chaos import reorg
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
        counts.update(found.counts)
    print(dict(counts))
    assert counts["reorganisations"] == MANY
    assert counts["planted"] > 10
    assert counts["actions"] > 3 * MANY // REORGS_A_UNIT


def test_reorganisation__when_it_is_not_noticed__then_the_comparison_says_so() -> None:
    with BUGS["one_confirmation_is_final"](), ground(seed=3, history=True) as on:
        # one is enough as a rule; which actions meet a reorganisation depends on how fast a node answers
        assert any(storm(on, 10).failure for _ in range(3))


SILENT = ("_broadcast", Transient("never again"), "asked for and never done")
IDLE = ("act", Refusal(who="test", code="idle", why="never again"), "0 new actions were done")


@pytest.mark.parametrize(
    ("method", "answer", "words"), [SILENT, IDLE], ids=["sends nothing", "plans nothing"]
)
def test_reorganisation__when_the_keeper_does_nothing_after_the_first__then_the_comparison_says_so(
    monkeypatch: pytest.MonkeyPatch, method: str, answer: object, words: str
) -> None:
    whole, reorganise, happened = getattr(Live, method), reorg._reorganise, []

    async def reorganised(*given: object) -> int:
        happened.append(1)
        return await reorganise(*given)  # type: ignore[arg-type]

    async def lame(*given: object, **named: object) -> object:
        if not happened:
            return await whole(*given, **named)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(reorg, "_reorganise", reorganised)
    monkeypatch.setattr(Live, method, lame)
    with ground(seed=5, history=True) as on:
        found = storm(on, 2)
    assert found.counts["missed"] > 0
    assert words in found.failure, found.failure
