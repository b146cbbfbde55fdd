"""What was judged and encoded beforehand is signed only as it was, and only while the same policy holds."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from keeper.errors import Unsigned
from keeper.seams import TxFields
from keeper.signer import eip1559
from keeper.signer.key import Key
from keeper.signer.local import LocalSigner
from keeper.signer.policy import SigningPolicy
from keeper.units import GWEI
from keeper.venues.aave_v3.signing import aave_v3_calls
from tests.keystores import CANARY, address_of
from tests.plans import ACCOUNT, CHAIN_ID, POOL, USDC, repay_call

pytestmark = pytest.mark.unit
POLICY = SigningPolicy(
    chain_id=CHAIN_ID,
    address=address_of(),
    calls=aave_v3_calls(POOL, {USDC.address: 10**9}, [ACCOUNT]),
    fee_wei_max=10**17,
)


def tx(units: int = 10**6) -> TxFields:
    call = repay_call(units)
    return TxFields(
        chain_id=CHAIN_ID,
        nonce=3,
        to=call.target,
        data=call.data,
        value_wei=0,
        gas_limit=300_000,
        max_fee_wei=40 * GWEI,
        tip_wei=GWEI,
        intent="a plan",
    )


def test_prepared__when_it_is_signed__then_the_bytes_of_one_that_was_not_and_its_policy_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = asyncio.run(LocalSigner(Key(CANARY), POLICY).sign(tx()))
    signer = LocalSigner(Key(CANARY), POLICY)
    signer.prepare(tx())
    with monkeypatch.context() as patched:
        patched.setattr(SigningPolicy, "refuses", lambda *_: pytest.fail("judged twice"))
        patched.setattr(eip1559, "unsigned", lambda *_: pytest.fail("encoded twice"))
        assert asyncio.run(signer.sign(tx())) == plain
    # once only: the next one is judged anew
    assert asyncio.run(signer.sign(tx())) == plain


@pytest.mark.parametrize("field", ["nonce", "max_fee_wei", "intent"])
def test_prepared__when_another_is_signed__then_that_one_is_judged_and_signed(field: str) -> None:
    signer = LocalSigner(Key(CANARY), POLICY)
    signer.prepare(tx())
    other = replace(tx(), **{field: "b" if field == "intent" else getattr(tx(), field) + 1})
    signed = asyncio.run(signer.sign(other))
    assert signed == asyncio.run(LocalSigner(Key(CANARY), POLICY).sign(other))
    signer.prepare(tx())
    with pytest.raises(Unsigned, match="argument 1"):
        asyncio.run(signer.sign(tx(10**10)))


def test_prepared__when_the_policy_was_renewed_since__then_the_new_one_decides() -> None:
    signer = LocalSigner(Key(CANARY), POLICY)
    signer.prepare(tx())
    signer.renew(replace(POLICY, fee_wei_max=1))
    with pytest.raises(Unsigned, match="above the cap"):
        asyncio.run(signer.sign(tx()))


def test_prepared__when_the_policy_refuses_it__then_nothing_is_kept() -> None:
    signer = LocalSigner(Key(CANARY), POLICY)
    signer.prepare(tx(10**10))
    with pytest.raises(Unsigned, match="argument 1"):
        asyncio.run(signer.sign(tx(10**10)))
