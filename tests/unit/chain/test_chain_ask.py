"""What a question allows an answer to be: a plain one has no excuse, and what is plainly none is no answer."""

from __future__ import annotations

import pytest

from keeper.chain.endpoint import Ask
from keeper.chain.payload import Calldata
from keeper.seams import Priority

pytestmark = pytest.mark.unit
HASH = {"blockHash": "0x" + "ab" * 32}


def ask(method: str, *params: object) -> Ask:
    """That question."""
    return Ask(method=method, params=params, priority=Priority.TRIGGER, deadline_s=1.0)


@pytest.mark.parametrize(
    ("question", "plain"),
    [
        (ask("eth_chainId"), True),
        (ask("eth_blockNumber"), True),
        (ask("eth_getBlockByNumber", "latest", False), True),
        (ask("eth_getBlockByNumber", "finalized", False), False),
        (ask("eth_getBlockByNumber", "0x64", False), False),
        (ask("eth_getTransactionCount", "0x" + "11" * 20, "latest"), True),
        (ask("eth_getTransactionCount", "0x" + "11" * 20, "pending"), False),
        (ask("eth_getTransactionCount", "0x" + "11" * 20, HASH), False),
        (ask("eth_call", {}, "latest"), False),
        (ask("eth_getLogs", {}), False),
    ],
    ids=lambda a: f"{a.method} {a.params}"[:60] if isinstance(a, Ask) else None,
)
def test_plain__is_what_every_healthy_node_can_answer(question: Ask, plain: bool) -> None:
    assert question.plain is plain


@pytest.mark.parametrize("method", ["eth_chainId", "eth_getTransactionCount"])
@pytest.mark.parametrize(
    ("told", "none"), [("0x1", False), ("0x", True), (None, True), (1, True), ({}, True), ("0xzz", True)]
)
def test_misshapen__of_a_count__is_whatever_is_no_quantity(method: str, told: object, none: bool) -> None:
    assert ask(method, "0x", "latest").misshapen(told) is none


@pytest.mark.parametrize(
    ("told", "none"),
    [({"number": "0x64"}, False), ({"number": None}, True), ({}, True), (None, True), ("0x64", True)],
)
def test_misshapen__of_the_head__is_what_has_no_number_and_of_a_named_block_nothing(
    told: object, none: bool
) -> None:
    assert ask("eth_getBlockByNumber", "latest", False).misshapen(told) is none
    assert not ask("eth_getBlockByNumber", "0x64", False).misshapen(told)


@pytest.mark.parametrize(
    ("told", "none"), [("0x" + "00" * 32, False), ("0x" + "00" * 31, True), (None, True)]
)
def test_misshapen__of_a_batch__is_less_than_a_word_and_of_another_call_nothing(
    told: object, none: bool
) -> None:
    assert ask("eth_call", {"data": Calldata("0x01")}, HASH).misshapen(told) is none
    assert not ask("eth_call", {"data": "0x01"}, HASH).misshapen(told)
