"""Several endpoints as one: failover, hedge, circuit, chain id, lag, broadcast."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from keeper.chain.endpoint import State
from keeper.chain.endpoints import Endpoints
from keeper.chain.rpc import RateLimited, TooLarge
from keeper.errors import ConfigError, Rejected, Transient
from keeper.seams import Priority
from tests.unit.chain.bodies import CHAIN_ID, SILENT, Bench, FakeBody
from tests.virtual_time import now_s, virtual

pytestmark = pytest.mark.unit

HASH = "0x" + "ab" * 32
ELSEWHERE = [
    Rejected(-32000, "header not found"),
    Rejected(-32000, "hash 0xab.. is not currently canonical"),
    Rejected(-32000, "unknown block"),
    Rejected(-32000, "missing trie node 12ab (path ) state 0x12 is not available"),
    Rejected(-32001, "Resource not found"),
    Rejected(-39001, "Unknown block"),
    Rejected(-32000, "historical state 0xab is not available"),
    Rejected(-32602, "BlockOutOfRangeError: block height is 1 but requested was 9"),
    Rejected(-32601, "the method eth_simulateV1 does not exist"),
    Rejected(-32603, "Internal error"),
    Rejected(-32602, "invalid argument 0: hex string has length 3"),
    Rejected(-32005, "query returned more than 10000 results"),
]
ANSWERS = [
    Rejected(3, "execution reverted: 35", "0x08c379a0"),
    Rejected(3, "execution reverted"),
    Rejected(-32000, "nonce too low"),
    Rejected(-32000, "insufficient funds for gas * price + value"),
    Rejected(-32603, "execution reverted", "0x1234"),
    Rejected(-32000, "gas required exceeds allowance (50000000)"),
]


@virtual
@pytest.mark.parametrize(
    "error",
    [
        Transient("a: closed the connection"),
        RateLimited("a: HTTP 429", 3.0),
        TooLarge("a: HTTP 413"),
        *ELSEWHERE,
    ],
    ids=str,
)
async def test_request__when_the_first_cannot_know__then_the_next_answers(error: Transient) -> None:
    async with Bench(FakeBody(), FakeBody(lambda m, p: 7)) as bench:
        bench.bodies[0].answer = lambda m, p: error
        assert await bench.endpoints.request("eth_call", []) == 7


@virtual
@pytest.mark.parametrize("error", ANSWERS, ids=str)
async def test_request__when_the_first_refuses__then_that_is_the_answer(error: Rejected) -> None:
    async with Bench(FakeBody(lambda m, p: error if m == "eth_call" else 1), FakeBody()) as bench:
        with pytest.raises(Rejected) as caught:
            await bench.endpoints.request("eth_call", [])
        assert caught.value is error
        assert bench.bodies[1].times("eth_call") == 0


@virtual
async def test_request__when_nobody_knows_the_block__then_a_nodes_word_is_raised() -> None:
    error = Rejected(-32000, "header not found")
    async with Bench(FakeBody(), FakeBody()) as bench:
        bench.bodies[0].answer = lambda m, p: error
        bench.bodies[1].answer = lambda m, p: Transient("b: down")
        with pytest.raises(Rejected, match="header not found"):
            await bench.endpoints.request("eth_call", [])


@virtual
async def test_request__when_all_are_silent__then_transient_by_the_deadline() -> None:
    async with Bench(FakeBody(), FakeBody(), FakeBody()) as bench:
        for body in bench.bodies:
            body.answer = lambda m, p: SILENT
        started = now_s()
        with pytest.raises(Transient):
            await bench.endpoints.request("eth_call", [], timeout_s=0.3)
        assert now_s() - started < 0.45


@virtual
async def test_request__when_one_endpoint_drops_a_stale_connection__then_a_second_round_answers() -> None:
    async with Bench(FakeBody()) as bench:
        answers: list[object] = [Transient("a: closed the connection"), 5]
        bench.bodies[0].answer = lambda m, p: answers.pop(0) if m == "eth_call" else 1
        assert await bench.endpoints.request("eth_call", []) == 5


@virtual
async def test_request__when_the_first_is_silent__then_the_hedge_answers_and_it_goes_to_rest() -> None:
    async with Bench(FakeBody(), FakeBody(lambda m, p: 7)) as bench:
        bench.bodies[0].answer = lambda m, p: SILENT
        for _ in range(3):
            started = now_s()
            assert await bench.endpoints.request("eth_call", [], timeout_s=0.2) == 7
            assert 0.09 < now_s() - started < 0.19
        assert bench.endpoints.status()[0].state is State.OUT
        asked = len(bench.bodies[0].asked)
        assert await bench.endpoints.request("eth_call", [], timeout_s=0.2) == 7
        assert len(bench.bodies[0].asked) == asked
        assert ("a", "down") in bench.kinds


@virtual
async def test_request__when_blocks_are_short__then_hedged_soon_and_who_is_slow_is_asked_later_but_not_out() -> (
    None
):
    async with Bench(FakeBody(), FakeBody(lambda m, p: 7), block_time_s=1.0) as bench:
        bench.bodies[0].answer = lambda m, p: SILENT
        for _ in range(3):
            started = now_s()
            assert await bench.endpoints.request("eth_call", []) == 7
            assert 0.19 < now_s() - started < 0.6
        assert bench.endpoints.status()[0].state is State.UP
        asked = len(bench.bodies[0].asked)
        assert await bench.endpoints.request("eth_call", []) == 7
        assert len(bench.bodies[0].asked) == asked


@virtual
async def test_request__when_it_sends__then_it_is_tried_once_and_nowhere_else() -> None:
    def answer(method: str, params: Sequence[object]) -> object:
        return Transient("a: cut its answer off") if method == "eth_sendRawTransaction" else 1

    async with Bench(FakeBody(answer), FakeBody()) as bench:
        with pytest.raises(Transient):
            await bench.endpoints.request("eth_sendRawTransaction", ["0x00"], priority=Priority.SEND)
        assert bench.bodies[0].times("eth_sendRawTransaction") == 1
        assert bench.bodies[1].times("eth_sendRawTransaction") == 0


@virtual
async def test_circuit__when_one_fails_three_times__then_it_rests_a_minute_and_proves_itself() -> None:
    async with Bench(FakeBody(), FakeBody(lambda m, p: 7)) as bench:
        bench.bodies[0].answer = lambda m, p: Transient("a: cannot be reached")
        for _ in range(4):
            assert await bench.endpoints.request("eth_call", []) == 7
        failed = len(bench.bodies[0].asked)
        assert bench.kinds.count(("a", "down")) == 1
        bench.clock.advance(47)
        assert await bench.endpoints.request("eth_call", []) == 7
        assert len(bench.bodies[0].asked) == failed, "asked while it rests"
        bench.bodies[0].answer = lambda m, p: 8
        bench.clock.advance(26)
        await bench.endpoints.probe()
        assert bench.bodies[0].asked[failed] == "eth_chainId"
        assert bench.kinds[-1] == ("a", "recovered")
        assert await bench.endpoints.request("eth_call", []) == 8


@virtual
async def test_circuit__when_all_fail__then_the_last_live_one_is_always_asked() -> None:
    async with Bench(FakeBody(), FakeBody()) as bench:
        for body in bench.bodies:
            body.answer = lambda m, p: Transient("cannot be reached")
        for _ in range(10):
            before = len(bench.bodies[0].asked) + len(bench.bodies[1].asked)
            with pytest.raises(Transient):
                await bench.endpoints.request("eth_call", [])
            assert len(bench.bodies[0].asked) + len(bench.bodies[1].asked) > before
        bench.bodies[1].answer = lambda m, p: 9
        assert await bench.endpoints.request("eth_call", []) == 9
        bench.bodies[1].answer = lambda m, p: Transient("cannot be reached")
        bench.bodies[0].answer = lambda m, p: 4
        for _ in range(4):
            assert await bench.endpoints.request("eth_call", []) == 4


@virtual
async def test_circuit__when_there_is_one_endpoint__then_it_never_rests() -> None:
    async with Bench(FakeBody()) as bench:
        bench.bodies[0].answer = lambda m, p: Transient("cannot be reached")
        for _ in range(9):
            asked = len(bench.bodies[0].asked)
            with pytest.raises(Transient):
                await bench.endpoints.request("eth_call", [])
            assert len(bench.bodies[0].asked) > asked
        assert bench.kinds == [("a", "up"), ("a", "down")]
        bench.bodies[0].answer = lambda m, p: "0x4"
        await bench.endpoints.probe()
        assert bench.kinds[-1] == ("a", "recovered"), "the last live one is not even probed"
        assert await bench.endpoints.request("eth_call", []) == "0x4"


@virtual
async def test_chain_id__when_wrong_at_the_start__then_that_endpoint_is_asked_nothing_else() -> None:
    async with Bench(FakeBody(chain_id=1), FakeBody(lambda m, p: 7)) as bench:
        assert ("a", "wrong_chain") in bench.kinds
        for _ in range(5):
            assert await bench.endpoints.request("eth_call", []) == 7
        assert bench.bodies[0].asked == ["eth_chainId"]
        results = await bench.endpoints.broadcast(b"\x02")
        assert isinstance(results[0], Transient)
        assert bench.bodies[0].asked == ["eth_chainId"]
        bench.clock.advance(10_000)
        await bench.endpoints.probe()
        assert set(bench.bodies[0].asked) == {"eth_chainId"}


@virtual
async def test_chain_id__when_right_again_after_being_wrong__then_the_endpoint_is_taken_back() -> None:
    async with Bench(FakeBody(chain_id=1), FakeBody(chain_id=1)) as bench:
        with pytest.raises(Transient):
            await bench.endpoints.request("eth_call", [])
        bench.bodies[0].chain_id = CHAIN_ID
        await bench.endpoints.probe()
        assert ("a", "recovered") in bench.kinds
        assert await bench.endpoints.request("eth_call", []) == "eth_call ok"
        assert set(bench.bodies[1].asked) == {"eth_chainId"}


@virtual
async def test_chain_id__when_every_endpoint_is_wrong__then_open_refuses_and_names_both_ids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keeper.chain.endpoints.Rpc", lambda name, url, chain_id: FakeBody(chain_id=1))
    bench = Bench(FakeBody())
    with pytest.raises(ConfigError, match=f"serves chain id 1, configured is {CHAIN_ID}"):
        await Endpoints.open(bench.chain, bench.clock, bench.events.append)
    await bench.endpoints.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual
async def test_chain_id__when_it_changes_behind_a_failure__then_no_answer_of_it_is_used() -> None:
    async with Bench(FakeBody(lambda m, p: 5), FakeBody(lambda m, p: 7)) as bench:
        assert await bench.endpoints.request("eth_call", []) == 5
        bench.bodies[0].answer = lambda m, p: Transient("a: closed the connection")
        assert await bench.endpoints.request("eth_call", []) == 7
        bench.bodies[0].chain_id = 1
        bench.bodies[0].answer = lambda m, p: 666
        for _ in range(3):
            assert await bench.endpoints.request("eth_call", []) == 7
        assert bench.kinds[-1] == ("a", "wrong_chain")


@virtual
async def test_chain_id__when_a_new_connection_reaches_another_chain__then_its_answer_is_dropped() -> None:
    async with Bench(FakeBody(lambda m, p: 5), FakeBody(lambda m, p: 7)) as bench:
        assert await bench.endpoints.request("eth_call", []) == 5

        def swapped(method: str, params: Sequence[object]) -> object:
            bench.bodies[0].connects += method == "eth_call"
            return 666

        bench.bodies[0].answer = swapped
        bench.bodies[0].chain_id = 1
        assert await bench.endpoints.request("eth_call", []) == 7
        assert bench.kinds[-1] == ("a", "wrong_chain")


@virtual
async def test_chain_id__when_the_answer_is_no_quantity__then_it_counts_as_a_failure() -> None:
    body = FakeBody(lambda m, p: 5)
    async with Bench(body, FakeBody(lambda m, p: 7)) as bench:
        body.connects += 1
        body.chain_id = "not a number"  # type: ignore[assignment]

        async def call(method: str, params: Sequence[object], *, timeout_s: float) -> object:
            return {"result": None}

        body.call = call  # type: ignore[method-assign]
        assert await bench.endpoints.request("eth_call", []) == 7
        assert bench.endpoints.status()[0].last_error == "a: answered no chain id"


@virtual
async def test_height__when_one_replica_lags__then_its_answer_is_not_used_until_it_catches_up() -> None:
    heights = {"a": 100, "b": 100}
    a = FakeBody(lambda m, p: hex(heights["a"]))
    b = FakeBody(lambda m, p: hex(heights["b"]))
    async with Bench(a, b) as bench:
        heights["b"] = 110
        await bench.endpoints.probe()
        await bench.endpoints.probe()
        assert ("a", "lagging") in bench.kinds
        assert bench.endpoints.status()[0].state is State.LAGGING
        assert await bench.endpoints.request("eth_blockNumber", []) == hex(110)
        asked = a.times("eth_call")
        await bench.endpoints.request("eth_call", [])
        assert a.times("eth_call") == asked, "asked although it lags"
        heights["a"] = 108
        await bench.endpoints.probe()
        assert bench.kinds[-1] == ("a", "recovered")
        assert bench.endpoints.head_numbers == {"a": 108, "b": 110}


@virtual
async def test_height__when_only_the_laggard_lives__then_its_old_height_is_refused() -> None:
    a, b = FakeBody(lambda m, p: hex(100)), FakeBody(lambda m, p: hex(110))
    async with Bench(a, b) as bench:
        b.answer = lambda m, p: Transient("b: down")
        with pytest.raises(Transient):
            await bench.endpoints.request("eth_blockNumber", [])


@virtual
async def test_height__when_two_blocks_apart__then_that_is_no_lag() -> None:
    async with Bench(FakeBody(lambda m, p: hex(98)), FakeBody(lambda m, p: hex(100))) as bench:
        await bench.endpoints.probe()
        assert bench.kinds == [("a", "up"), ("b", "up")]


@virtual
async def test_rate_limit__when_reads_burst_into_it__then_it_is_told_once_and_the_next_is_used() -> None:
    async with Bench(FakeBody(), FakeBody(lambda m, p: 7)) as bench:
        bench.bodies[0].answer = lambda m, p: RateLimited("a: HTTP 429", 30.0)
        answers = await asyncio.gather(*(bench.endpoints.request("eth_call", []) for _ in range(6)))
        assert answers == [7] * 6
        assert bench.kinds.count(("a", "rate_limited")) == 1
        assert ("a", "down") not in bench.kinds
        asked = len(bench.bodies[0].asked)
        assert await bench.endpoints.request("eth_call", []) == 7
        assert len(bench.bodies[0].asked) == asked, "asked during its pause"


@virtual
async def test_broadcast__when_sent__then_each_endpoint_is_asked_once_and_answers_for_itself() -> None:
    known = Rejected(-32000, "already known")
    bodies = [FakeBody(lambda m, p: HASH), FakeBody(), FakeBody(), FakeBody()]
    async with Bench(*bodies) as bench:
        bodies[1].answer = lambda m, p: known if m == "eth_sendRawTransaction" else 1
        bodies[2].answer = lambda m, p: {"not": "a hash"}
        bodies[3].answer = lambda m, p: SILENT
        started = now_s()
        results = await bench.endpoints.broadcast(b"\x02\x03", timeout_s=0.3)
        assert now_s() - started < 0.45
        assert results[0] == HASH
        assert results[1] is known
        assert isinstance(results[2], Transient)
        assert isinstance(results[3], Transient)
        assert [b.times("eth_sendRawTransaction") for b in bodies] == [1, 1, 1, 1]


@virtual
async def test_broadcast__when_one_accepts_and_one_is_silent__then_it_does_not_wait_for_the_silent() -> None:
    async with Bench(FakeBody(lambda m, p: HASH), FakeBody()) as bench:
        bench.bodies[1].answer = lambda m, p: SILENT
        started = now_s()
        results = await bench.endpoints.broadcast(b"\x02", timeout_s=30.0)
        assert now_s() - started < 5.0
        assert results[0] == HASH
        assert isinstance(results[1], Transient)
        assert bench.bodies[1].times("eth_sendRawTransaction") == 1


@pytest.mark.parametrize("words, waits", [("already known", False), ("nonce too high", True)])
@virtual
async def test_broadcast__when_one_has_the_bytes_and_one_is_silent__then_it_does_not_wait_for_the_silent(
    words: str, waits: bool
) -> None:
    async with Bench(FakeBody(lambda m, p: HASH), FakeBody()) as bench:
        await bench.endpoints.request("eth_call", [])
        bench.bodies[0].answer = lambda m, p: Rejected(-32000, words)
        bench.bodies[1].answer = lambda m, p: SILENT
        started = now_s()
        await bench.endpoints.broadcast(b"\x02", timeout_s=30.0)
        assert (now_s() - started > 5.0) == waits


@virtual
async def test_broadcast__when_an_endpoint_rests__then_it_is_asked_all_the_same() -> None:
    async with Bench(FakeBody(), FakeBody(lambda m, p: HASH)) as bench:
        bench.bodies[0].answer = lambda m, p: Transient("a: down")
        for _ in range(3):
            await bench.endpoints.request("eth_call", [])
        assert bench.endpoints.status()[0].state is State.OUT
        bench.bodies[0].answer = lambda m, p: HASH
        assert await bench.endpoints.broadcast(b"\x02") == (HASH, HASH)


@virtual
async def test_close__when_called__then_nothing_of_it_is_left() -> None:
    bench = Bench(FakeBody(), FakeBody())
    await bench.endpoints.probe()
    await bench.endpoints.close()
    assert all(b.closed for b in bench.bodies)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual
async def test_open__when_nobody_answers__then_it_opens_all_the_same_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "keeper.chain.endpoints.Rpc",
        lambda name, url, chain_id: FakeBody(lambda m, p: Transient(f"{name}: no")),
    )
    bench = Bench(FakeBody())
    opened = await Endpoints.open(bench.chain, bench.clock, bench.events.append)
    assert bench.kinds == [("a", "down")]
    await opened.close()
    await bench.endpoints.close()
