"""Peers of the risk core: C built here, scipy in an environment of its own, dense numpy, plain loops."""

from __future__ import annotations

import ctypes
import gc
import importlib
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from keeper.risk.book import Book, Floats
from keeper.risk.sides import Sides
from tests.bench.figures import ROOT, record

HERE = Path(__file__).parent
CACHE = ROOT / ".cache" / "peers"
SCIPY = "scipy==1.17.1"
Peer = Callable[[], Any]


def tell(name: str, value: float | None, bound: str, holds: bool | None, **more: Any) -> None:
    """Print and record one figure."""
    shown = "null" if value is None else f"{value:.4g}"
    print(
        f"risk core: {name} = {shown} {more.get('unit', '')} (bound {bound}; holds {holds})"
        f" {more.get('evidence', '')}"
    )
    record(name, value, bound=bound, holds=None if holds is None else bool(holds), seed=1, **more)


def interleaved_cpu_s(peers: Mapping[str, Peer], runs: int = 7) -> dict[str, float]:
    """Median process CPU seconds of each, run in turn so that a noisy neighbour meets all of them."""
    spent: dict[str, list[float]] = {name: [] for name in peers}
    for peer in peers.values():
        peer()
    for _ in range(runs):
        for name, peer in peers.items():
            gc.collect(0)
            began = time.process_time()
            peer()
            spent[name].append(time.process_time() - began)
    return {name: statistics.median(s) for name, s in spent.items()}


def built(name: str, *flags: str) -> Any:
    """The C peer as a library, or None without a compiler."""
    out = CACHE / f"{name}.so"
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [
        "gcc",
        "-O3",
        "-march=native",
        "-fPIC",
        "-shared",
        *flags,
        "-o",
        str(out),
        str(HERE / "risk_peer.c"),
        "-lm",
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return ctypes.CDLL(str(out))


def c_fused(function: Any, sides: Sides, prices: Floats) -> tuple[Peer, dict[str, Any]]:
    """A call of one C version and the arrays that it fills."""
    users, scenarios = len(sides.a0), prices.shape[1]
    out = {
        "low": np.empty(users),
        "first": np.empty(users, np.int64),
        "hits": np.zeros(scenarios),
        "notional": np.zeros(scenarios),
    }
    arrays = (sides.start, sides.middle, sides.feed, sides.weight, prices, *out.values())
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in arrays]

    def call() -> None:
        out["hits"][:] = 0.0
        out["notional"][:] = 0.0
        function(ctypes.c_long(users), ctypes.c_long(scenarios), *pointers)

    return call, out


def scipy_sparse() -> Any:
    """scipy.sparse from an environment of its own, or None when it cannot be had."""
    home = CACHE / "scipy"
    python = home / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True)
            wanted = [SCIPY, f"numpy=={np.__version__}"]
            subprocess.run(
                [str(python), "-m", "pip", "install", "-q", *wanted], check=True, capture_output=True
            )
        library = sysconfig.get_path("purelib", vars={"base": str(home)})
        if library not in sys.path:
            sys.path.append(library)
        return importlib.import_module("scipy.sparse")
    except (OSError, subprocess.CalledProcessError, ImportError):
        return None


def sparse_statistics(own: Any, owe: Any, prices: Floats) -> tuple[Floats, Any, Any, Floats]:
    """(low, first, hits, notional) from two matrix products, sparse or dense."""
    c, d = own @ prices, owe @ prices
    hit = c < d
    return (
        (c / d).min(axis=1),
        np.where(hit.any(axis=1), hit.argmax(axis=1), -1),
        hit.sum(axis=0),
        (hit * d).sum(axis=0),
    )


def dense(book: Book) -> tuple[Floats, Floats]:
    """Both sides as dense matrices float64[U, F]."""
    own, owe = (np.zeros((len(book.a0), len(book.prices))) for _ in range(2))
    row = np.repeat(np.arange(len(book.a0)), np.diff(book.indptr))
    np.add.at(own, (row, book.feed), book.a)
    np.add.at(owe, (row, book.feed), book.b)
    return own, owe


def looped_health(book: Book, number: Callable[[float], Any], users: int) -> Peer:
    """Health of ``users`` positions in a plain Python loop over ``number`` (float or Decimal)."""
    rows = [
        [
            (int(book.feed[j]), number(float(book.a[j])), number(float(book.b[j])))
            for j in range(book.indptr[u], book.indptr[u + 1])
        ]
        for u in range(users)
    ]
    prices = [number(float(p)) for p in book.prices]
    zero = number(0.0)

    def call() -> list[Any]:
        out = []
        for row in rows:
            own, owe = zero, zero
            for k, a, b in row:
                own += a * prices[k]
                owe += b * prices[k]
            out.append(own / owe)
        return out

    return call


def exact_number(x: float) -> Decimal:
    """A float as a Decimal, as money code has it."""
    return Decimal(repr(x))
