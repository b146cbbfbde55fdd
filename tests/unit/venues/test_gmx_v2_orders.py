"""Words about orders: a malformed log is none, and an order that is swapped into the margin waits on the slot too."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from eth_abi.abi import encode

from keeper.venues.gmx_v2 import events, orders
from keeper.words import Words
from tests.perps import BLOCK, OWNER, USDC, WETH, slot

pytestmark = pytest.mark.unit
KEY = "0x" + "cd" * 32
NOBODY = "0x" + "00" * 20


def log(**change: object) -> Mapping[str, object]:
    topics = [events.LOG2, events.named("OrderExecuted"), KEY, "0x" + OWNER[2:].rjust(64, "0")]
    return {"address": slot().emitter, "topics": topics, "data": "0x", "blockNumber": "0x10", **change}


def test_events__malformed_logs_of_an_endpoint__are_left_out_and_the_others_told() -> None:
    topics = cast(list[str], log()["topics"])
    malformed = [
        log(blockNumber="latest"),
        log(blockNumber={"at": 16}),
        log(topics=[*topics[:3], "0xzz"]),
        log(topics=[*topics[:2], 7, topics[3]]),
        None,
        "0x",
        log(topics=None),
    ]
    told = events.order_events(cast(Any, [*malformed, log(), log(data=None)]), slot().emitter)
    assert [(e.order, e.block_number, e.state.value) for e in told] == [(KEY, 16, "EXECUTED")] * 2


def listed(token: str, path: list[str], kind: int) -> Words:
    """The answer of an account that has this one order on the slot's market and side."""
    s = slot()
    addresses = (OWNER, OWNER, OWNER, NOBODY, NOBODY, s.market, token, path)
    numbers = (kind, 0, 10**33, 10**18, 0, 0, 1, 0, 0, BLOCK.timestamp_s, 0, 0)
    row: object = (b"\1" * 32, (addresses, numbers, (s.long, False, False, False), []))
    data = encode([orders._ORDERS], [[row]])
    words = SimpleNamespace(ok=[True] * 2, count=[0, 9], uint=lambda i, k: 1, data=lambda i: data)
    return cast(Words, words)


@pytest.mark.parametrize("kind", [2, 3, 8])
def test_waiting__an_increase_paid_in_another_token_and_swapped__is_on_the_slot(kind: int) -> None:
    s = slot()

    def kinds(token: str, path: list[str], kind: int) -> list[int]:
        found = orders.waiting(s, BLOCK, listed(token, path, kind), orders.PAGE)
        assert not isinstance(found, str)
        return [o.kind for o in found]

    assert kinds(USDC.address, [], kind) == [kind]
    assert kinds(WETH.address, [s.market], kind) == [kind]
    assert kinds(WETH.address, [], kind) == [], "a position of another margin"
    assert kinds(WETH.address, [s.market], 4) == [], (
        "what decreases names the margin itself, and swaps what it pays out"
    )
