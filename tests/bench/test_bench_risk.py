"""The risk core beside its peers: ratios in one run, medians of seven interleaved runs, process CPU, one
thread.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import pytest

from keeper.model import BookRow
from keeper.risk import cascade, form, kernels, passage, watch
from keeper.risk.book import build
from keeper.risk.distance import nearest_all, one_price_all
from keeper.risk.factors import for_symbols
from keeper.risk.paths import Grid, gbm
from keeper.risk.sweep import breaks
from keeper.risk.sweep import statistics as sweep_statistics
from tests.bench import risk_peers as peers
from tests.bench.figures import ROOT
from tests.bench.risk_data import block_path, covariance_year, lending_book, shocked_prices
from tests.bench.risk_peers import tell

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

SEED = 1


@pytest.mark.parametrize("users", [10_000, 100_000, 1_000_000])
def test_certificates__beside_a_full_rescan__same_alarms(users: int) -> None:
    """Against the leanest rescan (margins only, no division); the one by everybody's health is told too."""
    book, _ = lending_book(users, SEED)
    path = block_path(1000)
    moving = book._replace(prices=np.ones(30))
    scale = np.where(np.arange(30) < 22, 1.0, 0.05)
    health, below = np.empty(users), np.zeros(users, np.int64)
    blocks = max(5, min(200, 20_000_000 // users))

    def rescan() -> None:
        for t in range(blocks):
            moving.prices[:] = path[t]
            kernels.health(moving, health)
            np.count_nonzero(health < 1.05)

    def lean() -> None:
        watch.scan_path(moving, 1.05, below, path[:blocks], np.zeros(2, np.int64))

    seen = np.zeros(2, np.int64)

    def certificates() -> watch.Watch:
        state = watch.start(users, 30, scale)
        watch.observe_path(moving, 1.05, state, path[:1], seen)
        began = time.process_time()
        seen[:] = 0
        watch.observe_path(moving, 1.05, state, path, seen)
        spent.append((time.process_time() - began) / 1000)
        return state

    spent: list[float] = []
    state = certificates()
    spent.clear()
    scans: list[float] = []
    leans: list[float] = []
    rescan()
    lean()
    for _ in range(7):
        state = certificates()
        for work, kept in ((rescan, scans), (lean, leans)):
            began = time.process_time()
            work()
            kept.append((time.process_time() - began) / blocks)
    moving.prices[:] = path[-1]
    watch.scan(moving, 1.05, below)
    np.testing.assert_array_equal(state.place[:, watch.BELOW], below)
    ours, full, leanest = (statistics.median(x) for x in (spent, scans, leans))
    least = 50.0 if users <= 10_000 else 100.0
    ratio = leanest / ours
    evidence = (
        f"{1e6 * ours:.2f} us a block, {seen[1] / 1000:.1f} evaluations; rescan by health {full / ours:.0f}x"
    )
    tell(
        f"certificates_vs_rescan_{users // 1000}k",
        ratio,
        f">= {least:.0f}",
        ratio >= least,
        unit="x",
        n=users,
        evidence=evidence,
    )
    if users == 1_000_000:
        tell("certificates_vs_rescan", ratio, ">= 100", ratio >= 100, unit="x", n=users, evidence=evidence)
        tell("certificates_ms_1m", 1e3 * ours, "<= 0.5", 1e3 * ours <= 0.5, unit="ms", n=users)


def test_first_passage__beside_brute_force__equal_hits() -> None:
    users = 2000
    book, _ = lending_book(users, SEED)
    grid = Grid(paths=4096, steps=24, step_days=1.0 / 24, seed=SEED)
    prices = np.exp(gbm(grid, covariance_year()))
    paths = passage.prepare(prices, np.array([1, 24]))
    slow, fast = np.zeros((users, 2), np.int64), np.zeros((users, 2), np.int64)

    def clean(kernel: Any, hits: Any) -> peers.Peer:
        def run() -> None:
            hits[:] = 0
            kernel(book, paths, hits)

        return run

    spent = peers.interleaved_cpu_s({"slow": clean(passage.brute, slow), "fast": clean(passage.pruned, fast)})
    np.testing.assert_array_equal(slow, fast)
    ratio = spent["slow"] / spent["fast"]
    touched = float((fast[:, 1] > 0).mean())
    tell(
        "first_passage_vs_brute",
        ratio,
        ">= 50",
        ratio >= 50,
        unit="x",
        n=users,
        evidence=f"{100 * touched:.1f} % touched",
    )


def numpy_cascade(book: Any, market: cascade.Market, state: cascade.Fall) -> None:
    """The same rounds with whole arrays."""
    users = len(book.a0)
    owner = np.repeat(np.arange(users), np.diff(book.indptr))
    starts = book.indptr[:-1]
    for _ in range(cascade.ROUNDS_MAX):
        state.price[:] = market.price * np.exp(-state.sold / market.depth[market.base])
        at = state.price[book.feed]
        weighted = np.add.reduceat(state.a * at, starts)
        worth = np.add.reduceat(state.a * state.value * at, starts)
        owed = np.add.reduceat(state.b * at, starts)
        share = np.where(weighted <= market.full_below * owed, 1.0, market.close)
        repaid = np.where(weighted < owed, np.minimum(share * owed, worth / (1.0 + market.bonus)), 0.0)
        state.total[0] += 1.0
        state.total[1] += repaid.sum()
        if not (repaid > 0.0).any():
            return
        with np.errstate(divide="ignore", invalid="ignore"):
            kept = np.where(repaid > 0, 1.0 - repaid * (1.0 + market.bonus) / worth, 1.0)
            left = np.where(repaid > 0, 1.0 - repaid / owed, 1.0)
        kept[kept <= cascade.DUST] = 0.0
        left[left <= cascade.DUST] = 0.0
        gone = state.a * state.value * at * (1.0 - kept)[owner]
        state.sold[:] += np.bincount(book.feed, gone, minlength=len(market.price))
        state.a[:] *= kept[owner]
        state.b[:] *= left[owner]
        state.hit[:] += repaid > 0.0


@pytest.mark.parametrize("users", [1_000, 100_000])
def test_cascade__beside_numpy__equal_result(users: int) -> None:
    """-25 % on everything volatile, half (below 0.95: all) repaid, 6 % bonus, depth half the collateral's
    value: about 15 % of the positions are liquidated.
    """
    book, _ = lending_book(users, SEED)
    shocked = np.where(np.arange(30) < 22, 0.75, 1.0)
    value = float((book.a * shocked[book.feed]).sum())
    market = cascade.alone(shocked, np.full(30, 0.5 * value), 0.5, 0.95, 0.06)
    kept: dict[str, cascade.Fall] = {}

    def by(name: str, work: Any) -> peers.Peer:
        threshold = np.full(len(book.a), 0.8)
        fresh = [cascade.with_thresholds(cascade.start(book, market), threshold) for _ in range(8)]

        def call() -> None:
            kept[name] = fresh.pop()
            work(kept[name])

        return call

    spent = peers.interleaved_cpu_s(
        {
            "ours": by("ours", lambda f: cascade.run(book, market, f, True)),
            "rescans": by("rescans", lambda f: cascade.run(book, market, f, False)),
            "numpy": by("numpy", lambda f: numpy_cascade(book, market, f)),
        }
    )
    ours, full, arrays = kept["ours"], kept["rescans"], kept["numpy"]
    for other in (full, arrays):
        assert ours.total[0] == other.total[0]
        np.testing.assert_array_equal(ours.hit, other.hit)
        np.testing.assert_allclose(ours.total[1], other.total[1], rtol=1e-9)
    liquidated = float((ours.hit > 0).mean())
    assert 0.14 <= liquidated <= 0.2
    ratio = spent["numpy"] / spent["ours"]
    evidence = f"{1e3 * spent['ours']:.2f} ms, {int(ours.total[0])} rounds, "
    evidence += f"{ours.total[2] / users:.2f} judgements each, {100 * liquidated:.1f} % liquidated, "
    evidence += f"rescans {spent['rescans'] / spent['ours']:.1f}x"
    name = "cascade_vs_numpy" + ("" if users == 100_000 else f"_{users // 1000}k")
    tell(name, ratio, ">= 15", ratio >= 15, unit="x", n=users, evidence=evidence)


def test_health__beside_loops_and_the_sdk__per_account() -> None:
    users = 100_000
    book, _ = lending_book(users, SEED)
    out = np.empty(users)
    some = 1000
    spent = peers.interleaved_cpu_s(
        {
            "ours": lambda: [kernels.health(book, out) for _ in range(20)],
            "float": peers.looped_health(book, float, some),
            "decimal": peers.looped_health(book, peers.exact_number, some),
        }
    )
    ours = spent["ours"] / 20 / users
    tell("health_ns_account", 1e9 * ours, "", None, unit="ns", n=users)
    tell("health_vs_python_float", spent["float"] / some / ours, "", None, unit="x", n=some)
    tell("health_vs_decimal", spent["decimal"] / some / ours, "", None, unit="x", n=some)
    sdk = math_utils_s_account()
    ratio = None if sdk is None else sdk / ours
    evidence = "formatUserSummary with the account's three reserves only"
    tell(
        "health_vs_math_utils",
        ratio,
        ">= 20000",
        None if ratio is None else ratio >= 20_000,
        unit="x",
        evidence=evidence,
    )


def math_utils_s_account() -> float | None:
    """CPU seconds a call of the SDK, or None when node or the package cannot be had."""
    home = peers.CACHE / "math-utils"
    try:
        if not (home / "node_modules" / "@aave" / "math-utils").exists():
            home.mkdir(parents=True, exist_ok=True)
            npm = [
                "npm",
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--prefix",
                str(home),
                "@aave/math-utils@1.38.0",
            ]
            subprocess.run(npm, check=True, capture_output=True, timeout=300)
        shutil.copy(peers.HERE / "math_utils.js", home / "math_utils.js")
        done = subprocess.run(
            ["node", "math_utils.js"], cwd=home, check=True, capture_output=True, text=True, timeout=120
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return float(json.loads(done.stdout)["cpu_s_account"])


def test_distance__one_account__under_200_us() -> None:
    row = BookRow(feeds=("E", "B", "U"), a=(8.0, 0.3, 0.0), b=(0.0, 0.0, 20_000.0))
    at = {"E": 2000.0, "B": 60_000.0, "U": 1.0}
    factors = for_symbols({"E": "wstETH", "B": "WBTC", "U": "USDC"})

    def full() -> None:
        shelf = build([row], at)
        nearest_all(shelf, factors, 7.0)
        one_price_all(shelf)

    full()
    times = []
    for _ in range(200):
        began = time.process_time()
        full()
        times.append(time.process_time() - began)
    value = 1e6 * statistics.median(times)
    tell(
        "distance_us_account",
        value,
        "< 200",
        value < 200,
        unit="us",
        n=200,
        evidence="one-price roots, x*, beta, contributions",
    )


def test_beta__a_million_books__all_solved_or_proved() -> None:
    users = 1_000_000
    book, _ = lending_book(users, SEED)
    cov = np.ascontiguousarray(covariance_year() * 7 / 365)
    began = time.process_time()
    found = form.search(book, cov)
    spent = time.process_time() - began
    solved = found.status == form.FOUND
    proved = found.status == form.NONE
    worst = found.off[solved].max(axis=0)
    lost = int(users - solved.sum() - proved.sum())
    evidence = f"{int(proved.sum())} proofs, first order {worst[0]:.1e}, margin {worst[1]:.1e}, "
    evidence += f"{1e6 * spent / users:.0f} us each"
    tell(
        "beta_unsolved_of_1m",
        lost,
        "0",
        lost == 0 and worst[0] <= 1e-6 and worst[1] <= 1e-10,
        n=users,
        evidence=evidence,
    )
    assert lost == 0


def test_ready__warm_cache__within_two_seconds() -> None:
    code = (
        "import sys, time; began = time.perf_counter()\nfrom pathlib import Path\n"
        "from keeper.risk import cache\n"
        "cache.prepare(Path(sys.argv[1])); cache.warm(everything=sys.argv[2] == 'all')\n"
        "print(time.perf_counter() - began, time.process_time())\n"
    )
    with tempfile.TemporaryDirectory() as folder:

        def once(which: str) -> tuple[float, float]:
            line = [sys.executable, "-c", code, folder, which]
            out = subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True).stdout
            wall, cpu = (float(x) for x in out.split())
            return wall, cpu

        cold = once("all")
        every = [once("all") for _ in range(7)]
        blocks = [once("every block") for _ in range(7)]
    tell("core_cold_s", cold[0], "", None, unit="s", n=1, evidence=f"{cold[1]:.1f} s CPU")
    wall, cpu = (min(x) for x in zip(*every, strict=True))
    daemon_wall, daemon_cpu = (min(x) for x in zip(*blocks, strict=True))
    # one thread that reads files: its CPU is its time where nobody else wants the cores
    evidence = (
        f"CPU of the process from its start, every kernel, best of 7; wall {wall:.2f} s; the kernels of a "
    )
    evidence += f"block alone {daemon_cpu:.2f} s, wall {daemon_wall:.2f} s"
    tell("core_ready_warm_s", cpu, "<= 2", cpu <= 2, unit="s", n=7, evidence=evidence)


def test_sweep__api__is_not_slower_than_its_kernels() -> None:
    """What the records around the kernels cost, at a size that a person asks for."""
    book, _ = lending_book(1000, SEED)
    prices = shocked_prices(1024)
    spent = peers.interleaved_cpu_s(
        {"all": lambda: sweep_statistics(book, prices), "breaks": lambda: breaks(book, prices)}
    )
    tell("sweep_ms_1k_1024", 1e3 * spent["all"], "", None, unit="ms", n=1000)
    tell("breaks_ms_1k_1024", 1e3 * spent["breaks"], "", None, unit="ms", n=1000)
