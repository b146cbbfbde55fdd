"""Slither's findings against the explanations of contracts/slither.toml, and halmos' proofs of contracts/proofs.

``python -m anvil.analysis slither`` or ``halmos``. Both tools live in environments of their own, named by
KEEPER_SLITHER and KEEPER_HALMOS or made by ``make slither`` and ``make halmos``; both see a copy of the sources.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anvil.figures import record
from anvil.forge import find_forge
from anvil.tools import HERE, ROOT, ToolMissing

EXPLAINED = ROOT / "contracts" / "slither.toml"
_PROOF = re.compile(r"\[(PASS|FAIL|ERROR|TIMEOUT)\]\S* (check_\w+)|^Running .*:(\w+)$", re.MULTILINE)
_PARTS = ("src", "interfaces", "libraries", "proofs", "solcw", "solcw.js")
PROOFS = 23
"""Three of the gate, and five callbacks of four Executors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result of slither: which detector, and what it is about."""

    check: str
    where: str

    def __str__(self) -> str:
        return f"{self.check}: {self.where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A line of ours changed, and the proofs that must fail then: the check's name ends so, in each contract."""

    file: str
    line: str
    instead: str
    noticed_by: str


_GATE = "libraries/Callbacks.sol"
DEFECTS = (
    Defect(
        file=_GATE,
        line="if (msg.sender != CALLER.asAddress().tload()) revert IExecutorErrors.CallbackCaller(msg.sender);",
        instead="",
        noticed_by="check_stranger_is_refused",
    ),
    Defect(
        file=_GATE,
        line="if (keccak256(data) != DIGEST.asBytes32().tload()) revert IExecutorErrors.CallbackArguments();",
        instead="",
        noticed_by="check_other_bytes_are_refused",
    ),
    Defect(
        file=_GATE,
        line="CALLER.asAddress().tstore(address(0));\n        DIGEST.asBytes32().tstore(0);",
        instead="",
        noticed_by="check_taken_once",
    ),
    Defect(
        file="src/Executor.sol",
        line="Job memory job = _accept(params);",
        instead="if (amount == 0) return true;\n        Job memory job = _accept(params);",
        noticed_by="check_aave_lends_nothing_unasked",
    ),
)
"""What a proof is worth: each of these is planted in a copy, and exactly the proofs that are named must fail."""


def read_findings(report: Mapping[str, object]) -> tuple[Finding, ...]:
    """Slither's JSON, in its order. Raises ValueError where it could not look at the contracts at all."""
    results = report.get("results")
    if not report.get("success") or not isinstance(results, dict):
        raise ValueError(f"slither: {report.get('error')}")
    rows: Sequence[Mapping[str, object]] = results.get("detectors", [])
    return tuple(Finding(check=str(row["check"]), where=_place(row)) for row in rows)


def _place(row: Mapping[str, object]) -> str:
    """``Contract.name`` of what the finding is about first."""
    elements = row["elements"]
    assert isinstance(elements, list)
    element = elements[0]
    parent = (element.get("type_specific_fields") or {}).get("parent") or {}
    if element["type"] == "variable" and parent.get("type") == "function":
        outer = (parent.get("type_specific_fields") or {}).get("parent") or {}
        return ".".join(n for n in (outer.get("name"), parent.get("name"), element["name"]) if n)
    return ".".join(n for n in (parent.get("name"), element["name"]) if n)


def explained(path: Path = EXPLAINED) -> dict[Finding, str]:
    """Every finding that stands, with the reason why it is no defect."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["finding"]
    return {
        Finding(check=row["check"], where=where): str(row["why"]) for row in rows for where in row["where"]
    }


def slither() -> int:
    """One line a finding; 1 when one is not explained, or an explanation has lost its finding."""
    with _copy("contracts/none") as folder:
        command = [_tool("slither"), ".", "--compile-force-framework", "foundry", "--json", "-"]
        done = _run([*command, "--filter-paths", "node_modules"], folder)
    found = set(read_findings(json.loads(done.stdout[done.stdout.index("{") :])))
    known = explained()
    unknown, gone = sorted(found - set(known), key=str), sorted(set(known) - found, key=str)
    for finding in sorted(found & set(known), key=str):
        print(f"explained    {finding}: {known[finding]}")
    for finding in unknown:
        print(f"UNEXPLAINED  {finding}")
    for finding in gone:
        print(f"GONE         {finding}: take its explanation out of {EXPLAINED.name}")
    record("slither_unexplained", len(unknown), bound="0", holds=not unknown, evidence="static, our own sources",
           n=len(found))  # fmt: skip
    return 1 if unknown or gone else 0


def read_proofs(told: str) -> dict[str, str]:
    """``Contract.check_name`` -> PASS, FAIL, ERROR or TIMEOUT, from what halmos prints."""
    verdicts, contract = dict[str, str](), ""
    for verdict, name, begun in _PROOF.findall(told):
        contract = begun or contract
        if name:
            verdicts[f"{contract}.{name}"] = verdict
    return verdicts


def halmos() -> int:
    """One line a proof and one a planted defect; 1 when a proof does not hold, or holds of a defect as well."""
    verdicts = _proven(None)
    for name, verdict in verdicts.items():
        print(f"{verdict:8} {name}")
    proven = sum(v == "PASS" for v in verdicts.values())
    record("halmos_callback_caller_proofs", proven, bound=f"= {PROOFS}", holds=proven == len(verdicts) == PROOFS,
           evidence="symbolic, our own sources", n=len(verdicts))  # fmt: skip
    noticed = sum(_noticed(defect) for defect in DEFECTS)
    record("halmos_planted_noticed", noticed, bound=f"= {len(DEFECTS)}", holds=noticed == len(DEFECTS),
           evidence="symbolic, our own sources", n=len(DEFECTS))  # fmt: skip
    return 0 if proven == len(verdicts) == PROOFS and noticed == len(DEFECTS) else 1


def _noticed(defect: Defect) -> bool:
    """Whether the proofs named fail of the defect, all of them, and no other."""
    verdicts = _proven(defect)
    named = {n: v for n, v in verdicts.items() if n.endswith("." + defect.noticed_by)}
    others = [v for n, v in verdicts.items() if n not in named]
    noticed = bool(named) and set(named.values()) == {"FAIL"} and set(others) == {"PASS"}
    print(
        f"{'noticed' if noticed else 'MISSED':8} {defect.file}: {defect.instead or '-'} instead of {defect.line}"
    )
    if not noticed:
        print(f"         {verdicts}")
    return noticed


def _proven(defect: Defect | None) -> dict[str, str]:
    """What halmos says of our sources, or of them with that defect. The gate's own proofs need no Executor."""
    with _copy("contracts/proofs") as folder:
        if defect is not None:
            _plant(folder / "contracts", defect)
        out = folder / ".cache" / "forge" / "out"
        command = [_tool("halmos"), "--forge-build-out", str(out.relative_to(folder)), "--no-status"]
        done = _run([*command, "--solver-timeout-assertion", "120000"], folder)
    verdicts = read_proofs(done.stdout)
    if not verdicts:
        raise ValueError(f"halmos: {done.stdout}\n{done.stderr}")
    return verdicts


def _plant(contracts: Path, defect: Defect) -> None:
    """Change the line in the copy. Raises ValueError where it is not there once."""
    path = contracts / defect.file
    source = path.read_text(encoding="utf-8")
    if source.count(defect.line) != 1:
        raise ValueError(f"{defect.file}: not there once: {defect.line.strip()}")
    path.write_text(source.replace(defect.line, defect.instead), encoding="utf-8")
    if defect.file == _GATE:
        shutil.rmtree(contracts / "src")
        (contracts / "proofs" / "CallbackExecutors.t.sol").unlink()


def _tool(name: str) -> str:
    """The command of that tool. Raises ToolMissing."""
    path = os.environ.get(f"KEEPER_{name.upper()}") or str(ROOT / f".venv-{name}" / "bin" / name)
    if not os.access(path, os.X_OK):
        raise ToolMissing(f"{name} is not installed: run `make {name}`, or set KEEPER_{name.upper()}")
    return path


@contextmanager
def _copy(tests: str) -> Iterator[Path]:
    """Our own sources alone, as a forge project with its tests in that folder."""
    with tempfile.TemporaryDirectory(prefix="keeper-analysis-") as name:
        folder = Path(name)
        (folder / "contracts").mkdir()
        for part in _PARTS:
            source = ROOT / "contracts" / part
            copy = shutil.copytree if source.is_dir() else shutil.copy
            if part != "proofs" or tests.endswith(part):
                copy(source, folder / "contracts" / part)
        (folder / "anvil").mkdir()
        (folder / "anvil" / "node_modules").symlink_to(HERE / "node_modules")
        (folder / "bin").mkdir()
        (folder / "bin" / "forge").symlink_to(find_forge())
        settings = (ROOT / "contracts" / "foundry.toml").read_text(encoding="utf-8")
        settings = re.sub(r'^test = ".*"', f'test = "{tests}"', settings, flags=re.MULTILINE)
        (folder / "foundry.toml").write_text(settings, encoding="utf-8")
        yield folder


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'bin'}:{Path(command[0]).parent}:{os.environ.get('PATH', '')}"
    environment = {"PATH": path, "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def main(arguments: list[str]) -> int:
    """Run the tool named."""
    try:
        if arguments == ["slither"]:
            return slither()
        if arguments == ["halmos"]:
            return halmos()
    except (ToolMissing, ValueError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    print("usage: python -m anvil.analysis slither|halmos", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
