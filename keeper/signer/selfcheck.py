"""Our transaction bytes against eth_account's, with the key that will sign: once for each signer built."""

from __future__ import annotations

import hmac

from coincurve import PrivateKey
from eth_account import Account

from keeper.errors import Broken
from keeper.seams import TxFields
from keeper.signer import eip1559
from keeper.signer.key import Key

PROBE = TxFields(
    chain_id=2**53 - 1,
    nonce=2**64 - 2,
    to="0x" + "55" * 20,
    data=bytes(range(256)),
    value_wei=0,
    gas_limit=1,
    max_fee_wei=1,
    tip_wei=0,
)
"""A transaction that no chain could take (too little gas, the last nonce): it never leaves this function."""


def check_signing(key: Key, prepared: PrivateKey) -> None:
    """Raises Broken, and nothing may be signed, when the two signatures of one transaction differ.

    A changed libsecp256k1 binding, a changed hash function or a miscompiled build would otherwise first show
    as a rescue that every node refuses.
    """
    try:
        ours = eip1559.sign(PROBE, prepared).raw
        theirs = bytes(
            Account.sign_transaction(
                {
                    "type": 2,
                    "chainId": PROBE.chain_id,
                    "nonce": PROBE.nonce,
                    "to": bytes.fromhex(PROBE.to[2:]),
                    "data": PROBE.data,
                    "value": PROBE.value_wei,
                    "gas": PROBE.gas_limit,
                    "maxFeePerGas": PROBE.max_fee_wei,
                    "maxPriorityFeePerGas": PROBE.tip_wei,
                    "accessList": (),
                },
                key.reveal(),
            ).raw_transaction
        )
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        # frames below hold the key: named by type, not chained
        raise Broken(f"signer self-check failed: {type(error).__name__}; nothing is signed") from None
    if not hmac.compare_digest(ours, theirs):
        raise Broken("signer self-check: our signature differs from eth_account's; nothing is signed")
