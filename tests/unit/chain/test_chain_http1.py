"""One HTTP/1.1 answer: every way it may be cut on its way, and everything that is refused."""

from __future__ import annotations

import http.client
import io
import itertools
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keeper.chain.http1 import (
    ANSWER_BYTES_MAX,
    CHUNKS_MAX,
    HEAD_BYTES_MAX,
    Answer,
    AnswerTooLarge,
    Site,
    Surprise,
)

BODY = b'{"jsonrpc":"2.0","id":1,"result":"0x12"}'
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n" + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'9\r\n{"jsonrpc\r\n0001b;x=1\r\n":"2.0","id":1,"result":"0x\r\n4 \r\n12"}\r\n0\r\n\r\n'
)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN
DIRTY = b"HTTP/1.1 500 No\r\ncontent-length: 3\r\n\r\nold" * 20


class Cut(Exception):
    """The bytes ended before the answer did."""


def _read(pieces: Iterable[bytes], buffer: bytearray | None = None) -> Answer:
    answer = Answer(bytearray(64) if buffer is None else buffer)
    whole = False
    for piece in pieces:
        left = memoryview(piece)
        while left:
            if whole:
                raise Surprise("words after the end")
            room = answer.room()
            size = min(len(room), len(left))
            room[:size] = left[:size]
            whole, left = answer.feed(size), left[size:]
    if not whole:
        raise Cut
    return answer


def _outcome(pieces: Iterable[bytes]) -> object:
    try:
        answer = _read(pieces)
    except (Surprise, AnswerTooLarge, Cut) as error:
        return type(error)
    return answer.status, bytes(answer.body), answer.retry_after, answer.keep


def _with(*fields: bytes, body: bytes = BODY, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([status, *fields, b"", body])


@pytest.mark.unit
@pytest.mark.parametrize("raw", [PLAIN, CHUNKED, INTERIM], ids=["length", "chunks", "after 100"])
def test_answer__when_cut_anywhere__then_the_same_body(raw: bytes) -> None:
    want = (200, BODY, None, True)
    assert _outcome([raw]) == want
    assert _outcome(raw[i : i + 1] for i in range(len(raw))) == want
    for i in range(1, len(raw)):
        assert _outcome([raw[:i], raw[i:]]) == want
        assert _outcome([raw[:i]]) is Cut


@pytest.mark.unit
@pytest.mark.parametrize("raw", [PLAIN, CHUNKED, INTERIM], ids=["length", "chunks", "after 100"])
def test_answer__when_the_buffer_held_another__then_none_of_it_is_read(raw: bytes) -> None:
    for i in range(1, len(raw)):
        assert bytes(_read([raw[:i], raw[i:]], bytearray(DIRTY)).body) == BODY


@pytest.mark.unit
def test_answer__when_larger_than_its_buffer__then_it_moves_to_a_larger_one() -> None:
    body = bytes(range(256)) * 300
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
    assert bytes(_read([head + body]).body) == body
    parts = [body[i : i + 1000] for i in range(0, len(body), 1000)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts)
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    assert bytes(_read([head, chunks, b"0\r\n\r\n"]).body) == body


@pytest.mark.unit
@pytest.mark.parametrize(
    ("raw", "status", "retry_after"),
    [
        (_with(b"Retry-After: 7", b"Content-Length: 0", body=b"", status=b"HTTP/1.1 429 X"), 429, "7"),
        (_with(b"content-length: 2", body=b"no", status=b"HTTP/1.1 503"), 503, None),
        (
            _with(b"content-length: 2", b"RETRY-AFTER:\tsoon ", body=b"no", status=b"HTTP/1.1 502 "),
            502,
            "soon",
        ),
        (_with(b"content-length: 0", body=b"", status=b"HTTP/1.1 413 Too"), 413, None),
        (_with(b"location: /x", b"content-length: 0", body=b"", status=b"HTTP/1.1 301 Moved"), 301, None),
        (_with(body=b"", status=b"HTTP/1.1 204 No Content"), 204, None),
    ],
    ids=["429", "503", "502", "413", "301", "204"],
)
def test_answer__when_it_is_no_success__then_status_and_wish_are_told(
    raw: bytes, status: int, retry_after: str | None
) -> None:
    answer = _read([raw])
    assert (answer.status, answer.retry_after) == (status, retry_after)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("raw", "keep"),
    [
        (PLAIN, True),
        (_with(b"content-length: 40", b"Connection: Keep-Alive"), True),
        (_with(b"content-length: 40", b"connection: close"), False),
        (_with(b"content-length: 40", b"connection: upgrade"), False),
        (_with(b"content-length: 40", status=b"HTTP/1.0 200 OK"), False),
        (_with(b"content-length: 40", b"connection: keep-alive", status=b"HTTP/1.0 200 OK"), True),
    ],
)
def test_answer__when_the_connection_ends_with_it__then_it_is_not_kept(raw: bytes, keep: bool) -> None:
    assert _read([raw]).keep is keep


SURPRISES = {
    "no http": b"SSH-2.0-x\r\n\r\n",
    "http 2": b"HTTP/2 200\r\ncontent-length: 0\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\ncontent-length: 0\r\n\r\n",
    "odd status": b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching\r\n\r\n",
    "no length": _with(b"content-type: x"),
    "until the end of the connection": _with(b"connection: close"),
    "two lengths": _with(b"content-length: 40", b"Content-Length: 40"),
    "length and chunks": _with(b"content-length: 40", b"transfer-encoding: chunked"),
    "signed length": _with(b"content-length: +40"),
    "negative length": _with(b"content-length: -1"),
    "empty length": _with(b"content-length:"),
    "list of lengths": _with(b"content-length: 40, 40"),
    "other coding": _with(b"transfer-encoding: gzip, chunked"),
    "compressed": _with(b"content-length: 40", b"content-encoding: gzip"),
    "folded line": _with(b"content-length: 40", b" 0"),
    "space before the colon": _with(b"content-length : 40"),
    "no colon": _with(b"content-length"),
    "bare newline": _with(b"x: y\ncontent-length: 40"),
    "bare return": _with(b"content-length: 40", b"x: y\rz"),
    "null": _with(b"content-length: 40", b"x: \0"),
    "words behind the end": PLAIN + b"H",
    "an answer behind the end": PLAIN + PLAIN,
    "words behind the last chunk": CHUNKED + b"0",
    "trailer": CHUNKED[:-2] + b"x: y\r\n\r\n",
    "chunk longer than said": CHUNKED.replace(b"\r\n9\r\n", b"\r\n8\r\n"),
    "chunk shorter than said": CHUNKED.replace(b"\r\n9\r\n", b"\r\na\r\n"),
    "no chunk size": CHUNKED.replace(b"\r\n9\r\n", b"\r\n\r\n"),
    "negative chunk": CHUNKED.replace(b"\r\n9\r\n", b"\r\n-9\r\n"),
    "hex prefix": CHUNKED.replace(b"\r\n9\r\n", b"\r\n0x9\r\n"),
    "chunk size too long": CHUNKED.replace(b"\r\n9\r\n", b"\r\n" + b"0" * 300),
}


@pytest.mark.unit
@pytest.mark.parametrize("raw", SURPRISES.values(), ids=SURPRISES.keys())
def test_answer__when_two_readers_could_differ__then_it_is_refused(raw: bytes) -> None:
    assert _outcome([raw]) is Surprise
    assert _outcome(raw[i : i + 1] for i in range(len(raw))) is Surprise


@pytest.mark.unit
@pytest.mark.parametrize(
    "raw",
    [
        _with(b"content-length: %d" % (ANSWER_BYTES_MAX + 1)),
        _with(b"content-length: " + b"9" * 400),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7ffffff\r\n",
    ],
    ids=["length", "absurd length", "chunk"],
)
def test_answer__when_it_claims_too_much__then_it_is_refused_before_it_comes(raw: bytes) -> None:
    assert _outcome([raw]) is AnswerTooLarge


@pytest.mark.unit
def test_answer__when_chunks_add_up_to_too_much__then_it_is_refused_under_way() -> None:
    buffer = bytearray(2**16)
    pieces = [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"]
    pieces += [b"100000\r\n" + bytes(2**20) + b"\r\n"] * 33
    assert _outcome([*pieces[:4], b"0\r\n\r\n"]) == (200, bytes(3 * 2**20), None, True)
    with pytest.raises(AnswerTooLarge):
        _read(pieces, buffer)


@pytest.mark.unit
def test_answer__when_its_head_never_ends_or_it_comes_in_crumbs__then_it_is_refused() -> None:
    assert _outcome([b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * HEAD_BYTES_MAX]) is Surprise
    assert _outcome([b"HTTP/1.1 100 C\r\n\r\n" * HEAD_BYTES_MAX]) is Surprise
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    assert _outcome([head + b"1\r\nx\r\n" * CHUNKS_MAX + b"0\r\n\r\n"]) == (
        200,
        b"x" * CHUNKS_MAX,
        None,
        True,
    )
    assert _outcome([head + b"1\r\nx\r\n" * (CHUNKS_MAX + 1)]) is Surprise


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """(an answer, its body)."""
    body = draw(st.binary(max_size=120))
    fields = draw(
        st.lists(st.sampled_from([b"Server: x", b"date: y", b"x-y:", b"Connection: keep-alive"]), unique=True)
    )
    if draw(st.booleans()):
        raw = _with(*fields, b"Content-Length: %d" % len(body), body=body)
    else:
        cuts = sorted(draw(st.sets(st.integers(1, max(1, len(body) - 1)), max_size=5)))
        edges = [0, *[c for c in cuts if c < len(body)], len(body)]
        parts = [body[a:b] for a, b in itertools.pairwise(edges) if a < b]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
        raw = _with(b"transfer-encoding: Chunked", *fields, body=chunks)
    return raw, body


def _pieces(raw: bytes, cuts: set[int]) -> list[bytes]:
    edges = [0, *sorted(c for c in cuts if 0 < c < len(raw)), len(raw)]
    return [raw[a:b] for a, b in itertools.pairwise(edges)]


@pytest.mark.property
@settings(max_examples=400, deadline=None)
@given(made=answers(), cuts=st.sets(st.integers(1, 400), max_size=12), interim=st.integers(0, 2))
def test_answer__when_well_formed__then_its_body_however_it_is_cut(
    made: tuple[bytes, bytes], cuts: set[int], interim: int
) -> None:
    raw, body = made
    assert _outcome(_pieces(b"HTTP/1.1 103 Hints\r\nx: y\r\n\r\n" * interim + raw, cuts)) == (
        200,
        body,
        None,
        True,
    )


class _Socket:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, *args: object, **how: object) -> io.BytesIO:
        return io.BytesIO(self._raw)


@pytest.mark.property
@settings(max_examples=700, deadline=None)
@given(
    made=answers(),
    damage=st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3), st.integers(0, 3)), max_size=3),
    cuts=st.sets(st.integers(1, 400), max_size=6),
)
@example(made=(PLAIN, BODY), damage=[(9, b"103", 3)], cuts=set())
def test_answer__when_damaged__then_refused_or_what_another_reader_reads_whatever_the_cuts(
    made: tuple[bytes, bytes], damage: list[tuple[int, bytes, int]], cuts: set[int]
) -> None:
    raw = made[0]
    for at, words, size in damage:
        at = min(at, len(raw))
        raw = raw[:at] + words + raw[at + size :]
    outcome = _outcome(_pieces(raw, cuts))
    assert outcome == _outcome([raw])
    if not isinstance(outcome, tuple) or raw.startswith((b"HTTP/1.0", b"HTTP/1.1 1")):
        return
    other = http.client.HTTPResponse(_Socket(raw), method="POST")  # type: ignore[arg-type]
    other.begin()
    assert (other.status, other.read()) == outcome[:2]


@pytest.mark.property
@settings(max_examples=500, deadline=None)
@given(
    raw=st.binary(max_size=200), head=st.sampled_from([b"", PLAIN[:60], CHUNKED[:50], b"HTTP/1.1 200 OK\r\n"])
)
def test_answer__when_it_is_noise__then_nothing_but_a_refusal(raw: bytes, head: bytes) -> None:
    outcome = _outcome([head + raw])
    assert isinstance(outcome, tuple) or outcome in (Surprise, AnswerTooLarge, Cut)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("url", "where", "words"),
    [
        ("http://127.0.0.1:8545", ("127.0.0.1", 8545, False), [b"POST / HTTP/1.1", b"Host: 127.0.0.1:8545"]),
        ("https://a-b.example.org/v3/k3y_~.?x=1&y=%2", None, []),
        ("https://a-b.example.org/v3/k3y_~?x=1&y=2", ("a-b.example.org", 443, True), [
            b"POST /v3/k3y_~?x=1&y=2 HTTP/1.1", b"Host: a-b.example.org",
        ]),
        ("http://me:p%40ss@node:80/", ("node", 80, False), [b"Host: node", b"Authorization: Basic bWU6cEBzcw=="]),
        ("https://node:8080", ("node", 8080, True), [b"Host: node:8080"]),
        ("http://[::1]:8545", None, []),
        ("http://Node/", None, []),
        ("http://bücher/", None, []),
        ("http://node/a/../b", None, []),
        ("http://node:0/", None, []),
        ("http://node:65536/", None, []),
        ("http://node/a b", None, []),
        ("http://node/\r\nX: y", None, []),
        ("http://node/#x", None, []),
        ("http://me:%E2%82%AC@node/", None, []),
        ("ws://node/", None, []),
    ],
)  # fmt: skip
def test_site__when_a_url_is_plain__then_its_head_and_else_none(
    url: str, where: tuple[str, int, bool] | None, words: list[bytes]
) -> None:
    site = Site.of(url, "agent/1")
    assert (site and (site.host, site.port, site.tls)) == where
    if site is not None:
        lines = site.head.split(b"\r\n")
        assert lines[-1] == b"Content-Length: "
        assert set(words) <= set(lines)
        assert {b"Accept-Encoding: identity", b"User-Agent: agent/1"} <= set(lines)
        assert "node" not in repr(site)
