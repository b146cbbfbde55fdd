"""Plant each defect of ``contracts/mutants/mutants.toml`` and see whether the tests notice.

``python -m anvil.mutants``; names as arguments narrow the run. A mutant is a copy with one replacement,
compiled by itself; the tests are those of the original: first all but the invariants, then, for a survivor, those.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from anvil.compile import CompileFailed, artifact_texts
from anvil.forge import DID_NOT_RUN, ForgeReport, ForgeSlow, invariants, unit_tests
from anvil.tools import HERE, ROOT, ToolMissing
from anvil.units import OWN_UNITS

LIST = ROOT / "contracts" / "mutants" / "mutants.toml"
MUTANTS_DIR = ROOT / ".cache" / "forge" / "mutants"
_RUNS, _DEPTH = 48, 64


class NotJudged(Exception):
    """The tests said nothing about a mutant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One planted defect."""

    name: str
    file: str
    find: str
    replace: str
    times: int = 1
    contract: str = "AaveV3Executor"
    """Whose artifact it is planted in, and whose tests must notice."""

    def apply(self, text: str) -> str:
        """The defective source. Raises ValueError when the text to replace is not there as often as said."""
        found = text.count(self.find)
        if found != self.times:
            raise ValueError(f"{self.name}: {self.file} has its text {found} times, not {self.times}")
        return text.replace(self.find, self.replace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What killed a mutant: names of tests; none when it lives."""

    name: str
    killers: tuple[str, ...]


def read_mutants(path: Path = LIST) -> tuple[Mutant, ...]:
    """The list, in its order; each replacement is checked against the sources of now."""
    mutants = tuple(Mutant(**row) for row in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"])
    for mutant in mutants:
        mutant.apply((ROOT / "contracts" / mutant.file).read_text(encoding="utf-8"))
    return mutants


def build(mutant: Mutant) -> Path:
    """The artifact of one mutant. Raises CompileFailed when it is not even a program."""
    with _copy() as folder:
        source = folder / "contracts" / mutant.file
        source.write_text(mutant.apply(source.read_text(encoding="utf-8")), encoding="utf-8")
        unit = next(u for u in OWN_UNITS if mutant.contract in (name for _, name in u.contracts))
        # the others, and the factory, stay as they are
        one = tuple(c for c in unit.contracts if c[1] == mutant.contract)
        alone = replace(unit, base_dir=folder, contracts=one)
        texts = artifact_texts(alone, cache_dir=folder / "cache", quiet=True)
    MUTANTS_DIR.mkdir(parents=True, exist_ok=True)
    path = MUTANTS_DIR / f"{mutant.name}.json"
    path.write_text(texts[f"{mutant.contract}.json"], encoding="utf-8")
    return path


def judge(mutant: Mutant) -> Verdict:
    """Run the tests on one mutant. Raises CompileFailed, ForgeSlow, NotJudged."""
    artifact = build(mutant)
    try:
        report = unit_tests(artifact=artifact, contract=mutant.contract, fuzz_runs=8, stop_at_first=True)
        killers = killers_in(report)
        if mutant.contract != "AaveV3Executor":  # the campaigns play on Aave
            return Verdict(name=mutant.name, killers=killers)
        killers = killers or killers_in(invariants(_RUNS, _DEPTH, artifact=artifact))
        return Verdict(name=mutant.name, killers=killers)
    finally:
        artifact.unlink()


def killers_in(report: ForgeReport) -> tuple[str, ...]:
    """The tests that failed. Raises NotJudged where forge did not run: that kills nobody."""
    if DID_NOT_RUN in report.failed:
        raise NotJudged(f"forge did not run: {report.output[-2000:]}")
    return report.failed


@contextmanager
def _copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="keeper-mutant-") as name:
        folder = Path(name)
        for part in ("src", "interfaces", "libraries"):
            shutil.copytree(ROOT / "contracts" / part, folder / "contracts" / part)
        (folder / "anvil").mkdir()
        (folder / "anvil" / "node_modules").symlink_to(HERE / "node_modules")
        yield folder


def main(arguments: list[str]) -> int:
    """One line a mutant, then the two figures; 1 when one lives."""
    try:
        mutants = [m for m in read_mutants() if not arguments or m.name in arguments]
        if unit_tests().failed:
            print("error: the tests fail without any mutant", file=sys.stderr)
            return 1
        verdicts = []
        for mutant in mutants:
            verdicts.append(judge(mutant))
            killers = verdicts[-1].killers
            shown = re.sub(r"^test_?", "", killers[0]) if killers else ""
            print(f"{'killed' if killers else 'LIVES '}  {mutant.name}  {shown}", flush=True)
    except (ToolMissing, CompileFailed, ForgeSlow, NotJudged, ValueError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    killed = sum(1 for v in verdicts if v.killers)
    print(f"executor_mutants_killed {killed}\nexecutor_mutants {len(verdicts)}")
    return 0 if killed == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
