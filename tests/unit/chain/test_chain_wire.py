"""One connection of the wire over a transport without a socket: what ends it, and what it says then."""

from __future__ import annotations

import asyncio

import pytest

from keeper.chain.http1 import Answer, AnswerTooLarge, Surprise
from keeper.chain.wire import _Line

pytestmark = pytest.mark.unit

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class FakeTransport(asyncio.Transport):
    """Keeps what is written; ``unsent`` is what the system did not take yet."""

    def __init__(self, line: _Line) -> None:
        super().__init__()
        self.line = line
        self.written = b""
        self.unsent = 0
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.line.connection_lost, None)


class Rig:
    """A line, its transport, and who was told that it is lost."""

    def __init__(self) -> None:
        self.lost: list[_Line] = []
        self.line = _Line(self.lost.append)
        self.transport = FakeTransport(self.line)
        self.line.connection_made(self.transport)

    async def ask(self, timeout_s: float = 5.0) -> asyncio.Task[Answer]:
        """A question under way."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        task = asyncio.create_task(self.line.ask((b"que", b"stion"), bytearray(64), deadline_s))
        await asyncio.sleep(0)
        return task

    def receive(self, raw: bytes) -> None:
        """Bytes from the server, as the loop would hand them in."""
        while raw:
            room = self.line.get_buffer(-1)
            size = min(len(room), len(raw))
            room[:size] = raw[:size]
            raw = raw[size:]
            self.line.buffer_updated(size)


@pytest.mark.asyncio
async def test_line__when_asked_again_and_again__then_each_answer_for_its_question() -> None:
    rig = Rig()
    for n in range(3):
        task = await rig.ask()
        rig.receive(ANSWER.replace(b"hi", b"h%d" % n))
        answer = await task
        assert bytes(answer.body) == b"h%d" % n
        assert answer.keep
    assert rig.transport.written == b"question" * 3
    assert not rig.transport.closing


@pytest.mark.asyncio
@pytest.mark.parametrize(("raw", "error"), [(b"", ConnectionResetError), (ANSWER[:-1], EOFError)])
async def test_line__when_it_is_lost__then_whether_a_word_came_is_told(
    raw: bytes, error: type[Exception]
) -> None:
    rig = Rig()
    task = await rig.ask()
    rig.receive(raw)
    rig.line.connection_lost(None)
    with pytest.raises(error):
        await task
    assert rig.line.spoke is bool(raw)
    assert rig.lost == [rig.line]


@pytest.mark.asyncio
async def test_line__when_it_closed_while_it_rested__then_no_word_counts_as_said() -> None:
    rig = Rig()
    task = await rig.ask()
    rig.receive(ANSWER)
    await task
    rig.transport.closing = True
    with pytest.raises(ConnectionResetError):
        await (await rig.ask())
    assert not rig.line.spoke, "the answer before this question would keep it from being asked again"
    assert rig.transport.written == b"question"


@pytest.mark.asyncio
async def test_line__when_words_come_that_nobody_asked_for__then_it_ends() -> None:
    fresh, rested = Rig(), Rig()
    task = await rested.ask()
    rested.receive(ANSWER)
    await task
    for rig in (fresh, rested):
        rig.receive(b"H")
        assert rig.transport.closing


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (ANSWER + b"!", Surprise),
        (b"HTTP/1.1 200 OK\r\n\r\n", Surprise),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n", AnswerTooLarge),
    ],
)
async def test_line__when_the_answer_is_refused__then_so_is_the_connection(
    raw: bytes, error: type[Exception]
) -> None:
    rig = Rig()
    task = await rig.ask()
    rig.receive(raw)
    with pytest.raises(error):
        await task
    assert rig.transport.closing


@pytest.mark.asyncio
async def test_line__when_answered_before_all_was_sent__then_it_is_not_kept() -> None:
    rig = Rig()
    task = await rig.ask()
    rig.transport.unsent = 5
    rig.receive(ANSWER.replace(b"200", b"413"))
    answer = await task
    assert (answer.status, answer.keep) == (413, False)


@pytest.mark.asyncio
async def test_line__when_the_answer_comes_too_slowly__then_time_out_and_it_goes_nowhere() -> None:
    rig = Rig()
    task = await rig.ask(timeout_s=0.02)
    rig.receive(ANSWER[:-1])
    with pytest.raises(TimeoutError):
        await task
    rig.receive(ANSWER[-1:])
    assert rig.transport.closing


@pytest.mark.asyncio
async def test_line__when_the_asker_goes_away__then_late_words_end_it() -> None:
    rig = Rig()
    task = await rig.ask()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    rig.receive(ANSWER)
    assert rig.transport.closing
    await rig.line.gone
