"""An attempt's fields as the signer is asked to sign them. Pure."""

from __future__ import annotations

from keeper.model import Attempt, Call
from keeper.seams import TxFields


def fields_of(attempt: Attempt, call: Call, chain_id: int) -> TxFields:
    """What is signed for ``attempt``, whose own bytes are not there yet, carrying ``call``."""
    return TxFields(
        chain_id=chain_id,
        nonce=attempt.nonce,
        to=call.target,
        data=call.data,
        value_wei=call.value_wei,
        gas_limit=attempt.fee.gas_limit,
        max_fee_wei=attempt.fee.max_fee_wei,
        tip_wei=attempt.fee.tip_wei,
        intent=str(attempt.key),
    )
