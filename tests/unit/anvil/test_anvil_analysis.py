"""What slither says is read as findings, and every explanation names one finding and a reason."""

from __future__ import annotations

import pytest

from anvil.analysis import Finding, explained, read_findings

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
