"""People's ends of the line, of this machine: a webhook, a dead man's switch, a bot API, a node's door.

Doubles: the bot API follows the method names, fields and the confirming ``offset`` of the published one.
"""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiohttp import web

from keeper.clock import SystemClock

SECRET = "SECRETTOKEN"
"""Of the webhook's URL."""
TOKEN, ME = "4711:SECRETTOKEN", 1001
"""Of the bot, and who may speak to it."""


@dataclass
class Sink:
    """A webhook and a dead man's switch."""

    port: int = 0
    status: int = 200
    got: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    pings: int = 0

    async def post(self, request: web.Request) -> web.Response:
        """What apprise's ``json://`` posts."""
        if self.status != 200:
            self.refused += 1
            return web.Response(status=self.status)
        self.got.append(await request.json())
        return web.Response()

    async def ping(self, _: web.Request) -> web.Response:
        """The switch."""
        self.pings += 1
        return web.Response()


@dataclass
class BotApi:
    """Telegram's bot API as far as a bot asks it: updates until they are confirmed, messages that were said."""

    port: int = 0
    status: int = 200
    updates: list[dict[str, Any]] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0

    def hear(self, text: str, *, chat: int = ME, kind: str = "private", age_s: float = 0.0) -> None:
        """Somebody says ``text``."""
        date = int(SystemClock().now_s() - age_s)
        message = {"chat": {"id": chat, "type": kind}, "date": date, "text": text}
        self.updates.append({"update_id": 50 + len(self.updates) + len(self.said), "message": message})

    async def answer(self, request: web.Request) -> web.Response:
        """One method of the API."""
        self.asked += 1
        if request.match_info["token"] != f"bot{TOKEN}":
            return web.json_response({"ok": False}, status=401)
        if self.status != 200:
            return web.Response(status=self.status)
        body = await request.json()
        if request.match_info["method"] == "sendMessage":
            self.said.append(body)
            return web.json_response({"ok": True, "result": {}})
        self.updates = [u for u in self.updates if u["update_id"] >= body["offset"]]
        if not self.updates:
            await asyncio.sleep(0.05)
        return web.json_response({"ok": True, "result": self.updates})


@asynccontextmanager
async def webhook() -> AsyncIterator[Sink]:
    """A ``Sink`` that listens at ``/SECRET`` and ``/alive``."""
    sink, app = Sink(), web.Application()
    app.router.add_post(f"/{SECRET}", sink.post)
    app.router.add_get("/alive", sink.ping)
    async with _served(app) as sink.port:
        yield sink


@asynccontextmanager
async def bot_api() -> AsyncIterator[BotApi]:
    """A ``BotApi`` that listens."""
    api, app = BotApi(), web.Application()
    app.router.add_post("/{token}/{method}", api.answer)
    async with _served(app) as api.port:
        yield api


@asynccontextmanager
async def _served(app: web.Application) -> AsyncIterator[int]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


class Beside:
    """The same for a daemon in a process of its own: a webhook and a node's door, served from threads."""

    def __init__(self, node_url: str) -> None:
        self.told: list[str] = []
        """Messages that the webhook took."""
        self.refuses = False
        """Whether the node takes no transaction."""
        self._node_url = node_url
        self._servers = (self._serving(self._hook), self._serving(self._door))
        self.hook, self.url = (f"127.0.0.1:{s.server_port}" for s in self._servers)

    def close(self) -> None:
        """Stop serving."""
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _hook(self, body: bytes) -> bytes:
        message = json.loads(body)
        self.told.append(f"{message['title']}\n{message['message']}")
        return b"{}"

    def _door(self, body: bytes) -> bytes:
        request = json.loads(body)
        if self.refuses and request["method"] == "eth_sendRawTransaction":
            error = {"code": -32000, "message": "this node takes no transactions today"}
            return json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}).encode()
        asked = urllib.request.Request(self._node_url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked) as reply:
            return bytes(reply.read())

    def _serving(self, answer: Any) -> ThreadingHTTPServer:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                told = answer(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, format: str, *args: object) -> None:
                return None

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


@contextmanager
def beside(node_url: str) -> Iterator[Beside]:
    """One of them, closed again."""
    made = Beside(node_url)
    try:
        yield made
    finally:
        made.close()
