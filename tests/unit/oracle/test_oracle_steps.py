"""One update of a feed against the emergency band: what is needed, from which source, by which measure."""

from __future__ import annotations

import pytest

from keeper.oracle import steps
from keeper.oracle.steps import Exposure
from keeper.words import Words

pytestmark = pytest.mark.unit

FEED = "0x" + "aa" * 20


def exposure(collateral: float, debt: float, step: float, source: str = "ETH") -> Exposure:
    return Exposure(source=source, collateral=collateral, debt=debt, step=step)


@pytest.mark.parametrize(
    ("collateral", "debt", "step", "least"),
    [
        (1.0, 0.0, 0.072, 1 / 0.928),
        (0.0, 1.0, 0.072, 1.072),
        (1.0, 1.0, 0.072, 1.0),
        (0.5, 0.0, 0.1, 1 / 0.95),
        (0.2, 0.9, 0.1, 1.09 / 1.02),
        (1.0, 0.0, 1.0, float("inf")),
    ],
)
def test_needed__for_a_mix__is_the_health_that_the_worse_of_both_ways_leaves_at_one(
    collateral: float, debt: float, step: float, least: float
) -> None:
    assert steps.needed(exposure(collateral, debt, step)) == pytest.approx(least)


def test_worst__of_two_sources__is_the_one_that_costs_most_and_not_the_one_that_moves_most() -> None:
    small_share, large_share = exposure(0.1, 0.0, 0.2, "LINK"), exposure(0.9, 0.0, 0.07)
    assert steps.worst((small_share, large_share)) is large_share
    assert steps.worst(()) is None


def rounds(answers: list[int]) -> Words:
    """What getRoundData answers, round by round; 0 is a call that reverted."""
    body, offsets, at = b"", b"", 32 * len(answers)
    for n, answer in enumerate(answers):
        data = b"".join(w.to_bytes(32) for w in (n, answer, 1, 1, n)) if answer else b""
        result = bool(answer).to_bytes(32) + (64).to_bytes(32) + len(data).to_bytes(32) + data
        offsets += at.to_bytes(32)
        at += len(result)
        body += result
    return Words([(32).to_bytes(32) + len(answers).to_bytes(32) + offsets + body], [len(answers)])


def test_rounds__when_the_phase_has_enough__then_the_last_thousand_moves_of_this_phase_are_asked() -> None:
    phase = 3 << 64
    calls = steps.round_calls(FEED, phase | 5_000)
    assert len(calls) == steps.ROUNDS
    assert [int.from_bytes(c.data[4:]) for c in (calls[0], calls[-1])] == [phase | 4_000, phase | 5_000]
    assert steps.round_calls(FEED, phase | 1_000) == ()


def test_own_step__of_a_thousand_moves__is_the_second_largest_and_needs_every_round() -> None:
    answers = [1_000_000] * steps.ROUNDS
    answers[500:] = [900_000] * (steps.ROUNDS - 500)
    answers[700:] = [855_000] * (steps.ROUNDS - 700)
    assert steps.own_step(rounds(answers)) == pytest.approx(0.05)
    answers[3] = 0
    assert steps.own_step(rounds(answers)) is None
    assert steps.own_step(rounds([1_000_000] * 1_000)) is None
