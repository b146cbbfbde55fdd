"""What a read of 1,000 accounts costs our process, beside the same read through the usual libraries.

The peers pin other versions of web3, so each lives in an environment of its own under ``.cache`` and runs as
a process of its own; rounds are interleaved, and every way must end with the same integers.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pytest
from eth_utils.crypto import keccak
from rich.console import Console
from rich.table import Table

from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.compile import compile_aave
from anvil.deploy import deploy
from anvil.deployment import Deployment
from anvil.node import Anvil, AnvilSettings
from tests.bench.figures import ROOT, record

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

ACCOUNTS = 1_000
ROUNDS = 9
WARM_UP = 2
SEED = 1
SELECTOR = keccak(text="getUserAccountData(address)")[:4]
WORKER = Path(__file__).with_name("read_worker.py")
PEERS = {"banteg": "multicall==0.15.2", "dank_mids": "dank-mids==4.20.215"}
BOUNDS = {"web3_multicall": (1 / 300, "<= 1/300"), "banteg": (1 / 20, "<= 1/20"), "dank_mids": (None, "")}
FLOORS = {"web3_multicall": 1 / 100, "banteg": 1 / 8, "dank_mids": 1 / 60}
"""What holds on a busy machine too: worse is a regression and fails. The bounds are for the figures."""
UNLIMITED = {"DANKMIDS_REQUESTS_PER_SECOND": "100000", "DANKMIDS_MIN_REQUESTS_PER_SECOND": "100000"}
"""dank_mids limits itself to 50 requests a second; that would be its subject, not its cost."""
ANSWER_S_MAX = 120.0
"""Its first read of 1,000 takes 17 s; a peer that hangs must not hang the bench."""
HELP_S_MAX = 0.3


class PeerMissing(Exception):
    """A peer could not be installed; the reason is for the figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every way has to read."""

    url: str
    deployment: Deployment
    accounts: tuple[str, ...]
    block_number: int
    block_hash: str

    def line(self, way: str) -> str:
        """The first line for a worker."""
        data = [(SELECTOR + bytes(12) + bytes.fromhex(a[2:])).hex() for a in self.accounts]
        facts = {
            "way": way,
            "url": self.url,
            "chain_id": self.deployment.chain_id,
            "multicall": self.deployment.multicall,
            "pool": self.deployment.pool,
            "accounts": self.accounts,
            "data": data,
            "block_number": self.block_number,
            "block_hash": self.block_hash,
        }
        return json.dumps(facts)


class Worker:
    """One way's process."""

    def __init__(self, way: str, python: Path, job: Job) -> None:
        self.cpu_s: list[float] = []
        self.wall_s: list[float] = []
        self.digests: set[str] = set()
        self._process = subprocess.Popen(
            [str(python), str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **UNLIMITED, "PYTHONPATH": str(ROOT) if way == "keeper" else ""},
        )
        self._ask(job.line(way))

    def round(self, *, keep: bool) -> None:
        """One read."""
        told = self._ask("go")
        self.digests.add(str(told["digest"]))
        if keep:
            self.cpu_s.append(float(str(told["cpu_s"])))
            self.wall_s.append(float(str(told["wall_s"])))

    def _ask(self, line: str) -> dict[str, object]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        deadline = threading.Timer(ANSWER_S_MAX, self._process.kill)
        deadline.start()
        answer = self._process.stdout.readline()
        deadline.cancel()
        if not answer:
            assert self._process.stderr is not None
            said = self._process.stderr.read().strip().splitlines() or ["it said nothing"]
            raise PeerMissing(f"no answer within {ANSWER_S_MAX:.0f} s; last words: {said[-1]}")
        told: dict[str, object] = json.loads(answer)
        return told

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def job() -> Iterator[Job]:
    """A market with 1,000 real positions. Chain id 1, since the peers know no local chain."""
    with Anvil(AnvilSettings(chain_id=1, timestamp_s=1_750_000_000)) as node:
        chain = Chain(node.url)
        deployment = deploy(chain, compile_aave())
        accounts = tuple("0x" + keccak(text=f"bench {SEED} {i}")[-20:].hex() for i in range(ACCOUNTS))
        weth, usdc = deployment.token("WETH").unit, deployment.token("USDC").unit
        Actors(chain, deployment).open_many(
            [
                Borrower(
                    account=a, collateral={"WETH": weth + i * weth // 999}, debt={"USDC": (500 + i) * usdc}
                )
                for i, a in enumerate(accounts)
            ]
        )
        head = chain.rpc("eth_getBlockByNumber", "latest", False)
        chain.close()
        yield Job(
            url=node.url,
            deployment=deployment,
            accounts=accounts,
            block_number=int(head["number"], 16),
            block_hash=head["hash"],
        )


def test_reads__when_1000_accounts_are_read__then_our_cpu_is_a_fraction_of_the_peers(job: Job) -> None:
    pythons: dict[str, Callable[[], Path]] = {
        "keeper": lambda: Path(sys.executable),
        "web3_multicall": lambda: Path(sys.executable),
        **{peer: (lambda peer=peer: _environment(peer)) for peer in PEERS},
    }
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for way, python in pythons.items():
            try:
                workers[way] = stack.enter_context(Worker(way, python(), job))
                workers[way].round(keep=False)
            except PeerMissing as error:
                missing[way] = str(error)
        for n in range(WARM_UP + ROUNDS):
            for worker in workers.values():
                worker.round(keep=n >= WARM_UP)
    assert not {"keeper", "web3_multicall"} & set(missing), missing
    assert {w: d.digests for w, d in workers.items()} == dict.fromkeys(workers, workers["keeper"].digests)
    assert len(workers["keeper"].digests) == 1
    cpu_s = {way: statistics.median(w.cpu_s) for way, w in workers.items()}
    _print(workers)
    record("read_1000_cpu_ms", round(cpu_s["keeper"] * 1e3, 3), unit="ms", evidence="real_bytecode", n=ROUNDS)
    for peer, (bound, words) in BOUNDS.items():
        ratio = cpu_s["keeper"] / cpu_s[peer] if peer in cpu_s else None
        record(
            f"read_1000_cpu_vs_{peer}",
            ratio and round(ratio, 6),
            unit="ratio of client CPU, ours to theirs",
            bound=words,
            holds=None if bound is None or ratio is None else ratio <= bound,
            evidence="real_bytecode" if ratio else f"not measured: {missing[peer]}",
            n=ROUNDS,
            seed=SEED,
        )
        assert ratio is None or ratio <= FLOORS[peer], f"{peer}: {ratio:.5f}"


def test_help__when_asked_warm__then_it_takes_less_than_a_third_of_a_second() -> None:
    command = [sys.executable, "-c", "from keeper.cli import main; main()", "--help"]
    spent_s = []
    for n in range(ROUNDS + 1):
        before = os.times()
        started_s = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        wall_s = time.perf_counter() - started_s
        after = os.times()
        assert done.returncode == 0, done.stderr
        if n:
            cpu_s = (
                after.children_user + after.children_system - before.children_user - before.children_system
            )
            spent_s.append((cpu_s, wall_s))
    value_s = statistics.median(c for c, _ in spent_s)
    wall_s = statistics.median(w for _, w in spent_s)
    print(f"\nkeeper --help: {value_s:.3f} s of CPU, {wall_s:.3f} s by the clock, median of {ROUNDS}")
    record(
        "help_s", round(value_s, 3), unit="s", bound=f"<= {HELP_S_MAX}", holds=value_s <= HELP_S_MAX, n=ROUNDS
    )
    assert value_s <= HELP_S_MAX


def _environment(peer: str) -> Path:
    """The interpreter of a peer's own environment, made on first use. Raises PeerMissing."""
    home = ROOT / ".cache" / f"bench-peers-{peer.replace('_', '-')}"
    python, ready = home / "bin" / "python", home / f".ready-{PEERS[peer]}"
    if ready.exists():
        return python
    print(f"\ninstalling {PEERS[peer]} into {home.relative_to(ROOT)} (once)")
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [str(python), "-m", "pip", "install", "-q", PEERS[peer]],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PeerMissing((done.stderr.strip() or "no reason given").splitlines()[-1])
    ready.touch()
    return python


def _print(workers: dict[str, Worker]) -> None:
    table = Table(title=f"{ACCOUNTS} getUserAccountData at one block, median of {ROUNDS} interleaved rounds")
    for head in ("way", "client CPU ms", "wall ms", "CPU, ours / theirs"):
        table.add_column(head, justify="left" if head == "way" else "right")
    ours_s = statistics.median(workers["keeper"].cpu_s)
    for way, worker in workers.items():
        cpu_s, wall_s = statistics.median(worker.cpu_s), statistics.median(worker.wall_s)
        ratio = "" if way == "keeper" else f"1/{cpu_s / ours_s:.0f}"
        table.add_row(way, f"{cpu_s * 1e3:.2f}", f"{wall_s * 1e3:.1f}", ratio)
    Console(width=100).print(table)
