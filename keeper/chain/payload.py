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
    """An answer that looks like one hex string: its ``digits``, without 0x, are not checked yet."""

    digits: memoryview
    parse: Callable[[], object]
    """The answer by a JSON parser, for whoever finds that those are no digits. Raises Rejected or Transient."""
    give_back: Callable[[], None]
    """To be called when nothing looks at the digits any more: the buffer they lie in serves the next answer."""


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


def plain_result(body: memoryview, number: int) -> tuple[int, int] | None:
    """Where the digits of a body that is exactly ``{"jsonrpc":"2.0","id":n,"result":"0x..."}`` lie; else None.

    ``id`` may stand last, as some nodes write it. That there are only digits in between is for the reader to
    prove, who looks at each of them anyway.
    """
    stop = len(body)
    while stop and body[stop - 1] in b"\r\n ":
        stop -= 1
    for head, tail in (
        (b'{"jsonrpc":"2.0","id":%d,"result":"0x' % number, b'"}'),
        (b'{"jsonrpc":"2.0","result":"0x', b'","id":%d}' % number),
    ):
        start, end = len(head), stop - len(tail)
        if start <= end and body[:start] == head and body[end:stop] == tail:
            return start, end
    return None
