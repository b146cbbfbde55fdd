"""A signer that would sign other bytes than eth_account is never built."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from coincurve import PrivateKey

from keeper.errors import Broken
from keeper.seams import Signed, TxFields
from keeper.signer import eip1559
from keeper.signer.guarded import GuardedSigner
from keeper.signer.key import Key
from keeper.signer.local import LocalSigner
from keeper.signer.policy import SigningPolicy
from keeper.signer.selfcheck import PROBE
from tests.keystores import CANARY, address_of

pytestmark = pytest.mark.unit
POLICY = SigningPolicy(chain_id=1, address=address_of(), calls=(), fee_wei_max=1)
NOT_REACHED: Any = None


def test_signer__when_ours_is_eth_accounts_signature__then_it_is_built() -> None:
    assert LocalSigner(Key(CANARY), POLICY).address == address_of()


def test_probe__which_the_real_key_signs__could_be_mined_nowhere_and_is_worth_nothing() -> None:
    assert PROBE.gas_limit < 21_000, "no transaction is that cheap"
    assert PROBE.nonce == 2**64 - 2, "the last that a chain may count to (EIP-2681)"
    assert PROBE.chain_id == 2**53 - 1, "no chain has it"
    assert (PROBE.value_wei, PROBE.tip_wei) == (0, 0)
    # zero, one byte, a short string, a long one whose length takes two bytes: all that the encoding tells apart
    assert len(PROBE.data) == 256
    assert set(PROBE.data) == set(range(256))


@pytest.mark.parametrize("wrong", ["nonce", "raise"])
def test_signer__when_our_bytes_differ__then_refused_and_no_key_is_told(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = eip1559.sign

    def sign(tx: TxFields, key: PrivateKey) -> Signed:
        if wrong == "raise":
            raise ValueError(CANARY.hex())
        return right(replace(tx, nonce=tx.nonce - 1), key)

    monkeypatch.setattr(eip1559, "sign", sign)
    for build in (
        lambda: LocalSigner(Key(CANARY), POLICY),
        lambda: GuardedSigner(Key(CANARY), POLICY, NOT_REACHED, NOT_REACHED, NOT_REACHED),
    ):
        with pytest.raises(Broken, match="self-check") as caught:
            build()
        assert CANARY.hex() not in str(caught.value)
        assert caught.value.__cause__ is None
