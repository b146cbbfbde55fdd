"""A simulation's revert becomes a refusal in words; a node that could not run it does not."""

from __future__ import annotations

import asyncio

import pytest
from eth_abi.abi import encode

from keeper.errors import Rejected, Transient
from keeper.model import Refusal
from keeper.transaction.simulate import revert_reason, simulate
from tests.chain_double import ChainDouble
from tests.plans import WALLET, plan

pytestmark = pytest.mark.unit


def run(error: Rejected | None) -> Refusal | None:
    chain = ChainDouble()
    chain.revert = error
    return asyncio.run(simulate(chain, plan(), WALLET, {bytes.fromhex("01020304"): "CollateralPaused()"}))


def data(selector: str, types: list[str], values: list[object]) -> str:
    return "0x" + selector + encode(types, values).hex()


def test_simulate__when_it_succeeds__then_no_refusal() -> None:
    assert run(None) is None


REVERTS = [
    (Rejected(3, "execution reverted", data("08c379a0", ["string"], ["too late"])), "too late"),
    (Rejected(3, "execution reverted", data("4e487b71", ["uint256"], [0x11])), "panic 0x11 (arithmetic"),
    (Rejected(3, "execution reverted", data("4e487b71", ["uint256"], [0x99])), "panic 0x99 (unknown)"),
    (Rejected(3, "execution reverted", "0x01020304"), "CollateralPaused()"),
    (Rejected(3, "execution reverted", "0xdeadbeef"), "custom error 0xdeadbeef"),
    (Rejected(3, "execution reverted", "0x08c379a0ff"), "execution reverted"),
    (Rejected(-32015, "VM execution error.", "Reverted 0x01020304"), "CollateralPaused()"),
    (Rejected(-32000, "Execution reverted", None), "Execution reverted"),
    (Rejected(-32000, "out of gas: gas required exceeds: 300000", None), "out of gas"),
    (Rejected(-32003, "EVM error OutOfGas", None), "OutOfGas"),
    # neither code nor word: four bytes of revert data are enough
    (Rejected(-32000, "VM Exception", "0x01020304"), "CollateralPaused()"),
]


@pytest.mark.parametrize("error, words", REVERTS)
def test_simulate__when_reverted__then_refused_with_the_reason(error: Rejected, words: str) -> None:
    refusal = run(error)
    assert refusal is not None
    assert (refusal.who, refusal.code) == ("simulation", "simulation_reverted")
    assert words in refusal.why


@pytest.mark.parametrize(
    "error",
    [
        Rejected(-32005, "rate limited"),
        Rejected(-32000, "header not found"),
        Rejected(-32603, "?", "0x010203"),
    ],
)
def test_simulate__when_the_node_could_not_run_it__then_transient(error: Rejected) -> None:
    with pytest.raises(Transient):
        run(error)


@pytest.mark.parametrize("garbage", [None, "", "0x", "0x1", "zzz", "0x0g"])
def test_revert_reason__when_data_is_garbage__then_the_message(garbage: str | None) -> None:
    assert revert_reason(Rejected(3, "execution reverted", garbage), {}) == "execution reverted"
