"""A feed's answers in their order: none counted twice, none missed between looks, and the habits that they show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.oracle import faults, updates
from keeper.oracle.feeds import ANSWER_UPDATED, Answer, Feed
from keeper.oracle.updates import Rounds, Update

pytestmark = pytest.mark.unit

SOURCE = "0x" + "ab" * 20
FEED = Feed(id="f", symbol="WETH", address="0x" + "cd" * 20, expected_decimals=8, source="0x" + "AB" * 20)
USD = 10**8


def update(round: int, price: float, at_s: int = 0, block: int | None = None) -> Update:
    return Update(source=SOURCE, units=int(price * USD), round=round, at_s=at_s, block=block)


def log(round: int, units: int, at_s: int, block: int, **more: object) -> dict[str, object]:
    topics = [ANSWER_UPDATED, hex(units % 2**256), hex(round)]
    return {"address": SOURCE, "topics": topics, "data": f"0x{at_s:064x}", "blockNumber": hex(block)} | more


def test_parsed__when_logs_are_given__then_sign_round_time_and_block_are_theirs_and_removed_ones_are_not() -> (
    None
):
    found = updates.parsed([log(7, -5, 1_000, 99), log(8, 6, 1_001, 100, removed=True)])
    assert found == (Update(source=SOURCE, units=-5, round=7, at_s=1_000, block=99),)
    with pytest.raises((ValueError, KeyError, IndexError)):
        updates.parsed([{"topics": [ANSWER_UPDATED], "address": SOURCE, "data": "0x", "blockNumber": "0x1"}])


def test_rounds__when_a_fall_comes_and_goes_between_two_looks__then_its_step_is_told_with_block_and_round() -> (
    None
):
    rounds = Rounds()
    rounds.add([update(1, 3_000)])
    fresh = rounds.add([update(2, 2_600, block=11), update(3, 2_990, block=12)])
    step = updates.largest(fresh[SOURCE])
    assert step is not None
    now = Answer(feed=FEED, units=2_990 * USD, updated_s=1, round=3)
    before = replace(now, units=3_000 * USD, round=1)
    assert [f.code for f in faults.of_answer(now, before, 1)] == []
    (fault,) = faults.of_answer(now, before, 1, step)
    assert (fault.code, "round 3, block 12" in fault.why) == ("feed_jump", True)


def test_rounds__when_five_small_steps_come_between_two_looks__then_no_jump_is_said() -> None:
    rounds = Rounds()
    rounds.add([update(1, 3_000)])
    fresh = rounds.add([update(n, 3_000 * 0.97 ** (n - 1)) for n in range(2, 7)])
    now = Answer(feed=FEED, units=int(3_000 * 0.97**5 * USD), updated_s=1, round=6)
    before = replace(now, units=3_000 * USD, round=1)
    assert [f.code for f in faults.of_answer(now, before, 1)] == ["feed_jump"]
    assert faults.of_answer(now, before, 1, updates.largest(fresh[SOURCE])) == ()


def test_rounds__when_an_answer_is_told_twice__then_it_counts_once_and_only_so_many_are_kept() -> None:
    rounds = Rounds()
    rounds.add([update(1, 3_000)])
    assert rounds.add([update(1, 3_000, block=5)]) == {}
    assert rounds.of(FEED) == (update(1, 3_000, block=5),)
    rounds.add([update(n, 3_000) for n in range(2, 200)])
    assert len(rounds.of(FEED)) == updates.KEPT
    assert rounds.of(FEED)[-1].round == 199


def hourly(n: int) -> list[Update]:
    """A feed of an hour and half a per cent: each third answer comes early, for its move."""
    found, at_s, price = [], 0, 3_000.0
    for i in range(n):
        early = i % 3 == 2
        at_s += 900 if early else 3_600
        price *= 1.0055 if early else 1.001
        found.append(update(i + 1, price, at_s))
    return found


def test_learned__when_a_feed_shows_its_habits__then_it_is_stale_and_due_by_them_and_not_by_the_default() -> (
    None
):
    found = updates.learned(FEED, hourly(40))
    assert (found.heartbeat_s, found.deviation_bps) == (3_600, 54)
    assert found.assumed


@pytest.mark.parametrize(
    ("feed", "known"),
    [
        (FEED, []),
        (FEED, hourly(3)),
        (replace(FEED, assumed=False), hourly(40)),
        # a storm of an hour and a half, with pauses of one length in it
        (FEED, [update(n, 3_000 * 1.01**n, n * 200) for n in range(1, 28)]),
        # one long silence among many short ones is no heartbeat
        (FEED, [update(n, 3_000 + n, n * 60) for n in range(1, 30)] + [update(30, 3_000, 90_000)]),
    ],
)
def test_learned__when_too_little_is_known_or_it_is_known_already__then_nothing_changes(
    feed: Feed, known: list[Update]
) -> None:
    assert updates.learned(feed, known) == feed


def test_query__when_nothing_was_asked_for_long__then_no_more_blocks_than_the_bound_are() -> None:
    asked = updates.query([FEED, FEED], 5, 1_000_000)
    assert asked["address"] == [FEED.source]
    assert asked["fromBlock"] == hex(1_000_000 - updates.BACK_BLOCKS)
