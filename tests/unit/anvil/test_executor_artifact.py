"""The committed Executor: what it can do at all, read off its own artifact."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from eth_utils.crypto import keccak

from anvil import mutants_renewal
from anvil.compile import own_artifact
from anvil.deploy_executor import (
    ADD_COLLATERAL,
    DELEVERAGE,
    REPAY_FROM_RESERVE,
    code_of,
    create2_address,
    executor_address,
)
from anvil.forge import read_report
from anvil.mutants import read_mutants
from anvil.tools import ROOT

pytestmark = pytest.mark.unit
CODE_SIZE_MAX = 24_576
FORBIDDEN = {0xF4, 0xF2, 0xFF, 0xF0, 0xF5}
"""DELEGATECALL, CALLCODE, SELFDESTRUCT, CREATE, CREATE2."""
BOTS = {"deleverage", "addCollateral", "repayFromReserve"}
CALLBACKS = {
    "executeOperation", "onMorphoFlashLoan", "receiveFlashLoan", "uniswapV3FlashCallback", "uniswapV3SwapCallback",
}  # fmt: skip
OWNER = {
    "announce", "removeAsset", "removePosition", "rescue", "setAsset", "setBot", "setGuardian", "setPosition",
    "setRouter", "unpause",
}  # fmt: skip


def abi(kind: str) -> list[dict[str, object]]:
    """Entries of one kind."""
    return [dict(entry) for entry in own_artifact("AaveV3Executor").abi if entry["type"] == kind]


def opcodes(code: bytes) -> Counter[int]:
    """Every instruction and how often it stands there, pushed data skipped."""
    found, at = Counter[int](), 0
    while at < len(code):
        found[code[at]] += 1
        at += 1 + (code[at] - 0x5F if 0x60 <= code[at] <= 0x7F else 0)
    return found


def code_alone(contract: str) -> bytes:
    """The runtime code without what the compiler puts behind it."""
    runtime = bytes.fromhex(own_artifact(contract).runtime[2:])
    assert len(runtime) <= CODE_SIZE_MAX
    # the last 2 bytes tell how long the metadata before them is: no code
    body = runtime[: -2 - int.from_bytes(runtime[-2:], "big")]
    # and before that, behind the INVALID that ends the code, one constant that the compiler keeps as data
    end = body.rindex(0xFE)
    assert len(body) - end <= 33
    return body[:end]


def test_executor__its_doors__are_these_and_no_more() -> None:
    changing = {str(f["name"]) for f in abi("function") if f["stateMutability"] not in ("view", "pure")}
    assert changing == BOTS | CALLBACKS | OWNER | {"pause"}
    assert all(f["stateMutability"] != "payable" for f in abi("function"))
    assert abi("receive") == abi("fallback") == []


def test_executor__its_code__fits_and_never_delegates() -> None:
    assert not set(opcodes(code_alone("AaveV3Executor"))) & FORBIDDEN


def test_renewal__its_one_door_and_its_code__leave_one_call_and_one_write() -> None:
    entries = own_artifact("SafeRenewal").abi
    doors = {f["name"]: f["stateMutability"] for f in entries if f["type"] == "function"}
    assert doors == {"renew": "nonpayable", "terms": "view", "readyAt": "view"}
    assert not [e for e in entries if e["type"] in ("receive", "fallback")]
    code = opcodes(code_alone("SafeRenewal"))
    call, sstore = 0xF1, 0x55
    # the Safe is asked to send, and the clock is set: all else that it does is to look
    assert (code[call], code[sstore]) == (1, 1)
    assert not set(code) & FORBIDDEN


def test_executor__signatures_used_in_python__are_those_of_the_abi() -> None:
    def text(entry: dict[str, object]) -> str:
        inputs = entry["inputs"]
        assert isinstance(inputs, list)
        return f"{entry['name']}({','.join(map(kind, inputs))})"

    def kind(field: dict[str, object]) -> str:
        parts = field.get("components")
        inner = f"({','.join(map(kind, parts))})" if isinstance(parts, list) else ""
        return str(field["type"]).replace("tuple", inner)

    known = {text(f) for f in abi("function")}
    assert {DELEVERAGE, ADD_COLLATERAL, REPAY_FROM_RESERVE} <= known


def test_errors__of_the_executor__each_stand_in_the_trust_page() -> None:
    page = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "reference" / "trust.md").read_text(encoding="utf-8")))
    names = {str(e["name"]) for e in abi("error")}
    assert names - page == set()


def test_address__of_an_executor__depends_on_factory_owner_and_code_alone() -> None:
    artifact = own_artifact("AaveV3Executor")
    factory, owner = "0x" + "11" * 20, "0x" + "22" * 20
    expected = create2_address(factory, bytes(12) + b"\x22" * 20, keccak(code_of(artifact)))
    assert executor_address(factory, owner, artifact) == expected
    assert not [e for e in artifact.abi if e["type"] == "constructor" and e["inputs"]]


def test_mutants__of_the_list__still_fit_the_sources() -> None:
    mutants = read_mutants()
    assert len(mutants) >= 25
    assert len({m.name for m in mutants}) == len(mutants)


def test_mutants__of_a_safes_module__fit_its_source_and_are_as_many_as_its_page_says() -> None:
    mutants = read_mutants(mutants_renewal.LIST)
    assert {m.file for m in mutants} == {"src/SafeRenewal.sol"}
    assert len({m.name for m in mutants}) == len(mutants)
    page = (ROOT / "docs" / "decisions" / "executor.md").read_text(encoding="utf-8")
    assert f"{len(mutants)} planted defects" in page


def test_forge_report__without_its_closing_line__is_a_failure() -> None:
    assert read_report("thread panicked").failed == ("did not run",)
    text = "[FAIL: TargetMissed(1 [1e0], 2)] test_a__b__c() (gas: 1)\nRan 1 test suite: 1 tests passed, 1 failed\n"
    assert read_report(text).failed == ("test_a__b__c",)
    rows = "| Handler  | topUp  | 100 | 40 | 0 |\nRan: 1 tests passed, 0 failed"
    assert read_report(rows).share("addCollateral") == 0.6
