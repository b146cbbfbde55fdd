"""An endpoint in trouble with itself answers errors, or nonsense: beside one that is well nothing is lost by it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest

from keeper.chain.batch import Batch
from keeper.chain.endpoint import State
from keeper.chain.endpoints import Endpoints
from keeper.chain.head import latest
from keeper.chain.refusal import About, about, young
from keeper.chain.rpc import RateLimited, Rpc
from keeper.confirmation.finality import Finality
from keeper.errors import Rejected, Transient
from keeper.model import Call
from tests.build import block
from tests.unit.chain.bodies import Answer, Bench, FakeBody, chain_of
from tests.virtual_time import VirtualClock, now_s, virtual

pytestmark = pytest.mark.unit
HEAD = {
    "number": "0x64",
    "hash": "0x" + "ab" * 32,
    "parentHash": "0x" + "aa" * 32,
    "timestamp": "0x5",
    "baseFeePerGas": "0x1",
}
CALLS = "0x" + "".join(n.to_bytes(32).hex() for n in (32, 1, 32, 1, 64, 32, 7))
"""One call's answer by the multicall."""
TROUBLES = [
    (-32600, "Must be authenticated!"),
    (-32007, "50/second request limit reached - reduce calls per second or upgrade your account"),
    (-32003, "daily request limit reached - upgrade your account"),
    (12, "Can't route your request to suitable provider, if you specified certain providers revise the list"),
    (19, "Temporary internal error. Please retry, trace-id: xyz"),
    (30, "Request timeout on the free tier, please upgrade"),
    (-32000, "invalid project id"),
    (-32000, "Unauthorized: You must authenticate your request with an API key."),
    (-32603, "Internal JSON-RPC error."),
    (-32000, "we can't execute this request"),
    (-32052, "API key is disabled"),
    (-32000, "no available server"),
    (-32011, "no backends available for method"),
    (-32000, "context deadline exceeded"),
    (-32000, "execution aborted (timeout = 5s)"),
    (-32046, "Cannot fulfill request"),
    (-32602, "invalid argument 1: json: cannot unmarshal object into Go value of type string"),
    (-32016, "over rate limit"),
    (-32005, "daily request count exceeded, request rate limited"),
    (-32000, "project ID does not have access to this network"),
    (-32090, "Too many requests, reason: call rate limit exhausted, retry in 10s"),
]
"""As providers and gateways word them."""


def well(method: str, params: object) -> object:
    """A node's answers."""
    return {"eth_getBlockByNumber": HEAD, "eth_blockNumber": "0x64", "eth_call": CALLS}.get(method, "0x1")


async def photographed(endpoints: Endpoints) -> None:
    """What each block asks for."""
    await latest(endpoints)
    await Batch([Call(target="0x" + "11" * 20, data=b"")]).read(endpoints, "0x" + "ca" * 20, "0x" + "ab" * 32)


async def told(code: int, message: str) -> Transient:
    """The error as the client makes it of a node's answer."""
    rpc = Rpc("a", "http://unused.invalid")
    try:
        return rpc._refused({"code": code, "message": message})
    finally:
        await rpc.close()


@virtual
@pytest.mark.parametrize("only", ["", "eth_call"], ids=["everything", "eth_call"])
@pytest.mark.parametrize(("code", "message"), TROUBLES, ids=lambda e: str(e)[:30])
async def test_photograph__when_the_preferred_endpoint_is_in_trouble_with_itself__then_the_other_shows_every_block(
    code: int, message: str, only: str
) -> None:
    error = await told(code, message)
    async with Bench(FakeBody(well), FakeBody(well)) as bench:
        await photographed(bench.endpoints)
        bench.bodies[0].answer = lambda m, p: error if only in m else well(m, p)
        for _ in range(20):
            await photographed(bench.endpoints)
            bench.clock.advance(12)
        if not only or (isinstance(error, Rejected) and about(error) is About.NODE):
            asked = bench.bodies[0].times("eth_call")
            await photographed(bench.endpoints)
            assert bench.bodies[0].times("eth_call") == asked, "the one that is well is asked first by now"
            assert message in bench.endpoints.status()[0].last_error


@virtual
async def test_refusal__of_everything__then_the_endpoint_goes_out_and_is_told_of() -> None:
    error = Rejected(-32600, "Must be authenticated!")
    async with Bench(FakeBody(well), FakeBody(well)) as bench:
        await photographed(bench.endpoints)
        bench.bodies[0].answer = lambda m, p: error
        for _ in range(4):
            await photographed(bench.endpoints)
            await bench.endpoints.probe()
        assert bench.endpoints.status()[0].state is State.OUT
        assert [(e.name, e.kind) for e in bench.events][-1] == ("a", "down")
        assert "Must be authenticated!" in bench.events[-1].why
        bench.bodies[0].answer = well
        bench.clock.advance(120)
        await bench.endpoints.probe()
        assert bench.endpoints.status()[0].state is State.UP


@virtual
@pytest.mark.parametrize("nonsense", [None, "0x", "0x12", {}, "error", False, []], ids=str)
@pytest.mark.parametrize("method", ["eth_call", "eth_getBlockByNumber"])
async def test_photograph__when_the_preferred_endpoint_answers_nonsense__then_the_other_is_asked(
    method: str, nonsense: object
) -> None:
    async with Bench(FakeBody(well), FakeBody(well)) as bench:
        bench.bodies[0].answer = lambda m, p: nonsense if m == method else well(m, p)
        for _ in range(20):
            await photographed(bench.endpoints)


@virtual
@pytest.mark.parametrize("nonsense", [None, "0x", {}, "error", False])
async def test_count__when_the_preferred_endpoint_answers_nonsense__then_the_other_is_asked(
    nonsense: object,
) -> None:
    async with Bench(FakeBody(well), FakeBody(well)) as bench:
        bench.bodies[0].answer = lambda m, p: nonsense if m == "eth_getTransactionCount" else well(m, p)
        assert await bench.endpoints.request("eth_getTransactionCount", ["0x", "latest"]) == "0x1"


@virtual
async def test_chain_id__when_the_node_refuses_to_tell_it__then_that_is_no_answer_to_the_question() -> None:
    refuses = Rejected(3, "execution reverted", "0x")
    async with Bench(FakeBody(well)) as bench:
        bench.bodies[0].answer = lambda m, p: refuses if m == "eth_chainId" else well(m, p)
        bench.bodies[0].connects += 1

        async def call(method: str, params: object, *, timeout_s: float) -> object:
            raise refuses

        bench.bodies[0].call = call  # type: ignore[method-assign, assignment]
        with pytest.raises(Transient, match="answered no chain id") as caught:
            await bench.endpoints.request("eth_call", [])
        assert not isinstance(caught.value, Rejected)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("code", "message", "limited"),
    [
        (-32007, "50/second request limit reached", True),
        (-32016, "over rate limit", True),
        (-32000, "daily request count exceeded", True),
        (-32000, "execution reverted: rate limit of the bridge", False),
        (3, "quota exceeded", False),
        (-32000, "header not found", False),
    ],
)
async def test_error__of_a_rate__is_known_whatever_its_code_but_a_contract_s_words_are_none(
    code: int, message: str, limited: bool
) -> None:
    assert isinstance(await told(code, message), RateLimited) is limited


@pytest.mark.parametrize(
    ("code", "message", "whose"),
    [
        (3, "execution reverted", About.QUESTION),
        (-32000, "out of gas", About.QUESTION),
        (-32000, "OutOfGas", About.QUESTION),
        (-32000, "invalid opcode: INVALID", About.QUESTION),
        (-32000, "stack underflow (0 <=> 1)", About.QUESTION),
        (-32015, "VM execution error.", About.QUESTION),
        (-32015, "Transaction execution error.", About.QUESTION),
        (-32000, "err: max fee per gas less than block base fee", About.QUESTION),
        (-32000, "insufficient funds for transfer", About.QUESTION),
        (-32000, "EVM error: InvalidFEOpcode", About.QUESTION),
        (-32000, "EVM error: OutOfFunds", About.QUESTION),
        (-32000, "execution reverted: price block not found", About.QUESTION),
        (
            -32602,
            "VM Exception while processing transaction: state missing",
            About.QUESTION,
        ),
        (-32000, "header not found", About.COPY),
        (-32601, "the method does not exist", About.COPY),
        (-32602, "Invalid params", About.COPY),
        (-32001, "not known here", About.COPY),
        (-32002, "not now", About.COPY),
        (-32004, "not offered", About.COPY),
        (-32600, "Must be authenticated!", About.NODE),
        (-32000, "anything else", About.NODE),
    ],
)
def test_about__tells_a_verdict_from_a_lagging_copy_and_from_a_node_s_own_trouble(
    code: int, message: str, whose: About
) -> None:
    assert about(Rejected(code, message)) is whose


@pytest.mark.parametrize(
    ("message", "whether"),
    [
        ("header not found", True),
        ("unknown block", True),
        ("block 0xab not found: no more canonical", False),
        ("missing trie node", False),
    ],
)
def test_young__is_a_block_that_may_yet_arrive_and_none_that_is_gone(message: str, whether: bool) -> None:
    assert young(Rejected(-32000, message)) is whether


def _learning(after_s: float, words: str) -> Answer:
    began_s = now_s()

    def answer(method: str, params: object) -> object:
        known = method != "eth_call" or now_s() - began_s >= after_s
        return well(method, params) if known else Rejected(-32000, words)

    return answer


@virtual
@pytest.mark.parametrize(
    ("block_s", "after_s", "words", "found"),
    [
        (12.0, 0.4, "header not found", True),
        (12.0, 1.5, "header not found", True),
        (12.0, 9.0, "header not found", False),
        (2.0, 0.4, "header not found", True),
        (2.0, 1.0, "header not found", False),
        (12.0, 1.0, "hash 0xab.. is not currently canonical", False),
        (12.0, 1.0, "Internal error", False),
        (12.0, 1.0, "missing trie node 12ab (path ) state 0x12 is not available", False),
    ],
)
async def test_photograph__when_a_head_is_told_before_the_nodes_have_it__then_asked_again_for_a_part_of_the_block(
    block_s: float, after_s: float, words: str, found: bool
) -> None:
    endpoints = Endpoints(
        chain_of(2, block_s), [FakeBody(well), FakeBody(well)], VirtualClock(), lambda _: None
    )
    await endpoints.probe()
    for endpoint in endpoints.each:
        endpoint.rpc.answer = _learning(after_s, words)  # type: ignore[attr-defined]
    began_s = now_s()
    with nullcontext() if found else pytest.raises(Rejected) as caught:
        await photographed(endpoints)
    if caught is None:
        assert after_s <= now_s() - began_s < after_s + 0.5
    else:
        assert now_s() - began_s < (3.0 if young(caught.value) else 0.3)
    await endpoints.close()


@virtual
async def test_question__about_a_tag_that_nobody_knows__then_told_after_the_second_round() -> None:
    endpoints = Endpoints(chain_of(2), [FakeBody(well), FakeBody(well)], VirtualClock(), lambda _: None)
    await endpoints.probe()
    for endpoint in endpoints.each:
        endpoint.rpc.answer = lambda m, p: Rejected(-39001, "block not found")  # type: ignore[attr-defined]
    began_s = now_s()
    with pytest.raises(Rejected):
        await endpoints.request("eth_getBlockByNumber", ["finalized", False])
    assert now_s() - began_s < 0.3
    assert [e.rpc.times("eth_getBlockByNumber") for e in endpoints.each] == [2, 2]  # type: ignore[attr-defined]
    await endpoints.close()


@virtual
async def test_photograph__when_one_says_that_the_block_is_gone__then_nobody_waits_for_it() -> None:
    words = ("header for hash not found", "hash 0xab.. is not currently canonical")
    endpoints = Endpoints(chain_of(2), [FakeBody(well), FakeBody(well)], VirtualClock(), lambda _: None)
    await endpoints.probe()
    for endpoint, said in zip(endpoints.each, words, strict=True):
        endpoint.rpc.answer = _learning(9.0, said)  # type: ignore[attr-defined]
    began_s = now_s()
    with pytest.raises(Rejected, match="canonical"):
        await photographed(endpoints)
    assert now_s() - began_s < 0.3
    await endpoints.close()


@virtual
@pytest.mark.parametrize("words", ["AlreadyKnown", "txpool is full", "tx fee exceeds the configured cap"])
async def test_send__when_a_pool_refuses_in_its_own_words__then_the_preferred_endpoint_stays_preferred(
    words: str,
) -> None:
    async with Bench(FakeBody(well), FakeBody(well)) as bench:
        refusal = Rejected(-32010, words)
        bench.bodies[0].answer = lambda m, p: refusal if m == "eth_sendRawTransaction" else well(m, p)
        for _ in range(15):
            await photographed(bench.endpoints)
            await bench.endpoints.broadcast(b"x")
        assert bench.bodies[1].times("eth_call") == 0


@virtual
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-32614, "eth_getLogs is limited to a 10,000 range"),
        (-32000, "requested too many blocks from 0 to 100000, maximum is set to 2048"),
        (35, "ranges over 10000 blocks are not supported on freetier"),
        (-32005, "query returned more than 10000 results"),
    ],
)
async def test_logs__when_they_are_too_many_for_a_node__then_told_at_once_and_it_stays_preferred(
    code: int, words: str
) -> None:
    async with Bench(FakeBody(well), FakeBody(well)) as bench:
        refusal = Rejected(code, words)
        bench.bodies[0].answer = lambda m, p: refusal if m == "eth_getLogs" else well(m, p)
        for n in range(1, 16):
            with pytest.raises(Rejected):
                await bench.endpoints.request("eth_getLogs", [{}])
            assert bench.bodies[0].times("eth_getLogs") == n
        await photographed(bench.endpoints)
        assert bench.bodies[1].asked.count("eth_call") == bench.bodies[1].asked.count("eth_getLogs") == 0


@virtual
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-32602, "invalid argument 0: hex string without 0x prefix"),
        (-32602, "Invalid params"),
        (-32601, "the method does not exist"),
        (-39001, "Unknown block"),
        (-32000, "finalized block not found"),
    ],
)
async def test_finality__when_every_endpoint_denies_the_tag__then_reckoned_by_depth(
    code: int, words: str
) -> None:
    def denies(method: str, params: object) -> object:
        finalized = isinstance(params, list | tuple) and params[:1] in (["finalized"], ("finalized",))
        return Rejected(code, words) if finalized else well(method, params)

    async with Bench(FakeBody(denies), FakeBody(denies)) as bench:
        finality, found = Finality(bench.endpoints), list[int]()
        for n in range(4):
            found.append(await finality.height(replace(block(1_000 + 100 * n), timestamp_s=700 * n), 10))
    assert found[0] == -1
    assert found[-1] > 1_000
