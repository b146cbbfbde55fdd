"""An endpoint that fails every fifth request never rests, and yet must not stand before one that fails none."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from keeper.errors import Transient
from tests.unit.chain.bodies import Answer, Bench, FakeBody

pytestmark = pytest.mark.unit


def failing_every(nth: int) -> Answer:
    """An answer that is lost every so often."""
    turn = itertools.count(1)

    def answer(method: str, params: Sequence[object]) -> object:
        if method != "eth_chainId" and next(turn) % nth == 0:
            return Transient("closed the connection")
        return f"{method} ok"

    return answer


@pytest.mark.asyncio
async def test_order__when_the_first_fails_every_fifth_request__then_the_sound_one_is_asked_first() -> None:
    shaky, sound = FakeBody(failing_every(5)), FakeBody()
    bench = Bench(shaky, sound)
    try:
        for _ in range(60):
            assert await bench.endpoints.request("eth_call", []) == "eth_call ok"
        before = shaky.times("eth_call")
        for _ in range(20):
            await bench.endpoints.request("eth_call", [])
        assert shaky.times("eth_call") == before
        assert before < 30
    finally:
        await bench.endpoints.close()


@pytest.mark.asyncio
async def test_order__when_one_request_in_fifty_is_lost__then_the_preference_stands() -> None:
    preferred, other = FakeBody(failing_every(50)), FakeBody()
    bench = Bench(preferred, other)
    try:
        for _ in range(200):
            await bench.endpoints.request("eth_call", [])
        assert preferred.times("eth_call") > 190
        assert other.times("eth_call") < 10
    finally:
        await bench.endpoints.close()


@pytest.mark.asyncio
async def test_order__when_all_are_shaky__then_they_are_asked_in_the_order_of_preference() -> None:
    first, second = FakeBody(failing_every(4)), FakeBody(failing_every(4))
    bench = Bench(first, second)
    try:
        for _ in range(100):
            assert await bench.endpoints.request("eth_call", []) == "eth_call ok"
        assert first.times("eth_call") > 50
    finally:
        await bench.endpoints.close()
