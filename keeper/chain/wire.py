"""Keep-alive connections for large reads: the answer lands in one buffer and is decoded where it lies.

aiohttp stays the general client; parting and joining 0.64 MB costs it more than the rest of a tick. What a rescue
asks at once comes here too where a connection rests, for each has proven its chain id already. Whatever is
asked here may be asked twice (a kept connection that died is replaced), so a transaction never goes this way.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import socket
import ssl
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from typing import cast

from aiohappyeyeballs import start_connection

from keeper.chain.http1 import Answer, AnswerTooLarge, Buffer, Site, Surprise

CONNECT_TIMEOUT_S = 2.0
HAPPY_EYEBALLS_S = 0.25
"""After so long without an answer the host's next address is tried beside (RFC 8305)."""
KEEPALIVE_S = 30.0
"""Longer than two slots, so that a tick finds its connections open."""
BUFFER_BYTES = 2**22
"""Holds the answer for 1,000 accounts without growing, and a huge page wherever it happens to lie."""
SPARES_MAX = 20
"""As many as a tick of 1,000 accounts has questions at once: memory that is given back is zeroed before it serves."""

Check = Callable[[Answer], None]
Body = tuple[bytes, ...]
"""Pieces of one body, sent as they lie."""


class Wire:
    """Connections to one site, one for each question under way. ``close`` ends them all."""

    def __init__(self, site: Site, greeting: Body, check: Check, tls: ssl.SSLContext | None = None) -> None:
        """``greeting`` is asked first on each connection; what ``check`` raises on its answer ends that one."""
        self._site = site
        self._greeting = greeting
        self._check = check
        self._tls = tls
        self._idle: list[_Line] = []
        """Whoever rested last is at the end, and serves first."""
        self._lines: set[_Line] = set()
        self._spares: list[Buffer] = []
        self._closed = False

    async def post(self, body: Body, timeout_s: float) -> Answer:
        """The answer, whole. Give its buffer back when it is decoded.

        Raises OSError (TimeoutError too), EOFError (cut off), Surprise, AnswerTooLarge or what the check
        raises. No text of theirs holds the URL. A kept connection that died before it said a word is replaced
        once by a new one.
        """
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        line = self._rested()
        if line is not None:
            try:
                return self._rest(line, await self._ask(line, body, deadline_s))
            except ConnectionError:
                if line.spoke:
                    raise
        line = await self._connect(deadline_s)
        return self._rest(line, await self._ask(line, body, deadline_s))

    @property
    def rests(self) -> bool:
        """Whether a proven connection waits for a question."""
        self._end_stale()
        return bool(self._idle)

    def give_back(self, answer: Answer) -> None:
        """Let an answer's buffer serve again; nothing may look into it any more."""
        if len(self._spares) < SPARES_MAX and len(answer.buffer) == BUFFER_BYTES:
            self._spares.append(answer.buffer)

    async def close(self) -> None:
        """End every connection at once; whoever waits for an answer is told that it was cut off."""
        self._closed = True
        lines = tuple(self._lines)
        for line in lines:
            # no farewell: a TLS peer that hangs would be waited for
            line.drop()
        await asyncio.gather(*(line.gone for line in lines))

    def _rested(self) -> _Line | None:
        """The connection that was used last; those that rested too long are ended."""
        self._end_stale()
        return self._idle.pop() if self._idle else None

    def _end_stale(self) -> None:
        stale_s = asyncio.get_running_loop().time() - KEEPALIVE_S
        while self._idle and self._idle[0].rested_s < stale_s:
            self._idle.pop(0).drop()

    def _rest(self, line: _Line, answer: Answer) -> Answer:
        """Keep a connection for the next question, if the server and we both may."""
        if answer.keep and not self._closed:
            line.rested_s = asyncio.get_running_loop().time()
            self._idle.append(line)
        else:
            line.drop()
        return answer

    async def _connect(self, deadline_s: float) -> _Line:
        """A connection that has proven itself."""
        site = self._site
        if site.tls and self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        loop = asyncio.get_running_loop()
        async with asyncio.timeout_at(min(loop.time() + CONNECT_TIMEOUT_S, deadline_s)):
            found = await loop.getaddrinfo(site.host, site.port, type=socket.SOCK_STREAM)
            # not left to create_connection: not every event loop races a host's addresses
            first = await start_connection(found, happy_eyeballs_delay=HAPPY_EYEBALLS_S)
            _, line = await loop.create_connection(
                lambda: _Line(self._forget),
                sock=first,
                ssl=self._tls if site.tls else None,
                server_hostname=site.host if site.tls else None,
            )
        self._lines.add(line)
        told = await self._ask(line, self._greeting, deadline_s)
        try:
            self._check(told)
            if not told.keep:
                raise Surprise("closes after each answer")
        except BaseException:
            line.drop()
            raise
        self.give_back(told)
        return line

    async def _ask(self, line: _Line, body: Body, deadline_s: float) -> Answer:
        """One question and its answer; a line that did not get it whole is ended."""
        whole = False
        try:
            if self._closed:
                raise ConnectionAbortedError
            buffer = self._spares.pop() if self._spares else _buffer()
            length = sum(map(len, body))
            head = b"%b%d\r\n\r\n%b" % (self._site.head, length, body[0])
            answer = await line.ask((head, *body[1:]), buffer, deadline_s)
            whole = True
            return answer
        finally:
            # whatever is left under way (a time-out, a surprise) would be read as the next answer
            if not whole:
                line.drop()

    def _forget(self, line: _Line) -> None:
        self._lines.discard(line)
        if line in self._idle:
            self._idle.remove(line)


def _buffer() -> Buffer:
    """Fresh memory in huge pages where the system has them: small ones cost a sixth of a whole read in misses."""
    buffer = mmap.mmap(-1, BUFFER_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):
            buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer


class _Line(asyncio.BufferedProtocol):
    """One connection: at most one answer under way, received straight into one buffer."""

    def __init__(self, on_lost: Callable[[_Line], None]) -> None:
        self.spoke = False
        """Whether a byte of the answer under way has come."""
        self.rested_s = 0.0
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._socket: TransportSocket | None = None
        """Of a plain connection, on a system that has corks."""
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[Answer] | None = None

    async def ask(self, question: Body, buffer: Buffer, deadline_s: float) -> Answer:
        """Send a question and wait for its answer in ``buffer``, until the loop's clock says ``deadline_s``."""
        self.spoke = False
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        self._answer = Answer(buffer)
        self._waiter = self._loop.create_future()
        self._cork(True)
        for piece in question:
            transport.write(piece)
        self._cork(False)
        timer = self._loop.call_at(deadline_s, self._late)
        try:
            return await self._waiter
        finally:
            timer.cancel()

    def drop(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # whichever loop made it (uvloop's is no asyncio.Transport by class): it writes, aborts and says if it closes
        self._transport = cast("asyncio.Transport", transport)
        if hasattr(socket, "TCP_CORK") and transport.get_extra_info("ssl_object") is None:
            self._socket = transport.get_extra_info("socket")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = self._socket = self._answer = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(EOFError() if self.spoke else ConnectionResetError())
        if not self.gone.done():
            self.gone.set_result(None)
        self._on_lost(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        # words that nobody asked for go nowhere, and end the connection
        return memoryview(bytearray(1)) if self._answer is None else self._answer.room()

    def buffer_updated(self, nbytes: int) -> None:
        answer, waiter, transport = self._answer, self._waiter, self._transport
        if answer is None or waiter is None or waiter.done() or transport is None:
            self.drop()
            return
        self.spoke = True
        try:
            if not answer.feed(nbytes):
                return
        except (Surprise, AnswerTooLarge) as error:
            waiter.set_exception(error)
            self.drop()
            return
        self._answer = None
        # an answer before the whole question went out (413): the rest of it would follow
        answer.keep = answer.keep and not transport.get_write_buffer_size()
        waiter.set_result(answer)

    def _late(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())

    def _cork(self, shut: bool) -> None:
        """While shut, pieces written are sent together: the server is woken once, by all of them."""
        if self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, shut)
