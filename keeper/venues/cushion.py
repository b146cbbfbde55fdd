"""What an Executor must keep of a protocol's own token so that no sale lacks a unit, where a venue says so. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from keeper.model import Call, Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Cushion:
    """That of one token at one Executor."""

    token: Token
    receipt: str
    """The protocol's own token for it, which is what is kept."""
    units: int
    """Of that token, once and for good."""
    asks: Call
    """Its first word is what the Executor keeps; nothing is too little."""
    gives: Call
    """What its owner sends, or anybody who holds some."""


@runtime_checkable
class Cushioned(Protocol):
    """A venue whose roundings may leave an Executor a unit short of what it took."""

    def cushions(self, executor: str) -> tuple[Cushion, ...]:
        """One for each token that may be sold there; none where nothing must be kept."""
        ...
