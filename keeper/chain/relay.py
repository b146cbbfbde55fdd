"""Private endpoints: transactions are sent to them and nothing is ever read from them, not even a chain id.

A signed transaction carries its chain id, so a relay of another chain can only refuse it. What a relay says is
worth no more than a pool's word: it may accept and forget, so others must be able to hear of the bytes soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

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

    def __init__(
        self, settings: Sequence[EndpointSettings], body: Callable[[EndpointSettings], Body], clock: Clock
    ) -> None:
        """``body``: makes the connection of one when there is something to send."""
        self._all = tuple(_Relay(s, body, clock) for s in settings)
        self._beside: set[asyncio.Task[tuple[str | Exception, ...]]] = set()

    @classmethod
    def open(cls, chain: ChainSettings, clock: Clock) -> Relays:
        """The private endpoints of ``chain``; nothing is asked of them before there is something to send."""
        return cls(chain.private, lambda e: Rpc(e.name, e.url), clock)

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

    def __init__(
        self, settings: EndpointSettings, body: Callable[[EndpointSettings], Body], clock: Clock
    ) -> None:
        self._settings = settings
        self._name = settings.name
        self._method = settings.send_method
        self._make = body
        self._clock = clock
        self._open: tuple[Body, Lane] | None = None

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
        if self._open is not None:
            body, lane = self._open
            self._open = None
            await lane.close()
            await body.close()

    async def _sent(self, data: str, timeout_s: float) -> object:
        params: list[object] = [data] if self._method == "eth_sendRawTransaction" else [{"tx": data}]
        if self._open is None:
            s = self._settings
            self._open = self._make(s), Lane(s.name, s.rate_per_s, s.concurrency, self._clock)
        body, lane = self._open
        await lane.acquire(Priority.SEND)
        try:
            return await body.call(self._method, params, timeout_s=timeout_s)
        except RateLimited as error:
            lane.penalise(error.retry_after_s)
            raise
        finally:
            lane.release(Priority.SEND)
