"""Final is what the chain says is final; depth decides only where every endpoint says that it names nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from keeper.confirmation import FINAL_DEPTH
from keeper.confirmation.finality import DENIED_S, DEPTH_MIN, Finality, named
from keeper.errors import Rejected, Transient
from keeper.journal.statements import REVIVAL_DEPTH
from keeper.model import IntentState as S
from tests.chain_double import ChainDouble
from tests.plans import block, plan
from tests.unit.confirmation.test_confirmation_tend import Keeper
from tests.virtual_time import run

pytestmark = pytest.mark.unit
NUMBER = {"number": hex(50), "hash": "0x00"}
DENIALS = (
    None,
    Rejected(-32000, "finalized block not found"),
    Rejected(-39001, "Unknown block"),
    Rejected(-32000, 'block "finalized" not available (head block: 21459236)'),
    Rejected(-32602, "invalid argument 0: hex string without 0x prefix"),
    Rejected(-32601, "the method eth_getBlockByNumber does not exist"),
)
"""Nethermind and reth; geth; Besu and Erigon; a newer Erigon; nodes that never heard of the tag."""
FAULTS = (
    Transient("a: did not answer in time"),
    Rejected(-32603, "internal error"),
    Rejected(-32000, "header not found"),
    Rejected(-32005, "daily limit exceeded"),
    {},
    {"number": 5},
    "0x1",
)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(tmp_path / "journal.sqlite")
    yield made
    made.journal.close()


def test_height__when_an_endpoint_calls_its_head_final__then_not_before_any_prepared_reorganisation_is_over() -> (
    None
):
    assert DEPTH_MIN == REVIVAL_DEPTH + 1
    told = Told({"number": hex(500), "hash": "0x00"})
    assert heights(told, [100, 507, 508, 600]) == [92, 499, 500, 500]


def test_tend__when_what_was_final_is_taken_back__then_the_gap_is_told(keeper: Keeper) -> None:
    keeper.act()
    keeper.chain.mine()
    keeper.tend()
    keeper.journal.seal(keeper.intent().key, keeper.chain.head.number)
    at = keeper.chain.mine(empty=True)
    keeper.act(plan(2, at=at))
    keeper.tend()
    assert not keeper.confirmation.troubles
    keeper.chain.reorg(2)
    keeper.tend()
    assert "nonce 0 is free again" in keeper.confirmation.troubles[keeper.intent(2).key]


class Told(ChainDouble):
    """A chain whose one voice, and whose endpoints by themselves, say this of the finalized block."""

    def __init__(self, first: object, *each: object) -> None:
        super().__init__()
        self.first, self.each, self.asked_each = first, each, 0

    async def request(self, method: str, params: Sequence[object], **options: object) -> object:
        """The first endpoint's word."""
        if params and params[0] == "finalized":
            if isinstance(self.first, Exception):
                raise self.first
            return self.first
        return await super().request(method, params, **options)  # type: ignore[arg-type]


class Each(Told):
    """The same where the endpoints can be asked by themselves."""

    async def request_each(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float = 4.0, wait_s: float
    ) -> tuple[object, ...]:
        """Everybody's."""
        assert params == ["finalized", False]
        self.asked_each += 1
        if not self.each:
            raise Transient("no endpoint serves the chain")
        return self.each


def heights(transport: Told, numbers: Sequence[int], lowest: int = 101) -> list[int]:
    finality = Finality(transport)
    return [run(finality.height(block(n), lowest)) for n in numbers]


LATER = 101 + DENIED_S // 12
"""The first block in which a chain that was asked in block 101 has denied it for long enough."""


def test_tend__when_the_finalized_block_stands_still__then_settled_however_deep(keeper: Keeper) -> None:
    keeper.chain.finalized = 50
    keeper.act()
    keeper.chain.mine()
    keeper.tend()
    for _ in range(3 * FINAL_DEPTH):
        keeper.chain.mine()
        keeper.tend()
    assert keeper.state is S.SETTLED
    assert [i.key.seq for i in keeper.journal.followed_intents()] == [1]
    keeper.chain.finalized = 101
    keeper.chain.mine()
    keeper.tend()
    assert keeper.state is S.FINAL


def test_tend__when_it_was_taken_back_deep_below_a_standing_finalized_block__then_sent_again(
    keeper: Keeper,
) -> None:
    keeper.chain.finalized = 50
    keeper.act()
    keeper.chain.mine()
    keeper.tend()
    for _ in range(FINAL_DEPTH + 6):
        keeper.chain.mine()
        keeper.tend()
    keeper.chain.reorg(FINAL_DEPTH + 7)
    assert [o.state for o in keeper.tend()] == [S.SENT]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_tend__when_nobody_says_where_the_chain_is_final__then_nothing_is(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, fault: object
) -> None:
    keeper.act()
    keeper.chain.mine()
    keeper.tend()
    told = keeper.chain._header

    def header(tag: object) -> object:
        if tag != "finalized":
            return told(tag)
        if isinstance(fault, Exception):
            raise fault
        return fault

    monkeypatch.setattr(keeper.chain, "_header", header)
    for _ in range(2 * FINAL_DEPTH):
        keeper.chain.mine()
        keeper.tend()
    assert keeper.state is S.SETTLED


@pytest.mark.parametrize("denial", DENIALS, ids=str)
def test_height__when_the_chain_names_none_for_long__then_depth_decides(denial: object) -> None:
    at = [101, LATER - 1, LATER, LATER + FINAL_DEPTH]
    late = LATER - FINAL_DEPTH
    assert heights(Told(denial), at, lowest=1) == [-1, -1, late, LATER]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_height__when_an_answer_is_missing_or_nonsense__then_unknown_for_ever(fault: object) -> None:
    assert heights(Told(fault), [101, LATER, 10 * LATER], lowest=1) == [-1, -1, -1]


def test_height__when_nothing_is_deep_enough__then_not_everybody_is_asked() -> None:
    chain = Each(None, None)
    assert heights(chain, [101, LATER, 101 + FINAL_DEPTH - 1]) == [-1, -1, -1]
    assert chain.asked_each == 0
    assert heights(chain, [101, LATER, LATER + FINAL_DEPTH], lowest=LATER) == [-1, -1, LATER]
    assert chain.asked_each == 1


@pytest.mark.parametrize(
    "each, found",
    [
        ((None, None), LATER),
        ((None, Rejected(-39001, "Unknown block")), LATER),
        ((None, NUMBER), 50),
        ((None, {**NUMBER, "number": hex(40)}, NUMBER), 40),
        ((None, NUMBER, Transient("c: did not answer in time")), 50),
        ((None, Transient("b: did not answer in time")), -1),
        ((None, Rejected(-32603, "internal error")), -1),
        ((Transient("a: did not answer in time"),), -1),
        ((None, {"number": "five"}), -1),
        ((), -1),
    ],
    ids=str,
)
def test_height__when_one_endpoint_names_none__then_every_other_is_heard(
    each: tuple[object, ...], found: int
) -> None:
    assert heights(Each(None, *each), [101, LATER + FINAL_DEPTH])[-1] == found


def test_height__when_the_chain_has_named_one__then_depth_never_decides_again() -> None:
    chain, at = Told(None), block(101)
    finality = Finality(chain)
    run(finality.height(at, 1))
    chain.first = NUMBER
    assert run(finality.height(block(LATER), 1)) == 50
    chain.first = None
    assert run(finality.height(block(10 * LATER), 1)) == -1


def test_height__when_another_endpoint_named_one__then_depth_never_decides_again() -> None:
    chain = Each(None, None, NUMBER)
    finality = Finality(chain)
    told = [run(finality.height(block(n), 1)) for n in (101, LATER + FINAL_DEPTH)]
    chain.each = (None, None)
    assert [*told, run(finality.height(block(10 * LATER), 1))] == [-1, 50, -1]


def test_named__when_the_answer_is_a_block_or_a_denial__then_its_height_or_none() -> None:
    assert named(NUMBER) == 50
    assert [named(d) for d in DENIALS] == [None] * len(DENIALS)
    for fault in FAULTS:
        with pytest.raises(Transient):
            named(fault)
    with pytest.raises(RuntimeError):
        named(RuntimeError("not the chain's word"))
