"""The module's own tests with forge, and the weeks of a thief whose owner's Safe has it.

``python -m anvil.forge_renewal units`` or ``leak FIRST MANY``; beside ``anvil.forge``, on which campaigns count.
"""

from __future__ import annotations

import sys
from pathlib import Path

from anvil.forge import ForgeReport, ForgeSlow
from anvil.forge import _run as run_forge
from anvil.tools import ROOT, ToolMissing


def unit_tests(
    *, artifact: Path | None = None, stop_at_first: bool = False, timeout_s: float = 900
) -> ForgeReport:
    """What is asked of SafeRenewal, on the committed artifact or another one. Raises ForgeSlow, ToolMissing."""
    settings = {"FOUNDRY_FUZZ_RUNS": "64", "FOUNDRY_INVARIANT_RUNS": "16"} | _of(artifact)
    stop = ["--fail-fast"] if stop_at_first else []
    return run_forge(["--match-contract", "SafeRenewal", *stop], settings, None, timeout_s)


def leak_drill(
    first: int, many: int, *, tries: int = 2, artifact: Path | None = None, timeout_s: float = 3_600
) -> ForgeReport:
    """As ``anvil.forge.leak_drill``, of owners whose Safe renews. Raises ForgeSlow, ToolMissing."""
    settings = {"LEAK_FIRST": str(first), "LEAK_MANY": str(many), "LEAK_TRIES": str(tries)} | _of(artifact)
    return run_forge(["--match-contract", "LeakRenewed", "-vv"], settings, None, timeout_s)


def _of(artifact: Path | None) -> dict[str, str]:
    return {} if artifact is None else {"SAFE_RENEWAL_ARTIFACT": str(artifact.relative_to(ROOT))}


def main(arguments: list[str]) -> int:
    """Print forge's own output and one line of ours; 1 when something failed."""
    try:
        leak = arguments[:1] == ["leak"]
        report = leak_drill(int(arguments[1]), int(arguments[2])) if leak else unit_tests()
    except (ToolMissing, ForgeSlow) as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 1
    print(report.output)
    print(f"{report.passed} passed, {len(report.failed)} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
