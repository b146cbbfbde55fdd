"""Plant each defect of ``contracts/mutants/gmx.toml`` and see whether the tests of GmxV2Executor notice.

``python -m anvil.mutants_gmx``; names as arguments narrow the run. A list and two figures of its own: the one of the
lending Executors is counted by itself.
"""

from __future__ import annotations

import re
import sys

from anvil.compile import CompileFailed
from anvil.forge import ForgeSlow
from anvil.mutants import NotJudged, judge, read_mutants
from anvil.tools import ROOT, ToolMissing

LIST = ROOT / "contracts" / "mutants" / "gmx.toml"


def main(arguments: list[str]) -> int:
    """One line a mutant, then the two figures; 1 when one lives."""
    killed = judged = 0
    try:
        for mutant in read_mutants(LIST):
            if arguments and mutant.name not in arguments:
                continue
            killers = judge(mutant).killers
            judged, killed = judged + 1, killed + bool(killers)
            shown = re.sub(r"^test_?", "", killers[0]) if killers else ""
            print(f"{'killed' if killers else 'LIVES '}  {mutant.name}  {shown}", flush=True)
    except (ToolMissing, CompileFailed, ForgeSlow, NotJudged, ValueError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    print(f"gmx_executor_mutants_killed {killed}\ngmx_executor_mutants {judged}")
    return 0 if killed == judged else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
