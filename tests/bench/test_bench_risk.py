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
from keeper.risk.fused import Tally, fused
from keeper.risk.paths import Grid, gbm
from keeper.risk.pruned import Whole, pruned, tile
from keeper.risk.sweep import breaks, split
from keeper.risk.sweep import statistics as sweep_statistics
from tests.bench import risk_peers as peers
from tests.bench.figures import ROOT, record
from tests.bench.risk_data import block_path, covariance_year, lending_book, shocked_prices

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

SEED = 1
HEADER = "risk core: "


def tell(name: str, value: float | None, bound: str, holds: bool | None, **more: Any) -> None:
    """Print and record one figure."""
    shown = "null" if value is None else f"{value:.4g}"
    print(
        f"{HEADER}{name} = {shown} {more.get('unit', '')} (bound {bound}; holds {holds})"
        f" {more.get('evidence', '')}"
    )
    record(name, value, bound=bound, holds=None if holds is None else bool(holds), seed=SEED, **more)


def tally(users: int, scenarios: int) -> Tally:
    return Tally(
        np.empty(users),
        np.empty(users, np.int64),
        np.empty(users, np.int64),
        np.zeros(scenarios),
        np.zeros(scenarios),
    )


FUSED = {"scipy": 12.0, "blas": 12.0, "c_autovec": 1.7}
SHAPES = ((10_000, 1024), (100_000, 112))


def test_fused__beside_peers__keeps_its_ratios() -> None:
    """The plain names carry the worse of both shapes."""
    found = [fused_contest(users, scenarios) for users, scenarios in SHAPES]
    for name, least in FUSED.items():
        ratios = [f[name] for f in found if name in f]
        worst = min(ratios, default=None)
        tell(f"fused_vs_{name}", worst, f">= {least:g}", None if worst is None else worst >= least, unit="x")
    times = [f["c_hand"] for f in found if "c_hand" in f]
    slowest = max(times, default=None)
    holds = None if slowest is None else slowest <= 1.3
    tell("fused_vs_c_hand", slowest, "<= 1.3", holds, unit="of its time", evidence="one thread each")


def fused_contest(users: int, scenarios: int) -> dict[str, float]:
    """One shape: every output equal, ratios told and returned (c_hand: our share of its time)."""
    book, _ = lending_book(users, SEED)
    prices = shocked_prices(scenarios)
    sides = split(book, prices)
    ours = tally(users, scenarios)

    def run() -> None:
        ours.hits[:] = 0.0
        ours.notional[:] = 0.0
        fused(sides, prices, ours)

    contest: dict[str, peers.Peer] = {"ours": run}
    hand, plain = peers.built("hand"), peers.built("autovec", "-ffast-math")
    results: dict[str, dict[str, Any]] = {}
    if hand is not None and hand.lanes():
        contest["hand"], results["hand"] = peers.c_fused(hand.fused_hand, sides, prices)
    if plain is not None:
        contest["autovec"], results["autovec"] = peers.c_fused(plain.fused_plain, sides, prices)
    own, owe = peers.dense(book)
    contest["blas"] = lambda: peers.sparse_statistics(own, owe, prices)
    sparse = peers.scipy_sparse()
    if sparse is not None:
        own_csr, owe_csr = sparse.csr_matrix(own), sparse.csr_matrix(owe)
        contest["scipy"] = lambda: peers.sparse_statistics(own_csr, owe_csr, prices)
    spent = peers.interleaved_cpu_s(contest)
    low, first, hits, notional = peers.sparse_statistics(own, owe, prices)
    np.testing.assert_allclose(ours.low, low, rtol=1e-12)
    np.testing.assert_array_equal(ours.first, first)
    np.testing.assert_array_equal(ours.hits, hits)
    np.testing.assert_allclose(ours.notional, notional, rtol=1e-10)
    for name, out in results.items():
        np.testing.assert_array_equal(out["hits"], ours.hits, err_msg=name)
        np.testing.assert_array_equal(out["first"], ours.first, err_msg=name)
        np.testing.assert_allclose(out["low"], ours.low, rtol=1e-12, err_msg=name)
    size = f"{users // 1000}k_{scenarios}"
    pace = users * scenarios / spent["ours"] / 1e9
    ratios = {"c_" + n if n == "autovec" else n: s / spent["ours"] for n, s in spent.items() if n != "ours"}
    for name, least in FUSED.items():
        ratio = ratios.get(name)
        holds = None if ratio is None else ratio >= least
        more: dict[str, Any] = {"unit": "x", "n": users, "evidence": f"{pace:.2f} G/s"}
        tell(f"fused_vs_{name}_{size}", ratio, f">= {least:g}", holds, **more)
    ratios.pop("hand", None)
    if "hand" in spent:
        ratios["c_hand"] = spent["ours"] / spent["hand"]
        evidence = f"{hand.lanes()} lanes"
        share, holds = ratios["c_hand"], ratios["c_hand"] <= 1.3
        tell(
            f"fused_vs_c_hand_{size}", share, "<= 1.3", holds, unit="of its time", n=users, evidence=evidence
        )
    return ratios


def test_pruned__100k_by_10k__beside_hand_written_c() -> None:
    users, scenarios = 100_000, 10_016
    book, _ = lending_book(users, SEED)
    prices = shocked_prices(scenarios)
    sides = split(book, prices)
    tiles = tile(prices)
    padded = tiles.prices.shape[1]
    ours = tally(users, padded)

    def run() -> None:
        ours.hits[:] = 0.0
        ours.notional[:] = 0.0
        pruned(
            sides, tiles, Whole(np.zeros(tiles.real), np.zeros(tiles.real), np.zeros((tiles.real, 30))), ours
        )

    contest: dict[str, peers.Peer] = {"ours": run}
    hand = peers.built("hand")
    out: dict[str, Any] = {}
    if hand is not None and hand.lanes():
        contest["hand"], out = peers.c_fused(hand.fused_hand, sides, prices)
    spent = peers.interleaved_cpu_s(contest)
    ratio = spent["ours"] / spent["hand"] if out else None
    if out:
        count, owed = np.zeros(scenarios), np.zeros(scenarios)
        place = tiles.order[:scenarios]
        count[place], owed[place] = ours.hits[:scenarios], ours.notional[:scenarios]
        np.testing.assert_array_equal(count, out["hits"])
        np.testing.assert_array_equal(ours.first, out["first"])
        np.testing.assert_allclose(owed, out["notional"], rtol=1e-9)
    holds = None if ratio is None else ratio <= 0.6
    tell(
        "pruned_vs_c_hand",
        ratio,
        "<= 0.6",
        holds,
        unit="of its time",
        n=users,
        evidence="counts, notional, first exact",
    )
    assert holds is not False


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
        state.price[:] = market.price * np.exp(-state.sold / market.depth)
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


def test_cascade__beside_numpy__equal_result() -> None:
    users = 100_000
    book, _ = lending_book(users, SEED)
    shocked = np.where(np.arange(30) < 22, 0.75, 1.0)
    value = float((book.a * shocked[book.feed]).sum())
    market = cascade.Market(shocked, np.full(30, value), 0.5, 0.95, 0.06)
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
    ratio = spent["numpy"] / spent["ours"]
    evidence = f"{1e3 * spent['ours']:.1f} ms, {int(ours.total[0])} rounds, "
    evidence += f"{ours.total[2] / users:.2f} judgements each, "
    evidence += f"{100 * float((ours.hit > 0).mean()):.0f} % liquidated, "
    evidence += f"rescans {spent['rescans'] / spent['ours']:.1f}x"
    tell("cascade_vs_numpy", ratio, ">= 15", ratio >= 15, unit="x", n=users, evidence=evidence)


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
    tell(
        "health_vs_decimal",
        spent["decimal"] / some / ours,
        ">= 200",
        spent["decimal"] / some / ours >= 200,
        unit="x",
        n=some,
    )
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


def test_memory__fused__grows_with_users_plus_scenarios() -> None:
    code = (
        "import sys, tracemalloc; sys.path.insert(0, '.')\n"
        "from tests.bench.risk_data import lending_book, shocked_prices\n"
        "from keeper.risk.sweep import breaks, statistics\n"
        "book, _ = lending_book(100_000); prices = shocked_prices(4096)\n"
        "statistics(book, prices[:, :64].copy()); breaks(book, prices[:, :64].copy())\n"
        "tracemalloc.start(); statistics(book, prices); breaks(book, prices)\n"
        "print(tracemalloc.get_traced_memory()[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    grown = int(done.stdout)
    full = 100_000 * 4096 * 8
    tell("fused_memory_share", grown / full, "<= 0.02", grown <= 0.02 * full, unit="of U x S", n=100_000)


def test_ready__warm_cache__within_two_seconds() -> None:
    code = (
        "import sys, time; began = time.perf_counter()\nfrom pathlib import Path\n"
        "from keeper.risk import cache\n"
        "cache.prepare(Path(sys.argv[1])); cache.warm(everything=True)\nprint(time.perf_counter() - began)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            float(
                subprocess.run(
                    [sys.executable, "-c", code, folder], cwd=ROOT, check=True, capture_output=True, text=True
                ).stdout
            )
            for _ in range(8)
        ]
    tell("core_cold_s", runs[0], "", None, unit="s", n=1)
    value = statistics.median(runs[1:])
    tell(
        "core_ready_warm_s",
        value,
        "<= 2",
        value <= 2,
        unit="s",
        n=7,
        evidence="every kernel, a process of its own",
    )


def test_sweep__api__is_not_slower_than_its_kernels() -> None:
    """What the records around the kernels cost, at a size that a person asks for."""
    book, _ = lending_book(1000, SEED)
    prices = shocked_prices(1024)
    spent = peers.interleaved_cpu_s(
        {"all": lambda: sweep_statistics(book, prices), "breaks": lambda: breaks(book, prices)}
    )
    tell("sweep_ms_1k_1024", 1e3 * spent["all"], "", None, unit="ms", n=1000)
    tell("breaks_ms_1k_1024", 1e3 * spent["breaks"], "", None, unit="ms", n=1000)
