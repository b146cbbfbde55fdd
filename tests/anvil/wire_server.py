"""A loopback HTTP server that answers as a test tells it to, byte for byte."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType

import orjson

Answer = bytes | None
"""What goes back; None closes the connection without a word."""


def ok(body: bytes, *fields: bytes) -> bytes:
    """A plain answer."""
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *fields, b"", body])


def told(question: bytes, result: object) -> bytes:
    """A JSON-RPC result for ``question``."""
    return orjson.dumps({"jsonrpc": "2.0", "id": orjson.loads(question)["id"], "result": result})


class Server:
    """``answer(question, connection)`` for each question but ``eth_chainId``, which ``chain_ids`` answers.

    ``chain_ids`` are those of the connections in their order, the last one of all that follow.
    """

    def __init__(self, answer: Callable[[bytes, int], Answer | Awaitable[Answer]], *chain_ids: int) -> None:
        self.answer = answer
        self.chain_ids = chain_ids or (1,)
        self.asked: list[tuple[int, str]] = []
        """(connection, method), as they came."""
        self.connections = 0
        self.chain_answer: bytes | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, tls: ssl.SSLContext | None = None) -> Server:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls, limit=2**24)
        return self

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def drop_all(self) -> None:
        """End every connection, as a server does after its keep-alive time."""
        for writer in self._writers:
            writer.close()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        number, self.connections = self.connections, self.connections + 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                back = await self._reply(await reader.readexactly(length), number)
                if back is None:
                    return
                writer.write(back)
                await writer.drain()
                if b"connection: close" in back:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return
        finally:
            writer.close()

    async def _reply(self, question: bytes, number: int) -> Answer:
        method = orjson.loads(question)["method"]
        self.asked.append((number, method))
        if method == "eth_chainId":
            chain_id = self.chain_ids[min(number, len(self.chain_ids) - 1)]
            return ok(told(question, hex(chain_id))) if self.chain_answer is None else self.chain_answer
        back = self.answer(question, number)
        return await back if isinstance(back, Awaitable) else back
