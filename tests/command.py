"""A command line as a user types it, run in this process: importing everything anew costs seconds a command."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

from keeper.cli import invoke

ROOT = Path(__file__).parents[1]
LONG = frozenset({"run", "demo", "drill"})
"""Commands that take over signals or start processes: each is a process of its own here as well."""


def typed(folder: Path, *line: str) -> subprocess.CompletedProcess[str]:
    """What ``keeper LINE`` prints and ends with in ``folder``, with its output in a pipe."""
    if not line or line[0] in LONG:
        return _process(folder, *line)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = invoke(line)
    return subprocess.CompletedProcess(line, code, out.getvalue(), err.getvalue())


def _process(folder: Path, *line: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "keeper", *line]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
