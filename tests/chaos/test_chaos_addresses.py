"""A host of two addresses, one of which never answers, on either event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from keeper import eventloop
from keeper.chain.http1 import Answer, Site
from keeper.chain.wire import HAPPY_EYEBALLS_S, Wire

pytestmark = pytest.mark.anvil

HOST = "twofold.test"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


@contextlib.contextmanager
def silent() -> Iterator[tuple[str, int]]:
    """An address that takes no more connections and refuses none: whoever calls there waits."""
    with contextlib.ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        yield deaf.getsockname()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(ANSWER)
            await writer.drain()
    writer.close()


async def _asked(deaf: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, float]:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    loop = asyncio.get_running_loop()

    resolved = loop.getaddrinfo

    async def found(host: str, *more: Any, **named: Any) -> Any:
        if host != HOST:
            return await resolved(host, *more, **named)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", a) for a in (deaf, address)]

    # a name that the resolver gives both: nothing on a test's machine has one
    monkeypatch.setattr(loop, "getaddrinfo", found)
    site = Site.of(f"http://{HOST}/", "keeper")
    assert site is not None
    wire = Wire(site, (b"{}",), lambda _: None)
    begun_s = loop.time()
    answer: Answer = await wire.post((b"{}",), 10.0)
    took_s = loop.time() - begun_s
    await wire.close()
    server.close()
    return bytes(answer.body), took_s


@pytest.mark.parametrize("run", [asyncio.run, eventloop.run], ids=["asyncio", "uvloop"])
def test_wire__when_the_first_address_of_a_host_never_answers__then_the_second_serves(
    run: Callable[[Coroutine[object, object, tuple[bytes, float]]], tuple[bytes, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with silent() as deaf:
        body, took_s = run(_asked(deaf, monkeypatch))
    assert body == b"hi"
    assert took_s >= HAPPY_EYEBALLS_S * 0.9
