"""The page's routes: the page itself, what it shows as JSON and as a stream, and the one thing it may ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jinja2
import orjson
from aiohttp import web

from keeper.notify.page.fanout import Fanout
from keeper.notify.page.guard import HEADERS, Lock, guarded
from keeper.seams import Clock

HERE = Path(__file__).parent
SLOW_S = 15.0
"""A viewer that takes nothing for so long is dropped."""
BODY_MAX = 2048
SENT_MAX = 256 * 1024
"""Bytes that may wait in a viewer's connection before it counts as slow."""
STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


class Desk(Protocol):
    """What is shown, and what may be asked for."""

    fanout: Fanout

    def told(self) -> Mapping[str, Any]:
        """Everything but the positions, at this moment."""
        ...

    def positions(self) -> Mapping[str, Any]:
        """Every position in order of danger."""
        ...

    async def position(self, id: str) -> Mapping[str, Any] | None:
        """One position in full; None for one that is not shown."""
        ...

    async def surface(self, id: str, x: str, y: str) -> Mapping[str, Any] | None:
        """Health under pairs of moves; None for what is not shown."""
        ...

    async def acknowledge(self, why: str) -> Mapping[str, Any]:
        """``ok``, or why not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the page listens, to whom it answers."""

    host: str
    port: int
    hosts: Collection[str]
    token: str


@asynccontextmanager
async def served(place: Place, desk: Desk, clock: Clock) -> AsyncIterator[int]:
    """Listening; the port. Raises OSError when the address is taken or is none of this machine's."""
    runner = web.AppRunner(
        application(place, desk, clock), access_log=None, handle_signals=False, shutdown_timeout=1.0
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, place.host, place.port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def application(place: Place, desk: Desk, clock: Clock) -> web.Application:
    """The page's routes over what ``desk`` knows."""
    app = web.Application(middlewares=[guarded(place.hosts)], client_max_size=BODY_MAX)
    pages = _Pages(desk, Lock(place.token), clock, bool(place.token))
    app.router.add_get("/", pages.index)
    app.router.add_get("/plain", pages.plain)
    app.router.add_get("/api/state", pages.state)
    app.router.add_get("/api/positions", pages.positions)
    app.router.add_get("/api/position", pages.position)
    app.router.add_get("/api/surface", pages.surface)
    app.router.add_get("/events", pages.events)
    app.router.add_post("/api/ack", pages.acknowledge)
    app.router.add_static("/static", HERE / "static", follow_symlinks=False)
    return app


class _Pages:
    """The handlers of one page."""

    def __init__(self, desk: Desk, lock: Lock, clock: Clock, writable: bool) -> None:
        self._desk = desk
        self._lock = lock
        self._clock = clock
        self._writable = writable
        # what is shown is strangers' text: labels, symbols, the words of nodes
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
        )

    async def index(self, _: web.Request) -> web.StreamResponse:
        return self._page("index.html", told=self._desk.told(), writable=self._writable)

    async def plain(self, _: web.Request) -> web.StreamResponse:
        """The same facts without a script: a table that asks for itself again."""
        told, positions = self._desk.told(), self._desk.positions()
        return self._page("plain.html", told=told, rows=positions["rows"])

    def _page(self, name: str, **shown: object) -> web.StreamResponse:
        text = self._templates.get_template(name).render(**shown)
        return web.Response(text=text, content_type="text/html")

    async def state(self, _: web.Request) -> web.StreamResponse:
        return _json(self._desk.told())

    async def positions(self, _: web.Request) -> web.StreamResponse:
        newest = self._desk.fanout.newest("positions")
        return _json(self._desk.positions()) if newest is None else _json_bytes(newest)

    async def position(self, request: web.Request) -> web.StreamResponse:
        found = await self._desk.position(request.query.get("id", ""))
        return _json(found) if found is not None else _json({"why": "no such position"}, status=404)

    async def surface(self, request: web.Request) -> web.StreamResponse:
        asked = [request.query.get(name, "") for name in ("id", "x", "y")]
        found = await self._desk.surface(*asked)
        return _json(found) if found is not None else _json({"why": "no such position or axis"}, status=404)

    async def acknowledge(self, request: web.Request) -> web.StreamResponse:
        if (
            no := self._lock.refusal(request.headers.get("Authorization"), self._clock.monotonic_s())
        ) is not None:
            return _json({"ok": False, "why": no[1]}, status=no[0])
        try:
            asked = orjson.loads(await request.read())
        except ValueError:
            return _json({"ok": False, "why": "the body is no JSON"}, status=400)
        why = asked.get("why") if isinstance(asked, dict) else None
        if not isinstance(why, str):
            return _json({"ok": False, "why": 'the body is no object with a "why"'}, status=400)
        answer = await self._desk.acknowledge(why)
        return _json(answer, status=200 if answer.get("ok") is True else 502)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The stream; whoever does not read it is dropped, with what waited for it."""
        viewer = self._desk.fanout.join()
        if viewer is None:
            return _json({"why": "too many viewers"}, status=503)
        response = web.StreamResponse(headers=STREAM | HEADERS)
        transport = request.transport
        try:
            await response.prepare(request)
            if isinstance(transport, asyncio.Transport):
                transport.set_write_buffer_limits(high=SENT_MAX)
            while True:
                data = await viewer.take()
                async with asyncio.timeout(SLOW_S):
                    await response.write(data)
        except TimeoutError:
            # closing would wait until it has read everything, which it does not
            if isinstance(transport, asyncio.Transport):
                transport.abort()
        except ConnectionError:
            pass
        finally:
            self._desk.fanout.leave(viewer)
        return response


def _json(body: Mapping[str, Any], status: int = 200) -> web.StreamResponse:
    return _json_bytes(orjson.dumps(body), status)


def _json_bytes(body: bytes, status: int = 200) -> web.StreamResponse:
    return web.Response(body=body, status=status, content_type="application/json")
