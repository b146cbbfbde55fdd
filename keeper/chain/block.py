"""A block header from JSON, strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping

from keeper.chain.rpc import QUANTITY
from keeper.errors import Transient
from keeper.model import Block

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_BIG = re.compile(r"0x[0-9a-fA-F]{1,64}")


def parse_block(chain_id: int, obj: object) -> Block:
    """A header as a record. Raises Transient unless every field is there and is what it should be."""
    if not isinstance(obj, Mapping):
        raise Transient(f"chain id {chain_id}: no block header where one was asked for")
    return Block(
        chain_id=chain_id,
        number=int(_field(obj, "number", QUANTITY), 16),
        hash=_field(obj, "hash", _HASH).lower(),
        parent_hash=_field(obj, "parentHash", _HASH).lower(),
        timestamp_s=int(_field(obj, "timestamp", QUANTITY), 16),
        # unknown is not zero: without a base fee no transaction can be priced
        base_fee_wei=int(_field(obj, "baseFeePerGas", _BIG), 16),
    )


def _field(obj: Mapping[object, object], name: str, shape: re.Pattern[str]) -> str:
    value = obj.get(name)
    if not isinstance(value, str) or not shape.fullmatch(value):
        raise Transient(f"block header with a malformed {name}")
    return value
