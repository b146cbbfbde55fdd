"""The Safe's module, compiled by itself: a change of ``anvil.units`` would begin the Executors' campaigns anew.

``python -m anvil.renewal`` compiles it, ``--write-artifacts`` rewrites ``contracts/artifacts/SafeRenewal.json``,
``--cached`` only tells whether it is compiled.
"""

from __future__ import annotations

import sys

from anvil.compile import ARTIFACTS_DIR, CompileFailed, artifact_texts, is_cached
from anvil.tools import ROOT, ToolMissing
from anvil.units import OWN_UNITS, Unit

NAME = "SafeRenewal"
EXECUTORS = next(unit for unit in OWN_UNITS if unit.name == "executor")
UNIT = Unit(
    name="safe-renewal",
    base_dir=ROOT,
    contracts=((f"contracts/src/{NAME}.sol", NAME),),
    remappings=EXECUTORS.remappings,
    evm_version=EXECUTORS.evm_version,
    outputs=EXECUTORS.outputs,
)


def texts(*, quiet: bool = False) -> dict[str, str]:
    """File name -> text of the committed artifact, freshly compiled. Raises CompileFailed, ToolMissing."""
    return artifact_texts(UNIT, quiet=quiet)


def main(arguments: list[str]) -> int:
    """Fill the cache, or write the artifact."""
    try:
        if "--cached" in arguments:
            return 0 if is_cached(UNIT) else 1
        found = texts(quiet="--quiet" in arguments)
    except (ToolMissing, CompileFailed) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    if "--write-artifacts" in arguments:
        for name, text in found.items():
            (ARTIFACTS_DIR / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
