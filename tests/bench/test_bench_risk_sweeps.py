"""Sweeps of scenarios beside their peers: medians of seven interleaved runs, process CPU, one thread each."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from keeper.risk import kernels
from keeper.risk.book import Floats
from keeper.risk.fused import fused
from keeper.risk.groups import GROUP, Tally
from keeper.risk.pruned import TILE, Whole, pruned, tile
from keeper.risk.sides import Sides, split
from keeper.risk.single import fused_single
from tests.bench import risk_peers as peers
from tests.bench.figures import ROOT
from tests.bench.risk_data import lending_book, shocked_prices
from tests.bench.risk_peers import tell

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

SEED = 1


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
    """One shape: every output equal, ratios told and returned (c_hand: our share of its time).

    The C versions get the same arrays as ours, alike rows together; what laying them out costs is told.
    """
    book, _ = lending_book(users, SEED)
    prices = shocked_prices(scenarios)
    sides = split(book, prices)
    ours = tally(users, scenarios)

    contest: dict[str, peers.Peer] = {"ours": sweeps(sides, prices, ours, 1)}
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
        np.testing.assert_array_equal(out["first"], ours.first[sides.row], err_msg=name)
        np.testing.assert_allclose(out["low"], ours.low[sides.row], rtol=1e-12, err_msg=name)
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
    """Ours includes putting the scenarios in tiles."""
    users, scenarios = 100_000, 10_016
    book, _ = lending_book(users, SEED)
    prices = shocked_prices(scenarios)
    sides = split(book, prices)
    place = tile(prices).order[:scenarios]
    ours = tally(users, -(-scenarios // TILE) * TILE)

    contest: dict[str, peers.Peer] = {"ours": tiled(sides, prices, ours, 1)}
    hand = peers.built("hand")
    out: dict[str, Any] = {}
    if hand is not None and hand.lanes():
        contest["hand"], out = peers.c_fused(hand.fused_hand, sides, prices)
    spent = peers.interleaved_cpu_s(contest)
    ratio = spent["ours"] / spent["hand"] if out else None
    if out:
        count, owed = np.zeros(scenarios), np.zeros(scenarios)
        count[place], owed[place] = ours.hits[:scenarios], ours.notional[:scenarios]
        np.testing.assert_array_equal(count, out["hits"])
        np.testing.assert_array_equal(ours.first[sides.row], out["first"])
        np.testing.assert_allclose(owed, out["notional"], rtol=1e-9)
    holds = None if ratio is None else ratio <= 0.6
    evidence = "counts, notional, first exact; tiles included"
    tell("pruned_vs_c_hand", ratio, "<= 0.6", holds, unit="of its time", n=users, evidence=evidence)
    assert holds is not False


def test_layout__a_book_by_side__cost_of_its_own() -> None:
    users = 100_000
    book, _ = lending_book(users, SEED)
    prices = shocked_prices(112)
    spent = peers.interleaved_cpu_s({"layout": lambda: split(book, prices)})
    tell("book_layout_ms_100k", 1e3 * spent["layout"], "", None, unit="ms", n=users)


def test_fused__in_float32__beside_float64() -> None:
    """Same counts and first scenarios; what float32 gains, or does not, where most groups are passed over."""
    users, scenarios = 10_000, 1024
    book, _ = lending_book(users, SEED)
    prices = shocked_prices(scenarios)
    sides = split(book, prices)
    exact, short = tally(users, scenarios), tally(users, scenarios)

    def narrow() -> None:
        short.hits[:] = 0.0
        short.notional[:] = 0.0
        fused_single(sides, prices, short)

    spent = peers.interleaved_cpu_s({"exact": sweeps(sides, prices, exact, 1), "short": narrow})
    np.testing.assert_array_equal(short.hits, exact.hits)
    np.testing.assert_array_equal(short.first, exact.first)
    off = float(np.abs(short.low / exact.low - 1.0).max())
    ratio = spent["exact"] / spent["short"]
    evidence = f"minimum off by at most {off:.1e}"
    tell("fused_float32_vs_float64", ratio, "", None, unit="x", n=users, evidence=evidence)


def test_memory__fused__grows_with_users_plus_scenarios() -> None:
    """Peaks at four shapes in a process of their own: what one more of both costs beyond one of each."""
    code = (
        "import sys, tracemalloc; from functools import partial; sys.path.insert(0, '.')\n"
        "from tests.bench.risk_data import lending_book, shocked_prices\n"
        "from keeper.risk.sweep import breaks, statistics\n"
        # asked for by name: by size the warming call would take the other way, and the first peak hold a compiler
        "for sweep in (statistics, partial(breaks, prune=True)):\n"
        "    sweep(lending_book(100)[0], shocked_prices(64))\n"
        "    for users in (50_000, 100_000):\n"
        "        for scenarios in (2048, 4096):\n"
        "            book, _ = lending_book(users); prices = shocked_prices(scenarios)\n"
        "            tracemalloc.start(); sweep(book, prices)\n"
        "            print(tracemalloc.get_traced_memory()[1]); tracemalloc.stop()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    peaks = [int(x) for x in done.stdout.split()]
    for name, (small, wide, tall, both) in (("fused", peaks[:4]), ("pruned", peaks[4:])):
        per_pair = (both - wide - tall + small) / (50_000 * 2048)
        share = both / (100_000 * 4096 * 8)
        evidence = f"{(tall - small) / 50_000:.0f} bytes a position, {(wide - small) / 2048:.0f} a scenario, "
        evidence += f"peak {100 * share:.2f} % of U x S"
        holds = abs(per_pair) <= 0.01 and share <= 0.02
        tell(f"{name}_memory_bytes_per_pair", per_pair, "0", holds, unit="B", n=100_000, evidence=evidence)
        if name == "fused":
            tell("fused_memory_share", share, "<= 0.02", share <= 0.02, unit="of U x S", n=100_000)


def sweeps(sides: Sides, prices: Floats, out: Tally, many: int) -> peers.Peer:
    """``many`` fused sweeps, from zero."""

    def call() -> None:
        for _ in range(many):
            out.hits[:] = 0.0
            out.notional[:] = 0.0
            fused(sides, prices, out)

    return call


def tiled(sides: Sides, prices: Floats, out: Tally, many: int) -> peers.Peer:
    """``many`` pruned sweeps, from zero, the scenarios put in tiles each time."""

    def call() -> None:
        for _ in range(many):
            out.hits[:] = 0.0
            out.notional[:] = 0.0
            tiles = tile(prices)
            owed = Whole(np.zeros(tiles.real), np.zeros(tiles.real), np.zeros((tiles.real, len(prices))))
            pruned(sides, tiles, owed, out)

    return call


@pytest.mark.parametrize("users", [10, 1_000, 100_000, 1_000_000])
def test_shapes__every_size__time_of_a_pair(users: int) -> None:
    """Laid out book in, statistics out: nanoseconds for one position under one scenario, one thread."""
    book, _ = lending_book(users, SEED)
    out = np.empty(users)
    repeats = max(1, 200_000 // users)
    spent = peers.interleaved_cpu_s({"": lambda: [kernels.health(book, out) for _ in range(repeats)]})
    tell(f"pair_ns_{users}_1", 1e9 * spent[""] / users / repeats, "", None, unit="ns", n=users)
    for scenarios in (100, 1_000, 10_000):
        prices = shocked_prices(scenarios)
        padded = np.concatenate([prices, np.repeat(prices[:, -1:], -scenarios % GROUP, axis=1)], axis=1)
        sides = split(book, padded)
        ours, counts = tally(users, padded.shape[1]), tally(users, -(-scenarios // TILE) * TILE)

        pairs = users * scenarios
        many = max(1, 2_000_000 // pairs)
        contest = {"all": sweeps(sides, padded, ours, many), "breaks": tiled(sides, prices, counts, many)}
        spent = peers.interleaved_cpu_s(contest, runs=7 if pairs <= 1e9 else 3)
        evidence = f"counts and first only {1e9 * spent['breaks'] / many / pairs:.3g} ns"
        value = 1e9 * spent["all"] / many / pairs
        tell(f"pair_ns_{users}_{scenarios}", value, "", None, unit="ns", n=users, evidence=evidence)
