"""Which branches of the rooms that can lose money no test without a chain takes: ``make chaos CHAOS=coverage``.

Forked children count as well. ``# pragma: no cover`` is searched for and must give its reason.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.figures import record
from tests.chaos.campaign import ROOT, STATE, Campaign, Counts, Verdict

ROOMS = ("transaction", "signer", "journal", "confirmation")
TESTS = (
    *(f"tests/unit/{room}" for room in ROOMS),
    "tests/property/test_journal_codec.py",
    "tests/property/test_journal_life.py",
    "tests/property/test_signer_bytes.py",
)
MONEY_PATH = (
    *(f"{folder}/{room}/*.py" for folder in ("keeper", "tests/unit") for room in ROOMS),
    *("tests/property/test_journal_*.py", "tests/property/test_signer_bytes.py", "tests/*.py"),
)
"""Those rooms, their tests, and what the tests build with."""
MISSED = STATE / "uncovered.txt"
CONFIG = """[run]
branch = True
parallel = True
sigterm = True
data_file = {home}/.coverage
source =
{rooms}
[report]
exclude_also =
    if __name__ == .__main__.:
    ^\\s*\\.\\.\\.$
    : \\.\\.\\.$
    class .*\\bProtocol\\):
"""


def measure(unit: int) -> Verdict:
    """One run of those tests under coverage; its counts are of branches and of lines with them."""
    with tempfile.TemporaryDirectory(prefix="keeper-coverage-") as home:
        config = Path(home, "config")
        rooms = "\n".join(f"    {ROOT / 'keeper' / room}" for room in ROOMS)
        config.write_text(CONFIG.format(home=home, rooms=rooms))
        tool = [sys.executable, "-m", "coverage"]
        options = ["-q", "-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={home}/t"]
        ran = subprocess.run(
            [*tool, "run", f"--rcfile={config}", "-m", "pytest", *options, *TESTS],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            check=False,
        )
        if ran.returncode:
            return Verdict(failure=f"the tests fail: {ran.stdout[-3000:]}")
        subprocess.run([*tool, "combine", "-q", f"--rcfile={config}"], cwd=ROOT, check=True)
        out = Path(home, "found.json")
        subprocess.run([*tool, "json", "-q", f"--rcfile={config}", "-o", str(out)], cwd=ROOT, check=True)
        return _verdict(json.loads(out.read_text()))


def _verdict(found: dict[str, dict[str, dict[str, object]]]) -> Verdict:
    counts = {"branches": 0, "branches_taken": 0, "lines": 0, "lines_run": 0}
    missed: list[str] = []
    for path, of in sorted(found["files"].items()):
        summary = of["summary"]
        assert isinstance(summary, dict)
        counts["branches"] += summary["num_branches"]
        counts["branches_taken"] += summary["covered_branches"]
        counts["lines"] += summary["num_statements"]
        counts["lines_run"] += summary["covered_lines"]
        if of["missing_lines"] or of["missing_branches"]:
            missed.append(f"{path}: lines {of['missing_lines']}, branches {of['missing_branches']}")
    MISSED.parent.mkdir(parents=True, exist_ok=True)
    MISSED.write_text("\n".join([*missed, *unreasoned()]) + "\n")
    for line in (*missed, *unreasoned()):
        print(f"    {line}")
    return Verdict(counts=counts)


def unreasoned() -> list[str]:
    """Places that leave themselves out of the count without saying why."""
    return [
        f"{path.relative_to(ROOT)}:{n} is left out without a reason"
        for room in ROOMS
        for path in sorted((ROOT / "keeper" / room).rglob("*.py"))
        for n, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"pragma: no (cover|branch)\s*$", line)
    ]


def record_coverage(counts: Counts, done: int, failures: list[str]) -> None:
    """branch_coverage_money_path."""
    every = counts.get("branches", 0) + counts.get("lines", 0)
    taken = counts.get("branches_taken", 0) + counts.get("lines_run", 0)
    percent = round(100 * taken / every, 2) if every else None
    record(
        "branch_coverage_money_path",
        percent,
        unit="%",
        bound="= 100",
        holds=None if percent is None else taken == every and not failures,
        evidence="own_double",
        n=counts.get("branches", 0),
    )
    print(f"branch_coverage_money_path {percent} % of {every} lines and branches; the rest in {MISSED.name}")


COVERAGE = Campaign(name="coverage", units=1, run=measure, record=record_coverage, shards=1, also=MONEY_PATH)
