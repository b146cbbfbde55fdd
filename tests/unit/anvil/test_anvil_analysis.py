"""What slither and halmos say is read as findings and verdicts; each finding that stands has one reason."""

from __future__ import annotations

import re
import tomllib

import pytest

from anvil.analysis import DEFECTS, EXPLAINED, Finding, explained, read_findings, read_proofs
from anvil.tools import ROOT

pytestmark = pytest.mark.unit


def element(name: str, kind: str, parent: dict[str, object] | None = None) -> dict[str, object]:
    return {"name": name, "type": kind, "type_specific_fields": {"parent": parent} if parent else {}}


def test_findings__of_a_function_and_of_a_variable_in_one__are_placed_by_contract() -> None:
    contract = element("Executor", "contract")
    function = element("_payIn", "function", contract)
    rows = [
        {"check": "calls-loop", "elements": [element("_run", "function", contract)]},
        {"check": "uninitialized-local", "elements": [element("m", "variable", function)]},
    ]
    found = read_findings({"success": True, "results": {"detectors": rows}})
    assert [str(f) for f in found] == ["calls-loop: Executor._run", "uninitialized-local: Executor._payIn.m"]


def test_findings__of_a_run_that_failed__are_no_clean_bill() -> None:
    with pytest.raises(ValueError, match="no compiler"):
        read_findings({"success": False, "error": "no compiler", "results": {}})


def test_explanations__each__have_a_reason() -> None:
    known = explained()
    assert Finding(check="calls-loop", where="Executor._swapOnRouter") in known
    assert all(len(why) > 20 for why in known.values())
    rows = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))["finding"]
    assert sum(len(row["where"]) for row in rows) == len(known), "a finding is explained twice"


def test_explanations__of_immutables__are_of_every_contract_that_has_any() -> None:
    # slither itself is not part of `make test`: this is what tells there of a contract that nobody let it look at
    known = {f.where for f in explained() if f.check == "naming-convention"}
    for source in (ROOT / "contracts" / "src").glob("*.sol"):
        names = re.findall(
            r"^    [\w.]+ \w+ immutable ([A-Z_0-9]+)", source.read_text(encoding="utf-8"), re.MULTILINE
        )
        assert {f"{source.stem}.{name}" for name in names} <= known


def test_proofs__of_two_contracts__are_told_apart_and_one_that_failed_is_seen() -> None:
    told = """
Running 2 tests for contracts/proofs/CallbackCaller.t.sol:CallbackCallerProof
\x1b[32m[PASS]\x1b[0m check_taken_once(address) (paths: 3, time: 0.20s, bounds: [])
\x1b[31m[FAIL]\x1b[0m check_stranger_is_refused(address,address) (paths: 4, time: 0.17s, bounds: [])
Symbolic test result: 1 passed; 1 failed; time: 1.65s
Running 1 tests for contracts/proofs/CallbackExecutors.t.sol:MakerExecutorProof
\x1b[33m[TIMEOUT]\x1b[0m check_taken_once(address) (paths: 3, time: 0.20s, bounds: [])
"""
    assert read_proofs(told) == {
        "CallbackCallerProof.check_taken_once": "PASS",
        "CallbackCallerProof.check_stranger_is_refused": "FAIL",
        "MakerExecutorProof.check_taken_once": "TIMEOUT",
    }


def test_defects__each__is_of_a_line_that_stands_once_and_names_a_proof() -> None:
    proofs = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "contracts" / "proofs").glob("*.t.sol"))
    for defect in DEFECTS:
        source = (ROOT / "contracts" / defect.file).read_text(encoding="utf-8")
        assert source.count(defect.line) == 1
        assert f"function {defect.noticed_by}(" in proofs
