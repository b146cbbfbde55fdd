"""What the signers of a Safe will see: the hashes of its transaction, and the file that Transaction Builder imports.

Source: Safe.sol 1.3.0 to 1.5.0 (domainSeparator, getTransactionHash) and MultiSendCallOnly.sol. A Safe's transaction
is signed for one nonce: with another in the queue before it, the hashes are others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.executor.abi import ZERO, selector
from keeper.model import Call

DOMAIN_TYPE = keccak(text="EIP712Domain(uint256 chainId,address verifyingContract)")
TX_TYPE = keccak(
    text="SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,"
    "uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)"
)
MULTI_SEND = selector("multiSend(bytes)")
NONCE = selector("nonce()")
VERSION = selector("VERSION()")
CALL, DELEGATECALL = 0, 1
MULTI_SEND_CALL_ONLY = {
    "1.3.0": "0x40A2aCCbd92BCA938b02010E17A5b8929b49130D",
    "1.4.1": "0x9641d764fc13c8B624c04430C7356C1C7C8102e2",
    "1.5.0": "0xA83c336B20401Af773B6219BA5027174338D1836",
}
"""Canonical deployments (safe-global/safe-deployments), which the Safe's own interface uses for a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Safe:
    """One Safe as the chain has it."""

    chain_id: int
    address: str
    version: str
    nonce: int
    multi_send: str
    """Through which a batch goes; empty where none is known for the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a signer's wallet shows, and what the chain will be asked for."""

    to: str
    data: bytes
    operation: int
    nonce: int
    domain_hash: str
    message_hash: str
    safe_tx_hash: str


def seen(safe: Safe, calls: Sequence[Call]) -> Seen:
    """The transaction of all calls at once. ValueError without a call, or a batch without a place for it."""
    to, data, operation = _whole(safe, calls)
    domain = keccak(DOMAIN_TYPE + encode(["uint256", "address"], [safe.chain_id, safe.address]))
    kinds = ["address", "uint256", "bytes32", "uint8", "uint256", "uint256", "uint256", "address", "address"]
    value = calls[0].value_wei if operation == CALL else 0
    body = [to, value, keccak(data), operation, 0, 0, 0, ZERO, ZERO]
    message = keccak(TX_TYPE + encode([*kinds, "uint256"], [*body, safe.nonce]))
    return Seen(
        to=to,
        data=data,
        operation=operation,
        nonce=safe.nonce,
        domain_hash="0x" + domain.hex(),
        message_hash="0x" + message.hex(),
        safe_tx_hash="0x" + keccak(b"\x19\x01" + domain + message).hex(),
    )


def payload(calls: Sequence[Call]) -> bytes:
    """MultiSend's packed transactions: operation, to, value, length, data, one after the other."""
    return b"".join(
        bytes([CALL])
        + bytes.fromhex(c.target[2:])
        + c.value_wei.to_bytes(32)
        + len(c.data).to_bytes(32)
        + c.data
        for c in calls
    )


def document(found: Seen) -> dict[str, object]:
    """The same for a person or a program, by the names that wallets use."""
    batch = {"multiSendPayload": "0x" + found.data.hex()} if found.operation == DELEGATECALL else {}
    return {
        "to": found.to,
        "operation": found.operation,
        "nonce": found.nonce,
        "domainHash": found.domain_hash,
        "messageHash": found.message_hash,
        "safeTxHash": found.safe_tx_hash,
        **batch,
    }


def _whole(safe: Safe, calls: Sequence[Call]) -> tuple[str, bytes, int]:
    """(to, data, operation): the call itself, or all of them through MultiSend."""
    if not calls:
        raise ValueError("nothing is to be signed")
    if len(calls) == 1:
        return calls[0].target, calls[0].data, CALL
    if not safe.multi_send:
        raise ValueError(f"no MultiSend is known for version {safe.version}")
    return safe.multi_send, MULTI_SEND + encode(["bytes"], [payload(calls)]), DELEGATECALL
