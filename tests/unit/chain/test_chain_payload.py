"""What a large read sends and gets: the body in pieces, the digits of an answer, and every way back to a parser."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson
import pytest
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.batch import Batch
from keeper.chain.payload import Calldata, Digits, plain_result, read_body
from keeper.errors import Rejected, Transient
from keeper.model import Call
from keeper.seams import Priority

TO, BLOCK = "0x" + "ca" * 20, {"blockHash": "0x" + "b1" * 32, "requireCanonical": True}


@pytest.mark.property
@given(number=st.integers(1, 2**40), data=st.binary(max_size=80), to=st.text(max_size=8))
def test_read_body__when_calldata_is_read__then_it_is_what_a_json_encoder_writes(
    number: int, data: bytes, to: str
) -> None:
    params = [{"to": to, "data": Calldata("0x" + data.hex())}, BLOCK]
    body = read_body(number, "eth_call", params)
    assert body is not None
    want = {"jsonrpc": "2.0", "id": number, "method": "eth_call", "params": params}
    assert b"".join(body) == orjson.dumps(want)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_call", [{"to": TO, "data": "0x12"}, BLOCK]),
        ("eth_estimateGas", [{"to": TO, "data": Calldata("0x12")}, BLOCK]),
        ("eth_sendRawTransaction", [Calldata("0x12")]),
        ("eth_sendRawTransaction", [{"to": TO, "data": Calldata("0x12")}, BLOCK]),
        ("eth_call", [{"to": TO, "data": Calldata("0x12"), "from": TO}, BLOCK]),
        ("eth_call", [{"to": TO, "data": Calldata("0x12")}, BLOCK, {}]),
        ("eth_call", [{"to": TO, "data": Calldata("0x12")}]),
        ("eth_call", ["to", BLOCK]),
        ("eth_call", []),
    ],
)
def test_read_body__when_it_is_anything_else__then_none_of_the_wires_business(
    method: str, params: Sequence[object]
) -> None:
    assert read_body(1, method, params) is None


@pytest.mark.unit
def test_calldata__when_it_is_no_ascii__then_refused_at_once() -> None:
    with pytest.raises(ValueError, match="ascii"):
        Calldata("0xé")


WELL = b'{"jsonrpc":"2.0","id":7,"result":"0x12ab"}'
LAST = b'{"jsonrpc":"2.0","result":"0x12ab","id":7}'


@pytest.mark.unit
@pytest.mark.parametrize("body", [WELL, LAST, WELL + b"\n", LAST + b" \r\n"])
def test_plain_result__when_nothing_but_one_hex_string__then_its_digits(body: bytes) -> None:
    found = plain_result(memoryview(body), 7)
    assert found is not None
    assert body[found[0] : found[1]] == b"12ab"


@pytest.mark.unit
def test_plain_result__when_the_result_is_empty__then_no_digits() -> None:
    for body in (b'{"jsonrpc":"2.0","id":7,"result":"0x"}', b'{"jsonrpc":"2.0","result":"0x","id":7}'):
        found = plain_result(memoryview(body), 7)
        assert found is not None
        assert found[0] == found[1]


@pytest.mark.unit
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        WELL.replace(b"7", b"8"),
        WELL.replace(b"7", b"77"),
        WELL.replace(b"7", b"7.0"),
        WELL.replace(b"7", b'"7"'),
        LAST.replace(b"7", b"77"),
        LAST.replace(b":7", b":17"),
        WELL.replace(b"2.0", b"1.0"),
        WELL.replace(b":", b": "),
        WELL.replace(b"0x", b""),
        WELL.replace(b"0x", b"0X"),
        b" " + WELL,
        WELL[:-1],
        WELL[:-2] + b"}",
        WELL + b"}",
        WELL + b"\0",
        WELL[:33] + b'"0x',
        b'{"jsonrpc":"2.0","id":7,"result":"0x"',
        b'{"jsonrpc":"2.0","id":7,"result":"0x}',
        b'{"jsonrpc":"2.0","id":7,"error":{"code":3,"message":"0x"}}',
        b'{"jsonrpc":"2.0","id":7,"result":null}',
        b'{"id":7,"jsonrpc":"2.0","result":"0x12"}',
    ],
)
def test_plain_result__when_written_in_any_other_way__then_left_to_the_parser(body: bytes) -> None:
    assert plain_result(memoryview(body), 7) is None


class Node:
    """A Transport that answers with digits, as the wire does; ``body`` is made of the digits that are right."""

    def __init__(self, wrap: Callable[[bytes], bytes], parse: Callable[[bytes], object]) -> None:
        self.wrap, self.parse = wrap, parse
        self.parsed = self.given_back = 0

    async def request(
        self,
        method: str,
        params: Sequence[object],
        *,
        priority: Priority = Priority.TRIGGER,
        timeout_s: float = 4.0,
        weight: int = 1,
    ) -> object:
        digits = (
            encode(["(bool,bytes)[]"], [[(True, (5).to_bytes(32)), (True, (6).to_bytes(32))]]).hex().encode()
        )
        buffer = bytearray(self.wrap(digits))

        def parse() -> object:
            self.parsed += 1
            assert not self.given_back, "parsed from a buffer that serves another answer"
            return self.parse(digits)

        def give_back() -> None:
            self.given_back += 1
            buffer[:] = b"f" * len(buffer)

        return Digits(digits=memoryview(buffer), parse=parse, give_back=give_back)

    async def broadcast(self, raw: bytes, *, timeout_s: float = 4.0) -> tuple[str | Exception, ...]:
        raise NotImplementedError


def _refuse(digits: bytes) -> object:
    raise Rejected(-32000, "header not found")


async def _read(node: Node) -> list[tuple[int, ...]]:
    batch = Batch([Call(target=TO, data=b"1"), Call(target=TO, data=b"2")])
    words = await batch.read(node, TO, BLOCK["blockHash"])  # type: ignore[arg-type]
    return [words.uints(i) for i in range(2)]


@pytest.mark.unit
@pytest.mark.asyncio
async def test_digits__when_they_are_digits__then_read_and_given_back_without_a_parser() -> None:
    node = Node(lambda d: d, _refuse)
    assert await _read(node) == [(5,), (6,)]
    assert (node.parsed, node.given_back) == (0, 1)


@pytest.mark.unit
@pytest.mark.asyncio
async def test_digits__when_they_hold_something_else__then_the_parser_has_the_last_word() -> None:
    node = Node(lambda d: d + b'","more":"', lambda d: "0x" + d.decode())
    assert await _read(node) == [(5,), (6,)]
    assert (node.parsed, node.given_back) == (1, 1)


@pytest.mark.unit
@pytest.mark.asyncio
@pytest.mark.parametrize(
    "wrap", [lambda d: d[:-1] + b"g", lambda d: d[1:], lambda d: b"", lambda d: b"\xff" * 64]
)
async def test_digits__when_the_parser_cannot_read_them_either__then_its_word(
    wrap: Callable[[bytes], bytes],
) -> None:
    for parse, error in ((_refuse, Rejected), (lambda d: None, Transient), (lambda d: "0x", Transient)):
        node = Node(wrap, parse)
        with pytest.raises(error):
            await _read(node)
        assert (node.parsed, node.given_back) == (1, 1)


@pytest.mark.unit
@pytest.mark.asyncio
async def test_digits__when_they_are_too_few__then_transient_and_no_second_opinion() -> None:
    node = Node(lambda d: d[:-64], _refuse)
    with pytest.raises(Transient, match="multicall"):
        await _read(node)
    assert (node.parsed, node.given_back) == (0, 1)
