"""A node as far away as a real one: every request and every head waits on its way, and the way is written down.

``python -m tests.bench.delay_proxy URL WS_URL ROUND_TRIP_MS``, a process of its own so that its work is not counted
as ours. It prints its port; ``GET /log`` gives what passed since the last time, and forgets it; with ``?pid=`` it
notes that process's CPU from then on.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
from aiohttp import WSMsgType, web

PROBES = frozenset({"eth_blockNumber"})
"""What a daemon asks every now and then beside all work: nothing on the way waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A request as the far side saw it, on one clock; a head is a message without a request."""

    method: str
    in_s: float
    out_s: float
    ok: bool = True
    """The node answered a result."""
    cpu_ns: int = 0
    """CPU that the watched process had used by ``out_s``."""
    cpu_in_ns: int = 0
    """The same by ``in_s``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """From a head that left the node to the last request's answer."""

    round_trips: int
    total_ms: float
    own_ms: float
    """Of it, what passed while no request was under way: nobody's time but ours."""
    cpu_ms: float
    """CPU that the watched process used on the way: what a crowded machine cannot inflate as much."""
    methods: tuple[str, ...]
    stages: tuple[tuple[str, float, float], ...] = ()
    """(stage, ms, ms of CPU) of the parts of ``own_ms``: to the read, to the simulation, to the send."""


STAGES = ("head to read", "read to simulation", "simulation to send")


def journey(passed: Iterable[Passed], last: str = "eth_sendRawTransaction") -> Journey | None:
    """The way from the last head before the first ``last`` to that one's answer; None when there is none.

    A round trip counts as sequential when its request came after an earlier one's answer had left. Probes count
    neither as a round trip nor as waiting.
    """
    rows = sorted(passed, key=lambda p: p.in_s)
    end = next((p for p in rows if p.method == last and p.ok), None)
    heads = [p for p in rows if p.method == "head" and end is not None and p.out_s < end.in_s]
    if end is None or not heads:
        return None
    # the head that was judged: the first of those after which no other was waited for
    start = heads[-1]
    ways = [p for p in rows if p.method != "head" and p.method not in PROBES]
    between = [p for p in ways if start.out_s <= p.in_s <= end.in_s]
    depth: dict[int, int] = {}
    for i, p in enumerate(between):
        depth[i] = 1 + max((depth[j] for j in range(i) if between[j].out_s <= p.in_s), default=0)
    busy_s, last = 0.0, start
    spent = {name: [0.0, 0.0] for name in STAGES}
    for i, p in enumerate(between):
        busy_s += max(0.0, min(p.out_s, end.out_s) - max(p.in_s, last.out_s))
        if p.in_s > last.out_s:
            stage = spent[STAGES[0] if not i else STAGES[2] if p is end else STAGES[1]]
            stage[0] += (p.in_s - last.out_s) * 1e3
            stage[1] += (p.cpu_in_ns - last.cpu_ns) / 1e6
        last = p if p.out_s > last.out_s else last
    total_s = end.out_s - start.out_s
    return Journey(
        round_trips=depth[between.index(end)],
        total_ms=total_s * 1e3,
        own_ms=(total_s - busy_s) * 1e3,
        cpu_ms=(end.cpu_ns - start.cpu_ns) / 1e6,
        methods=tuple(p.method for p in between),
        stages=tuple((name, ms, cpu_ms) for name, (ms, cpu_ms) in spent.items()),
    )


class Far:
    """The proxy itself."""

    def __init__(self, url: str, ws_url: str, one_way_s: float) -> None:
        self.log: list[dict[str, object]] = []
        self._pid = 0
        self._url, self._ws_url, self._one_way_s = url, ws_url, one_way_s
        self._session: aiohttp.ClientSession | None = None

    async def serve(self) -> None:
        """Listen until the parent is gone."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers={"Content-Type": "application/json"},
            read_bufsize=2**22,
        )
        app = web.Application(client_max_size=2**27)
        app.router.add_post("/", self._forward)
        app.router.add_get("/log", self._told)
        app.router.add_get("/", self._stream)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await runner.cleanup()
        await self._session.close()

    async def _forward(self, request: web.Request) -> web.Response:
        body = await request.read()
        in_s = time.monotonic()
        cpu_in_ns = _cpu_ns(self._pid)
        asked = orjson.loads(body)
        await asyncio.sleep(self._one_way_s)
        assert self._session is not None
        async with self._session.post(self._url, data=body) as response:
            answer = await response.read()
        await asyncio.sleep(self._one_way_s)
        ok = b'"error"' not in answer[:200]
        self._note(str(asked["method"]), in_s, ok, cpu_in_ns)
        return web.Response(body=answer, content_type="application/json")

    def _note(self, method: str, in_s: float, ok: bool, cpu_in_ns: int = 0) -> None:
        # a file a thread, read before the time is taken: it counts as the node's
        row = {"method": method, "in_s": in_s, "ok": ok, "cpu_in_ns": cpu_in_ns, "cpu_ns": _cpu_ns(self._pid)}
        self.log.append({**row, "out_s": time.monotonic()})

    async def _told(self, request: web.Request) -> web.Response:
        self._pid = int(request.query.get("pid", self._pid))
        told, self.log = self.log, []
        return web.Response(body=orjson.dumps(told))

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        near = web.WebSocketResponse(max_msg_size=0)
        await near.prepare(request)
        assert self._session is not None
        async with self._session.ws_connect(self._ws_url, max_msg_size=0) as far:
            pumps = [asyncio.create_task(self._out(near, far)), asyncio.create_task(self._back(far, near))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        return near

    async def _out(self, near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse) -> None:
        async for message in near:
            if message.type is WSMsgType.TEXT:
                await far.send_str(message.data)

    async def _back(self, far: aiohttp.ClientWebSocketResponse, near: web.WebSocketResponse) -> None:
        async for message in far:
            if message.type is not WSMsgType.TEXT:
                continue
            in_s = time.monotonic()
            await asyncio.sleep(self._one_way_s)
            if "eth_subscription" in message.data:
                self._note("head", in_s, True)
            await near.send_str(message.data)


def _cpu_ns(pid: int) -> int:
    """Nanoseconds on a processor of all threads; 0 where this system does not tell."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat") if pid else ()
    return sum(int(t.read_text().split()[0]) for t in threads)


if __name__ == "__main__":
    asyncio.run(Far(sys.argv[1], sys.argv[2], float(sys.argv[3]) / 2e3).serve())
