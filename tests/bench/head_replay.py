"""One rescue of a thousand, from the head to the bytes that leave, again and again on recorded answers.

``python -m tests.bench.head_replay record FOLDER`` plays it once on the real market and keeps every answer;
``python -m tests.bench.head_replay time FOLDER [SAMPLES]`` plays it from them, with no node to share the processors
with, and prints the CPU of this process; ``profile`` prints where it goes. The daemon's parts are the real ones, to
the sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import cProfile
import gc
import hashlib
import os
import pickle
import pstats
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import structlog
from aiohttp import web
from eth_utils.crypto import keccak

from keeper.chain.head import latest
from keeper.clock import SystemClock
from keeper.config import Settings, load
from keeper.daemon.service import ChainDaemon
from keeper.daemon.triage import unswept
from keeper.journal.write import Journal
from keeper.model import Block
from keeper.notify import log
from keeper.risk import cache
from tests.bench.delay_proxy import STAGES, Journey, Passed, journey
from tests.bench.figures import ROOT
from tests.bench.tick_crowd import crowd

ACCOUNTS = 1_000
CONCURRENCY = 24
SAMPLES = 100
WARM_UP = 5
BATCH_BYTES, BATCH_S, FAR_S = 5_000, 0.003, 0.010
"""A request of so many bytes is a batch; how long the node takes for one, and how far away it is."""
FALLEN = (880, 1_000)
ANSWERS, BLOCKS = "answers.pickle", "blocks.pickle"
_ID = re.compile(rb'"id":\d+')
_HASH = re.compile(rb"0x[0-9a-f]{64}(?![0-9a-f])")


class Node:
    """A recorder before a node, or a node made of what it recorded. A process of its own."""

    def __init__(self, upstream: str, kept: Path) -> None:
        self._upstream, self._kept, self._phase = upstream, kept, "start"
        self._answers: dict[tuple[str, str, str], bytes] = {}
        self._passed: list[dict[str, object]] = []
        self._pid = 0
        self._turns = asyncio.Lock()
        if not upstream:
            self._answers = pickle.loads(kept.read_bytes())

    async def serve(self) -> None:
        """Until the parent is gone."""
        app = web.Application(client_max_size=2**27)
        app.router.add_post("/", self._answer)
        app.router.add_get("/phase", self._turn)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await runner.cleanup()
        if self._upstream:
            self._kept.write_bytes(pickle.dumps(self._answers))

    async def _turn(self, request: web.Request) -> web.Response:
        """From now on in the phase of that name; what passed since the last turn."""
        self._phase = request.query["name"]
        self._pid = int(request.query.get("pid", 0))
        told, self._passed = self._passed, []
        return web.Response(body=orjson.dumps(told))

    async def _answer(self, request: web.Request) -> web.Response:
        """At once when it records, else as a node answers that is some way off and reads one batch after another."""
        body = await request.read()
        if self._upstream:
            return await self._told(body)
        in_s, in_ns = time.monotonic(), cpu_ns(self._pid)
        answer = await self._told(body)
        if len(body) > BATCH_BYTES:
            async with self._turns:
                await asyncio.sleep(BATCH_S)
        await asyncio.sleep(FAR_S)
        method = str(orjson.loads(body)["method"])
        row = {"method": method, "in_s": in_s, "cpu_in_ns": in_ns, "cpu_ns": cpu_ns(self._pid)}
        self._passed.append({**row, "out_s": time.monotonic()})
        return answer

    async def _told(self, body: bytes) -> web.Response:
        asked = orjson.loads(body)
        method = str(asked["method"])
        if method == "eth_sendRawTransaction" and not self._upstream:
            told = "0x" + keccak(hexstr=asked["params"][0]).hex()
            return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": told})
        params = orjson.dumps(asked["params"])
        what = hashlib.sha256(_HASH.sub(b"", params)).hexdigest()
        if self._upstream:
            async with (
                aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session,
                session.post(self._upstream, data=body) as response,
            ):
                answer = await response.read()
            for key in ((self._phase, method, what), (self._phase, method, "")):
                self._answers[key] = answer
        else:
            answer = self._known(method, what)
        number = b'"id":%d' % asked["id"]
        return web.Response(body=_ID.sub(number, answer, count=1), content_type="application/json")

    def _known(self, method: str, what: str) -> bytes:
        phases = (self._phase, "fallen", "calm", "start")
        for exact in (what, ""):
            for phase in phases:
                if (found := self._answers.get((phase, method, exact))) is not None:
                    return found
        return b'{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"not recorded"}}'


def cpu_ns(pid: int) -> int:
    """Nanoseconds on a processor of all threads."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat") if pid else ()
    return sum(int(t.read_text().split()[0]) for t in threads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A node that runs."""

    port: int

    @property
    def url(self) -> str:
        """HTTP."""
        return f"http://127.0.0.1:{self.port}"

    def turn(self, phase: str) -> list[Passed]:
        """``Node._turn``."""
        with urllib.request.urlopen(f"{self.url}/phase?name={phase}&pid={os.getpid()}", timeout=10) as told:
            return [Passed(**row) for row in orjson.loads(told.read())]


@contextmanager
def node(kept: Path, upstream: str = "") -> Iterator[Running]:
    """The process."""
    line = [sys.executable, "-m", "tests.bench.head_replay", "node", str(kept), upstream]
    with subprocess.Popen(
        line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Running(port=int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(30)


def record(folder: Path) -> None:
    """Play it once on the real market."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        crowd(Path(home), ACCOUNTS) as made,
        node(folder / ANSWERS, made.node.url) as recorder,
    ):
        settings = made.settings(ACCOUNTS)
        path = settings.state_dir.parent / "keeper.toml"
        for name in ("keystore.json", "password"):
            shutil.copy(Path(home) / name, folder / name)
        text = path.read_text().replace(made.node.url, "URL").replace(made.node.ws_url, "ws://URL")
        text = text.replace("rate_per_s = 1000", f"rate_per_s = 100000\nconcurrency = {CONCURRENCY}")
        (folder / "keeper.toml.in").write_text(text.replace(str(path.parent), "HOME"))
        used = int(made.chain.rpc("eth_getTransactionCount", made.wallet, "latest"), 16)

        async def play(daemon: ChainDaemon) -> None:
            assert daemon.loop is not None
            endpoints = daemon._endpoints
            assert endpoints is not None
            recorder.turn("calm")
            await daemon.loop.tick(await latest(endpoints))
            made.chain.mine()
            # a second calm block: whoever stood nearest in the first is read apart now
            calm = await latest(endpoints)
            await daemon.loop.tick(calm)
            made.price(FALLEN)
            recorder.turn("fallen")
            fallen = await latest(endpoints)
            tick = await daemon.loop.tick(fallen)
            daemon.loop.hand(tick)
            await daemon.loop.drained()
            assert daemon.journal.open_intents(), "nobody was rescued"
            (folder / BLOCKS).write_bytes(pickle.dumps((made.wallet, used, calm, fallen)))

        (folder / BLOCKS).write_bytes(pickle.dumps((made.wallet, used, None, None)))
        asyncio.run(_with_daemon(folder, recorder, play))


async def _with_daemon(folder: Path, running: Running, play: Any) -> None:
    wallet, used, _, _ = pickle.loads((folder / BLOCKS).read_bytes())
    with tempfile.TemporaryDirectory() as home, (Path(home) / "log").open("w") as lines:
        for name in ("keystore.json", "password"):
            shutil.copy(folder / name, Path(home) / name)
        text = (folder / "keeper.toml.in").read_text().replace("ws://URL", running.url.replace("http", "ws"))
        (Path(home) / "keeper.toml").write_text(text.replace("URL", running.url).replace("HOME", home))
        settings: Settings = load(Path(home) / "keeper.toml")
        settings = replace(settings, state_dir=Path(home) / "state")
        settings.state_dir.mkdir()
        cache.warm()
        with contextlib.redirect_stderr(lines), Journal.open(settings.journal_path, SystemClock()) as journal:
            log.configure(json_lines=True)
            chain_id = settings.chains[0].chain_id
            journal.adopt_nonce(chain_id, wallet, used, "approved by another journal")
            journal.set_control("armed", settings.digest, "bench", "for the measurement")
            daemon = ChainDaemon(settings, settings.chains[0], journal, lambda _: None)
            endpoints, _ = await daemon.start()
            assert daemon.loop is not None
            serving = asyncio.create_task(daemon.loop.serve_lane())
            await asyncio.sleep(0)
            try:
                await play(daemon)
            finally:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)
                await endpoints.close()
                structlog.reset_defaults()
                gc.unfreeze()


def replay(folder: Path, samples: int, profile: cProfile.Profile | None) -> list[Journey]:
    """The way of each sample, from the tick's begin to the broadcast."""
    found: list[Journey] = []
    _, _, calm, fallen = pickle.loads((folder / BLOCKS).read_bytes())

    async def play(daemon: ChainDaemon) -> None:
        loop = daemon.loop
        assert loop is not None
        for i in range(samples + WARM_UP):
            running.turn("calm")
            await loop.tick(_anew(calm, i))
            if i == 0:
                gc.freeze()  # as the daemon does after its first tick
            kept = loop._memory, loop._levels, loop._marks, loop._refused
            running.turn("fallen")
            if profile is not None and i >= WARM_UP:
                profile.enable()
            head = Passed(method="head", in_s=0.0, out_s=time.monotonic(), cpu_ns=cpu_ns(os.getpid()))
            loop._first, loop.lane.given, loop._told = None, frozenset(), frozenset()
            with unswept():
                await loop._the_few(_anew(fallen, i))
            if profile is not None:
                profile.disable()
            one = journey([head, *running.turn("calm")])
            assert one is not None, "nobody was rescued"
            found.append(one)
            await loop.drained()
            loop._memory, loop._levels, loop._marks, loop._refused = kept
            loop._first = None
            for table in ("attempt", "intent", "memory"):
                daemon.journal._direct.exec_driver_sql(f"DELETE FROM {table}")
            daemon.journal._direct.commit()

    with node(folder / ANSWERS) as running:
        asyncio.run(_with_daemon(folder, running, play))
    return found[WARM_UP:]


def _anew(block: Block, i: int) -> Block:
    """The same block under another hash, so that it is read anew."""
    return replace(block, hash="0x" + hashlib.sha256(f"{block.hash}{i}".encode()).hexdigest())


def main(what: str, folder: Path, samples: int) -> None:
    """The command line."""
    if what == "record":
        record(folder)
        return
    profile = cProfile.Profile(time.thread_time) if what == "profile" else None
    ways = replay(folder, samples, profile)
    for k, name in enumerate((*STAGES, "all")):
        told = sorted(w.stages[k][2] if k < len(STAGES) else sum(s[2] for s in w.stages) for w in ways)
        print(
            f"{name:>20}: {told[0]:6.2f} ms of CPU at best, {told[len(told) // 10]:6.2f} in a tenth, "
            f"{statistics.median(told):6.2f} in the middle"
        )
    most = max(ways, key=lambda w: w.round_trips)
    print(f"{most.round_trips} round trips at most, of {len(ways)}: {' '.join(most.methods)}")
    if profile is not None:
        for by in ("tottime", "cumtime"):
            pstats.Stats(profile).sort_stats(by).print_stats(70)


if __name__ == "__main__":
    if sys.argv[1] == "node":
        asyncio.run(Node(sys.argv[3], Path(sys.argv[2])).serve())
    else:
        main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else SAMPLES)
