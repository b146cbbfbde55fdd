"""HTTP/1.1 as large reads need it: a request's head, and an answer that is read where it lies.

Strict on purpose. What two readers could understand in two ways (two lengths, a folded line, words behind the
end) and what a large read has no use for (compression, trailers, an answer that ends with the connection) is a
``Surprise``; whoever meets one asks again through the general client.
"""

from __future__ import annotations

import base64
import mmap
import re
from dataclasses import dataclass
from urllib.parse import unquote

Buffer = bytearray | mmap.mmap
ANSWER_BYTES_MAX = 32 * 2**20
"""A larger answer is a fault or an attack: 1,000 accounts of six words are 0.64 MB."""
HEAD_BYTES_MAX = 2**14
CHUNKS_MAX = 2**14
"""More is an attack on the loop that reads them: 2 KB each in the largest answer."""
CHUNK_HEAD_BYTES_MAX = 256

_URL = re.compile(
    r"(?P<scheme>https?)://(?:(?P<user>[\w.~%-]*)(?::(?P<password>[\w.~%-]*))?@)?"
    r"(?P<host>(?:[a-z0-9_-]+\.)*[a-z0-9_-]+)(?::(?P<port>\d{1,5}))?(?P<path>/[\w/~.-]*)?(?P<query>\?[\w.~=&-]*)?",
    re.ASCII,
)
_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*)*"
)
_FIELD = re.compile(
    rb"\r\n(content-length|transfer-encoding|content-encoding|connection|retry-after):[ \t]*([^\r\n]*)",
    re.IGNORECASE,
)
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,7})[ \t]*(?:;[^\r\n]*)?")
_EMPTY = frozenset({204, 304})


class Surprise(ValueError):
    """The server speaks HTTP in a way that this reader does not."""


class AnswerTooLarge(Exception):
    """The answer is beyond ANSWER_BYTES_MAX."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where to connect, and what to say before every body; ``head`` ends where the body's length goes."""

    host: str
    port: int
    tls: bool
    head: bytes

    @classmethod
    def of(cls, url: str, agent: str) -> Site | None:
        """The site of a plain URL; None for one that only a full reader of URLs should judge."""
        found = _URL.fullmatch(url)
        if found is None or "/." in (found["path"] or "") or int(found["port"] or 1) not in range(1, 65_536):
            return None
        tls = found["scheme"] == "https"
        usual = 443 if tls else 80
        port = int(found["port"] or usual)
        lines = [
            f"POST {found['path'] or '/'}{found['query'] or ''} HTTP/1.1",
            f"Host: {found['host']}" if port == usual else f"Host: {found['host']}:{port}",
            "Accept: */*",
            "Accept-Encoding: identity",
            f"User-Agent: {agent}",
            "Content-Type: application/json",
        ]
        if found["user"] or found["password"]:
            pair = f"{unquote(found['user'] or '')}:{unquote(found['password'] or '')}"
            try:
                secret = base64.b64encode(pair.encode("latin-1")).decode("ascii")
            except UnicodeEncodeError:
                return None
            lines.append(f"Authorization: Basic {secret}")
        head = "\r\n".join([*lines, "Content-Length: "]).encode("ascii")
        return cls(host=found["host"], port=port, tls=tls, head=head)

    def __repr__(self) -> str:
        return "Site(...)"


class Answer:
    """One answer, received into ``buffer`` (which may be replaced by a larger one).

    When ``feed`` has said that it is whole, ``body`` is there, and ``keep`` tells whether the connection may
    carry another question.
    """

    __slots__ = (
        "_at", "_chunked", "_chunks", "_filled", "_view",
        "buffer", "keep", "retry_after", "start", "status", "stop",
    )  # fmt: skip

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.status = 0
        self.retry_after: str | None = None
        self.keep = False
        self.start = self.stop = 0
        self._view = memoryview(buffer)
        self._filled = 0
        self._at = 0
        """Where the next head or chunk begins."""
        self._chunked = False
        self._chunks = 0

    @property
    def body(self) -> memoryview:
        """The body, where it lies in ``buffer``."""
        return self._view[self.start : self.stop]

    def room(self) -> memoryview:
        """Where the next bytes go; never empty."""
        if self._filled == len(self.buffer):
            self._grow(2 * self._filled)
        return self._view[self._filled :]

    def feed(self, size: int) -> bool:
        """Whether the answer is whole, now that ``size`` more bytes lie in ``room``.

        Raises Surprise or AnswerTooLarge.
        """
        self._filled += size
        if not self.start and not self._head():
            return False
        if self._chunked:
            return self._whole_chunks()
        if self._filled > self.stop:
            raise Surprise("words behind the end")
        return self._filled == self.stop

    def _grow(self, size: int) -> None:
        buffer = bytearray(size)
        buffer[: self._filled] = self._view[: self._filled]
        self.buffer, self._view = buffer, memoryview(buffer)

    def _head(self) -> bool:
        """Whether the head is whole; then it has been read. Answers before the answer (1xx) are passed over."""
        while True:
            end = self.buffer.find(b"\r\n\r\n", self._at, min(self._filled, HEAD_BYTES_MAX))
            if end < 0:
                if self._filled >= HEAD_BYTES_MAX:
                    raise Surprise("head too long")
                return False
            head = bytes(self._view[self._at : end])
            said = _HEAD.fullmatch(head)
            if said is None:
                raise Surprise("not a head as it should be")
            self.status, self._at = int(said[2]), end + 4
            if self.status >= 200:
                break
            if self.status == 101:
                raise Surprise("another protocol")
        fields = _fields(head)
        length = _length(fields, self.status)
        self.start = self.stop = self._at
        if length is None:
            self._chunked = True
        else:
            self.stop += length
            if self.stop >= len(self.buffer):
                # one byte more than it needs, so that what follows it is noticed
                self._grow(self.stop + 1)
        told = fields.get(b"retry-after")
        self.retry_after = None if told is None else told.decode("latin-1")
        self.keep = fields.get(b"connection", b"" if said[1] == b"1" else b"close").lower() in (
            b"",
            b"keep-alive",
        )
        return True

    def _whole_chunks(self) -> bool:
        """Whether the last chunk has come; whole chunks are moved together where the first one lies."""
        if self._filled > ANSWER_BYTES_MAX:
            raise AnswerTooLarge
        while True:
            end = self.buffer.find(b"\r\n", self._at, min(self._filled, self._at + CHUNK_HEAD_BYTES_MAX))
            if end < 0:
                if self._filled - self._at >= CHUNK_HEAD_BYTES_MAX:
                    raise Surprise("chunk head too long")
                return False
            said = _CHUNK.fullmatch(self._view[self._at : end])
            if said is None:
                raise Surprise("no chunk head")
            size = int(said[1], 16)
            begin, after = end + 2, end + 2 + size
            if after > ANSWER_BYTES_MAX:
                raise AnswerTooLarge
            if self._filled < after + 2:
                return False
            if self.buffer[after : after + 2] != b"\r\n":
                # a trailer, or a chunk that is longer than it said
                raise Surprise("no end of chunk")
            self._view[self.stop : self.stop + size] = self._view[begin:after]
            self.stop += size
            self._at = after + 2
            self._chunks += 1
            if size == 0:
                break
            if self._chunks > CHUNKS_MAX:
                raise Surprise("too many chunks")
        if self._filled > self._at:
            raise Surprise("words behind the end")
        return True


def _fields(head: bytes) -> dict[bytes, bytes]:
    """The header fields that matter here, by lower-case name. One said twice is a Surprise."""
    fields: dict[bytes, bytes] = {}
    for name, value in _FIELD.findall(head):
        name = name.lower()
        if name in fields:
            raise Surprise("said twice")
        fields[name] = value.rstrip(b" \t")
    return fields


def _length(fields: dict[bytes, bytes], status: int) -> int | None:
    """Bytes of the body; None when it comes in chunks."""
    length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Surprise("compressed")
    if status in _EMPTY:
        return 0
    if coding is not None:
        if coding.lower() != b"chunked" or length is not None:
            raise Surprise("two lengths")
        return None
    if length is None or not length.isdigit():
        raise Surprise("no length")
    if len(length) > 9 or int(length) > ANSWER_BYTES_MAX:
        raise AnswerTooLarge
    return int(length)
