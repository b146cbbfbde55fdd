"""What the vector kernels compile to: numba's counting of references is the trap here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import keeper

pytestmark = pytest.mark.unit

ROOT = Path(keeper.__file__).parent.parent

COUNT = """
from keeper.risk import cascade, fused, pruned
for module in (cascade, fused, pruned):
    for function, signature in module.KERNELS:
        function.compile(signature())
        code = function.inspect_llvm(signature().args)
        print(code.count("call void @NRT_incref") + code.count("call void @NRT_decref"))
"""


def test_lean__compiled__counts_no_references():
    """Counting the references of a dozen arrays in the inner loop doubled the time of a sweep."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA")}
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        cwd=ROOT,
        env={**clean, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["0", "0", "0"]), done.stderr
