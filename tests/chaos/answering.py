"""Which tests run which line of the rooms that can lose money, and how long each takes: measured once, kept.

A mutant is judged by the tests that run its line, quickest first, and by no others.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

from tests.chaos.campaign import ROOT, STATE
from tests.chaos.coverage_run import CONFIG, ROOMS, TESTS

KEPT = STATE / "answering.json"
TESTS_MAX = 120
"""More than these quickest ones add time and no judgement: a line that so many run is run by all of its kind."""

Found = dict[str, dict[str, list[str]]]


@cache
def answering() -> tuple[Found, dict[str, float]]:
    """(file -> line -> tests that run it, test -> seconds); measured anew when a source or a test changed."""
    STATE.mkdir(parents=True, exist_ok=True)
    with KEPT.with_suffix(".lock").open("w") as lock:
        # the shards start together: one measures, the other waits
        fcntl.flock(lock, fcntl.LOCK_EX)
        key = _key()
        if KEPT.is_file():
            kept = json.loads(KEPT.read_text())
            if kept["key"] == key:
                return kept["found"], kept["took_s"]
        found, took_s = _measured()
        KEPT.write_text(json.dumps({"key": key, "found": found, "took_s": took_s}))
        return found, took_s


def tests_of(path: str, line: int) -> tuple[str, ...]:
    """Those that run the statement at that line, quickest first; () where none does but by importing it."""
    found, took_s = answering()
    first, last = _statement(path, line)
    names = {n for at in range(first, last + 1) for n in found.get(path, {}).get(str(at), ())}
    return tuple(sorted(names, key=lambda n: (took_s.get(n, 1.0), n))[:TESTS_MAX])


def seconds_of(tests: tuple[str, ...]) -> float:
    """How long they take when nothing is wrong."""
    _, took_s = answering()
    return sum(took_s.get(t, 1.0) for t in tests)


@cache
def _statements(path: str) -> tuple[tuple[int, int], ...]:
    tree = ast.parse((ROOT / path).read_text())
    return tuple((n.lineno, n.end_lineno or n.lineno) for n in ast.walk(tree) if isinstance(n, ast.stmt))


def _statement(path: str, line: int) -> tuple[int, int]:
    """First and last line of the smallest statement around a line; of a block only its head."""
    around = [s for s in _statements(path) if s[0] <= line <= s[1]]
    first, last = min(around, key=lambda s: s[1] - s[0], default=(line, line))
    inner = [s[0] for s in _statements(path) if first < s[0] <= last]
    return first, max(line, min(inner, default=last + 1) - 1) if inner else last


def _key() -> str:
    h = hashlib.sha256()
    rooms = [p for r in ROOMS for p in sorted((ROOT / "keeper" / r).rglob("*.py"))]
    tests = [
        p for t in TESTS for p in sorted((ROOT / t).rglob("*.py") if (ROOT / t).is_dir() else [ROOT / t])
    ]
    for path in (*rooms, *tests):
        h.update(path.read_bytes())
    return h.hexdigest()[:16]


def _measured() -> tuple[Found, dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="keeper-answering-") as home:
        config = Path(home, "config")
        config.write_text(
            CONFIG.format(home=home, rooms="\n".join(f"    {ROOT / 'keeper' / r}" for r in ROOMS))
        )
        told, times = Path(home, "found.json"), Path(home, "times.xml")
        options = ["-q", "-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={home}/t"]
        cover = ["--cov", f"--cov-config={config}", "--cov-context=test", "--cov-report="]
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", *options, *cover),
                *("-o", "junit_family=xunit1", f"--junitxml={times}", *TESTS),
            ],
            cwd=ROOT,
            check=False,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        if ran.returncode not in (0, 1):
            raise RuntimeError(f"the tests cannot be run: pytest ended with {ran.returncode}")
        subprocess.run(
            [
                *(sys.executable, "-m", "coverage", "json", "-q", "--show-contexts"),
                *(f"--rcfile={config}", "-o", str(told)),
            ],
            cwd=ROOT,
            check=True,
        )
        files = json.loads(told.read_text())["files"]
        found: Found = {
            str(Path(path)): {
                line: sorted({c.rpartition("|")[0] for c in contexts})
                for line, contexts in of["contexts"].items()
            }
            for path, of in files.items()
        }
        cases = list(ET.parse(times).iter("testcase"))
        took_s = {f"{c.get('file')}::{c.get('name')}": float(c.get("time") or 0) for c in cases if not len(c)}
        # what fails or is skipped without any change judges nothing; nor may a name that cannot be asked for again
        judging = {
            p: {n: [t for t in ts if t in took_s] for n, ts in lines.items()} for p, lines in found.items()
        }
        return judging, took_s
