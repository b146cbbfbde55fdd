"""What the key may ask of an owner's Executor, and each thing that it may not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keeper.errors import ConfigError
from keeper.executor import abi
from keeper.model import Amount, Side, Source
from keeper.seams import TxFields
from keeper.signer import policy_file
from keeper.signer.orders import AllowedOrder, pay_ins
from keeper.signer.policy import SigningPolicy, spend_of
from keeper.signer.store import DayCaps
from keeper.units import WAD
from keeper.venues.aave_v3.signing import aave_v3_calls
from tests import build
from tests.build import DAI, USDC, WBTC, WETH
from tests.mandates import EXECUTOR, KEY, ROUTER, sale

pytestmark = pytest.mark.unit
ORDER = AllowedOrder(
    target=EXECUTOR,
    position=KEY,
    collateral={WETH.address.lower(): 6 * WAD},
    debt=frozenset({USDC.address.lower()}),
    routers=frozenset({ROUTER.lower()}),
)
POLICY = SigningPolicy(
    chain_id=build.CHAIN_ID,
    address=build.WALLET,
    calls=aave_v3_calls(build.POOL, {USDC.address: None}, (build.ALICE,)),
    fee_wei_max=WAD,
    orders=(ORDER,),
)
ROUTED = {"source": Source.AAVE_V3, "router": ROUTER, "fees": (500, 500), "via": (DAI.address,)}
STEPS = {**ROUTED, "source": Source.STEPWISE, "sells": (WAD, 2 * WAD)}


def tx(data: bytes, to: str = EXECUTOR) -> TxFields:
    """A transaction with that calldata."""
    fees = {"gas_limit": 900_000, "max_fee_wei": 10**9, "tip_wei": 1}
    return TxFields(chain_id=build.CHAIN_ID, nonce=0, to=to, data=data, value_wei=0, **fees)


def asked(**changes: Any) -> str | None:
    """The policy's word on a sale with changes."""
    return POLICY.refuses(tx(abi.deleverage(sale(**changes)).data))


@pytest.mark.parametrize(
    "changes", [{}, {"whole": True}, ROUTED, STEPS], ids=["pool", "all", "router", "steps"]
)
def test_order__when_within_the_policy__then_it_is_signed(changes: dict[str, Any]) -> None:
    assert asked(**changes) is None


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"key": "0x" + "01" * 32}, "not guarded"),
        ({"sell_max": Amount(token=WBTC, units=1)}, "collateral"),
        ({"repay": Amount(token=DAI, units=1)}, "debt"),
        ({"sell_max": Amount(token=WETH, units=6 * WAD + 1)}, "sells"),
        ({"sell_max": Amount(token=WETH, units=0)}, "sells"),
        ({"repay": Amount(token=USDC, units=0)}, "repays nothing"),
        ({**ROUTED, "router": build.POOL}, "router"),
        ({**STEPS, "sells": (3 * WAD, 3 * WAD)}, "steps"),
        ({**STEPS, "sells": ()}, "steps"),
        ({**ROUTED, "sells": (WAD,)}, "steps, and a flash loan"),
    ],
)
def test_order__when_it_says_what_it_may_not__then_it_is_refused(changes: dict[str, Any], word: str) -> None:
    why = asked(**changes)
    assert why is not None
    assert word in why


def test_order__when_calldata_is_tampered_with__then_it_is_refused() -> None:
    data = abi.deleverage(sale()).data
    assert "canonical" in (POLICY.refuses(tx(data + bytes(32))) or "")
    assert "not allowed" in (POLICY.refuses(tx(data, to=ROUTER)) or "")
    for name in (abi.ADD_COLLATERAL, abi.REPAY_FROM_RESERVE):
        assert "does not decode" in (POLICY.refuses(tx(name + data[4:])) or "")
    assert "selector" in (POLICY.refuses(tx(abi.selector("rescue(address,uint256)") + data[4:])) or "")


def test_order__when_there_is_calldata_for_no_router__then_it_is_refused() -> None:
    order = replace(abi.order_of(sale()), data=(b"\1",))
    assert "no router" in (ORDER._route(order) or "")
    long = replace(abi.order_of(sale(**ROUTED)), data=(bytes(abi.DATA_BYTES_MAX + 1),))
    assert "more calldata" in (ORDER._route(long) or "")


def test_order__when_its_source_is_none_that_is_known__then_it_is_refused() -> None:
    unknown = replace(abi.order_of(sale()), source=99)
    assert ORDER._source(unknown) == "deleverage: source 99 is not known"


FLASH = {**ROUTED, "source": Source.UNISWAP_V3_FLASH, "source_token": WETH.address, "source_fee": 500}


def test_pool_that_lends__when_the_position_or_the_policy_lists_its_other_token__then_signed() -> None:
    assert asked(**FLASH) is None
    assert asked(**{**FLASH, "source_fee": 10_000}) is None
    between = {**FLASH, "source_token": DAI.address}
    assert "may not lend" in (asked(**between) or "")
    for via, fine in (
        (frozenset({DAI.address.lower()}), True),
        (frozenset({ROUTER.lower()}), False),
        (None, True),
    ):
        policy = replace(POLICY, orders=(replace(ORDER, via=via),))
        why = policy.refuses(tx(abi.deleverage(sale(**between)).data))
        assert (why is None) == fine, (via, why)


@pytest.mark.parametrize(
    "changes, word",
    [
        ({**FLASH, "source_token": WBTC.address}, "may not lend"),
        ({**FLASH, "source_token": USDC.address}, "may not lend"),
        ({**FLASH, "source_token": ""}, "may not lend"),
        ({**FLASH, "source_fee": 0}, "a pool's fee of 0"),
        ({**FLASH, "source_fee": 10_001}, "a pool's fee of 10001"),
        ({**ROUTED, "source_token": WETH.address}, "names a pool"),
        ({**ROUTED, "source_fee": 1}, "names a pool"),
        ({**STEPS, "source_token": WETH.address}, "names a pool"),
        ({"source_fee": 1}, "names a pool"),
        ({"fees": (0,)}, "a pool's fee of 0"),
        ({"fees": (10_001,)}, "a pool's fee of 10001"),
    ],
)
def test_pool__when_foreign_unasked_or_dear__then_it_is_refused(changes: dict[str, Any], word: str) -> None:
    assert word in (asked(**changes) or "")


def test_pool_that_lends__when_the_policy_does_not_ask_for_its_tokens__then_never_the_debt_itself() -> None:
    policy = replace(POLICY, orders=(replace(ORDER, via=None),))
    for token in (USDC.address, ""):
        data = abi.deleverage(sale(**{**FLASH, "source_token": token})).data
        assert "may not lend" in (policy.refuses(tx(data)) or "")


def test_spend_of__when_a_sale__then_nothing_of_the_wallet() -> None:
    assert spend_of(abi.deleverage(sale()).data) == ("", 0)


def test_file__when_written_and_read__then_the_same_policy(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.touch(mode=0o600)
    caps = DayCaps(fee_wei=5, units={USDC.address.lower(): 7})
    path.write_text(policy_file.to_text(POLICY, caps))
    assert policy_file.load(path) == (POLICY, caps)
    without = replace(POLICY, orders=())
    path.write_text(policy_file.to_text(without, caps))
    assert "orders" not in path.read_text()
    assert policy_file.load(path) == (without, caps)


@pytest.mark.parametrize("via", [None, frozenset({DAI.address.lower(), WBTC.address.lower()})])
def test_file__when_it_lists_what_may_stand_between_or_is_older__then_the_same_policy(
    tmp_path: Path, via: frozenset[str] | None
) -> None:
    path = tmp_path / "policy.json"
    path.touch(mode=0o600)
    caps = DayCaps(fee_wei=5, units={})
    policy = replace(POLICY, orders=(replace(ORDER, via=via),))
    path.write_text(policy_file.to_text(policy, caps))
    assert ('"via"' in path.read_text()) == (via is not None)
    assert policy_file.load(path) == (policy, caps)
    path.write_text(path.read_text().replace(DAI.address.lower(), DAI.address))
    assert policy_file.load(path) == (policy, caps)


def test_file__when_an_order_has_an_unknown_member__then_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.touch(mode=0o600)
    text = policy_file.to_text(POLICY, DayCaps(fee_wei=5, units={}))
    path.write_text(text.replace('"routers"', '"router"'))
    with pytest.raises(ConfigError, match="is no signing policy"):
        policy_file.load(path)


def paid_in(side: Side = Side.DEBT, **changes: object) -> bytes:
    """Calldata of a pay-in of 5,000 USDC, or of one ETH."""
    token = USDC if side is Side.DEBT else WETH
    wanted = abi.PayIn(
        executor=EXECUTOR,
        key=KEY,
        side=side,
        seq=0,
        amount=Amount(token=token, units=5 * 10**9 if side is Side.DEBT else 10**18),
        deadline_s=9,
    )
    return abi.pay_in(replace(wanted, **changes)).data  # type: ignore[arg-type]


@pytest.mark.parametrize("side", list(Side))
def test_pay_in__when_it_is_the_position_s_own_asset__then_signed(side: Side) -> None:
    allowed = next(p for p in pay_ins((ORDER,)) if p.side is side)
    assert allowed.selector == paid_in(side)[:4]
    assert allowed.target == ORDER.target
    assert allowed.refuses(paid_in(side)) is None


def test_pay_in__when_another_position_token_amount_or_byte__then_refused_by_name() -> None:
    repays = next(p for p in pay_ins((ORDER,)) if p.side is Side.DEBT)
    supplies = next(p for p in pay_ins((ORDER,)) if p.side is Side.COLLATERAL)
    assert "not guarded" in (repays.refuses(paid_in(key="0x" + "12" * 32)) or "")
    other = Amount(token=WETH, units=1)
    assert "is not allowed" in (repays.refuses(paid_in(amount=other)) or "")
    huge = Amount(token=WETH, units=10**30)
    assert "allowed are 1.." in (supplies.refuses(paid_in(Side.COLLATERAL, amount=huge)) or "")
    nothing = Amount(token=USDC, units=0)
    assert "0 units, allowed are 1.." in (repays.refuses(paid_in(amount=nothing)) or "")
    most = ORDER.collateral[WETH.address.lower()]
    assert most is not None
    for units, fine in ((most, True), (most + 1, False)):
        paid = paid_in(Side.COLLATERAL, amount=Amount(token=WETH, units=units))
        assert (supplies.refuses(paid) is None) == fine
    assert "not canonical" in (repays.refuses(paid_in() + b"\0" * 32) or "")
    assert "pays nothing in" in (repays.refuses(abi.DELEVERAGE + paid_in()[4:]) or "")
