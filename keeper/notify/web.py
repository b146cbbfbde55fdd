"""``/metrics``, ``/healthz`` and ``/readyz`` over HTTP: read-only, bound where the configuration says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
TEXT = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What is asked of the daemon."""

    metrics: Callable[[], Callable[[], bytes]] | None
    """Reads the daemon at once; what it returns writes the text, on a thread: a large book must not hold up the
    loop. None where Prometheus' client is not installed."""
    alive: Callable[[], dict[str, object]]
    """``ok`` while the watchdog is fed."""
    ready: Callable[[], dict[str, object]]
    """``ok`` while every chain's last judged block is fresh."""


@asynccontextmanager
async def served(host: str, port: int, answers: Answers) -> AsyncIterator[int]:
    """Listening; the port. Raises OSError when the address is taken or is none of this machine's."""
    app = web.Application(middlewares=[_local_only(host)], client_max_size=1024)
    app.router.add_get("/metrics", _metrics(answers.metrics))
    app.router.add_get("/healthz", _state(answers.alive))
    app.router.add_get("/readyz", _state(answers.ready))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _metrics(of: Callable[[], Callable[[], bytes]] | None) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        if of is None:
            why = "prometheus-client is not installed: install keeper[metrics]\n"
            return web.Response(status=503, text=why)
        return web.Response(body=await asyncio.to_thread(of()), headers={"Content-Type": TEXT})

    return answer


def _state(of: Callable[[], dict[str, object]]) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        told = of()
        return web.json_response(told, status=200 if told["ok"] is True else 503)

    return answer


def _local_only(host: str) -> Middleware:
    """Where only this machine may ask, only by its local names: a page of a stranger's could else read it."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
        foreign = host in LOCAL and asked.strip("[]") not in LOCAL
        if foreign or "Origin" in request.headers:
            return web.Response(status=403, text="foreign Host or Origin\n")
        return await handler(request)

    return check
