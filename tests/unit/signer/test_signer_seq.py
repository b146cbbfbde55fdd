"""A position's plans are signed in the order of their numbers, each for one nonce and no other content beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.clock import ManualClock
from keeper.seams import Signed, TxFields
from keeper.signer.guarded import GuardedSigner
from keeper.signer.key import Key
from keeper.signer.policy import SigningPolicy
from keeper.signer.store import DayCaps, Refused, Store
from keeper.units import GWEI
from keeper.venues.aave_v3.signing import aave_v3_calls
from tests.keystores import CANARY, address_of
from tests.plans import ACCOUNT, CHAIN_ID, POOL, USDC, repay_call

pytestmark = pytest.mark.unit
FEE = 300_000 * 30 * GWEI
POLICY = SigningPolicy(
    chain_id=CHAIN_ID,
    address=address_of(),
    calls=aave_v3_calls(POOL, {USDC.address: 5_000_000}, [ACCOUNT]),
    fee_wei_max=9 * FEE,
)
CAPS = DayCaps(fee_wei=99 * FEE, units={USDC.address.lower(): 99_000_000})


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[GuardedSigner]:
    store = Store.create(tmp_path / "signer.sqlite")
    store.adopt(CHAIN_ID, 0, "test", 0.0)
    yield GuardedSigner(Key(CANARY), POLICY, CAPS, store, ManualClock(1e6))
    store.close()


def sign(signer: GuardedSigner, nonce: int, intent: str, *, units: int = 1_000_000, gwei: int = 20) -> Signed:
    """A repayment for an intent."""
    asked = TxFields(
        chain_id=CHAIN_ID,
        nonce=nonce,
        to=POOL,
        data=repay_call(units).data,
        value_wei=0,
        gas_limit=300_000,
        max_fee_wei=gwei * GWEI,
        tip_wei=gwei * GWEI // 10,
        intent=intent,
    )
    return asyncio.run(signer.sign(asked))


def test_signer__when_a_number_was_left_out_and_comes_later__then_refused(signer: GuardedSigner) -> None:
    sign(signer, 0, "a#9")
    sign(signer, 1, "a#11")
    for seq in (1, 9, 10, 11):
        with pytest.raises(Refused, match="S5"):
            sign(signer, 2, f"a#{seq}")
    assert sign(signer, 2, "a#12").raw


def test_signer__when_another_position_has_a_higher_number__then_no_matter(signer: GuardedSigner) -> None:
    sign(signer, 0, "a#5")
    for nonce, other in enumerate(("b#1", "aa#1", "a:b#1", "A#1"), start=1):
        assert sign(signer, nonce, other).raw


def test_signer__when_the_same_number_is_asked_again__then_the_same_bytes_or_a_dearer_replacement(
    signer: GuardedSigner,
) -> None:
    first = sign(signer, 0, "a#1")
    sign(signer, 1, "a#2")
    assert sign(signer, 0, "a#1") == first
    assert sign(signer, 0, "a#1", units=2_000_000, gwei=23) != first
    with pytest.raises(Refused, match="S3"):
        sign(signer, 0, "a#1", units=3_000_000, gwei=24)


def test_signer__when_numbers_have_more_digits__then_they_are_compared_as_numbers(
    signer: GuardedSigner,
) -> None:
    sign(signer, 0, "a#99")
    assert sign(signer, 1, "a#100").raw
    with pytest.raises(Refused, match="up to number 100"):
        sign(signer, 2, "a#20")


def test_signer__when_an_intent_has_no_number__then_only_its_nonce_orders_it(signer: GuardedSigner) -> None:
    """A grant by hand is no position's plan."""
    sign(signer, 0, "grant#later")
    assert sign(signer, 1, "grant#first").raw
    with pytest.raises(Refused, match="S5: grant#later was signed for nonce 0"):
        sign(signer, 2, "grant#later")
