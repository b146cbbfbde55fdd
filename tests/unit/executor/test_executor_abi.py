"""Calldata of the Executor: what the committed artifact says, there and back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from eth_abi.abi import encode

from keeper.executor import abi, errors, verify
from keeper.model import Amount, Side, Source
from tests.build import DAI, WETH, units
from tests.executor_faults import fault_from
from tests.mandates import EXECUTOR, KEY, ROUTER, order, sale

pytestmark = pytest.mark.unit
ARTIFACT = json.loads(
    (Path(__file__).resolve().parents[3] / "contracts" / "artifacts" / "AaveV3Executor.json").read_text()
)


def selectors() -> set[bytes]:
    """Of every function in the artifact."""
    found = set()
    for entry in ARTIFACT["abi"]:
        if entry["type"] == "function":
            found.add(abi.selector(f"{entry['name']}({','.join(_kind(i) for i in entry['inputs'])})"))
    return found


def _kind(entry: dict[str, object]) -> str:
    kind = str(entry["type"])
    if not kind.startswith("tuple"):
        return kind
    parts = entry["components"]
    assert isinstance(parts, list)
    return f"({','.join(_kind(p) for p in parts)}){kind[5:]}"


def test_selectors__when_compared_with_the_artifact__then_every_function_is_there() -> None:
    assert {abi.DELEVERAGE, abi.ADD_COLLATERAL, abi.REPAY_FROM_RESERVE} <= selectors()


def test_errors__when_compared_with_the_artifact__then_the_same_signatures() -> None:
    ours = {f"{name}({','.join(told.kinds)})" for name, told in errors.TABLE.items()}
    assert ours == set(verify.artifact().errors)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"whole": True},
        {
            "source": Source.AAVE_V3,
            "router": ROUTER,
            "fees": (500, 100),
            "via": (DAI.address,),
            "fee_units": 7,
        },
        {
            "source": Source.STEPWISE,
            "router": ROUTER,
            "sells": (1, 2),
            "fees": (500, 100),
            "via": (DAI.address,),
        },
        {"source": Source.UNISWAP_V3_FLASH, "source_token": DAI.address, "source_fee": 100},
    ],
)
def test_order__when_encoded__then_it_reads_back(changes: dict[str, object]) -> None:
    step = sale(**changes)
    call = abi.deleverage(step)
    assert call.target == EXECUTOR
    assert abi.order_from(call.data) == abi.order_of(step)


def test_order__when_all_is_repaid__then_it_says_all() -> None:
    assert abi.order_of(sale(whole=True)).repay == abi.ALL


def test_order__when_stepwise__then_one_swap_a_step_back_to_the_executor() -> None:
    step = sale(source=Source.STEPWISE, router=ROUTER, sells=(3, 4), fees=(500, 100), via=(DAI.address,))
    data = abi.order_of(step).data
    assert [d[:4] for d in data] == [abi.ROUTER_EXACT_INPUT] * 2
    assert all(bytes.fromhex(EXECUTOR[2:]) in d for d in data)
    assert abi.order_of(step).repay == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes.fromhex("617ba037") + bytes(64),
        abi.DELEVERAGE + bytes(31),
        abi.deleverage(sale()).data + bytes(32),
        abi.deleverage(sale()).data[:-32],
    ],
)
def test_order_from__when_it_is_not_canonical__then_words(data: bytes) -> None:
    assert isinstance(abi.order_from(data), str)


def test_pay_in__when_collateral_or_debt__then_the_function_of_that_side() -> None:
    wanted = abi.PayIn(
        executor=EXECUTOR, key=KEY, side=Side.COLLATERAL, seq=1, amount=Amount(token=WETH, units=units(WETH, "1")),
        deadline_s=9,
    )  # fmt: skip
    body = encode(abi.PAY_IN, [bytes.fromhex(KEY[2:]), 1, WETH.address, 10**18, 9])
    assert abi.pay_in(wanted).data == abi.ADD_COLLATERAL + body
    assert abi.pay_in(replace(wanted, side=Side.DEBT)).data == abi.REPAY_FROM_RESERVE + body


def test_path__when_two_pools__then_tokens_and_fees_alternate() -> None:
    packed = abi.path((WETH.address, DAI.address), (500,))
    assert packed == bytes.fromhex(WETH.address[2:]) + (500).to_bytes(3) + bytes.fromhex(DAI.address[2:])


def test_fault__when_it_is_ours__then_code_and_words() -> None:
    data = abi.selector("CoolingDown(uint256)") + (117).to_bytes(32)
    fault = fault_from(data)
    assert fault is not None
    assert errors.code_of(fault) == "cooldown"
    assert "117" in errors.words_of(fault)
    assert fault_from(b"\1\2\3\4") is None
    assert fault_from(data[:-1]) is None


def test_order__when_built_for_tests__then_its_defaults_are_whole() -> None:
    assert order(seq=4).seq == 4


def test_differs__when_only_immutables_differ__then_it_is_our_code() -> None:
    wanted = verify.artifact()
    code = bytearray(wanted.runtime)
    for at, n in wanted.immutables:
        code[at : at + n] = bytes([7]) * n
    assert verify.differs(bytes(code), wanted) == ""
    code[0] ^= 1
    assert "from byte 0" in verify.differs(bytes(code), wanted)
    assert verify.differs(b"", wanted) == "no contract there"
    assert "bytes of code" in verify.differs(bytes(code[:-1]), wanted)
