"""What a large read sends and gets: hex that stays bytes from the socket to the decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson


class Calldata(str):
    """Hex calldata, encoded once for many reads; marks a call whose answer may come as ``Digits``."""

    __slots__ = ("ascii",)
    ascii: bytes

    def __new__(cls, text: str) -> Calldata:
        """``text``: 0x and hex digits."""
        self = super().__new__(cls, text)
        self.ascii = text.encode("ascii")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """An answer that is one hex string: its digits, without 0x, are ``buffer[start:stop]``, not yet checked."""

    buffer: bytes | bytearray
    start: int
    stop: int
    give_back: Callable[[bytearray], None]

    def release(self) -> None:
        """Let the buffer serve the next answer: nothing may look into it any more."""
        if isinstance(self.buffer, bytearray):
            self.give_back(self.buffer)


def read_body(number: int, method: str, params: Sequence[object]) -> tuple[bytes, ...] | None:
    """The JSON-RPC body of an ``eth_call`` of cached calldata, in pieces; None for any other request."""
    if method != "eth_call" or len(params) != 2:
        return None
    call, block = params
    if not isinstance(call, dict) or call.keys() != {"to", "data"}:
        return None
    data = call["data"]
    if not isinstance(data, Calldata):
        return None
    head = b'{"jsonrpc":"2.0","id":%d,"method":"eth_call","params":[{"to":%b,"data":"'
    # the digits need no escaping, and are sent as they lie: a copy of 0.45 MB costs a hundred page faults
    return head % (number, orjson.dumps(call["to"])), data.ascii, b'"},%b]}' % orjson.dumps(block)


def plain_result(body: bytes | bytearray, start: int, stop: int, number: int) -> tuple[int, int] | None:
    """Where the digits lie in a body that is exactly ``{"jsonrpc":"2.0","id":n,"result":"0x..."}``; else None.

    ``id`` may stand last, as some nodes write it. Whoever reads the digits decodes them as hex, so a quote is
    all that must be excluded here.
    """
    while stop > start and body[stop - 1] in b"\r\n ":
        stop -= 1
    for head, tail in (
        (b'{"jsonrpc":"2.0","id":%d,"result":"0x' % number, b'"}'),
        (b'{"jsonrpc":"2.0","result":"0x', b'","id":%d}' % number),
    ):
        first, last = start + len(head), stop - len(tail)
        if first <= last and body.startswith(head, start) and body.startswith(tail, last):
            return (first, last) if body.find(b'"', first) == last else None
    return None
