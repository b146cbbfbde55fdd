"""EIP-1559 transactions as bytes: recursive length prefix, hash, recoverable signature. Nothing else.

Written out because it is short, and because a generic library spends most of its time finding out what kind
of transaction it was given. ``tests/property`` holds the bytes equal to that library's.
"""

from __future__ import annotations

from dataclasses import dataclass

from coincurve import PrivateKey
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from keeper.seams import Signed, TxFields

_TYPE = b"\x02"
_NO_ACCESS_LIST = b"\xc0"


def unsigned_payload(tx: TxFields) -> bytes:
    """The nine fields of EIP-1559, encoded and concatenated without their list prefix."""
    return b"".join(
        (
            rlp_uint(tx.chain_id),
            rlp_uint(tx.nonce),
            rlp_uint(tx.tip_wei),
            rlp_uint(tx.max_fee_wei),
            rlp_uint(tx.gas_limit),
            rlp_bytes(bytes.fromhex(tx.to.removeprefix("0x"))),
            rlp_uint(tx.value_wei),
            rlp_bytes(tx.data),
            _NO_ACCESS_LIST,
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """A transaction up to its signature."""

    payload: bytes
    digest: bytes
    """What the key signs."""


def unsigned(tx: TxFields) -> Unsigned:
    """All of ``tx`` that needs no key."""
    payload = unsigned_payload(tx)
    return Unsigned(payload=payload, digest=keccak(_TYPE + rlp_list_prefix(len(payload)) + payload))


def sign(tx: TxFields, key: PrivateKey) -> Signed:
    """The signed transaction and its hash."""
    return signed(unsigned(tx), key)


def signed(made: Unsigned, key: PrivateKey) -> Signed:
    """The same from its prepared part; libsecp256k1's nonce is RFC 6979's and its s is the low one."""
    payload = made.payload
    signature = key.sign_recoverable(made.digest, hasher=None)
    tail = (
        rlp_uint(signature[64])
        + rlp_bytes(signature[:32].lstrip(b"\0"))
        + rlp_bytes(signature[32:64].lstrip(b"\0"))
    )
    raw = _TYPE + rlp_list_prefix(len(payload) + len(tail)) + payload + tail
    return Signed(raw=raw, hash="0x" + keccak(raw).hex())


def rlp_uint(value: int) -> bytes:
    """A non-negative integer: big-endian without leading zeros. Raises OverflowError when negative."""
    return rlp_bytes(value.to_bytes((value.bit_length() + 7) // 8))


def rlp_bytes(data: bytes) -> bytes:
    """A string of bytes."""
    size = len(data)
    if size == 1 and data[0] < 0x80:
        return data
    return _prefix(size, 0x80) + data


def rlp_list_prefix(size: int) -> bytes:
    """What stands before a list whose items take ``size`` bytes together."""
    return _prefix(size, 0xC0)


def _prefix(size: int, offset: int) -> bytes:
    if size < 56:
        return bytes((offset + size,))
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((offset + 55 + len(length),)) + length


def gas_limit(raw: bytes) -> int:
    """The gas limit that signed bytes carry."""
    return int(TypedTransaction.from_bytes(HexBytes(raw)).as_dict()["gas"])
