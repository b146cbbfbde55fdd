"""A stream that hangs or is late looks like one that is well: heads come in time all the same."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from keeper.chain import stream
from keeper.chain.endpoints import Endpoints
from keeper.chain.head import Heads, Mailbox
from tests.unit.chain.bodies import CHAIN_ID, FakeBody, chain_of
from tests.virtual_time import VirtualClock, now_s, virtual

pytestmark = pytest.mark.unit
NEVER = 1e9
RUN_S = 120.0


def header(number: int) -> dict[str, str]:
    """The block of that number."""
    return {
        "number": hex(number),
        "hash": f"0x{number:064x}",
        "parentHash": f"0x{number - 1:064x}",
        "timestamp": hex(number),
        "baseFeePerGas": "0x1",
    }


class Chain:
    """Makes a block every ``block_s``; its nodes know each at once."""

    def __init__(self, block_s: float) -> None:
        self.block_s, self.began_s = block_s, now_s() - block_s / 4

    def height(self, ago_s: float = 0.0) -> int:
        """As it was so long ago."""
        return 100 + int((now_s() - ago_s - self.began_s) / self.block_s)

    def late_s(self, number: int) -> float:
        """How old a block is."""
        return now_s() - self.began_s - (number - 100) * self.block_s

    def __call__(self, method: str, params: Any) -> object:
        if method == "eth_getBlockByNumber":
            return header(self.height() if params[0] == "latest" else int(params[0], 16))
        return header(int(params[0], 16)) if method == "eth_getBlockByHash" else hex(self.height())


class Socket:
    """Tells heads ``late_s`` after they are there; from ``hangs_s`` on nothing any more, or ``then_s`` after."""

    def __init__(self, chain: Chain, late_s: float, hangs_s: float, then_s: float = NEVER) -> None:
        self.chain, self._late_s, self._hangs_s, self._then_s = chain, late_s, hangs_s, then_s
        self._answers: list[str] = []
        self._told = 0
        self.transport = self

    def abort(self) -> None:
        """Ends at once."""

    async def wait_closed(self) -> None:
        """It has ended."""

    async def send(self, text: str) -> None:
        asked = json.loads(text)
        told = hex(CHAIN_ID) if asked["method"] == "eth_chainId" else "0x1"
        self._answers.append(json.dumps({"id": asked["id"], "result": told}))

    async def recv(self) -> str:
        if self._answers:
            return self._answers.pop(0)
        while True:
            hangs = now_s() - self.chain.began_s >= self._hangs_s
            number = self.chain.height(self._then_s if hangs else self._late_s)
            if number > max(99, self._told):
                self._told = number
                head = {"subscription": "0x1", "result": header(number)}
                return json.dumps({"method": "eth_subscription", "params": head})
            await asyncio.sleep(0.05)


async def lateness(monkeypatch: pytest.MonkeyPatch, block_s: float, *stream_s: float) -> dict[int, float]:
    """By block, how late it came in a run with such a stream at one of three endpoints."""
    chain = Chain(block_s)

    async def opened(*_: object) -> Socket:
        return Socket(chain, *stream_s)

    monkeypatch.setattr(stream, "_open", opened)
    settings = chain_of(3, block_s)
    first, *others = settings.endpoints
    settings = replace(settings, endpoints=(replace(first, ws_url="ws://unused"), *others))
    clock = VirtualClock()
    endpoints = Endpoints(settings, [FakeBody(chain) for _ in range(3)], clock, lambda _: None)
    await endpoints.probe()
    heads, mailbox = Heads(settings, endpoints, clock, lambda _: None), Mailbox()
    late: dict[int, float] = {}

    async def take() -> None:
        while True:
            number = (await mailbox.get()).number
            late[number] = chain.late_s(number)

    tasks = [asyncio.create_task(heads.run(mailbox)), asyncio.create_task(take())]
    await asyncio.sleep(RUN_S)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await endpoints.close()
    assert max(late) >= 100 + RUN_S // block_s - 1
    return late


@virtual
@pytest.mark.parametrize(
    ("block_s", "late_s", "hangs_s", "latest_s"),
    [
        (12.0, 0.1, NEVER, 0.2),
        (12.0, 0.1, 37.0, 6.1),
        (12.0, 20.0, NEVER, 2.1),
        (12.0, 34.0, NEVER, 2.1),
        (2.0, 0.1, 37.0, 1.1),
        (2.0, 3.5, NEVER, 1.1),
    ],
    ids=["well", "hangs", "late", "very late", "hangs, fast chain", "late, fast chain"],
)
async def test_heads__whatever_the_stream_does__come_within_half_a_block_and_none_is_missed(
    monkeypatch: pytest.MonkeyPatch, block_s: float, late_s: float, hangs_s: float, latest_s: float
) -> None:
    late = await lateness(monkeypatch, block_s, late_s, hangs_s)
    assert sorted(late) == list(range(100, max(late) + 1))
    del late[100]  # it was there before the keeper
    assert max(late.values()) <= latest_s


@virtual
async def test_heads__once_the_stream_has_turned_late__then_polled_as_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = await lateness(monkeypatch, 12.0, 0.1, 37.0, 10.0)
    assert max(late[n] for n in (101, 102)) <= 0.2
    assert max(s for n, s in late.items() if n >= 106) <= 2.1


@virtual
@pytest.mark.parametrize(("block_s", "least", "most"), [(12.0, 20, 25), (0.25, 200, 260)])
async def test_heads__while_the_stream_is_well__then_nodes_are_asked_twice_a_block_or_a_second(
    monkeypatch: pytest.MonkeyPatch, block_s: float, least: int, most: int
) -> None:
    chain = Chain(block_s)

    async def opened(*_: object) -> Socket:
        return Socket(chain, 0.1, NEVER)

    monkeypatch.setattr(stream, "_open", opened)
    settings = chain_of(1, block_s)
    settings = replace(settings, endpoints=(replace(settings.endpoints[0], ws_url="ws://unused"),))
    clock, body = VirtualClock(), FakeBody(chain)
    endpoints = Endpoints(settings, [body], clock, lambda _: None)
    heads = Heads(settings, endpoints, clock, lambda _: None)
    task = asyncio.create_task(heads.run(Mailbox()))
    await asyncio.sleep(RUN_S)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await endpoints.close()
    assert least <= body.times("eth_getBlockByNumber") <= most
