"""What an endpoint's lost requests are counted as: an answer, a refusal too, is no loss."""

from __future__ import annotations

import pytest

from keeper.chain.rpc import RateLimited, TooLarge
from keeper.errors import Rejected, Transient
from tests.unit.chain.bodies import SILENT, Bench, FakeBody
from tests.virtual_time import virtual

pytestmark = pytest.mark.unit


def counted(bench: Bench) -> dict[str, int]:
    """Kinds of the first endpoint that are not 0."""
    faults = bench.endpoints.status()[0].faults
    assert [kind for kind, _ in faults] == ["failed", "timeout", "rate_limited", "too_large", "wrong_chain"]
    return {kind: n for kind, n in faults if n}


@virtual
@pytest.mark.parametrize(
    ("told", "kinds"),
    [
        (Transient("a: closed the connection"), {"failed": 1}),
        (SILENT, {"timeout": 1}),
        (RateLimited("a: HTTP 429", 3.0), {"rate_limited": 1}),
        (TooLarge("a: HTTP 413"), {"too_large": 1}),
        (Rejected(3, "execution reverted"), {}),
    ],
)
async def test_faults__when_a_request_is_lost__then_counted_by_kind(
    told: object, kinds: dict[str, int]
) -> None:
    async with Bench(FakeBody()) as bench:
        bench.bodies[0].answer = lambda method, params: told
        with pytest.raises(Transient):
            await bench.endpoints.request_elsewhere("eth_call", [], timeout_s=0.05)
        assert counted(bench) == kinds


@virtual
async def test_faults__when_another_chain_answers__then_counted_once_until_it_is_taken_back() -> None:
    async with Bench(FakeBody(chain_id=1)) as bench:
        for _ in range(2):
            with pytest.raises(Transient):
                await bench.endpoints.request("eth_call", [], timeout_s=0.05)
        assert counted(bench) == {"wrong_chain": 1}
