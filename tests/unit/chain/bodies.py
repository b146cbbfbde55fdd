"""Endpoints without a socket: a body that answers what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from keeper.chain.endpoints import EndpointEvent, Endpoints
from keeper.clock import ManualClock
from keeper.config import ChainSettings, EndpointSettings
from keeper.errors import Transient

CHAIN_ID = 8453
Answer = Callable[[str, Sequence[object]], object]


class FakeBody:
    """One endpoint's JSON-RPC body. ``answer`` may return a value, an exception to raise, or SILENT."""

    def __init__(self, answer: Answer | None = None, chain_id: int = CHAIN_ID) -> None:
        self.connects = 0
        self.chain_id = chain_id
        self.answer = answer or (lambda method, params: f"{method} ok")
        self.asked: list[str] = []
        self.closed = False

    async def call(self, method: str, params: Sequence[object], *, timeout_s: float) -> object:
        self.asked.append(method)
        await asyncio.sleep(0)
        if method == "eth_chainId" and not isinstance(self.answer(method, params), BaseException):
            return hex(self.chain_id)
        told = self.answer(method, params)
        if told is SILENT:
            await asyncio.sleep(timeout_s)
            raise Transient("did not answer in time")
        if isinstance(told, BaseException):
            raise told
        return told

    async def close(self) -> None:
        self.closed = True

    def times(self, method: str) -> int:
        """How often ``method`` was asked."""
        return self.asked.count(method)


SILENT = object()
"""An answer that never comes."""


def chain_of(n: int, block_time_s: float = 12.0) -> ChainSettings:
    """A chain with ``n`` endpoints a, b, c ..., fast enough not to be the subject."""
    return ChainSettings(
        name="test",
        chain_id=CHAIN_ID,
        block_time_s=block_time_s,
        multicall="0x" + "ca" * 20,
        native_token=None,
        endpoints=tuple(
            EndpointSettings(name=name, url="http://unused", ws_url=None, rate_per_s=10_000, concurrency=8)
            for name in "abcdefgh"[:n]
        ),
    )


class Bench:
    """Endpoints over fake bodies, with a clock moved by hand and every event kept."""

    def __init__(self, *bodies: FakeBody, block_time_s: float = 12.0) -> None:
        self.bodies = bodies
        self.clock = ManualClock(1_000.0)
        self.events: list[EndpointEvent] = []
        self.chain = chain_of(len(bodies), block_time_s)
        self.endpoints = Endpoints(self.chain, bodies, self.clock, self.events.append)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """(endpoint, kind) of the events so far."""
        return [(e.name, e.kind.value) for e in self.events]

    async def __aenter__(self) -> Self:
        await self.endpoints.probe()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.endpoints.close()
