"""What a venue says of one owner's position so that his Executor can act on it: its id there, and the grant. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from eth_abi.abi import encode

from keeper.model import Call, Token


@dataclass(frozen=True, slots=True, kw_only=True)
class BySignature:
    """How the same grant is given by a signed message (EIP-712 type ``Authorization``)."""

    nonce: bytes
    """Selector of the view (owner) -> the next nonce."""
    fields: tuple[str, str, str, str, str]
    """Names of owner, manager, whether, nonce and the last second, in their order."""
    submits: bytes
    """Selector of what takes the message with its signature."""
    named: bool
    """The domain has name and version, which the contract tells."""
    in_structs: bool
    """Message and signature are two structs; else all words in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """A grant that its protocol has only whole: whoever holds it may do everything there for the owner."""

    contract: str
    """Where it is given, and asked about."""
    asks: bytes
    """Selector of the view (owner, manager) -> bool."""
    allows: bytes
    """Selector of what the owner calls: (manager, bool)."""
    name: str
    """Of that function."""
    reach: str
    """What it permits, in words."""
    by_signature: BySignature | None = None

    def asked(self, owner: str, executor: str) -> Call:
        """Whether the Executor may act for the owner."""
        return Call(target=self.contract, data=self.asks + encode(["address", "address"], [owner, executor]))

    def given(self, executor: str, allowed: bool) -> Call:
        """What the owner signs to give it, or to take it back."""
        return Call(target=self.contract, data=self.allows + encode(["address", "bool"], [executor, allowed]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A stricter line than the one by which the Executor measures, where the owner's own word makes it count."""

    asks: Call
    """Answers whether he gave it."""
    share: tuple[int, int]
    """(its loan-to-value, the Executor's): health by it is that share of health by the Executor's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """The price by which the Executor measures, where the position itself is counted by a lower one."""

    first: tuple[Call, ...] = ()
    """What the Executor calls before it measures, whose answers say nothing."""
    asks: tuple[tuple[Call, int], ...]
    """Each call with the word of its answer that counts."""
    price: Callable[..., int]
    """Of those words, in the base of the venue's reserves."""
    venue: str
    token: Token
    """Whose reserve tells the price that is counted here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One position, as an Executor of its venue sees it."""

    key: str
    """The position's id inside the Executor: 32 bytes as 0x-hex."""
    permit: Permit | None = None
    """None: the grant is a finite allowance of the protocol's own tokens."""
    receipts: Mapping[str, str] = field(default_factory=dict)
    """Token -> the protocol's own for it, whose allowance is the grant."""
    held: Mapping[str, tuple[Call, int]] = field(default_factory=dict)
    """Collateral token -> what tells how many units the owner has in the position, and in which word."""
    lines: tuple[Line, ...] = ()
    measure: Measure | None = None
    owner: str = ""
    """Whose Executor it is, where the position's account is not its owner."""
    lag: tuple[int, int] = (1, 1)
    """By what share of the Executor's price a position may be counted while the Executor is still to act."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What its owner names at deployment beside lenders and pools: in the struct's order, each with its address."""
    lacks: str = ""
    """What must be configured before anything can be sold; empty when nothing is missing."""


@runtime_checkable
class Seated(Protocol):
    """A venue for which an Executor ships."""

    def seat(self, owner: str) -> Seat:
        """The owner's position as his Executor sees it."""
        ...


def padded(address: str) -> str:
    """An address as the id of a position: 32 bytes as 0x-hex."""
    return "0x" + address[2:].lower().rjust(64, "0")
