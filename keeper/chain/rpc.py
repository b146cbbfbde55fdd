"""Our own thin JSON-RPC body over one keep-alive HTTP session, and over a wire of its own for large reads.

web3's contract objects cost 7-20 ms of CPU and three requests a call; a tick can afford neither. Everything
that goes wrong here leaves as ``Rejected`` (the node said no) or ``Transient`` (no usable answer); neither
ever carries the endpoint's URL, which may hold a token.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import orjson
from aiohttp.http import SERVER_SOFTWARE

from keeper.chain.http1 import ANSWER_BYTES_MAX, Answer, AnswerTooLarge, Site, Surprise
from keeper.chain.payload import Digits, plain_result, read_body
from keeper.chain.refusal import About, about
from keeper.chain.wire import CONNECT_TIMEOUT_S, KEEPALIVE_S, Wire
from keeper.dialing import connector
from keeper.errors import Rejected, Transient

RETRY_AFTER_S_MAX = 300.0
"""A longer wish of a provider is not honoured: the endpoint would be forgotten."""
READ_BYTES = 2**20
"""A multicall's answer is 0.64 MB; aiohttp's default of 64 KB would stop and start the socket ten times."""
PLAIN_BYTES_MIN = 2**14
"""From here on a result that is one hex string is cut out of the body; parsing it would copy it twice."""
SMALL = frozenset({"eth_call", "eth_simulateV1", "eth_getTransactionCount"})
"""What a rescue asks all at once, and may ask twice: it goes where a connection rests that has proven itself."""
QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}")
TEXT_MAX = 400
SECRET_LENGTH_MIN = 8

_RATE_WORDS = re.compile(
    r"rate.?limit|request limit|request count|too many requests|capacity|throughput|requests? per|quota",
    re.IGNORECASE,
)
_HEX_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")

_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ClientConnectorCertificateError, "its TLS certificate does not verify"),
    (aiohttp.ClientSSLError, "TLS failed"),
    (aiohttp.ClientConnectorDNSError, "its host name does not resolve"),
    (aiohttp.ServerDisconnectedError, "closed the connection"),
    (aiohttp.ClientPayloadError, "cut its answer off"),
    (aiohttp.InvalidURL, "its URL is not valid"),
    (aiohttp.ClientConnectionError, "cannot be reached"),
    (TimeoutError, "did not answer in time"),
    (ssl.SSLCertVerificationError, "its TLS certificate does not verify"),
    (ssl.SSLError, "TLS failed"),
    (socket.gaierror, "its host name does not resolve"),
    (EOFError, "cut its answer off"),
    (ConnectionError, "closed the connection"),
    (OSError, "cannot be reached"),
    # the daemon's event loop says so of a connection that ended a moment ago, where asyncio's has an OSError
    (RuntimeError, "closed the connection"),
)
_NO_ERRNO = (ssl.SSLError, socket.gaierror)
"""Their numbers are not the system's."""


class RateLimited(Transient):
    """The endpoint asks for fewer requests; ``retry_after_s`` is None when it does not say how long."""

    def __init__(self, text: str, retry_after_s: float | None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(text)


class TooLarge(Transient):
    """The request (HTTP 413) or the answer is beyond a size limit; ask for less."""


class WrongChain(Transient):
    """The endpoint serves the chain id ``told``."""

    def __init__(self, name: str, told: int, by: str = "") -> None:
        self.told = told
        super().__init__(f"{name}: {by}serves chain id {told}")


class Rpc:
    """JSON-RPC calls to one endpoint. Must be built inside the running loop; ``close`` ends the session."""

    def __init__(self, name: str, url: str, chain_id: int | None = None) -> None:
        """With ``chain_id``, reads of cached calldata go over a wire whose every connection proves that id."""
        self.name = name
        self.connects = 0
        """TCP connections of the session so far: a change means that another machine may be answering."""
        self.on_greeting: Callable[[], None] = lambda: None
        """Told of each question asked besides those of ``call``, for whoever counts requests."""
        self._chain_id = chain_id
        site = None if chain_id is None else Site.of(url, SERVER_SOFTWARE)
        self._wire = (
            None if site is None else Wire(site, (_body(0, "eth_chainId", ()),), self._check_greeting)
        )
        self._wired = self._wire is not None
        self._url = url
        self._secrets = _secrets_of(url)
        self._ids = itertools.count(1)
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._count_connect)
        self._session = aiohttp.ClientSession(
            # the lane bounds concurrency; a second bound here could hold a SEND back behind slow reads
            connector=connector(limit=0, keepalive_timeout=KEEPALIVE_S),
            headers={"Content-Type": "application/json"},
            trace_configs=[trace],
            read_bufsize=READ_BYTES,
        )

    def __repr__(self) -> str:
        return f"Rpc(name={self.name!r})"

    async def call(self, method: str, params: Sequence[object], *, timeout_s: float) -> object:
        """The ``result`` field. Raises Rejected when the node answers an error, else Transient.

        A read of ``Calldata`` may come as ``Digits``.
        """
        number = next(self._ids)
        if self._wired and (read := read_body(number, method, params)) is not None:
            return await self._read(read, number, timeout_s)
        body = _body(number, method, params)
        if self._wired and method in SMALL and self._wire is not None and self._wire.rests:
            # a new connection of the session costs two round trips: its handshake, and the chain id's proof
            return await self._read((body,), number, timeout_s)
        status, retry_after, answer = await self._post(body, timeout_s)
        return self._judged(status, retry_after, answer, number)

    async def close(self) -> None:
        """End the session, the wire and their connections."""
        if self._wire is not None:
            await self._wire.close()
        await self._session.close()

    async def _read(self, body: tuple[bytes, ...], number: int, timeout_s: float) -> object:
        """A read by the wire, or by the session when the server does not speak as the wire does."""
        assert self._wire is not None
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        answer: Answer | None = None
        why: str | None = None
        try:
            answer = await self._wire.post(body, timeout_s)
        except Surprise:
            self._wired = False
        except AnswerTooLarge:
            why = ""
        except (OSError, EOFError, ValueError, RuntimeError) as error:
            why = _cause(error)
        # raised outside the handler, so that no traceback holds a text with the URL's host
        if why is not None:
            raise Transient(f"{self.name}: {why}") if why else self._too_large()
        if answer is None:
            left_s = deadline_s - asyncio.get_running_loop().time()
            return self._judged(*await self._post(b"".join(body), max(0.001, left_s)), number)
        if answer.status == 200 and len(body) > 1:
            found = plain_result(answer.body, number)
            if found is not None:
                return Digits(
                    digits=answer.body[found[0] : found[1]],
                    parse=partial(self._parsed, answer, number),
                    give_back=partial(self._wire.give_back, answer),
                )
        try:
            return self._parsed(answer, number)
        finally:
            self._wire.give_back(answer)

    def _check_greeting(self, answer: Answer) -> None:
        """Whether a new connection of the wire leads to the right chain; raises Transient if not."""
        self.on_greeting()
        refused = False
        told: object = None
        try:
            told = self._parsed(answer, 0)
        except Rejected:
            # the node's word about its chain id must not pass for its word about the read
            refused = True
        if refused or not isinstance(told, str) or not QUANTITY.fullmatch(told):
            raise Transient(f"{self.name}: answered no chain id")
        if int(told, 16) != self._chain_id:
            raise WrongChain(self.name, int(told, 16))

    def _parsed(self, answer: Answer, number: int) -> object:
        return self._judged(answer.status, answer.retry_after, bytes(answer.body), number)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"{self.name}: answer larger than {ANSWER_BYTES_MAX} bytes")

    async def _post(self, body: bytes, timeout_s: float) -> tuple[int, str | None, bytes]:
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        try:
            # a redirect would carry signed bytes and the token to a host nobody configured
            async with self._session.post(
                self._url, data=body, timeout=timeout, allow_redirects=False
            ) as response:
                answer = await _bounded(response.content)
                return response.status, response.headers.get("Retry-After"), answer
        except TooLarge:
            why: str | None = None
        except (aiohttp.ClientError, OSError, ValueError, EOFError, RuntimeError) as error:
            why = _cause(error)
        # raised outside the handler, so that no traceback holds aiohttp's text with the URL
        if why is None:
            raise self._too_large()
        raise Transient(f"{self.name}: {why}")

    def _judged(self, status: int, retry_after: str | None, answer: bytes, number: int) -> object:
        if status == 429:
            raise RateLimited(f"{self.name}: HTTP 429", _retry_after_s(retry_after))
        if status == 413:
            raise TooLarge(f"{self.name}: HTTP 413, the request is too large")
        if status == 200 and len(answer) >= PLAIN_BYTES_MIN:
            plain = _plain_hex(answer, number)
            if plain is not None:
                return plain
        try:
            body = orjson.loads(answer)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            what = "no JSON object" if status == 200 else f"HTTP {status}"
            raise Transient(f"{self.name}: answered {what} ({len(answer)} bytes)")
        error = body.get("error")
        # some servers answer an error without the id when they never parsed the request
        if body.get("id") != number and not (error is not None and body.get("id") is None):
            raise Transient(f"{self.name}: answered another request's id")
        if error is not None:
            raise self._refused(error)
        if status != 200 or "result" not in body:
            raise Transient(f"{self.name}: answered HTTP {status} without a result")
        return body["result"]

    def _refused(self, error: object) -> Transient:
        if not isinstance(error, dict):
            return Transient(f"{self.name}: answered a malformed error")
        code, message = error.get("code"), error.get("message")
        if not isinstance(code, int) or isinstance(code, bool) or not isinstance(message, str):
            return Transient(f"{self.name}: answered a malformed error")
        text = self._clean(message)
        refused = Rejected(code, text, _revert_data(error.get("data")))
        if code in (429, -32029) or (about(refused) is not About.QUESTION and _RATE_WORDS.search(text)):
            return RateLimited(f"{self.name}: {text}", None)
        return refused

    def _clean(self, text: str) -> str:
        """A node's words, safe for a log line: no secret of the URL, no control character, bounded."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return "".join(c if c.isprintable() else " " for c in text[:TEXT_MAX])

    async def _count_connect(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, params: object
    ) -> None:
        self.connects += 1


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    """The whole body, refused as soon as it passes the bound (a Content-Length may lie)."""
    parts: list[bytes] = []
    size = 0
    while part := await stream.readany():
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            raise TooLarge("answer too large")
        parts.append(part)
    return b"".join(parts)


def _body(number: int, method: str, params: Sequence[object]) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)})


def _plain_hex(answer: bytes, number: int) -> str | None:
    """The result of a body that holds one hex string and nothing else of interest; else None.

    Whoever reads it decodes it as hex, so a quote or a backslash inside is all that must be excluded here.
    """
    found = plain_result(memoryview(answer), number)
    if found is None or b"\\" in answer or answer.find(b'"', found[0]) != found[1]:
        return None
    try:
        return str(memoryview(answer)[found[0] - 2 : found[1]], "ascii")
    except UnicodeDecodeError:
        return None


def _cause(error: BaseException) -> str:
    """Our own words for a transport fault; the library's would repeat the URL."""
    code = error.os_error.errno if isinstance(error, aiohttp.ClientConnectorError) else None
    if code is None and isinstance(error, OSError) and not isinstance(error, _NO_ERRNO):
        code = error.errno
    if code is not None and code in errno.errorcode:
        return f"cannot be reached ({errno.errorcode[code]})"
    for kind, words in _CAUSES:
        if isinstance(error, kind):
            return words
    return f"failed ({type(error).__name__})"


def _retry_after_s(header: str | None) -> float | None:
    """Seconds of a Retry-After header; its date form and nonsense count as not said."""
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return min(seconds, RETRY_AFTER_S_MAX) if seconds >= 0 else None


def _revert_data(data: object) -> str | None:
    """Revert bytes as hex: most clients give a string, some wrap it or put a word before it."""
    if isinstance(data, dict):
        data = data.get("data")
    if not isinstance(data, str):
        return None
    text = data.removeprefix("Reverted ").strip()
    return text if _HEX_DATA.fullmatch(text) else None


def _secrets_of(url: str) -> tuple[str, ...]:
    """Every part of a URL that could be a token, longest first."""
    try:
        parts = urlsplit(url)
        found = {url, parts.path, parts.query, parts.password or "", parts.username or ""}
        found |= set(parts.path.split("/")) | {v for _, v in parse_qsl(parts.query)}
        found |= set((parts.hostname or "").split(".")[:-2])
    except ValueError:
        found = {url}
    return tuple(sorted((s for s in found if len(s) >= SECRET_LENGTH_MIN), key=len, reverse=True))


__all__ = ["ANSWER_BYTES_MAX", "QUANTITY", "RateLimited", "Rpc", "TooLarge", "WrongChain"]
