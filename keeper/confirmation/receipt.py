"""A receipt as a node tells it, checked field by field against what was signed. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keeper.errors import Transient
from keeper.model import Attempt
from keeper.units import QUANTITY_CHARS_MAX

_ADDRESS = re.compile("0x[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receipt whose fields were checked against the attempt it belongs to."""

    attempt: Attempt
    succeeded: bool
    block_number: int
    block_hash: str
    gas_used: int
    gas_price_wei: int

    @property
    def acted(self) -> bool:
        """Whether it did what its plan is for: no self-send, and not reverted."""
        return self.succeeded and not self.attempt.cancel


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the chain showed of one intent in this block."""

    receipt: Receipt | None
    sure: bool
    """False when an answer is missing: then absence means nothing."""


def receipt_of(answer: object, attempt: Attempt, sender: str) -> Receipt:
    """A node's receipt, checked against what we signed. Raises Transient when it is not ours or malformed.

    Whom they call is not compared: the hash says it, and of bytes that only the signer kept no plan of ours tells.
    """
    fields = object_of(answer)
    told = {name: text_of(fields, name).lower() for name in ("transactionHash", "from", "to", "blockHash")}
    ours = {"transactionHash": attempt.hash, "from": sender}
    for name, value in ours.items():
        if told[name] != value.lower():
            raise Transient(f"receipt of {attempt.hash} tells {name} {told[name]}, signed was {value}")
    if not _ADDRESS.fullmatch(told["to"]):
        raise Transient(f"receipt of {attempt.hash} tells to {told['to']}, which is no address")
    status = quantity_of(fields.get("status"))
    if status not in (0, 1):
        raise Transient(f"receipt of {attempt.hash} has status {status}")
    return Receipt(
        attempt=attempt,
        succeeded=status == 1,
        block_number=quantity_of(fields.get("blockNumber")),
        block_hash=told["blockHash"],
        gas_used=quantity_of(fields.get("gasUsed")),
        gas_price_wei=quantity_of(fields.get("effectiveGasPrice")),
    )


def object_of(answer: object) -> dict[str, object]:
    """A JSON object. Raises Transient."""
    if not isinstance(answer, dict):
        raise Transient(f"{type(answer).__name__} answered where an object is expected")
    return answer


def text_of(fields: dict[str, object], name: str) -> str:
    """A text member. Raises Transient."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise Transient(f"{name} is missing from a node's answer")
    return value


def quantity_of(answer: object) -> int:
    """A hex quantity. Raises Transient."""
    if not isinstance(answer, str) or not answer.startswith("0x") or len(answer) > QUANTITY_CHARS_MAX:
        raise Transient(f"{type(answer).__name__} answered where a hex quantity is expected")
    try:
        return int(answer, 16)
    except ValueError:
        raise Transient("an answer is no hex quantity") from None
