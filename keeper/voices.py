"""What each endpoint by itself says of a wallet's transactions: one that tells too many must not stop a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from keeper.config import ChainSettings
from keeper.errors import Transient
from keeper.seams import Transport
from keeper.units import QUANTITY_CHARS_MAX

COUNT = 64
"""Endpoints asked: all there are."""
WAIT_S = 0.5
"""For the slower ones, once one has answered."""
QUORUM = 2
"""So many must say a thing before it is believed for good, where so many are configured."""


@runtime_checkable
class AsksEach(Protocol):
    """A transport that can ask several endpoints by themselves, and tells how many were configured."""

    @property
    def chain(self) -> ChainSettings:
        """The chain as configured."""
        ...

    async def request_each(
        self, method: str, params: Sequence[object], count: int, *, timeout_s: float = 4.0, wait_s: float
    ) -> tuple[object, ...]:
        """Up to ``count`` endpoints' answers, each its result or its error. Raises Transient where there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many transactions of a wallet they know at one place of the chain."""

    configured: int
    told: tuple[int, ...]
    """Of those that answered, the highest first."""

    @property
    def agreed(self) -> int | None:
        """The highest count that two of them bear out; None where fewer than two answered."""
        return self.told[QUORUM - 1] if len(self.told) >= QUORUM else None

    def above(self, known: int) -> int:
        """How many of them tell more than ``known``."""
        return sum(n > known for n in self.told)


async def counts(transport: Transport, address: str, tag: str) -> Counts | None:
    """Each usable endpoint's own count at that block; None where only one was ever configured, or can be asked.

    Never raises: silence, and what is no count, is left out.
    """
    if not isinstance(transport, AsksEach) or len(transport.chain.endpoints) < QUORUM:
        return None
    try:
        answers = await transport.request_each(
            "eth_getTransactionCount", [address, tag], COUNT, wait_s=WAIT_S
        )
    except Transient:
        answers = ()
    told = [n for a in answers if (n := _quantity(a)) is not None]
    return Counts(configured=len(transport.chain.endpoints), told=tuple(sorted(told, reverse=True)))


def _quantity(answer: object) -> int | None:
    if not isinstance(answer, str) or not answer.startswith("0x") or len(answer) > QUANTITY_CHARS_MAX:
        return None
    try:
        return int(answer, 16)
    except ValueError:
        return None
