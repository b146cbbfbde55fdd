"""Plant each defect of ``contracts/mutants/renewal.toml`` and see whether the tests of SafeRenewal notice.

``make renewal-mutants``, or ``make chaos`` without names; names as arguments narrow the run. A list and a figure of
its own, which a whole run keeps in ``build/figures.json``.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from anvil.compile import CompileFailed, artifact_texts
from anvil.figures import record
from anvil.forge import ForgeSlow
from anvil.forge_renewal import unit_tests
from anvil.mutants import MUTANTS_DIR, Mutant, NotJudged, killers_in, read_mutants
from anvil.renewal import NAME, UNIT
from anvil.tools import HERE, ROOT, ToolMissing

LIST = ROOT / "contracts" / "mutants" / "renewal.toml"


def build(mutant: Mutant) -> Path:
    """The artifact of one mutant. Raises CompileFailed when it is not even a program."""
    with tempfile.TemporaryDirectory(prefix="keeper-mutant-") as name:
        folder = Path(name)
        for part in ("src", "interfaces", "libraries"):
            shutil.copytree(ROOT / "contracts" / part, folder / "contracts" / part)
        (folder / "anvil").mkdir()
        (folder / "anvil" / "node_modules").symlink_to(HERE / "node_modules")
        source = folder / "contracts" / mutant.file
        source.write_text(mutant.apply(source.read_text(encoding="utf-8")), encoding="utf-8")
        texts = artifact_texts(replace(UNIT, base_dir=folder), cache_dir=folder / "cache", quiet=True)
    MUTANTS_DIR.mkdir(parents=True, exist_ok=True)
    path = MUTANTS_DIR / f"{mutant.name}.json"
    path.write_text(texts[f"{NAME}.json"], encoding="utf-8")
    return path


def judge(mutant: Mutant) -> tuple[str, ...]:
    """The tests that noticed. Raises CompileFailed, ForgeSlow, NotJudged."""
    artifact = build(mutant)
    try:
        return killers_in(unit_tests(artifact=artifact, stop_at_first=True))
    finally:
        artifact.unlink()


def main(arguments: list[str]) -> int:
    """One line a mutant, then the two figures; 1 when one lives."""
    killed = judged = 0
    try:
        mutants = read_mutants(LIST)
        if unit_tests().failed:
            print("error: the tests fail without any mutant", file=sys.stderr)
            return 1
        for mutant in mutants:
            if arguments and mutant.name not in arguments:
                continue
            killers = judge(mutant)
            judged, killed = judged + 1, killed + bool(killers)
            shown = re.sub(r"^test_?", "", killers[0]) if killers else ""
            print(f"{'killed' if killers else 'LIVES '}  {mutant.name}  {shown}", flush=True)
    except (ToolMissing, CompileFailed, ForgeSlow, NotJudged, ValueError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    print(f"renewal_mutants_killed {killed}\nrenewal_mutants {judged}")
    if judged == len(mutants):
        # the Safe is its real code; token and Executor are doubles of ours
        record("renewal_mutants_killed", killed, bound=f"= {judged}", holds=killed == judged,
               evidence="own_double", n=judged)  # fmt: skip
    return 0 if killed == judged else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
