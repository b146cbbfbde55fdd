"""A TCP wire to a loopback port, in a thread of its own, that a test can cut (port and links) and mend."""

from __future__ import annotations

import asyncio
import threading
import urllib.parse
from collections.abc import Coroutine
from types import TracebackType
from typing import Any


class Wire:
    """Forwards a port of its own to the server of ``url``."""

    def __init__(self, url: str) -> None:
        self._target_port = urllib.parse.urlsplit(url).port or 0
        self._port = 0
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where HTTP goes in."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_url(self) -> str:
        """Where the same port takes WebSocket."""
        return f"ws://127.0.0.1:{self._port}"

    def __enter__(self) -> Wire:
        self._thread.start()
        self.mend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Refuse new connections and reset those that live."""
        self._do(self._cut())

    def mend(self) -> None:
        """Listen again, on the same port as before."""
        self._do(self._mend())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _mend(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in tuple(self._links):
            link.transport.abort()
        await asyncio.gather(*self._serving)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        me = asyncio.current_task()
        assert me is not None
        self._serving.add(me)
        self._links |= {writer, far_writer}
        await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))
        self._links -= {writer, far_writer}
        self._serving.discard(me)


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        pass
    finally:
        # one end gone, the other follows
        sink.transport.abort()
