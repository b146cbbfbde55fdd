"""Several endpoints' own words: whoever gives one counts, who is silent has failed, who is not asked has not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from keeper.errors import Rejected, Transient
from keeper.seams import Priority
from tests.unit.chain.bodies import SILENT, Answer, Bench, FakeBody
from tests.virtual_time import now_s, virtual

pytestmark = pytest.mark.unit


def calls(answer: object) -> Answer:
    """Answers ``eth_call`` so, and everything else as a well node."""

    def told(method: str, params: Sequence[object]) -> object:
        return answer if method == "eth_call" else "0x64"

    return told


def bench(*answers: object, block_time_s: float = 2.0) -> Bench:
    return Bench(*(FakeBody(calls(a)) for a in answers), block_time_s=block_time_s)


async def asked(of: Bench, count: int, wait_s: float = 1.0) -> dict[str, object]:
    return await of.endpoints.words("eth_call", [], count, wait_s=wait_s)


def timeouts(of: Bench) -> list[int]:
    return [dict(e.faults)["timeout"] for e in of.endpoints.status()]


@virtual
@pytest.mark.parametrize(
    ("answers", "names"),
    [
        (("x", "y", "z"), "ab"),
        (("x", SILENT, "z"), "acb"),
        ((SILENT, "y", "z"), "bca"),
        (("x", Transient("b: down"), "z"), "acb"),
        (("x", Rejected(-32000, "header not found"), "z"), "acb"),
        (("x", Rejected(3, "execution reverted"), "z"), "ab"),
    ],
)
async def test_words__when_one_gives_none__then_another_s_and_words_come_first(
    answers: tuple[object, ...], names: str
) -> None:
    async with bench(*answers) as three:
        before_s = now_s()
        told = await asked(three, 2)
        assert "".join(told) == names
        assert now_s() - before_s < 0.5
        assert [b.times("eth_call") for b in three.bodies] == [int(n in names) for n in "abc"]


@virtual
async def test_words__when_all_are_wanted__then_each_is_asked_once_and_says_for_itself() -> None:
    async with bench("x", Transient("b: down"), "z") as three:
        told = await asked(three, 64)
        assert [told["a"], told["c"], str(told["b"])] == ["x", "z", "b: down"]


@virtual
async def test_words__when_so_many_cannot_be_had__then_the_rest_is_not_waited_for_to_the_deadline() -> None:
    async with bench(Transient("a: down"), SILENT) as two:
        before_s = now_s()
        told = await asked(two, 2)
        assert sorted(str(t) for t in told.values()) == ["a: down", "b: did not answer in time"]
        assert now_s() - before_s == pytest.approx(1.0, abs=0.1)


@virtual
async def test_words__when_one_keeps_the_question__then_that_counts_as_a_timeout_and_three_let_it_rest() -> (
    None
):
    async with bench("x", SILENT, block_time_s=12.0) as two:
        for n in range(1, 4):
            await asked(two, 2)
            assert timeouts(two) == [0, n]
        assert ("b", "down") in two.kinds


@virtual
async def test_words__when_it_had_no_time_to_fail__then_it_is_asked_later_and_has_not_failed() -> None:
    async with bench("x", SILENT, "z") as three:
        for _ in range(3):
            await asked(three, 2, wait_s=0.2)
        assert timeouts(three) == [0, 0, 0]
        assert "".join(await asked(three, 2)) == "ac"


@virtual
async def test_words__when_it_waits_in_our_own_lane__then_that_is_no_silence_of_the_endpoint_s() -> None:
    async with bench("x", "y") as two:
        endpoint = two.endpoints._named("b")
        for _ in range(two.chain.endpoints[1].concurrency):
            await endpoint.lane.acquire(Priority.TRIGGER)
        told = await asked(two, 2)
        assert str(told["b"]) == "b: did not answer in time"
        assert (endpoint.failures, endpoint.shaky, timeouts(two)) == (0, False, [0, 0])
        assert two.bodies[1].times("eth_call") == 0
        endpoint.lane.release(Priority.TRIGGER)
        assert await asked(two, 2) == {"a": "x", "b": "y"}


@virtual
async def test_words__when_whoever_asks_goes_away__then_nobody_has_failed_and_nothing_is_left() -> None:
    async with bench("x", SILENT, SILENT, block_time_s=12.0) as three:
        asking = asyncio.ensure_future(asked(three, 3, wait_s=3.0))
        await asyncio.sleep(1.0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert timeouts(three) == [0, 0, 0]
        assert [three.endpoints._named(n).silent_s for n in "abc"] == [0.0, 0.0, 0.0]
