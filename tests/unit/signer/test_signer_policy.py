"""Nothing is signed but the named calls with the named arguments; bytes equal what eth_account signs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.crypto import keccak

from keeper.errors import Broken, ConfigError
from keeper.seams import TxFields
from keeper.signer.key import Key
from keeper.signer.local import LocalSigner
from keeper.signer.policy import (
    Argument,
    SigningPolicy,
    grant_call,
    revoke_call,
    spend_of,
)
from keeper.units import GWEI, UINT256_MAX
from keeper.venues.aave_v3.signing import aave_v3_calls
from tests.keystores import CANARY, address_of
from tests.plans import ACCOUNT, CHAIN_ID, POOL, USDC, repay_call

pytestmark = pytest.mark.unit
STRANGER = "0x" + "ee" * 20
POLICY = SigningPolicy(
    chain_id=CHAIN_ID,
    address=address_of(),
    calls=aave_v3_calls(POOL, {USDC.address: 10**9}, [ACCOUNT]),
    fee_wei_max=10**17,
)


def tx(**changes: object) -> TxFields:
    base = TxFields(
        chain_id=CHAIN_ID,
        nonce=3,
        to=POOL,
        data=repay_call().data,
        value_wei=0,
        gas_limit=300_000,
        max_fee_wei=40 * GWEI,
        tip_wei=GWEI,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def data(name: str, types: str, *values: object) -> bytes:
    return keccak(text=f"{name}({types})")[:4] + encode(types.split(","), values)


def repay(asset: str = USDC.address, units: int = 5, mode: int = 2, owner: str = ACCOUNT) -> bytes:
    return data("repay", "address,uint256,uint256,address", asset, units, mode, owner)


def supply(asset: str = USDC.address, units: int = 5, owner: str = ACCOUNT, referral: int = 0) -> bytes:
    return data("supply", "address,uint256,address,uint16", asset, units, owner, referral)


@pytest.mark.parametrize("allowed", [repay(), supply(), repay(units=10**9), supply(units=1)])
def test_policy__when_call_is_named__then_allowed(allowed: bytes) -> None:
    assert POLICY.refuses(tx(data=allowed)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": 0},
        {"nonce": 2**64 - 2},
        {"gas_limit": 21_000},
        {"gas_limit": 16_777_216, "max_fee_wei": 1, "tip_wei": 0},
        {"tip_wei": 0},
        {"tip_wei": 40 * GWEI},
        {"gas_limit": 10**6, "max_fee_wei": 10**11},
    ],
)
def test_policy__when_a_number_is_at_its_very_bound__then_allowed(changes: dict[str, int]) -> None:
    assert POLICY.refuses(tx(**changes)) is None


REFUSED = {
    "chain": (tx(chain_id=1), "pinned"),
    "value": (tx(value_wei=1), "value 1 wei"),
    "target": (tx(to=STRANGER), "target"),
    "token as target": (tx(to=USDC.address, data=data("approve", "address,uint256", POOL, 1)), "target"),
    "selector": (tx(data=data("withdraw", "address,uint256,address", USDC.address, 1, ACCOUNT)), "selector"),
    "no selector": (tx(data=b""), "selector"),
    "asset": (tx(data=repay(asset=STRANGER)), "argument 0"),
    "amount above": (tx(data=repay(units=10**9 + 1)), "argument 1"),
    "amount zero": (tx(data=supply(units=0)), "argument 1"),
    "amount everything": (tx(data=repay(units=UINT256_MAX)), "argument 1"),
    "mode": (tx(data=repay(mode=1)), "argument 2"),
    "owner of repay": (tx(data=repay(owner=STRANGER)), "argument 3"),
    "owner of supply": (tx(data=supply(owner=address_of())), "argument 2"),
    "referral": (tx(data=supply(referral=7)), "argument 3"),
    "trailing bytes": (tx(data=repay() + b"\x00" * 32), "canonical"),
    "short": (tx(data=repay()[:-1]), "decode"),
    "dirty address": (tx(data=repay()[:4] + b"\x01" + repay()[5:]), "decode"),
    "gas above 2**24": (tx(gas_limit=16_777_217, max_fee_wei=1, tip_wei=1), "gas limit"),
    "gas below a transfer": (tx(gas_limit=20_999), "gas limit"),
    "fee above the cap": (tx(max_fee_wei=334 * GWEI), "above the cap"),
    "tip above the fee": (tx(tip_wei=41 * GWEI), "tip"),
    "negative tip": (tx(tip_wei=-1), "tip"),
    "nonce": (tx(nonce=2**64 - 1), "nonce"),
    "nonce below zero": (tx(nonce=-1), "nonce -1 is out of range"),
    "fee one gas above the cap": (tx(gas_limit=10**6 + 1, max_fee_wei=10**11), "above the cap"),
    "self-send with data": (tx(to=address_of(), data=b"\x01"), "self-send"),
    "self-send with value": (tx(to=address_of(), data=b"", value_wei=1), "value"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_signer__when_request_is_outside__then_broken_and_nothing_signed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, word = REFUSED[name]
    signer = LocalSigner(Key(CANARY), POLICY)
    monkeypatch.setattr(Account, "sign_transaction", lambda *_: pytest.fail("signed"))
    with pytest.raises(Broken, match="signer refuses") as refused:
        asyncio.run(signer.sign(request))
    assert word in str(refused.value)


@pytest.mark.parametrize(
    "request_", [tx(), tx(data=supply()), tx(to=address_of(), data=b"", gas_limit=60_000)]
)
def test_signer__when_allowed__then_bytes_carry_the_pinned_chain_and_recover(request_: TxFields) -> None:
    signed = asyncio.run(LocalSigner(Key(CANARY), POLICY).sign(request_))
    assert Account.recover_transaction(signed.raw) == address_of()
    assert signed.hash == "0x" + keccak(signed.raw).hex()
    assert signed.raw[0] == 2
    again = asyncio.run(LocalSigner(Key(CANARY), POLICY).sign(request_))
    assert again == signed
    assert "raw" not in repr(signed)


def test_signer__when_policy_is_for_another_key__then_refused() -> None:
    with pytest.raises(ConfigError, match="policy is for"):
        LocalSigner(Key(CANARY), replace(POLICY, address=STRANGER))


def test_grant__when_approving__then_only_spender_and_finite_amount() -> None:
    calls = (grant_call(USDC.address, POOL, 1000), revoke_call(USDC.address, POOL))
    policy = replace(POLICY, calls=calls)
    approve = "address,uint256"
    assert policy.refuses(tx(to=USDC.address, data=data("approve", approve, POOL, 1000))) is None
    assert policy.refuses(tx(to=USDC.address, data=data("approve", approve, POOL, 0))) is None
    assert policy.refuses(tx(to=USDC.address, data=data("approve", approve, POOL, 1001))) is not None
    assert policy.refuses(tx(to=USDC.address, data=data("approve", approve, STRANGER, 1))) is not None
    assert policy.refuses(tx()) is not None


def test_units__when_unbounded__then_everything_but_the_word_for_everything() -> None:
    policy = replace(POLICY, calls=aave_v3_calls(POOL, {USDC.address: None}, [ACCOUNT]))
    assert policy.refuses(tx(data=repay(units=UINT256_MAX - 1))) is None
    assert policy.refuses(tx(data=repay(units=UINT256_MAX))) is not None


def test_argument__when_nothing_rules_it__then_refused() -> None:
    assert Argument(kind="uint256").refuses(1) == "1 has no rule"
    assert Argument(kind="bool", at_most=5).refuses(b"x") == "b'x' has no rule"
    assert Argument(kind="uint256", at_most=5).refuses(5) is None
    assert Argument(kind="uint256", at_most=5).refuses(6) == "6 is not within 1..5"
    assert Argument(kind="uint256", at_most=5).refuses(0) == "0 is not within 1..5"
    assert Argument(kind="uint256", among=frozenset({0})).refuses(0) is None


def test_policy__when_the_data_is_no_bytes__then_refused_before_anything_reads_it() -> None:
    assert POLICY.refuses(tx(data="0x")) == "data is no bytes"


def words(*values: int) -> bytes:
    return b"".join(v.to_bytes(32) for v in values)


_TOKEN = int(USDC.address, 16)
_OTHER = int(STRANGER, 16)


@pytest.mark.parametrize(
    "signature, given, units",
    [
        ("supply(address,uint256,address,uint16)", (_TOKEN, 7, _OTHER, 0), 7),
        ("repay(address,uint256,uint256,address)", (_TOKEN, 7, 2, _OTHER), 7),
        ("supplyTo(address,address,uint256)", (_OTHER, _TOKEN, 7), 7),
        (
            "supplyCollateral((address,address,address,address,uint256),uint256,address,bytes)",
            (_OTHER, _TOKEN, 1, 2, 3, 7, _OTHER, 8, 0),
            7,
        ),
        (
            "repay((address,address,address,address,uint256),uint256,uint256,address,bytes)",
            (_TOKEN, _OTHER, 1, 2, 3, 7, 0, _OTHER, 9, 0),
            7,
        ),
        # by shares, of which a million are a unit: taken for twice as much, and rounded up
        (
            "repay((address,address,address,address,uint256),uint256,uint256,address,bytes)",
            (_TOKEN, _OTHER, 1, 2, 3, 0, 3 * 10**6, _OTHER, 9, 0),
            6,
        ),
        (
            "repay((address,address,address,address,uint256),uint256,uint256,address,bytes)",
            (_TOKEN, _OTHER, 1, 2, 3, 0, 3 * 10**6 + 1, _OTHER, 9, 0),
            8,
        ),
        # every bit of the word counts, and none beside it
        (
            "repay((address,address,address,address,uint256),uint256,uint256,address,bytes)",
            (_TOKEN, _OTHER, 1, 2, UINT256_MAX, 0, UINT256_MAX, _OTHER, 9, 0),
            2 * (UINT256_MAX // 10**6 + 1),
        ),
        ("supply(address,uint256,address,uint16)", (_TOKEN, UINT256_MAX, UINT256_MAX, 0), UINT256_MAX),
    ],
)
def test_spend_of__when_a_call_pays_out_of_the_wallet__then_token_and_units_of_it(
    signature: str, given: tuple[int, ...], units: int
) -> None:
    assert spend_of(keccak(text=signature)[:4] + words(*given)) == (USDC.address.lower(), units)


def test_spend_of__when_the_call_is_another__then_nothing() -> None:
    assert spend_of(keccak(text="transfer(address,uint256)")[:4] + words(_TOKEN, 7)) == ("", 0)
