"""Two thousand mutated answers before the real daemon: nothing unhandled, nothing signed."""

from __future__ import annotations

import pytest

from keeper.chain.endpoints import Endpoints
from tests.chaos.mutation import storm

pytestmark = pytest.mark.scenario


@pytest.mark.parametrize("seed", range(4))
def test_answers__when_mutated_five_hundred_times__then_nothing_is_unhandled_or_signed(seed: int) -> None:
    found = storm(seed)
    assert found.failure == ""
    assert found.counts["mutations"] == 500


def test_answers__when_the_code_believes_them__then_the_storm_notices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = Endpoints.request

    async def gullible(self: Endpoints, *args: object, **options: object) -> object:
        answer = await ask(self, *args, **options)  # type: ignore[arg-type]
        if args[0] == "eth_getBlockByNumber":
            assert isinstance(answer, dict)
            assert isinstance(answer.get("hash"), str)
        return answer

    monkeypatch.setattr(Endpoints, "request", gullible)
    assert "AssertionError" in storm(0).failure
