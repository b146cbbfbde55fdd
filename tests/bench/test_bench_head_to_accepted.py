"""From a head to an accepted transaction: how many round trips one after another, and what is our own time.

A real ``keeper run`` with 1,000 guarded accounts, 25 ms away from its node; a price falls, one of them needs help.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from eth_account import Account
from rich.console import Console
from rich.table import Table
from web3 import Web3
from web3.middleware import SignAndSendRawMiddlewareBuilder

from anvil.guard import Guard
from keeper.clock import SystemClock
from keeper.config import load
from keeper.journal.write import Journal
from tests.bench.delay_proxy import STAGES, Journey, Passed, journey
from tests.bench.figures import ROOT, record
from tests.bench.read_worker import AGGREGATE3_ABI
from tests.bench.tick_crowd import Crowd, crowd

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

ACCOUNTS = 1_000
ROUND_TRIP_MS = 25.0
SAMPLES = 9
CONCURRENCY = 24
STEP = (955, 1_000)
"""Each fall of 4.5 % brings the patient from its target of 1.25 below its trigger of 1.20, and nobody else."""
REST_BLOCKS = 4
ROUND_TRIPS_MAX = 3
OWN_MS_MAX = 12.0
EVIDENCE = "real_bytecode"
ACCOUNT_DATA = "getUserAccountData"


@dataclass(frozen=True, slots=True, kw_only=True)
class Far:
    """A delay proxy that runs."""

    port: int

    @property
    def url(self) -> str:
        """HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """WebSocket."""
        return f"ws://127.0.0.1:{self.port}"

    def passed(self, pid: int = 0) -> list[Passed]:
        """What passed since the last time; from now on with the CPU of ``pid``."""
        query = f"?pid={pid}" if pid else ""
        with urllib.request.urlopen(f"{self.url}/log{query}", timeout=10) as answer:
            return [Passed(**row) for row in json.loads(answer.read())]


@contextmanager
def far(made: Crowd) -> Iterator[Far]:
    """The proxy before the crowd's node."""
    line = [sys.executable, "-m", "tests.bench.delay_proxy", made.node.url, made.node.ws_url]
    with subprocess.Popen(
        [*line, str(ROUND_TRIP_MS)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Far(port=int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(10)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    with crowd(tmp_path_factory.mktemp("far"), ACCOUNTS) as opened:
        yield opened


def config(made: Crowd, through: Far) -> Path:
    """1,000 accounts, armed, every word through the proxy."""
    settings = made.settings(ACCOUNTS)
    path = settings.state_dir.parent / "keeper.toml"
    text = path.read_text().replace(made.node.url, through.url).replace(made.node.ws_url, through.ws_url)
    # a node of one's own: fifteen chunks of one read go out together
    text = text.replace("rate_per_s = 1000", f"rate_per_s = 1000\nconcurrency = {CONCURRENCY}")
    path.write_text(text)
    settings = load(path)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    used = int(made.chain.rpc("eth_getTransactionCount", made.wallet, "latest"), 16)
    with Journal.open(settings.journal_path, SystemClock()) as journal:
        journal.adopt_nonce(settings.chains[0].chain_id, made.wallet, used, "approved by another journal")
        journal.set_control("armed", settings.digest, "bench", "for the measurement")
    return path


def journeys(made: Crowd, through: Far) -> list[Journey]:
    """One a fall."""
    found: list[Journey] = []
    with Guard(config(made, through)) as guard:
        _judged(guard, made.chain.block().number, 120)
        share = 0.915
        for _ in range(SAMPLES + 1):
            for _ in range(REST_BLOCKS):
                _judged(guard, made.chain.mine().number, 60)
            time.sleep(0.3)
            through.passed(guard.pid)
            share = share * STEP[0] / STEP[1]
            made.price((int(share * 10**6), 10**6))
            deadline_s = time.monotonic() + 30
            passed = through.passed()
            while (one := journey(passed)) is None:
                assert time.monotonic() < deadline_s, guard.tail()
                time.sleep(0.05)
                passed += through.passed()
            found.append(one)
    # the first rescue of a process pays for what is imported and compiled then
    return found[1:]


def _judged(guard: Guard, block_number: int, within_s: float) -> None:
    """Wait for that block's line in the log: the status of a thousand positions is no small answer to poll."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        tail = (
            guard.log.read_bytes()[-20_000:].decode(errors="replace").splitlines()
            if guard.log.is_file()
            else []
        )
        lines = [json.loads(x) for x in tail if x.startswith("{") and x.endswith("}")]
        if any(x["event"] == "tick" and x["block"] >= block_number for x in lines):
            return
        time.sleep(0.02)
    raise AssertionError(f"block {block_number} was not judged in {within_s:.0f} s\n{guard.tail()}")


def web3_journey(made: Crowd, through: Far) -> Journey:
    """The same by web3's defaults: one multicall for all accounts, the call tried, built, signed and sent."""
    w3 = Web3(Web3.HTTPProvider(through.url, request_kwargs={"timeout": 60}))
    key = Account.create()
    made.chain.rpc("anvil_setBalance", key.address, hex(10**20))
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(key), layer=0)
    w3.eth.default_account = key.address
    multicall = w3.eth.contract(address=made.market.multicall, abi=AGGREGATE3_ABI)
    pool = made.market.pool
    words = [bytes.fromhex("bf92857c") + bytes(12) + bytes.fromhex(a[2:]) for a in made.accounts]
    token = w3.eth.contract(address=made.market.token("USDC").address, abi=[APPROVE_ABI])
    through.passed()
    start_s = time.monotonic()
    block = w3.eth.get_block("latest")
    multicall.functions.aggregate3([(pool, True, w) for w in words]).call(block_identifier=block["hash"])
    act = token.functions.approve(pool, 1)
    act.call()
    act.transact()
    head = Passed(method="head", in_s=start_s, out_s=start_s)
    found = journey([head, *through.passed()])
    assert found is not None
    return found


APPROVE_ABI = {
    "name": "approve",
    "type": "function",
    "stateMutability": "nonpayable",
    "inputs": [{"name": "spender", "type": "address"}, {"name": "value", "type": "uint256"}],
    "outputs": [{"type": "bool"}],
}


def test_head_to_accepted__when_one_of_a_thousand_needs_help__then_three_round_trips_and_little_of_our_own(
    made: Crowd,
) -> None:
    with far(made) as through:
        ours = journeys(made, through)
        theirs = web3_journey(made, through)
    trips = max(j.round_trips for j in ours)
    own_ms = statistics.median(j.own_ms for j in ours)
    total_ms = statistics.median(j.total_ms for j in ours)
    cpu_ms = statistics.median(j.cpu_ms for j in ours)
    table = Table(title=f"From head to accepted, {ACCOUNTS} accounts, node {ROUND_TRIP_MS:.0f} ms away")
    for name in ("", "round trips", "own ms", "CPU ms", "total ms"):
        table.add_column(name, justify="right")
    table.add_row("keeper", str(trips), f"{own_ms:.1f}", f"{cpu_ms:.1f}", f"{total_ms:.1f}")
    table.add_row(
        "web3's defaults", str(theirs.round_trips), f"{theirs.own_ms:.1f}", "", f"{theirs.total_ms:.1f}"
    )
    Console(width=100).print("\n", table)
    longest = max(ours, key=lambda j: j.round_trips)
    print("ours:", " ".join(longest.methods), "| theirs:", " ".join(theirs.methods))
    n = len(ours)
    own_cpu_ms = _told_stages(ours)
    record("head_to_accepted_own_cpu_ms", round(own_cpu_ms, 1), unit="ms of CPU", evidence=EVIDENCE, n=n)
    record(
        "head_to_accepted_round_trips",
        trips,
        unit="sequential round trips",
        bound=f"<= {ROUND_TRIPS_MAX}",
        holds=trips <= ROUND_TRIPS_MAX,
        evidence=EVIDENCE,
        n=n,
    )
    record(
        "head_to_accepted_own_ms",
        round(own_ms, 1),
        unit="ms",
        bound=f"<= {OWN_MS_MAX:.0f}",
        holds=own_ms <= OWN_MS_MAX,
        evidence=EVIDENCE,
        n=n,
    )
    record("head_to_accepted_cpu_ms", round(cpu_ms, 1), unit="ms of CPU", evidence=EVIDENCE, n=n)
    record("head_to_accepted_ms", round(total_ms, 1), unit="ms", evidence=EVIDENCE, n=n)
    record(
        "web3_default_round_trips",
        theirs.round_trips,
        unit="sequential round trips",
        evidence=EVIDENCE,
        n=1,
    )
    # a connection made anew proves its chain id first; that may befall one of nine on a crowded machine
    assert statistics.median(j.round_trips for j in ours) <= ROUND_TRIPS_MAX
    assert theirs.round_trips > trips


def _told_stages(ours: list[Journey]) -> float:
    """Print where our own time goes; the median of its CPU, which a crowded machine inflates least."""
    table = Table(title="Own time by stage, median of each")
    for name in ("stage", "ms", "CPU ms"):
        table.add_column(name, justify="right")
    for i, name in enumerate(STAGES):
        wall_ms, cpu_ms = (statistics.median(j.stages[i][k] for j in ours) for k in (1, 2))
        table.add_row(name, f"{wall_ms:.1f}", f"{cpu_ms:.1f}")
    Console(width=100).print(table)
    return statistics.median(sum(s[2] for s in j.stages) for j in ours)


def test_journey__when_requests_overlap__then_only_waiting_for_an_answer_is_another_round_trip() -> None:
    def row(method: str, in_s: float, out_s: float) -> Passed:
        return Passed(method=method, in_s=in_s, out_s=out_s)

    send = row("eth_sendRawTransaction", 9, 10)
    told = journey(
        [row("head", 0, 1), row("a", 2, 4), row("b", 3, 5), row("c", 4.5, 6), row("d", 5.5, 7), send]
    )
    assert told is not None
    # a and b together; c after a's answer, d after b's; the send after all
    assert told.round_trips == 3
    assert told.own_ms == pytest.approx(((2 - 1) + (9 - 7)) * 1e3)
    assert told.total_ms == pytest.approx(9e3)
    probed = journey([row("head", 0, 1), row("a", 2, 4), row("eth_blockNumber", 4.5, 8.9), send])
    assert probed is not None
    assert probed.round_trips == 2
    assert probed.own_ms == pytest.approx(((2 - 1) + (9 - 4)) * 1e3)
    assert journey([row("head", 0, 1), row("a", 2, 4)]) is None
    assert journey([send]) is None
