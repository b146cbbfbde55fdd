"""How long the journal keeps the loop waiting: each durable commit, and a start on a hundred thousand rows."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from eth_utils.crypto import keccak
from sqlalchemy import insert

from keeper.clock import ManualClock, SystemClock
from keeper.journal import codec
from keeper.journal.recover import recover
from keeper.journal.tables import table
from keeper.journal.write import Journal
from keeper.model import IntentState
from keeper.seams import TxFields
from tests.bench.figures import ROOT, record
from tests.chain_double import ChainDouble
from tests.plans import CHAIN_ID, WALLET, attempt, plan, position_id

pytestmark = pytest.mark.bench
LIVES = 400
COMMIT_MS_MAX = 15.0
RECOVERY_S_MAX = 1.0
INTENTS, ATTEMPTS, ENTRIES = 20_000, 25_000, 55_000
OPEN = 5
STARTS = 5


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder on the file system of the repository: a temporary one may be memory."""
    (ROOT / "build").mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="bench-journal-", dir=ROOT / "build"))
    yield made
    shutil.rmtree(made)


def test_commit__when_a_plan_lives__then_each_step_is_durable_within_its_bound(home: Path) -> None:
    taken: dict[str, list[float]] = {"insert": [], "attempt": [], "state": [], "disk": []}

    def timed(name: str, act: Callable[[], object]) -> None:
        start_s = time.perf_counter()
        act()
        taken[name].append((time.perf_counter() - start_s) * 1e3)

    with Journal.open(home / "journal.sqlite", SystemClock()) as journal:
        journal.adopt_nonce(CHAIN_ID, WALLET, 0, "bench")
        for n in range(LIVES):
            made = plan(n + 1)
            signed = attempt(made.key, nonce=n)
            timed("insert", lambda made=made: journal.open_intent(made))  # type: ignore[misc]
            timed("attempt", lambda signed=signed: journal.add_attempt(signed, WALLET))  # type: ignore[misc]
            for state in (IntentState.SENT, IntentState.INCLUDED):
                timed("state", lambda made=made, s=state: journal.set_state(made.key, s, "b", 1))  # type: ignore[misc]
            timed("disk", lambda: _bare(home))
    bare_ms = _p99(taken.pop("disk"))
    every = [ms for all_of in taken.values() for ms in all_of]
    worst_ms = _p99(every)
    load = os.getloadavg()[0]
    busy = load > (os.cpu_count() or 1) or bare_ms > COMMIT_MS_MAX / 2
    # a machine that is busy, or whose disk alone takes that long, cannot tell how long the journal does
    holds = True if worst_ms <= COMMIT_MS_MAX else None if busy else False
    evidence = f"own_double; {_file_system(home)}, synchronous=FULL, load {load:.1f}"
    record(
        "journal_commit_ms_p99",
        round(worst_ms, 2),
        unit="ms",
        bound="<= 15",
        holds=holds,
        evidence=evidence,
        n=len(every),
    )
    for name, all_of in taken.items():
        record(f"journal_{name}_ms_p99", round(_p99(all_of), 2), unit="ms", evidence=evidence, n=len(all_of))
        record(f"journal_{name}_ms_p50", round(statistics.median(all_of), 2), unit="ms", n=len(all_of))
        print(f"{name}: p50 {statistics.median(all_of):.2f} ms, p99 {_p99(all_of):.2f} ms")
    record("journal_bare_disk_ms_p99", round(bare_ms, 2), unit="ms", evidence=evidence, n=LIVES)
    print(f"journal_commit_ms_p99 {worst_ms:.2f} (one page written and synced, nothing else: {bare_ms:.2f})")
    assert holds is not False


def test_start__when_a_hundred_thousand_rows_are_kept__then_recovered_within_a_second(home: Path) -> None:
    path = home / "journal.sqlite"
    _fill(path)
    taken = []
    for _ in range(STARTS):
        start_s = time.perf_counter()
        with Journal.open(path, ManualClock(1e9)) as journal:
            chain = ChainDouble(nonce=ATTEMPTS - OPEN)
            found = asyncio.run(recover(journal, chain, ManualClock(1e9), CHAIN_ID, WALLET))
            taken.append(time.perf_counter() - start_s)
        assert len(found) == OPEN
        assert len(chain.sent) == OPEN
    took_s = statistics.median(taken)
    holds = took_s <= RECOVERY_S_MAX
    rows = INTENTS + ATTEMPTS + ENTRIES
    size_mb = path.stat().st_size / 1e6
    evidence = f"own_double; {INTENTS} plans, {ATTEMPTS} attempts, {ENTRIES} diary rows, {size_mb:.0f} MB"
    record(
        "journal_recovery_100k_s",
        round(took_s, 3),
        unit="s",
        bound="<= 1",
        holds=holds,
        evidence=evidence,
        n=rows,
    )
    print(f"journal_recovery_100k_s {took_s:.3f} (worst {max(taken):.3f}), {size_mb:.0f} MB")
    assert holds


def _bare(home: Path) -> None:
    """One page, written and synced."""
    fd = os.open(home / "page", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.write(fd, bytes(4096))
    os.fdatasync(fd)
    os.close(fd)


def _fill(path: Path) -> None:
    """A long life: everything final but the last few plans, which a crash left on the wire."""
    body = codec.plan_to_json(plan())
    told = codec.dumps({"state": "SAFE", "took_ms": {"read": 12.5, "risk": 1.5}, "health": "1.66"})
    with Journal.open(path, ManualClock(1e9)) as journal, journal._transaction() as connection:
        journal.adopt_nonce(CHAIN_ID, WALLET, 0, "bench")
        connection.execute(insert(table("intent")), [_intent(n, body) for n in range(INTENTS)])
        connection.execute(insert(table("attempt")), [_attempt(n) for n in range(ATTEMPTS)])
        tick = {"kind": "tick", "chain_id": CHAIN_ID, "subject": "", "why": "1,000 positions, 1 to watch"}
        rows = [{**tick, "block_number": n, "data": told, "at_s": float(n)} for n in range(ENTRIES)]
        connection.execute(insert(table("entry")), rows)


def _intent(n: int, body: str) -> dict[str, object]:
    state = "SENT" if n >= INTENTS - OPEN else "FINAL"
    of = {"chain_id": CHAIN_ID, "position": str(position_id(f"p{n % 100}")), "seq": 1 + n // 100}
    blocks = {"planned_block": n, "changed_block": n, "at_s": 1e9 - 60.0 * (INTENTS - n)}
    return {**of, **blocks, "state": state, "why": "w", "plan": body, "spend_usd": 50, "watched": False}


def _attempt(n: int) -> dict[str, object]:
    # the first plans were raised once, the last ones hold one attempt each
    intent, again = (n // 2, n % 2) if n < 2 * (ATTEMPTS - INTENTS) else (n - (ATTEMPTS - INTENTS), 0)
    made = attempt(plan().key, nonce=n - again, n=again)
    fee = {"gas_limit": made.fee.gas_limit, "max_fee_wei": made.fee.max_fee_wei, "tip_wei": made.fee.tip_wei}
    of = {
        "intent_id": intent + 1,
        "chain_id": CHAIN_ID,
        "signer": WALLET.lower(),
        "nonce": made.nonce,
        "n": again,
    }
    signed = {"raw": _raw(made.nonce, again), "hash": _hash(made.nonce, again)}
    return {**of, **fee, **signed, "cancel": False, "sent_block": n, "at_s": 1e9}


def _raw(nonce: int, n: int) -> bytes:
    tx = TxFields(
        chain_id=CHAIN_ID, nonce=nonce, to=WALLET, data=b"", value_wei=0, gas_limit=300_000,
        max_fee_wei=10**11, tip_wei=10**9, intent=f"{n}",
    )  # fmt: skip
    return json.dumps({**asdict(tx), "data": ""}).encode()


def _hash(nonce: int, n: int) -> str:
    return "0x" + keccak(_raw(nonce, n)).hex()


def _p99(taken: list[float]) -> float:
    return sorted(taken)[int(len(taken) * 0.99)]


def _file_system(folder: Path) -> str:
    """The kind of the file system under ``folder``."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    under = [(where, kind) for where, kind in mounts if os.path.commonpath((where, folder)) == where]
    return max(under, key=lambda m: len(m[0]))[1]
