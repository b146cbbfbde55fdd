"""Heads: strict parsing, one place, order, reorganisations and their depth."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.head import Heads, Mailbox, latest, logs, parse_block
from keeper.chain.line import RING, HeadEvent, HeadKind, Line
from keeper.clock import ManualClock
from keeper.errors import Transient
from keeper.model import Block
from keeper.seams import Priority
from tests.unit.chain.bodies import CHAIN_ID, Bench, FakeBody


def _hash(number: int, fork: str) -> str:
    return "0x" + f"{fork}{number:x}".rjust(64, "0")


class FakeChain:
    """Blocks by number on named forks; a Transport that knows them all."""

    def __init__(self) -> None:
        self.canonical: dict[int, str] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.dead = False

    def grow(self, to: int, fork: str = "a", *, after: int | None = None) -> None:
        """Mine up to block ``to`` on ``fork``, branching off after block ``after``."""
        start = max(self.canonical, default=0) if after is None else after
        self.canonical = {n: h for n, h in self.canonical.items() if n <= start}
        for n in range(start + 1, to + 1):
            self.headers[_hash(n, fork)] = {
                "number": hex(n),
                "hash": _hash(n, fork),
                "parentHash": self.canonical.get(n - 1, _hash(n - 1, "0")),
                "timestamp": hex(1_000 + 12 * n),
                "baseFeePerGas": "0x7",
            }
            self.canonical[n] = _hash(n, fork)

    def block(self, number: int, fork: str = "a") -> Block:
        return parse_block(CHAIN_ID, self.headers[_hash(number, fork)])

    def answer(self, method: str, params: Sequence[object]) -> object:
        """What a node with this chain answers."""
        if method == "eth_getBlockByNumber":
            number = max(self.canonical) if params[0] == "latest" else int(str(params[0]), 16)
            return self.headers.get(self.canonical.get(number, ""))
        if method == "eth_getBlockByHash":
            return self.headers.get(str(params[0]))
        return hex(max(self.canonical))

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        self.asked.append(method)
        await asyncio.sleep(0)
        if self.dead:
            raise Transient("dead")
        return self.answer(method, params)

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        raise NotImplementedError


class Story:
    """A line fed by hand; what it delivered and told, in order."""

    def __init__(self) -> None:
        self.chain = FakeChain()
        self.chain.grow(100)
        self.clock = ManualClock(5_000)
        self.told: list[object] = []
        self.line = Line(self.chain, self.clock, 29.0, self._new, self._event)

    def _new(self, block: Block) -> None:
        self.told.append(block.number)

    def _event(self, event: HeadEvent) -> None:
        self.told.append((event.kind.value, event.block_number, event.depth))

    async def feed(self, *numbers: int, fork: str = "a") -> None:
        for number in numbers:
            await self.line.accept(self.chain.block(number, fork))


HEADER = {
    "number": "0x10",
    "hash": "0x" + "AB" * 32,
    "parentHash": "0x" + "cd" * 32,
    "timestamp": "0x64",
    "baseFeePerGas": "0x3b9aca00",
}


@pytest.mark.unit
def test_parse__when_well_formed__then_exact_and_hashes_in_lower_case() -> None:
    want = Block(
        chain_id=1,
        number=16,
        hash="0x" + "ab" * 32,
        parent_hash="0x" + "cd" * 32,
        timestamp_s=100,
        base_fee_wei=10**9,
    )
    assert parse_block(1, HEADER) == want


BAD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
    st.sampled_from(["0x", "10", "0xg", "-0x1", "0x" + "f" * 65, " 0x1", "0x1\n", "0x١"]),
)


@pytest.mark.property
@given(field=st.sampled_from(sorted(HEADER)), value=BAD)
def test_parse__when_a_field_is_malformed__then_transient(field: str, value: object) -> None:
    with pytest.raises(Transient, match="malformed"):
        parse_block(1, {**HEADER, field: value})
    with pytest.raises(Transient, match="malformed"):
        parse_block(1, {k: v for k, v in HEADER.items() if k != field})


@pytest.mark.property
@given(obj=st.one_of(st.none(), st.text(), st.integers(), st.lists(st.none())))
def test_parse__when_it_is_no_object__then_transient(obj: object) -> None:
    with pytest.raises(Transient):
        parse_block(1, obj)


@pytest.mark.unit
@pytest.mark.asyncio
async def test_mailbox__when_the_reader_is_slow__then_it_sees_the_newest_once() -> None:
    story, box = Story(), Mailbox()
    for number in (5, 6, 7):
        box.put(story.chain.block(number))
    assert (await box.get()).number == 7
    assert box.skipped == 2
    waiting = asyncio.create_task(box.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    box.put(story.chain.block(8))
    assert (await waiting).number == 8
    assert box.skipped == 2


@pytest.mark.unit
@pytest.mark.asyncio
async def test_line__when_heads_follow_each_other__then_each_once_and_nobody_is_asked() -> None:
    story = Story()
    await story.feed(10, 11, 11, 12, 11, 10, 13)
    assert story.told == [10, 11, 12, 13]
    assert story.chain.asked == []


@pytest.mark.unit
@pytest.mark.asyncio
async def test_line__when_heads_are_skipped_on_the_same_chain__then_no_reorganisation_is_told() -> None:
    story = Story()
    await story.feed(10, 14)
    assert story.told == [10, 14]


@pytest.mark.unit
@pytest.mark.asyncio
@pytest.mark.parametrize("depth", [1, 2, 7])
async def test_line__when_the_chain_is_replaced__then_its_depth_is_told_before_the_new_head(
    depth: int,
) -> None:
    story = Story()
    await story.feed(*range(10, 31))
    story.chain.grow(31, "b", after=30 - depth)
    await story.feed(31, fork="b")
    assert story.told[-2:] == [("reorg", 31, depth), 31]
    story.chain.grow(32, "b")
    await story.feed(32, fork="b")
    assert story.told[-1] == 32


@pytest.mark.unit
@pytest.mark.asyncio
async def test_line__when_the_replacing_heads_come_one_by_one__then_one_reorganisation_is_told() -> None:
    story = Story()
    await story.feed(*range(10, 31))
    story.chain.grow(32, "b", after=27)
    await story.feed(28, 29, 30, 31, 32, fork="b")
    assert story.told[21:] == [("reorg", 28, 3), 28, 29, 30, 31, 32]


@pytest.mark.unit
@pytest.mark.asyncio
async def test_line__when_heads_were_skipped_across_a_reorganisation__then_it_is_found() -> None:
    story = Story()
    await story.feed(*range(10, 31))
    story.chain.grow(40, "b", after=28)
    await story.feed(40, fork="b")
    assert story.told[-2:] == [("reorg", 40, 2), 40]


@pytest.mark.unit
@pytest.mark.asyncio
async def test_line__when_the_fork_lies_below_all_we_know__then_at_least_that_deep() -> None:
    story = Story()
    await story.feed(*range(20, 31))
    story.chain.grow(31, "b", after=5)
    await story.feed(31, fork="b")
    assert story.told[-2:] == [("reorg", 31, 11), 31]


@pytest.mark.unit
@pytest.mark.asyncio
async def test_line__when_the_depth_cannot_be_measured__then_a_newer_head_is_delivered_as_unknown() -> None:
    story = Story()
    await story.feed(*range(10, 31))
    story.chain.grow(33, "b", after=25)
    story.chain.dead = True
    await story.feed(28, fork="b")
    assert story.told[-1] == 30, "an older head without proof of a reorganisation is not believed"
    await story.feed(31, fork="b")
    assert story.told[-2:] == [("reorg", 31, None), 31]


@pytest.mark.unit
@pytest.mark.asyncio
async def test_line__when_an_older_head_stays_all_there_is__then_it_is_believed_as_a_rollback() -> None:
    story = Story()
    await story.feed(10, 11, 12, 13)
    await story.feed(11, 11)
    story.clock.advance(30)
    await story.feed(11)
    assert story.told[4:] == [("reorg", 11, 2), 11]
    await story.feed(12)
    assert story.told[-1] == 12


@pytest.mark.unit
@pytest.mark.asyncio
async def test_line__when_a_lagging_replica_repeats_an_old_head__then_nothing_is_delivered() -> None:
    story = Story()
    await story.feed(10, 11, 12, 13)
    story.clock.advance(30)
    await story.feed(11, 13, 11, 13, 9, 8, 9)
    assert story.told == [10, 11, 12, 13]


@pytest.mark.unit
@pytest.mark.asyncio
async def test_line__when_it_runs_long__then_it_remembers_no_more_than_the_ring() -> None:
    story = Story()
    story.chain.grow(1_000)
    await story.feed(*range(1, 1_000))
    assert len(story.line._ring) == RING


@pytest.mark.unit
@pytest.mark.asyncio
async def test_heads__when_there_is_no_stream__then_polling_carries_everything() -> None:
    chain = FakeChain()
    chain.grow(10)
    async with Bench(FakeBody(chain.answer), FakeBody(chain.answer)) as bench:
        events: list[HeadEvent] = []
        heads, box = Heads(bench.chain, bench.endpoints, bench.clock, events.append), Mailbox()
        assert heads.fresh_age_s(bench.clock) == float("inf")
        task = asyncio.create_task(heads.run(box))
        assert (await asyncio.wait_for(box.get(), 60)).number == 10
        bench.bodies[0].answer = lambda m, p: Transient("a: down")
        chain.grow(11)
        assert (await asyncio.wait_for(box.get(), 60)).number == 11
        chain.grow(12, "b", after=10)
        assert (await asyncio.wait_for(box.get(), 60)).number == 12
        assert [(e.kind, e.depth) for e in events] == [(HeadKind.REORG, 1)]
        assert heads.last is not None
        assert heads.last.number == 12
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.unit
@pytest.mark.asyncio
async def test_latest__when_the_node_answers_null__then_transient() -> None:
    async with Bench(FakeBody(lambda m, p: None if m == "eth_getBlockByNumber" else "0x1")) as bench:
        with pytest.raises(Transient, match="answered eth_getBlockByNumber with something else"):
            await latest(bench.endpoints)


@pytest.mark.unit
@pytest.mark.asyncio
@pytest.mark.parametrize("told", [None, {}, "0x", [1], [None]])
async def test_logs__when_the_answer_is_no_list_of_logs__then_transient(told: object) -> None:
    async with Bench(FakeBody(lambda m, p: told if m == "eth_getLogs" else "0x1")) as bench:
        with pytest.raises(Transient, match="no list of logs"):
            await logs(bench.endpoints, {})
