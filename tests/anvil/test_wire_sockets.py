"""Large reads over real sockets: keep-alive, the chain id of each connection, TLS, and the way back to aiohttp."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from keeper.chain.endpoints import EndpointEvent, Endpoints
from keeper.chain.http1 import Answer, Site
from keeper.chain.payload import Calldata, Digits
from keeper.chain.rpc import RateLimited, Rpc, TooLarge, WrongChain
from keeper.chain.wire import Wire
from keeper.clock import SystemClock
from keeper.config import ChainSettings, EndpointSettings
from keeper.errors import Rejected, Transient
from tests.anvil.wire_server import Answer as Reply
from tests.anvil.wire_server import Server, ok, told
from tests.patience import PATIENCE_S, becomes

pytestmark = pytest.mark.anvil

ON_EACH_LOOP = True
"""The daemon's event loop, and the one that commands ask on (see conftest)."""
DATA = Calldata("0x" + "ab" * 300_000)
PARAMS = [{"to": "0x" + "ca" * 20, "data": DATA}, {"blockHash": "0x" + "b1" * 32, "requireCanonical": True}]
LONG = "0x" + "5a" * 320_000
HANGS_S = 10 * PATIENCE_S
"""A server that answers so late does not answer: whoever waited for it fails."""


def _long(question: bytes, connection: int) -> Reply:
    assert DATA.ascii in question
    return ok(told(question, LONG))


class Reading:
    """A server and an Rpc that reads from it."""

    def __init__(self, answer: Callable[[bytes, int], object] = _long, *chain_ids: int) -> None:
        self.server = Server(answer, *chain_ids)  # type: ignore[arg-type]

    async def __aenter__(self) -> Reading:
        await self.server.start()
        self.rpc = Rpc("a", f"http://127.0.0.1:{self.server.port}/secret-token-1234", 1)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.rpc.close()
        await self.server.__aexit__(None, None, None)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def read(self, timeout_s: float = PATIENCE_S) -> object:
        """The result as text, and whether it came as digits."""
        result = await self.rpc.call("eth_call", PARAMS, timeout_s=timeout_s)
        if not isinstance(result, Digits):
            return result
        text = "0x" + bytes(result.digits).decode()
        result.give_back()
        return text, "digits"


@pytest.mark.asyncio
async def test_read__when_repeated__then_one_connection_that_proved_its_chain_once() -> None:
    greetings: list[None] = []
    async with Reading() as r:
        r.rpc.on_greeting = lambda: greetings.append(None)
        for _ in range(4):
            assert await r.read() == (LONG, "digits")
        assert r.server.asked == [(0, "eth_chainId")] + [(0, "eth_call")] * 4
        assert len(greetings) == 1


@pytest.mark.asyncio
async def test_read__when_several_at_once__then_each_connection_proves_itself_first() -> None:
    async with Reading() as r:
        assert await asyncio.gather(*(r.read() for _ in range(5))) == [(LONG, "digits")] * 5
        for number in range(5):
            assert [m for n, m in r.server.asked if n == number] == ["eth_chainId", "eth_call"]
        assert await asyncio.gather(*(r.read() for _ in range(5))) == [(LONG, "digits")] * 5
        assert r.server.connections == 5


@pytest.mark.asyncio
async def test_read__when_the_server_ended_a_resting_connection__then_a_new_one_proves_itself_and_answers() -> (
    None
):
    async with Reading() as r:
        assert await r.read() == (LONG, "digits")
        r.server.drop_all()
        await asyncio.sleep(0.05)
        assert await r.read() == (LONG, "digits")
        assert r.server.asked[2:] == [(1, "eth_chainId"), (1, "eth_call")]


@pytest.mark.asyncio
async def test_read__when_a_kept_connection_dies_on_the_question__then_it_is_asked_once_more_and_no_further() -> (
    None
):
    deaths = [0]

    def answer(question: bytes, connection: int) -> Reply:
        deaths[0] -= 1
        return None if deaths[0] >= 0 else _long(question, connection)

    async with Reading(answer) as r:
        assert await r.read() == (LONG, "digits")
        deaths[0] = 1
        assert await r.read() == (LONG, "digits")
        deaths[0] = 9
        with pytest.raises(Transient, match="a: closed the connection"):
            await r.read()
        assert [m for _, m in r.server.asked].count("eth_call") == 5


@pytest.mark.asyncio
async def test_read__when_a_new_connection_leads_to_another_chain__then_it_is_asked_nothing() -> None:
    async with Reading(_long, 1, 5) as r:
        assert await r.read() == (LONG, "digits")
        r.server.drop_all()
        await asyncio.sleep(0.05)
        with pytest.raises(WrongChain) as caught:
            await r.read()
        assert caught.value.told == 5
        assert (1, "eth_call") not in r.server.asked


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("back", "error"),
    [
        (ok(b'{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"no such method"}}'), Transient),
        (ok(b'{"jsonrpc":"2.0","id":0,"result":"one"}'), Transient),
        (ok(b'{"jsonrpc":"2.0","id":0,"result":1}'), Transient),
        (ok(b'{"jsonrpc":"2.0","id":3,"result":"0x1"}'), Transient),
        (ok(b"<html>").replace(b"200", b"502"), Transient),
        (ok(b"", b"retry-after: 3").replace(b"200", b"429"), RateLimited),
    ],
)
async def test_read__when_a_connection_does_not_prove_its_chain__then_it_is_asked_nothing(
    back: bytes, error: type[Exception]
) -> None:
    async with Reading() as r:
        r.server.chain_answer = back
        with pytest.raises(error) as caught:
            await r.read()
        assert not isinstance(caught.value, Rejected)
        assert r.server.asked == [(0, "eth_chainId")]
        r.server.chain_answer = None
        assert await r.read() == (LONG, "digits")


@pytest.mark.asyncio
async def test_read__when_the_node_refuses_or_is_busy__then_its_word_and_the_connection_is_kept() -> None:
    answers = [
        lambda q: ok(
            told(q, None).replace(b'"result":null', b'"error":{"code":3,"message":"execution reverted"}')
        ),
        lambda q: ok(b"busy", b"Retry-After: 7").replace(b"200 OK", b"429 Too Many"),
        lambda q: ok(b"").replace(b"200 OK", b"413 Too Large"),
        lambda q: ok(b"<html>").replace(b"200 OK", b"503 Unavailable"),
        lambda q: ok(b"", b"location: http://elsewhere/").replace(b"200 OK", b"301 Moved"),
        lambda q: ok(b'{"jsonrpc":"2.0","result":"0x12","id":%d}' % int(told(q, 0)[22:].split(b",")[0])),
    ]
    async with Reading(lambda q, c: answers.pop(0)(q)) as r:
        with pytest.raises(Rejected, match="execution reverted"):
            await r.read()
        with pytest.raises(RateLimited) as caught:
            await r.read()
        assert caught.value.retry_after_s == 7
        with pytest.raises(TooLarge):
            await r.read()
        for _ in range(2):
            with pytest.raises(Transient, match=r"HTTP (503|301)"):
                await r.read()
        assert await r.read() == ("0x12", "digits")
        assert r.server.connections == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("cut", "words"),
    [(0, "closed the connection"), (1, "cut its answer off"), (300_000, "cut its answer off")],
)
async def test_read__when_the_answer_is_cut__then_transient_without_the_url(cut: int, words: str) -> None:
    def answer(question: bytes, connection: int) -> Reply:
        if not cut:
            return None
        return ok(told(question, LONG), b"x: connection: close")[: 90 + cut] if connection == 0 else None

    async with Reading(answer) as r:
        with pytest.raises(Transient, match=words) as caught:
            await r.read()
        assert "secret-token" not in str(caught.value) + repr(caught.value.__context__)
        assert str(r.server.port) not in str(caught.value)


@pytest.mark.asyncio
async def test_read__when_the_body_comes_too_slowly__then_time_out_and_the_next_answer_is_the_next() -> None:
    slow = [True]

    async def answer(question: bytes, connection: int) -> Reply:
        if slow[0]:
            await asyncio.sleep(HANGS_S)
        return _long(question, connection)

    async with Reading(answer) as r:
        with pytest.raises(Transient, match="did not answer in time"):
            await asyncio.wait_for(r.read(timeout_s=0.2), PATIENCE_S)
        slow[0] = False
        assert await r.read() == (LONG, "digits")
        assert r.server.connections == 2
        assert r.rpc._wire is not None
        assert len(r.rpc._wire._lines) == 1, "the connection that was too slow is still open"


@pytest.mark.asyncio
async def test_read__when_nobody_listens__then_transient_without_host_or_port() -> None:
    rpc = Rpc("a", "http://127.0.0.1:9/secret-token-1234", 1)
    with pytest.raises(Transient, match=r"a: cannot be reached") as caught:
        await rpc.call("eth_call", PARAMS, timeout_s=PATIENCE_S)
    assert caught.value.__context__ is None
    assert "127.0.0.1" not in str(caught.value)
    await rpc.close()


@pytest.mark.asyncio
async def test_read__when_chunks_come_one_by_one__then_the_same_digits() -> None:
    def answer(question: bytes, connection: int) -> Reply:
        body = told(question, LONG)
        parts = [body[i : i + 4_000] for i in range(0, len(body), 4_000)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts)
        return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"

    async with Reading(answer) as r:
        for _ in range(2):
            assert await r.read() == (LONG, "digits")


def _zipped(question: bytes, connection: int) -> Reply:
    return ok(gzip.compress(told(question, LONG)), b"content-encoding: gzip")


def _until_the_end(question: bytes, connection: int) -> Reply:
    return b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + told(question, LONG)


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", [_zipped, _until_the_end])
async def test_read__when_the_server_speaks_otherwise__then_the_general_client_reads_from_then_on(
    answer: Callable[[bytes, int], Reply],
) -> None:
    async with Reading(answer) as r:
        assert await r.read() == LONG
        first = len(r.server.asked)
        assert r.server.asked[:2] == [(0, "eth_chainId"), (0, "eth_call")]
        assert await r.read() == LONG
        assert [m for _, m in r.server.asked[first:]] == ["eth_call"], "the wire was tried again"


@pytest.mark.asyncio
async def test_read__when_the_server_closes_after_each_answer__then_the_general_client_reads() -> None:
    async with Reading() as r:
        r.server.chain_answer = ok(b'{"jsonrpc":"2.0","id":0,"result":"0x1"}', b"connection: close")
        assert await r.read() == LONG
        assert (0, "eth_call") not in r.server.asked


@pytest.mark.asyncio
async def test_close__when_a_read_is_under_way__then_it_ends_at_once() -> None:
    asked = asyncio.Event()

    async def answer(question: bytes, connection: int) -> Reply:
        asked.set()
        await asyncio.sleep(HANGS_S)
        return None

    async with Reading(answer) as r:
        task = asyncio.create_task(r.read(timeout_s=PATIENCE_S))
        await asked.wait()
        await asyncio.wait_for(r.rpc.close(), PATIENCE_S)
        with pytest.raises(Transient):
            await task


@pytest.mark.asyncio
async def test_endpoints__when_a_connection_of_the_wire_leads_astray__then_ruled_out_and_another_answers() -> (
    None
):
    events: list[EndpointEvent] = []
    right = await Server(_long, 1).start()
    # the first connection is the session's, which proves the chain; the wire's own leads to another
    astray = await Server(_long, 1, 5).start()
    async with right, astray:
        chain = ChainSettings(
            name="local",
            chain_id=1,
            block_time_s=1,
            multicall="0x" + "ca" * 20,
            native_token=None,
            endpoints=tuple(
                EndpointSettings(
                    name=name, url=f"http://127.0.0.1:{s.port}", ws_url=None, rate_per_s=500, concurrency=8
                )
                for name, s in (("astray", astray), ("right", right))
            ),
        )

        def numbers(question: bytes, connection: int) -> Reply:
            return (
                ok(told(question, "0x10")) if b"eth_blockNumber" in question else _long(question, connection)
            )

        right.answer = astray.answer = numbers
        endpoints = await Endpoints.open(chain, SystemClock(), events.append)
        result = await endpoints.request("eth_call", PARAMS)
        assert isinstance(result, Digits)
        assert not [n for n, m in astray.asked if m == "eth_call"]
        assert [(e.name, e.kind.value) for e in events if e.kind == "wrong_chain"] == [
            ("astray", "wrong_chain")
        ]
        await endpoints.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of localhost and its key, made for this run."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    home = tmp_path_factory.mktemp("tls")
    cert, key = home / "cert.pem", home / "key.pem"
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def _server_side(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def _accept(answer: Answer) -> None:
    assert b'"0x1"' in bytes(answer.body)


GREETING = (b'{"jsonrpc":"2.0","id":0,"method":"eth_chainId","params":[]}',)
QUESTION = (b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":["', DATA.ascii, b'"]}')


@pytest.mark.asyncio
async def test_tls__when_the_certificate_is_known__then_read_and_kept(certificate: tuple[Path, Path]) -> None:
    server = await Server(_long).start(_server_side(certificate))
    site = Site.of(f"https://localhost:{server.port}/x", "agent")
    assert site is not None
    wire = Wire(site, GREETING, _accept, ssl.create_default_context(cafile=str(certificate[0])))
    async with server:
        for _ in range(3):
            answer = await wire.post(QUESTION, PATIENCE_S)
            assert LONG.encode() in bytes(answer.body)
            wire.give_back(answer)
        assert server.connections == 1
        await asyncio.wait_for(wire.close(), PATIENCE_S)


@pytest.mark.asyncio
async def test_tls__when_the_certificate_is_unknown__then_transient_that_says_so(
    certificate: tuple[Path, Path],
) -> None:
    server = await Server(_long).start(_server_side(certificate))
    async with server:
        rpc = Rpc("a", f"https://localhost:{server.port}/secret-token-1234", 1)
        with pytest.raises(Transient, match="a: its TLS certificate does not verify"):
            await rpc.call("eth_call", PARAMS, timeout_s=PATIENCE_S)
        await rpc.close()
        assert server.asked == []


@pytest.mark.asyncio
async def test_tls__when_the_peer_hangs__then_neither_connecting_nor_closing_waits_for_it(
    certificate: tuple[Path, Path],
) -> None:
    async def hang(question: bytes, connection: int) -> Reply:
        await asyncio.sleep(HANGS_S)
        return None

    deaf = await asyncio.start_server(lambda r, w: asyncio.sleep(HANGS_S), "127.0.0.1", 0)
    server = await Server(hang).start(_server_side(certificate))
    context = ssl.create_default_context(cafile=str(certificate[0]))
    for port in (deaf.sockets[0].getsockname()[1], server.port):
        site = Site.of(f"https://localhost:{port}/", "agent")
        assert site is not None
        wire = Wire(site, GREETING, _accept, context)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(TimeoutError):
                await wire.post(QUESTION, 0.5)
            await wire.close()
    deaf.close()
    await server.__aexit__(None, None, None)


SMALL = ("eth_getTransactionCount", ["0x" + "aa" * 20, "latest"])


@pytest.mark.asyncio
async def test_small__when_a_proven_connection_rests__then_it_goes_there_and_opens_none() -> None:
    def answer(question: bytes, connection: int) -> Reply:
        return (
            ok(told(question, "0x7"))
            if b"eth_getTransactionCount" in question
            else _long(question, connection)
        )

    async with Reading(answer) as r:
        await r.read()
        for _ in range(2):
            assert await r.rpc.call(*SMALL, timeout_s=PATIENCE_S) == "0x7"
        assert (r.server.connections, r.rpc.connects) == (1, 0), "a new connection is two round trips"


@pytest.mark.asyncio
async def test_small__when_every_proven_connection_is_asked__then_the_session_asks() -> None:
    late = asyncio.Event()

    async def answer(question: bytes, connection: int) -> Reply:
        if b"eth_getTransactionCount" in question:
            return ok(told(question, "0x7"))
        await late.wait()
        return _long(question, connection)

    async with Reading(answer) as r:
        assert await r.rpc.call(*SMALL, timeout_s=PATIENCE_S) == "0x7", "before any read there is no wire"
        reading = asyncio.create_task(r.read())
        await becomes(lambda: "eth_call" in [m for _, m in r.server.asked])
        assert await r.rpc.call(*SMALL, timeout_s=PATIENCE_S) == "0x7"
        assert r.rpc.connects == 1
        late.set()
        await reading


@pytest.mark.asyncio
async def test_small__when_it_is_a_transaction__then_never_where_it_could_be_asked_twice() -> None:
    def answer(question: bytes, connection: int) -> Reply:
        return ok(told(question, "0x7")) if b"eth_sendRaw" in question else _long(question, connection)

    async with Reading(answer) as r:
        await r.read()
        assert await r.rpc.call("eth_sendRawTransaction", ["0x00"], timeout_s=PATIENCE_S) == "0x7"
        assert r.rpc.connects == 1


@pytest.mark.asyncio
async def test_read__when_the_loop_calls_a_connection_closed__then_transient_as_of_any_lost_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # uvloop's word where asyncio raises ConnectionResetError
    async def closed(*_: object, **__: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")

    async with Reading() as r:
        monkeypatch.setattr("keeper.chain.wire.start_connection", closed)
        with pytest.raises(Transient, match=r"^a: closed the connection$"):
            await r.read()
        monkeypatch.setattr(r.rpc._session, "post", _Closed)
        with pytest.raises(Transient, match=r"^a: closed the connection$"):
            await r.rpc.call("eth_sendRawTransaction", ["0x02"], timeout_s=PATIENCE_S)


class _Closed:
    """What the session's request is then."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    async def __aenter__(self) -> None:
        raise RuntimeError("the handler is closed")

    async def __aexit__(self, *exc: object) -> None:
        raise AssertionError("never entered")
