"""The kernel cache: keyed by every source, never in the way, and each trap of numba's has its test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import keeper
from keeper.risk import cache

pytestmark = pytest.mark.unit

ROOT = Path(keeper.__file__).parent.parent

WARM = """
import sys
from pathlib import Path
from keeper.risk import cache
print(cache.prepare(Path(sys.argv[1])))
print(cache.warm())
from keeper.risk import jit, kernels
f = kernels.health
print(sum(f.stats.cache_hits.values()), sum(f.stats.cache_misses.values()))
"""


def run(code: str, *args: str, root: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA")}
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=root,
        env={**clean, "PYTHONPATH": str(root), **env},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_source_key__any_source_changes__changes(tmp_path):
    room = tmp_path / "risk"
    room.mkdir()
    (room / "kernels.py").write_text("a = 1\n")
    (room / "simd.py").write_text("b = 1\n")
    first = cache.source_key(room)
    (room / "simd.py").write_text("b = 2\n")
    assert cache.source_key(room) != first
    (room / "simd.py").write_text("b = 1\n")
    assert cache.source_key(room) == first


def test_warm__second_process__loads_from_the_cache(tmp_path):
    first, second = run(WARM, str(tmp_path)), run(WARM, str(tmp_path))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout.splitlines()[2] == "0 1"
    assert second.stdout.splitlines()[2] == "1 0"
    assert first.stdout.splitlines()[0].startswith(str(tmp_path / "numba-"))


def test_warm__callee_edited__is_not_served_stale(tmp_path):
    """numba alone would serve the old kernel: only the callee's module changed."""
    source, cached = tmp_path / "source", tmp_path / "cache"
    shutil.copytree(ROOT / "keeper", source / "keeper", ignore=shutil.ignore_patterns("__pycache__"))
    room = source / "keeper" / "risk"
    (room / "extra_a.py").write_text(
        "from keeper.risk.jit import kernel\n@kernel\ndef one(x):\n    return x + 1.0\n"
    )
    (room / "extra_b.py").write_text(
        "from keeper.risk.jit import kernel\nfrom keeper.risk.extra_a import one\n"
        "@kernel\ndef two(x):\n    return one(x) * 10.0\n"
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom keeper.risk import cache\n"
        "cache.prepare(Path(sys.argv[1]))\nfrom keeper.risk.extra_b import two\nprint(two(1.0))\n"
    )
    assert run(code, str(cached), root=source).stdout == "20.0\n"
    edited = (room / "extra_a.py").read_text().replace("1.0", "2.0")
    (room / "extra_a.py").write_text(edited)
    assert run(code, str(cached), root=source).stdout == "30.0\n"


def test_prepare__folder_cannot_be_written__works_without_cache(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    done = run(WARM, str(blocked))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "None"


def test_kernels__cache_dir_of_the_environment_is_unwritable__still_import(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("x")
    code = "from keeper.risk import kernels\nprint(kernels.health_of(3.0, 2.0))\n"
    done = run(code, NUMBA_CACHE_DIR=str(blocked))
    assert (done.returncode, done.stdout) == (0, "1.5\n"), done.stderr


def test_warm__cache_lost_after_the_probe__compiles_in_memory(tmp_path):
    code = (
        "import sys, shutil\nfrom pathlib import Path\nfrom keeper.risk import cache\n"
        "folder = cache.prepare(Path(sys.argv[1]))\nfrom keeper.risk import kernels\n"
        "shutil.rmtree(folder)\nfolder.write_text('gone')\ncache.warm()\n"
        "print(kernels.health_of(3.0, 2.0))\n"
    )
    done = run(code, str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "1.5\n"), done.stderr


def test_warm__afterwards__other_types_are_refused(tmp_path):
    code = WARM + (
        "import numpy as np\nfrom keeper.risk.book import EMPTY\n"
        "try:\n    kernels.health(EMPTY, np.zeros(0, np.float32))\n"
        "except TypeError:\n    print('refused')\n"
    )
    done = run(code, str(tmp_path))
    assert done.stdout.splitlines()[-1] == "refused", done.stderr


def test_prepare__after_kernels_are_loaded__says_it_is_too_late(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom keeper.risk import cache, kernels\n"
        "try:\n    cache.prepare(Path(sys.argv[1]))\nexcept RuntimeError as e:\n    print(e)\n"
    )
    assert "loaded already" in run(code, str(tmp_path)).stdout


def test_prepare__numba_imported_earlier_by_another__still_redirects(tmp_path):
    code = "import numba\n" + WARM
    run(code, str(tmp_path))
    assert list(tmp_path.rglob("*.nbi")), "the index files are under our folder"


def test_prepare__old_builds__are_forgotten(tmp_path):
    for n in range(6):
        old = tmp_path / f"numba-{n:016d}" / "sub"
        old.mkdir(parents=True)
        (old / "x.nbc").write_text("x")
        os.utime(old.parent, (n, n))
    run(WARM, str(tmp_path))
    left = sorted(p.name for p in tmp_path.glob("numba-*"))
    assert len(left) == 4
    assert {f"numba-{n:016d}" for n in (3, 4, 5)} < set(left)


def test_threads__two_sweeps_at_once__survive(tmp_path):
    """numba's workqueue layer aborts here; our kernels need no threading layer at all."""
    code = (
        "import sys, threading\nfrom pathlib import Path\nfrom keeper.risk import cache\n"
        "cache.prepare(Path(sys.argv[1])); cache.warm()\n"
        "import numba, numpy as np\nfrom keeper.model import BookRow\nfrom keeper.risk import kernels\n"
        "from keeper.risk.book import build\n"
        "s = build([BookRow(feeds=('E',), a=(2.0,), b=(1.0,))] * 1000, {'E': 1.0})\n"
        "outs = [np.empty(1000) for _ in range(4)]\n"
        "def go(o):\n    for _ in range(200): kernels.health(s.book, o)\n"
        "ts = [threading.Thread(target=go, args=(o,)) for o in outs]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]\n"
        "print(all((o == 2.0).all() for o in outs), numba.config.THREADING_LAYER)\n"
    )
    done = run(code, str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "True omp\n"), done.stderr


def test_kernels__without_jit__give_the_same(tmp_path):
    code = (
        "from keeper.risk import cache, kernels\nimport numpy as np\n"
        "from keeper.model import BookRow\nfrom keeper.risk.book import build\ncache.warm()\n"
        "rows = [BookRow(feeds=('E', 'D'), a=(0.7 * n, 0.0), b=(0.0, 3.0 + n)) for n in range(50)]\n"
        "s = build(rows, {'E': 1234.5, 'D': 0.99})\nout = np.empty(50)\nkernels.health(s.book, out)\n"
        "print(out.tobytes().hex())\n"
    )
    assert run(code, NUMBA_DISABLE_JIT="1").stdout == run(code).stdout != ""


def test_help_path__package__does_not_import_numba():
    code = (
        "import sys\nimport keeper.risk, keeper.risk.cache, keeper.risk.shocks\n"
        "print('numba' in sys.modules)\n"
    )
    assert run(code).stdout == "False\n"
