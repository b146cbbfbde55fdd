"""Private endpoints: transactions are sent to them and nothing is ever read from them, not even a chain id.

A signed transaction carries its chain id, so a relay of another chain can only refuse it. What a relay says is
worth no more than a pool's word: it may accept and forget, so others must be able to hear of the bytes soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from keeper.chain.endpoint import Body
from keeper.chain.lane import Lane
from keeper.chain.rpc import RateLimited, Rpc
from keeper.config import ChainSettings, EndpointSettings
from keeper.errors import Transient
from keeper.seams import Clock, Priority

RELAY_S = 1.5
"""A relay that has not answered by then counts as silent: the public pools must not wait for it."""


class Relays:
    """Every private endpoint of one chain. Build it inside the running loop; ``close`` ends it."""

    def __init__(self, settings: Sequence[EndpointSettings], bodies: Sequence[Body], clock: Clock) -> None:
        """For ``open`` and for tests; ``bodies`` in the order of ``settings``."""
        self._all = tuple(_Relay(s, b, clock) for s, b in zip(settings, bodies, strict=True))
        self._beside: set[asyncio.Task[tuple[str | Exception, ...]]] = set()

    @classmethod
    def open(cls, chain: ChainSettings, clock: Clock) -> Relays:
        """The private endpoints of ``chain``; nothing is asked of them before there is something to send."""
        return cls(chain.private, [Rpc(e.name, e.url) for e in chain.private], clock)

    def __bool__(self) -> bool:
        return bool(self._all)

    async def send(self, raw: bytes, *, timeout_s: float = RELAY_S) -> tuple[str | Exception, ...]:
        """The signed bytes to every relay at once: a hash or the error of each, in their order."""
        return tuple(await asyncio.gather(*(relay.send(raw, timeout_s) for relay in self._all)))

    def send_beside(self, raw: bytes) -> None:
        """``send`` while others are sent to; nobody waits for the answers."""
        task = asyncio.ensure_future(self.send(raw))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def close(self) -> None:
        """Stop what is under way and end every session."""
        for task in tuple(self._beside):
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        for relay in self._all:
            await relay.close()


class _Relay:
    """One private endpoint."""

    def __init__(self, settings: EndpointSettings, body: Body, clock: Clock) -> None:
        self._name = settings.name
        self._method = settings.send_method
        self._body = body
        self._lane = Lane(settings.name, settings.rate_per_s, settings.concurrency, clock)

    async def send(self, raw: bytes, timeout_s: float) -> str | Exception:
        """The hash that it answers, or why there is none."""
        try:
            async with asyncio.timeout(timeout_s):
                told = await self._sent("0x" + raw.hex(), timeout_s)
        except Transient as error:
            return error
        except TimeoutError:
            return Transient(f"{self._name}: no answer in time")
        return told if isinstance(told, str) else Transient(f"{self._name}: answered no transaction hash")

    async def close(self) -> None:
        await self._lane.close()
        await self._body.close()

    async def _sent(self, data: str, timeout_s: float) -> object:
        params: list[object] = [data] if self._method == "eth_sendRawTransaction" else [{"tx": data}]
        await self._lane.acquire(Priority.SEND)
        try:
            return await self._body.call(self._method, params, timeout_s=timeout_s)
        except RateLimited as error:
            self._lane.penalise(error.retry_after_s)
            raise
        finally:
            self._lane.release(Priority.SEND)
