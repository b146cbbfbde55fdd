"""Run the contracts' tests with forge, on the committed artifact or on another one.

``python -m anvil.forge units``, ``invariants RUNS DEPTH SEED`` or ``leak FIRST MANY``. The Executor under test
comes from an artifact and the market from ``anvil.alloc``, so forge compiles nothing but the tests.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anvil.alloc import FORGE_DIR, write_alloc
from anvil.tools import HERE, ROOT, ToolMissing

CAMPAIGNS = "Invariants|LeakDrill|PolicyParity"
"""Contracts of tests that take their size from their caller."""
VENUES: Mapping[str, tuple[str, str]] = {
    "MorphoBlueExecutor": ("MorphoBlueTest", "MORPHO_BLUE_ARTIFACT"),
    "CompoundV3Executor": ("CompoundV3Test", "COMPOUND_V3_ARTIFACT"),
    "MakerExecutor": ("MakerTest", "MAKER_ARTIFACT"),
    "GmxV2Executor": ("GmxV2Test", "GMX_V2_ARTIFACT"),
}
"""Executors of other protocols than Aave: the tests that deploy them, and what names another artifact of them."""
DEPTH = 128
SEED = "0x1"
"""The same values every time, so that a red run can be looked at again; campaigns give their own."""
BOT_FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "deleverage": (
        "rescueThroughThePool", "rescueThroughTheRouter", "stealWithin", "stealAnything", "actAgain",
    ),
    "addCollateral": ("topUp", "topUpAnything"),
    "repayFromReserve": ("repay", "repayAnything"),
}  # fmt: skip
"""Which functions of the handler call which function of the Executor; they revert exactly when it refuses."""
DID_NOT_RUN = "did not run"
"""In place of a failed test's name where forge told of none: it could not compile, or was ended."""
_BUILT = FORGE_DIR / "built.key"
_ROW = re.compile(r"\| Handler\s+\| (\w+)\s+\| (\d+)\s+\| (\d+)\s+\|")
_FAILED = re.compile(r"^\[FAIL.*\] (\w+)\(", re.MULTILINE)
_LINE_MAX = 500
_SUMMARY = re.compile(r"(\d+) tests? passed, (\d+) failed")


class ForgeSlow(Exception):
    """Forge did not end in its time: nothing is known of what it was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgeReport:
    """What one run of forge found."""

    passed: int
    failed: tuple[str, ...]
    calls: int
    """Calls of the invariant handlers; 0 when none ran."""
    succeeded: Mapping[str, int]
    """Calls of each bot function that the Executor carried out."""
    output: str

    def share(self, function: str) -> float:
        """Successful calls of a bot function among all calls."""
        return self.succeeded[function] / self.calls if self.calls else 0.0


def find_forge() -> Path:
    """The pinned binary, or ``$KEEPER_FORGE``. Raises ToolMissing."""
    binary = Path(
        os.environ.get("KEEPER_FORGE")
        or HERE / "node_modules" / "@foundry-rs" / "forge-linux-amd64" / "bin" / "forge"
    )
    if not os.access(binary, os.X_OK):
        raise ToolMissing("forge is not installed: run `make setup`, or set KEEPER_FORGE")
    return binary


def unit_tests(
    *,
    artifact: Path | None = None,
    contract: str = "AaveV3Executor",
    fuzz_runs: int = 64,
    stop_at_first: bool = False,
    timeout_s: float = 900,
) -> ForgeReport:
    """Everything but the campaigns; of another artifact of a contract only what is asked of that contract."""
    settings = {"FOUNDRY_FUZZ_RUNS": str(fuzz_runs)}
    others = "|".join(tests for tests, _ in VENUES.values())
    arguments = ["--no-match-contract", CAMPAIGNS if artifact is None else f"{CAMPAIGNS}|{others}"]
    if artifact is not None and contract in VENUES:
        tests, variable = VENUES[contract]
        arguments, settings[variable] = ["--match-contract", tests], str(artifact.relative_to(ROOT))
        artifact = None
    return _run([*arguments, *(["--fail-fast"] if stop_at_first else [])], settings, artifact, timeout_s)


def invariants(
    runs: int,
    depth: int = DEPTH,
    *,
    seed: str = SEED,
    artifact: Path | None = None,
    timeout_s: float = 14_400,
) -> ForgeReport:
    """Both invariant suites, ``runs`` sequences of ``depth`` calls each."""
    settings = {
        "FOUNDRY_INVARIANT_RUNS": str(runs),
        "FOUNDRY_INVARIANT_DEPTH": str(depth),
        "FOUNDRY_FUZZ_SEED": seed,
    }
    return _run(["--match-contract", "Invariants"], settings, artifact, timeout_s)


def leak_drill(
    first: int, many: int, *, tries: int = 6, artifact: Path | None = None, timeout_s: float = 3_600
) -> ForgeReport:
    """Weeks of a thief with the bot key: seeds ``first`` up to and without ``first + many``.

    A line ``leak ...`` of the output for each. ``tries``: how often the worst week found is changed anew.
    """
    settings = {"LEAK_FIRST": str(first), "LEAK_MANY": str(many), "LEAK_TRIES": str(tries)}
    return _run(["--match-contract", "LeakDrill", "-vv"], settings, artifact, timeout_s)


def policy_parity(first: int, many: int, asked: str = "", *, timeout_s: float = 3_600) -> ForgeReport:
    """Generated states and orders, each carried out or refused: a line ``parity ...`` of the output for each.

    The output's line ``posts ...`` names the contracts. ``asked``: ABI-encoded ``(address,bytes)[]`` as hex,
    the calls whose answers stand in each line.
    """
    settings = {"PARITY_FIRST": str(first), "PARITY_MANY": str(many)}
    settings |= {"PARITY_CALLS": asked} if asked else {}
    return _run(["--match-contract", "PolicyParity", "-vv"], settings, None, timeout_s)


def _run(
    arguments: list[str], settings: Mapping[str, str], artifact: Path | None, timeout_s: float
) -> ForgeReport:
    write_alloc(quiet=True)
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(ROOT / ".cache" / "forge"),
        "FOUNDRY_CONFIG": "contracts/foundry.toml",
        "FOUNDRY_FUZZ_SEED": SEED,
        **settings,
    }
    if artifact is not None:
        environment["EXECUTOR_ARTIFACT"] = str(artifact.relative_to(ROOT))
    _build(environment)
    # forge replays the failures it remembers first: those of one artifact must not be held against another
    with tempfile.TemporaryDirectory(prefix="keeper-forge-") as remembered:
        environment["FOUNDRY_FUZZ_FAILURE_PERSIST_DIR"] = remembered
        environment["FOUNDRY_INVARIANT_FAILURE_PERSIST_DIR"] = remembered
        within_s = patience_s(timeout_s, os.getloadavg()[0], os.cpu_count() or 1)
        try:
            done = subprocess.run(
                [str(find_forge()), "test", "--root", ".", "--offline", "--color", "never", *arguments],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=within_s,
            )
        except subprocess.TimeoutExpired as late:
            raise ForgeSlow(
                f"forge test {' '.join(arguments)} was not done within {within_s:.0f} s"
            ) from late
    return read_report(f"{done.stdout}{done.stderr}\nforge ended with exit code {done.returncode}\n")


def patience_s(timeout_s: float, load: float, cores: int) -> float:
    """How long to wait on a machine with so much to do: the time given is that of one with a core to spare."""
    return timeout_s * max(1.0, (load + 1) / cores)


def _build(environment: Mapping[str, str]) -> None:
    """Compile the tests once: two runs that both find them changed would write over each other."""
    h = hashlib.sha256()
    for path in sorted([*(ROOT / "contracts").rglob("*.sol"), ROOT / "contracts" / "foundry.toml"]):
        h.update(path.read_bytes())
    with open(FORGE_DIR / "build.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _BUILT.is_file() and _BUILT.read_text(encoding="utf-8") == h.hexdigest():
            return
        done = subprocess.run(
            [str(find_forge()), "test", "--list", "--root", ".", "--offline", "--color", "never"],
            cwd=ROOT,
            env=dict(environment),
            capture_output=True,
            check=False,
        )
        # what does not compile is told by the run itself
        if done.returncode == 0:
            _BUILT.write_text(h.hexdigest(), encoding="utf-8")


def read_report(output: str) -> ForgeReport:
    """forge's text as numbers. A run without its closing line counts as one failure, named ``did not run``."""
    # a campaign's own lines are long, and a number is sought from each of their digits on
    told = "\n".join(line for line in output.splitlines() if len(line) < _LINE_MAX)
    summaries = _SUMMARY.findall(told)
    # but a failure is told with its counterexample, which may be as long
    lost = (_FAILED.match(line) for line in output.splitlines() if line.startswith("[FAIL"))
    failed = tuple(dict.fromkeys(found[1] for found in lost if found))
    if not summaries or (not failed and any(int(many) for _, many in summaries)):
        failed = (DID_NOT_RUN,)
    carried: dict[str, int] = dict.fromkeys(BOT_FUNCTIONS, 0)
    calls = 0
    for name, called, reverted in _ROW.findall(told):
        calls += int(called)
        for function, names in BOT_FUNCTIONS.items():
            if name in names:
                carried[function] += int(called) - int(reverted)
    return ForgeReport(
        passed=int(summaries[-1][0]) if summaries else 0,
        failed=failed,
        calls=calls,
        succeeded=carried,
        output=output,
    )


def main(arguments: list[str]) -> int:
    """Print forge's own output and one line of ours; 1 when something failed."""
    try:
        if arguments[:1] == ["invariants"]:
            runs = int(arguments[1]) if len(arguments) > 1 else 256
            depth = int(arguments[2]) if len(arguments) > 2 else DEPTH
            report = invariants(runs, depth, seed=arguments[3] if len(arguments) > 3 else SEED)
        elif arguments[:1] == ["leak"]:
            report = leak_drill(int(arguments[1]), int(arguments[2]))
        else:
            report = unit_tests()
    except (ToolMissing, ForgeSlow) as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 1
    print(report.output)
    print(f"{report.passed} passed, {len(report.failed)} failed")
    if report.calls:
        print(f"executor_invariant_calls {report.calls}")
        print(f"executor_invariant_violations {len(report.failed)}")
        for function in BOT_FUNCTIONS:
            print(
                f"  {function}: {report.succeeded[function]} carried out, {report.share(function):.1%} of calls"
            )
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
