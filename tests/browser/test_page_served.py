"""The page over HTTP, without a browser: strangers refused, slow readers dropped, its own death costs nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from keeper.clock import SystemClock
from keeper.daemon.paging.child import PageFailed
from keeper.daemon.supervise import show
from keeper.notify.page import serving
from keeper.notify.page.fanout import Fanout
from keeper.notify.page.guard import HEADERS
from keeper.notify.page.serving import Place, served
from tests.page_stage import TOKEN, Stage, crowd, staged
from tests.patience import becomes

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
PATHS = (
    "/",
    "/plain",
    "/api/state",
    "/api/positions",
    "/events",
    "/static/page.css",
    "/api/position?id=x",
    "/nothing",
)


class Desk:
    """Whatever is asked, the same."""

    def __init__(self) -> None:
        self.fanout = Fanout()

    def told(self) -> dict[str, Any]:
        return {}

    def positions(self) -> dict[str, Any]:
        return {"rows": []}

    async def position(self, id: str) -> dict[str, Any] | None:
        return None

    async def surface(self, id: str, x: str, y: str) -> dict[str, Any] | None:
        return None

    async def acknowledge(self, why: str) -> dict[str, Any]:
        return {"ok": True}


async def status(
    asked: aiohttp.ClientSession, method: str, url: str, **more: Any
) -> tuple[int, dict[str, str]]:
    async with asked.request(method, url, **more) as answer:
        return answer.status, dict(answer.headers)


async def strangers(asked: aiohttp.ClientSession, stage: Stage) -> None:
    """A foreign Host and a foreign Origin, at every door."""
    for path in PATHS:
        for headers in (
            {"Host": "evil.example"},
            {"Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            found, told = await status(asked, "GET", stage.url + path, headers=headers)
            assert found == 403, (path, headers)
            assert HEADERS.items() <= told.items(), path


async def tokens(asked: aiohttp.ClientSession, stage: Stage) -> None:
    """No token, a wrong one, a right one in a request that is none; nothing of it is journaled."""
    url = f"{stage.url}/api/ack"
    right = {"Authorization": f"Bearer {TOKEN}"}
    asks: list[tuple[dict[str, str], bytes, int]] = [
        ({}, b'{"why": "x"}', 401),
        ({"Authorization": "Bearer wrong"}, b'{"why": "x"}', 401),
        (right | {"Origin": "https://evil.example"}, b'{"why": "x"}', 403),
        (right | {"Host": "evil.example"}, b'{"why": "x"}', 403),
        (right, b"not json", 400),
        (right, b'{"do": "disarm"}', 400),
        (right, b"[]", 400),
        (right, b'{"why": "' + b"x" * 5_000 + b'"}', 413),
    ]
    for headers, body, expected in asks:
        found, told = await status(asked, "POST", url, headers=headers, data=body)
        assert found == expected, (headers, body[:40])
        assert "Content-Security-Policy" in told
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("/", "/api/state", "/api/positions"):
            assert (await status(asked, method, stage.url + path, headers=right))[0] == 405
    assert stage.on.journal.control("acknowledged") is None
    assert (await status(asked, "POST", url, headers=right, data=b'{"why": "seen"}'))[0] == 200
    control = stage.on.journal.control("acknowledged")
    assert control is not None
    assert (control.actor, control.why) == ("page", "seen")


@pytest.mark.asyncio
async def test_page__when_strangers_ask__then_refused_and_when_it_is_killed__then_told_and_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path, 3) as stage, aiohttp.ClientSession() as asked:
        await stage.tick(*crowd(3))
        await strangers(asked, stage)
        await tokens(asked, stage)
        for path in ("/../../../etc/passwd", "/static/../serving.py", "/static/%2e%2e/serving.py", "/static"):
            assert (await status(asked, "GET", stage.url + path))[0] in (403, 404), path
        # its death is an alarm, and a new life; the daemon goes on
        stage.life.cancel()
        await asyncio.gather(stage.life, return_exceptions=True)
        monkeypatch.setattr("keeper.daemon.supervise.BACK_OFF_S", 0.05)
        fleet: Any = type("Fleet", (), {"chains": [stage.on]})()
        living = asyncio.create_task(show(stage.page, stage.announcer, fleet))
        try:
            await until_listening(stage)
            os.kill(children()[0], signal.SIGKILL)
            await becomes(lambda: "page" in {a.code for a in stage.announcer.alarms.standing})
            await stage.tick(*crowd(3))
            await until_listening(stage)
            assert "page" not in {a.code for a in stage.announcer.alarms.standing}
            said = [e for e in stage.on.journal.entries("alarm") if e.data["code"] == "page"]
            assert [e.data["severity"] for e in said] == ["WARNING", "CLEARED"]
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
        assert children() == []


async def until_listening(stage: Stage) -> None:
    await becomes(lambda: stage.page.port)


def children() -> list[int]:
    """Processes that this one has started and that are pages."""
    me = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in me if b"paging.process" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.asyncio
async def test_page__when_its_address_is_taken__then_it_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PageFailed, match=r"cannot be served.*already in use"):
            async with staged(tmp_path, 1, port=taken.getsockname()[1]):
                pass


@pytest.mark.asyncio
async def test_stream__when_a_viewer_never_reads__then_dropped_and_the_others_hear_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "SLOW_S", 2.0)
    desk = Desk()
    place = Place(host="127.0.0.1", port=0, hosts=(), token="")
    async with served(place, desk, SystemClock()) as port:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, ("127.0.0.1", port))
        await loop.sock_sendall(deaf, f"GET /events HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        async with aiohttp.ClientSession() as asked, asked.get(f"http://localhost:{port}/events") as heard:
            await becomes(lambda: len(desk.fanout) == 2)
            heavy = b'"' + b"x" * 2_000_000 + b'"'
            for n in range(12):
                desk.fanout.publish("positions", heavy)
                desk.fanout.publish("state", b"%d" % n)
                await hear(heard, b"event: state\ndata: %d\n\n" % n)
            await becomes(lambda: len(desk.fanout) == 1)
            desk.fanout.publish("state", b"on")
            await hear(heard, b"event: state\ndata: on\n\n")
        # what waited for it is gone with it: its connection ends after what the kernel had already taken
        assert await drained(deaf) < 12 * len(heavy) // 2
        deaf.close()


async def hear(stream: aiohttp.ClientResponse, message: bytes) -> None:
    """Everything up to that message, which must be the last one sent so far."""
    tail = b""
    async with asyncio.timeout(30):
        while not tail.endswith(message):
            tail = (tail + await stream.content.readany())[-len(message) :]


async def drained(connection: socket.socket) -> int:
    """Bytes until the connection ends."""
    count = 0
    async with asyncio.timeout(30):
        while got := await asyncio.get_running_loop().sock_recv(connection, 1 << 20):
            count += len(got)
    return count
