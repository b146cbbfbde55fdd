"""One multicall at one block hash: encoding, chunks, gas, failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from eth_abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.batch import Batch
from keeper.chain.rpc import TooLarge
from keeper.errors import Rejected, Transient
from keeper.model import Call
from keeper.seams import Priority
from tests.virtual_time import run, virtual

MULTICALL = "0x" + "ca" * 20
BLOCK = "0x" + "b1" * 32
Answer = Callable[[str, bytes], tuple[bool, bytes] | None]


class FakeNode:
    """A Transport that runs ``aggregate3`` by the codec of eth_abi. ``answer`` None: the gas ran out."""

    def __init__(self, answer: Answer, *, calls_max: int | None = None, gas_calls: int | None = None) -> None:
        self.answer = answer
        self.calls_max = calls_max
        """More calls than this: the whole request is refused."""
        self.gas_calls = gas_calls
        """Calls after this many inside one request fail without a word."""
        self.requests: list[tuple[str, Sequence[object]]] = []
        self.refusal: Exception = Rejected(-32000, "out of gas")

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        self.requests.append((method, params))
        await asyncio.sleep(0)
        data = bytes.fromhex(params[0]["data"][2:])  # type: ignore[index]
        assert data[:4].hex() == "82ad56cb"
        (calls,) = decode(["(address,bool,bytes)[]"], data[4:])
        assert all(may_fail for _, may_fail, _ in calls)
        if self.calls_max is not None and len(calls) > self.calls_max:
            raise self.refusal
        rows = [self.answer(target, payload) for target, _, payload in calls]
        if self.gas_calls is not None:
            rows[self.gas_calls :] = [None] * len(rows[self.gas_calls :])
        return "0x" + encode(["(bool,bytes)[]"], [[r or (False, b"") for r in rows]]).hex()

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        raise NotImplementedError

    @property
    def sizes(self) -> list[int]:
        """Calls in each request so far."""
        return [
            len(decode(["(address,bool,bytes)[]"], bytes.fromhex(p[0]["data"][10:]))[0])  # type: ignore[index]
            for _, p in self.requests
        ]


def _calls(n: int) -> list[Call]:
    return [Call(target=f"0x{i:040x}", data=i.to_bytes(36)) for i in range(n)]


def _echo(target: str, payload: bytes) -> tuple[bool, bytes]:
    return True, int(target, 16).to_bytes(32) + payload[-32:]


def _right(words: object, n: int) -> bool:
    return [words.uints(i) for i in range(n)] == [(i, i) for i in range(n)]  # type: ignore[attr-defined]


@pytest.mark.property
@given(
    calls=st.lists(st.tuples(st.binary(min_size=20, max_size=20), st.binary(max_size=150)), max_size=20),
    chunk=st.integers(1, 8),
)
def test_batch__when_encoded__then_another_codec_encodes_the_same(
    calls: list[tuple[bytes, bytes]], chunk: int
) -> None:
    node = FakeNode(lambda t, p: (True, p))
    batch = Batch([Call(target="0x" + t.hex(), data=d) for t, d in calls], chunk=chunk)
    words = run(batch.read(node, MULTICALL, BLOCK))
    assert [words.data(i) for i in range(len(words))] == [d for _, d in calls]
    for n, (_, params) in enumerate(node.requests):
        part = [("0x" + t.hex(), True, d) for t, d in calls[n * chunk : (n + 1) * chunk]]
        want = "0x82ad56cb" + encode(["(address,bool,bytes)[]"], [part]).hex()
        assert params[0]["data"] == want  # type: ignore[index]


@pytest.mark.unit
@virtual
async def test_batch__when_read__then_every_chunk_is_pinned_to_the_one_canonical_block() -> None:
    node = FakeNode(_echo)
    words = await Batch(_calls(25), chunk=10).read(node, MULTICALL, BLOCK)
    assert _right(words, 25)
    assert node.sizes == [10, 10, 5]
    for method, params in node.requests:
        assert method == "eth_call"
        assert params[0]["to"] == MULTICALL  # type: ignore[index]
        assert params[1] == {"blockHash": BLOCK, "requireCanonical": True}


@pytest.mark.unit
@virtual
async def test_batch__when_empty__then_nothing_is_asked() -> None:
    node = FakeNode(_echo)
    assert len(await Batch([]).read(node, MULTICALL, BLOCK)) == 0
    assert node.requests == []


@pytest.mark.unit
@virtual
@pytest.mark.parametrize(
    "refusal",
    [
        Rejected(-32000, "out of gas"),
        Rejected(-32000, "gas required exceeds allowance (50000000)"),
        Rejected(-32603, "EVM error OutOfGas"),
        Rejected(-32000, "execution aborted (timeout = 5s)"),
        Rejected(-32008, "Response is too big"),
        TooLarge("a: HTTP 413"),
    ],
    ids=str,
)
async def test_batch__when_a_chunk_is_too_much__then_halves_are_read_and_the_size_is_learnt(
    refusal: Exception,
) -> None:
    node = FakeNode(_echo, calls_max=30)
    node.refusal = refusal
    batch = Batch(_calls(100), chunk=100)
    assert _right(await batch.read(node, MULTICALL, BLOCK), 100)
    assert batch.chunk <= 30
    node.requests.clear()
    assert _right(await batch.read(node, MULTICALL, BLOCK), 100)
    assert max(node.sizes) <= 30, "the next tick repeats the mistake"


@pytest.mark.unit
@virtual
async def test_batch__when_gas_ends_inside_a_chunk__then_the_starved_calls_are_asked_again() -> None:
    node = FakeNode(_echo, gas_calls=30)
    batch = Batch(_calls(100), chunk=100)
    assert _right(await batch.read(node, MULTICALL, BLOCK), 100)
    assert batch.chunk <= 50
    for _ in range(3):
        assert _right(await batch.read(node, MULTICALL, BLOCK), 100)
    node.requests.clear()
    await batch.read(node, MULTICALL, BLOCK)
    assert max(node.sizes) <= 30


@pytest.mark.unit
@virtual
async def test_batch__when_one_call_always_fails__then_one_repeat_and_none_on_the_next_tick() -> None:
    node = FakeNode(lambda t, p: (False, b"\x12") if int(t, 16) == 7 else _echo(t, p))
    batch = Batch(_calls(20))
    words = await batch.read(node, MULTICALL, BLOCK)
    assert words.failed() == [7]
    assert words.data(7) == b"\x12"
    assert node.sizes == [20, 1]
    await batch.read(node, MULTICALL, BLOCK)
    assert node.sizes == [20, 1, 20]
    assert batch.chunk == 400


@pytest.mark.unit
@virtual
async def test_batch__when_one_call_alone_is_too_much__then_only_that_one_fails() -> None:
    node = FakeNode(_echo)

    async def request(method: str, params: Sequence[object], **how: object) -> object:
        (calls,) = decode(["(address,bool,bytes)[]"], bytes.fromhex(params[0]["data"][10:]))  # type: ignore[index]
        if any(int(t, 16) == 3 for t, _, _ in calls):
            raise Rejected(-32000, "out of gas")
        return await FakeNode.request(node, method, params)

    node.request = request  # type: ignore[method-assign,assignment]
    words = await Batch(_calls(8)).read(node, MULTICALL, BLOCK)
    assert words.failed() == [3]
    assert words.uints(4) == (4, 4)


@pytest.mark.unit
@virtual
@pytest.mark.parametrize(
    "answer", ["0x", None, 7, "0xzz", "0x123", "beef", {"a": 1}, ["0x"], "0x" + "00" * 64]
)
async def test_batch__when_the_answer_is_malformed__then_transient(answer: object) -> None:
    node = FakeNode(_echo)

    async def request(method: str, params: Sequence[object], **how: object) -> object:
        return answer

    node.request = request  # type: ignore[method-assign,assignment]
    with pytest.raises(Transient) as caught:
        await Batch(_calls(3)).read(node, MULTICALL, BLOCK)
    if answer == "0x":
        assert MULTICALL in str(caught.value)


@pytest.mark.unit
@virtual
async def test_batch__when_the_block_is_unknown__then_the_nodes_word_and_no_other_chunk_runs_on() -> None:
    node = FakeNode(_echo)

    async def request(method: str, params: Sequence[object], **how: object) -> object:
        (calls,) = decode(["(address,bool,bytes)[]"], bytes.fromhex(params[0]["data"][10:]))  # type: ignore[index]
        if int(calls[0][0], 16) == 0:
            raise Rejected(-32000, "header not found")
        await asyncio.sleep(60)
        return "0x"

    node.request = request  # type: ignore[method-assign,assignment]
    with pytest.raises(Rejected, match="header not found"):
        await Batch(_calls(30), chunk=10).read(node, MULTICALL, BLOCK)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.unit
@virtual
async def test_batch__when_nobody_answers__then_transient_by_the_deadline() -> None:
    node = FakeNode(_echo)

    async def request(method: str, params: Sequence[object], **how: object) -> object:
        await asyncio.sleep(60)
        return "0x"

    node.request = request  # type: ignore[method-assign,assignment]
    with pytest.raises(Transient, match="longer than"):
        await asyncio.wait_for(Batch(_calls(3)).read(node, MULTICALL, BLOCK, timeout_s=0.05), 60)


@pytest.mark.unit
@pytest.mark.parametrize(
    "call",
    [
        Call(target="0x12", data=b""),
        Call(target="ca" * 21, data=b""),
        Call(target=MULTICALL, data=b"", value_wei=1),
    ],
    ids=["short", "no 0x", "value"],
)
def test_batch__when_a_call_cannot_be_read__then_it_is_refused_at_once(call: Call) -> None:
    with pytest.raises(ValueError, match=r"target|value"):
        Batch([call])
