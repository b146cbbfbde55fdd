"""Cold starts that end by SIGKILL: a whole ``keeper run`` from its interpreter on, killed, and started again.

Real market, real daemon. Each round a position falls below its trigger while nobody watches; a daemon starts, and
dies at a named point of its first transaction or at a random moment of its start; the next one must bring the intent
on within 12 seconds of being ready, and the position is rescued once.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from anvil.abi import encode_call
from anvil.demo import nonce
from anvil.guard import START_S, Guard
from anvil.stage import Stage, stage
from tests.anvil_daemon import armed
from tests.bench.figures import ROOT, record
from tests.chaos.campaign import Campaign, Counts, Verdict
from tests.chaos.inclusion import BORROW, FALL, STORY, TARGET_WAD
from tests.chaos.kill9 import POINTS

KILLS = 100
A_UNIT = 10
RESUMED_S_MAX = 12.0
START_KILL_S = (0.3, 6.0)
"""From the interpreter's first line to the first tick and beyond."""
BLOCK_S = 0.5


def kills(on: Stage, rng: Random, many: int) -> Verdict:
    """So many cold starts that are killed, each followed by one that may finish."""
    counts: Counts = {"kills": 0, "doubled": 0, "missed": 0, "slow": 0}
    whys: list[str] = []
    account = on.pairs[0].guarded
    debt = on.actors.holdings(account)[1]["USDC"]
    on.chain.rpc("evm_setAutomine", False)
    for _ in range(many):
        _price(on, FALL)
        point, used = rng.choice((*POINTS, "")), nonce(on)
        _killed(on, point, rng.uniform(*START_KILL_S))
        counts["kills"] += 1
        with Guard(on.config) as guard:
            guard.caught_up(on.chain.block().number, within_s=START_S)
            ready_s = time.monotonic()
            while on.actors.account(account).health_wad < TARGET_WAD:
                if time.monotonic() - ready_s > RESUMED_S_MAX:
                    break
                guard.caught_up(on.chain.mine().number)
            took_s = time.monotonic() - ready_s
            for _ in range(3):
                guard.caught_up(on.chain.mine().number)
        done = nonce(on) - used
        counts["doubled"] += max(0, done - 1)
        counts["missed"] += int(done == 0)
        counts["slow"] += int(took_s > RESUMED_S_MAX)
        if done != 1 or took_s > RESUMED_S_MAX:
            whys.append(
                f"killed at {point or 'random'}: {done} transactions, {took_s:.1f} s; {guard.tail()[-200:]}"
            )
        _taken_back(on, account, debt)
    return Verdict(counts=counts, failure="; ".join(whys[:3]))


def _killed(on: Stage, point: str, after_s: float) -> None:
    """One cold start, dead when this returns; blocks come meanwhile."""
    with on.config.with_suffix(".killed.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.anvil.kill_worker", str(on.config), point or "never"],
            stdout=log,
            stderr=log,
            cwd=ROOT,
        )
    started_s = time.monotonic()
    while worker.poll() is None:
        waited_s = time.monotonic() - started_s
        if waited_s > (START_S if point else after_s):
            worker.kill()
        time.sleep(0.05)
        if not point and waited_s > BLOCK_S:
            on.chain.mine()
            time.sleep(BLOCK_S)
    assert worker.returncode == -signal.SIGKILL, worker.returncode


def _price(on: Stage, share: float) -> None:
    price = int(STORY.prices_usd8(-1)["WETH"] * share)
    deployer = on.market.roles.deployer
    on.chain.confirm([_mined(on, deployer, on.market.token("WETH").feed, "set(int256)", price)])


def _taken_back(on: Stage, account: str, debt: int) -> None:
    """Price and debt as they were at the start."""
    _price(on, 1.0)
    missing = debt - on.actors.holdings(account)[1]["USDC"]
    if missing > 0:
        usdc, pool = on.market.token("USDC").address, on.market.pool
        on.chain.confirm([_mined(on, account, pool, BORROW, usdc, missing, 2, 0, account)])


def _mined(on: Stage, sender: str, to: str, signature: str, *arguments: object) -> str:
    sent = on.chain.submit(sender, to, encode_call(signature, *arguments), gas=1_000_000)
    on.chain.mine()
    return sent


def record_kills(counts: Counts, done: int, failures: list[str]) -> None:
    """kill9_cold_runs, kill9_cold_doubled, kill9_cold_missed, kill9_cold_resumed_late."""
    n = counts.get("kills", 0)
    doubled, missed, late = (counts.get(name, 0) for name in ("doubled", "missed", "slow"))
    evidence = "real_bytecode"
    record("kill9_cold_runs", n, bound=f">= {KILLS}", holds=n >= KILLS, evidence=evidence, n=n)
    record("kill9_cold_doubled", doubled, bound="= 0", holds=doubled == 0, evidence=evidence, n=n)
    record("kill9_cold_missed", missed, bound="= 0", holds=missed == 0, evidence=evidence, n=n)
    record("kill9_cold_resumed_late", late, bound="= 0", holds=late == 0, evidence=evidence, n=n)


def _unit(number: int) -> Verdict:
    folder = Path(tempfile.mkdtemp(prefix="keeper-cold-"))
    try:
        with stage(STORY, folder, mode="live") as on:
            armed(on)
            return kills(on, Random(number), A_UNIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


COLD = Campaign(name="cold", units=KILLS // A_UNIT, run=_unit, record=record_kills)
