"""Our own transaction bytes are those of eth_account, and the signature is the canonical one."""

from __future__ import annotations

import pytest
from coincurve import PrivateKey
from eth_account import Account
from eth_utils.address import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.seams import TxFields
from keeper.signer.eip1559 import sign

pytestmark = pytest.mark.property
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of secp256k1."""
EDGES = st.sampled_from([0, 1, 127, 128, 255, 256, 2**64 - 2])
SIZES = st.sampled_from([0, 1, 2, 54, 55, 56, 57, 255, 256, 257, 65_535, 65_536])

secrets = st.integers(min_value=1, max_value=ORDER - 1).map(lambda n: n.to_bytes(32))
fields = st.builds(
    TxFields,
    chain_id=st.integers(min_value=1, max_value=2**63 - 1) | st.sampled_from([1, 127, 128, 8453]),
    nonce=st.integers(min_value=0, max_value=2**64 - 2) | EDGES,
    to=st.binary(min_size=20, max_size=20).map(to_checksum_address),
    data=st.binary(max_size=300) | SIZES.map(bytes) | st.binary(min_size=1, max_size=1),
    value_wei=st.integers(min_value=0, max_value=2**256 - 1) | EDGES,
    gas_limit=st.integers(min_value=21_000, max_value=2**24),
    max_fee_wei=st.integers(min_value=0, max_value=2**128) | EDGES,
    tip_wei=st.integers(min_value=0, max_value=2**128) | EDGES,
)


def by_library(tx: TxFields, secret: bytes) -> tuple[bytes, str, int, int]:
    """(raw, hash, s, y parity) as eth_account signs it."""
    signed = Account.sign_transaction(
        {
            "type": 2,
            "chainId": tx.chain_id,
            "nonce": tx.nonce,
            "to": tx.to,
            "data": tx.data,
            "value": tx.value_wei,
            "gas": tx.gas_limit,
            "maxFeePerGas": tx.max_fee_wei,
            "maxPriorityFeePerGas": tx.tip_wei,
            "accessList": (),
        },
        secret,
    )
    return bytes(signed.raw_transaction), "0x" + bytes(signed.hash).hex(), signed.s, signed.v


@settings(max_examples=800, deadline=None)
@given(fields, secrets)
def test_sign__when_anything__then_the_bytes_of_eth_account(tx: TxFields, secret: bytes) -> None:
    ours = sign(tx, PrivateKey(secret))
    raw, tx_hash, s, parity = by_library(tx, secret)
    assert ours.raw == raw
    assert ours.hash == tx_hash
    assert 0 < s <= ORDER // 2
    assert parity in (0, 1)


def test_sign__when_r_or_s_begins_with_zeros__then_they_are_left_out() -> None:
    found = 0
    for nonce in range(2_000):
        tx = TxFields(
            chain_id=1,
            nonce=nonce,
            to="0x" + "11" * 20,
            data=b"",
            value_wei=0,
            gas_limit=21_000,
            max_fee_wei=1,
            tip_wei=1,
        )
        ours = sign(tx, PrivateKey(b"\x07" * 32))
        # both are 32 bytes long in an ordinary one: 1 prefix each
        if len(ours.raw) < 2 + 33 + 33 + 1 + 34 + (nonce > 127) + (nonce > 255):
            found += 1
            assert ours.raw == by_library(tx, b"\x07" * 32)[0]
    assert found >= 3
