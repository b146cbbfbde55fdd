"""Whatever an endpoint answers, only Rejected or Transient comes out, and never its URL."""

from __future__ import annotations

import asyncio
import traceback

import aiohttp
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keeper.chain.rpc import RateLimited, Rpc, TooLarge, _plain_hex
from keeper.errors import Rejected, Transient

URL = "https://user5678:pa55w0rd99@abcdef-secret-host.example.org/v3/t0ken-in-path-77?apikey=t0ken-in-query"
SECRETS = ("t0ken-in-path-77", "t0ken-in-query", "pa55w0rd99", "abcdef-secret-host")


class Canned(Rpc):
    """An Rpc whose HTTP exchange is given by the test."""

    def __init__(self, status: int, answer: bytes, retry_after: str | None = None) -> None:
        super().__init__("a", URL)
        self._canned = status, retry_after, answer

    async def _post(self, body: bytes, timeout_s: float) -> tuple[int, str | None, bytes]:
        return self._canned


def _ask(status: int, answer: bytes, retry_after: str | None = None) -> object:
    async def main() -> object:
        rpc = Canned(status, answer, retry_after)
        try:
            return await rpc.call("eth_call", [], timeout_s=60)
        finally:
            await rpc.close()

    return asyncio.run(main())


def _body(**fields: object) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, **fields})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
GOOD = _body(result="0x1234")


@pytest.mark.property
@settings(max_examples=300, deadline=None)
@given(status=st.sampled_from([200, 200, 200, 301, 400, 404, 500, 502, 503]), answer=st.binary(max_size=60))
@example(status=200, answer=b"")
@example(status=200, answer=b"[" * 5000)
@example(status=200, answer=b'{"id":1,"result":1e999}')
def test_call__when_the_body_is_noise__then_transient(status: int, answer: bytes) -> None:
    with pytest.raises(Transient):
        _ask(status, answer)


@pytest.mark.property
@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, len(GOOD) - 1))
def test_call__when_the_body_is_cut__then_transient(cut: int) -> None:
    with pytest.raises(Transient):
        _ask(200, GOOD[:cut])


@pytest.mark.property
@settings(max_examples=400, deadline=None)
@given(fields=st.dictionaries(st.sampled_from(["id", "result", "error", "jsonrpc"]), json_values))
def test_call__when_fields_have_wrong_types__then_a_result_or_a_keeper_error(
    fields: dict[str, object],
) -> None:
    try:
        result = _ask(200, orjson.dumps(fields))
    except Transient:
        return
    assert fields["id"] == 1
    assert fields.get("error") is None
    assert result == fields["result"]


@pytest.mark.property
@settings(max_examples=300, deadline=None)
@given(code=json_values, message=json_values, data=json_values)
def test_call__when_the_error_is_odd__then_rejected_only_if_it_is_well_formed(
    code: object, message: object, data: object
) -> None:
    with pytest.raises(Transient) as caught:
        _ask(200, _body(error={"code": code, "message": message, "data": data}))
    well_formed = isinstance(code, int) and not isinstance(code, bool) and isinstance(message, str)
    assert isinstance(caught.value, Rejected) is (well_formed and not isinstance(caught.value, RateLimited))


@pytest.mark.unit
@pytest.mark.parametrize(
    ("error", "data"),
    [
        ({"code": 3, "message": "execution reverted", "data": "0x08c379a0"}, "0x08c379a0"),
        ({"code": -32015, "message": "VM execution error.", "data": "Reverted 0x1234"}, "0x1234"),
        ({"code": -32603, "message": "reverted", "data": {"data": "0x12", "message": "x"}}, "0x12"),
        ({"code": 3, "message": "execution reverted", "data": "0x123"}, None),
        ({"code": -32000, "message": "nonce too low"}, None),
    ],
)
def test_rejection__when_clients_word_it_differently__then_code_message_and_revert_data_are_kept(
    error: dict[str, object], data: str | None
) -> None:
    with pytest.raises(Rejected) as caught:
        _ask(200, _body(error=error))
    assert (caught.value.code, caught.value.message, caught.value.data) == (
        error["code"],
        error["message"],
        data,
    )


@pytest.mark.unit
def test_rejection__when_it_comes_with_an_http_error_status__then_it_is_still_the_answer() -> None:
    with pytest.raises(Rejected, match="nonce too low"):
        _ask(500, _body(error={"code": -32000, "message": "nonce too low"}))


@pytest.mark.unit
@pytest.mark.parametrize(
    ("status", "answer", "header", "seconds"),
    [
        (429, b"<html>", "7", 7.0),
        (429, b"", None, None),
        (429, b"", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        (429, b"", "nan", None),
        (429, b"", "-3", None),
        (429, b"", "999999", 300.0),
        (200, _body(error={"code": 429, "message": "compute units"}), None, None),
        (200, _body(error={"code": -32005, "message": "daily request rate limited"}), None, None),
        (200, _body(error={"code": -32000, "message": "Too Many Requests"}), None, None),
    ],
)
def test_rate_limit__when_answered_in_any_form__then_rate_limited_with_the_time_it_asks(
    status: int, answer: bytes, header: str | None, seconds: float | None
) -> None:
    with pytest.raises(RateLimited) as caught:
        _ask(status, answer, header)
    assert caught.value.retry_after_s == seconds


@pytest.mark.unit
def test_too_large__when_http_413__then_its_own_error() -> None:
    with pytest.raises(TooLarge):
        _ask(413, b"")


@pytest.mark.unit
def test_logs_limit__when_a_range_is_refused__then_that_is_no_rate_limit() -> None:
    with pytest.raises(Rejected, match="10000"):
        _ask(200, _body(error={"code": -32005, "message": "query returned more than 10000 results"}))


@pytest.mark.unit
def test_secret__when_a_node_repeats_the_url__then_it_is_blotted_out_and_the_text_is_one_line() -> None:
    words = f"bad key t0ken-in-path-77 at {URL}\n\x1b[31mFAKE LOG LINE" + "x" * 5_000
    with pytest.raises(Rejected) as caught:
        _ask(200, _body(error={"code": -32000, "message": words}))
    text = str(caught.value)
    assert not any(s in text for s in SECRETS)
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) < 500


@pytest.mark.unit
@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fault",
    [
        aiohttp.InvalidURL(URL),
        aiohttp.ServerDisconnectedError(URL),
        aiohttp.ClientPayloadError(URL),
        aiohttp.ServerTimeoutError(URL),
        TimeoutError(URL),
        ConnectionResetError(104, URL),
        ValueError(URL),
        EOFError(URL),
    ],
    ids=lambda e: type(e).__name__,
)
async def test_secret__when_the_transport_fails__then_no_text_or_traceback_holds_the_url(
    fault: Exception,
) -> None:
    rpc = Rpc("alpha", URL)

    def post(*args: object, **how: object) -> object:
        raise fault

    rpc._session.post = post  # type: ignore[method-assign,assignment]
    with pytest.raises(Transient) as caught:
        await rpc.call("eth_call", [], timeout_s=60)
    await rpc.close()
    whole = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(rpc)
    assert "alpha" in str(caught.value)
    assert caught.value.__context__ is None
    assert not any(s in whole for s in SECRETS)


@pytest.mark.property
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_long_answer__when_damaged_anywhere__then_the_same_as_a_json_parser_says(data: st.DataObject) -> None:
    body = bytearray(orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": "0x" + "5a" * 9_000}))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.one_of(st.integers(0, 45), st.integers(len(body) - 4, len(body) - 1)))
        body[at] = data.draw(st.sampled_from(list(b'0x"\\}{1,: \n\xff')))
    raw = bytes(body) + data.draw(st.sampled_from([b"", b"\n", b"}", b'"}']))
    try:
        want = orjson.loads(raw)
    except ValueError:
        want = None
    well = isinstance(want, dict) and want.get("id") == 1 and "result" in want and want.get("error") is None
    try:
        got = _ask(200, raw)
    except Transient:
        assert not well
        return
    # control characters are not valid JSON, but whoever decodes hex refuses them too
    assert (well and got == want["result"]) or "\n" in str(got)


@pytest.mark.unit
def test_long_answer__when_it_is_one_hex_string__then_it_is_cut_out_without_a_parser() -> None:
    result = "0x" + "ab" * 10_000
    assert _plain_hex(_body(result=result), 1) == result
    assert _plain_hex(_body(result=result), 2) is None
    assert _plain_hex(_body(result=result + '"'), 1) is None
    assert _plain_hex(_body(result=result, more=1), 1) is None
