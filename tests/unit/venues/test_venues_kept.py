"""A venue's last few batches: made once for a question, the oldest dropped."""

from __future__ import annotations

import pytest

from keeper.venues.kept import MOST, Kept

pytestmark = pytest.mark.unit


def test_kept__the_same_question__has_the_same_batch_until_too_many_came_between() -> None:
    made: list[str] = []

    def ask(kept: Kept[str, str], question: str) -> str:
        def make() -> str:
            made.append(question)
            return question.upper()

        return kept.get(question, make)

    kept = Kept[str, str]()
    assert [ask(kept, q) for q in ("a", "b", "a")] == ["A", "B", "A"]
    assert made == ["a", "b"]
    others = [str(n) for n in range(MOST - 1)]
    for q in others:
        ask(kept, q)
    ask(kept, "a")
    assert made == ["a", "b", *others], "what was asked again stays, and the oldest goes"
    ask(kept, "b")
    assert made[-1] == "b"
