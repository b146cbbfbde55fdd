"""How a venue says what a keeper may call there: a function of a contract, with a rule for every argument. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from keeper.units import UINT256_MAX

SHARES_PER_UNIT = 10**6
"""Morpho's VIRTUAL_SHARES: a share is born worth a millionth of a unit, and interest makes it more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One static ABI argument: among listed values, or an integer of at most ``at_most``."""

    kind: str
    """ABI type: ``address`` or ``uintN``."""
    among: frozenset[str | int] = frozenset()
    """Addresses in lower case, or integers. Empty: ``at_most`` decides."""
    at_most: int | None = None

    def refuses(self, value: object) -> str | None:
        """Why ``value`` is not allowed, or None."""
        if isinstance(value, str):
            return None if value.lower() in self.among else f"{value} is not allowed"
        if self.among:
            return None if value in self.among else f"{value} is not allowed"
        if not isinstance(value, int) or self.at_most is None:
            return f"{value!r} has no rule"
        return None if 0 < value <= self.at_most else f"{value} is not within 1..{self.at_most}"


@lru_cache(maxsize=256)
def selector_of(signature: str) -> bytes:
    """The first four bytes of a function signature's hash."""
    return keccak(text=signature)[:4]


@lru_cache(maxsize=16)
def canonical(kinds: tuple[str, ...], words: bytes) -> tuple[object, ...] | str:
    """The values that ``words`` encode, to the last byte, or why they do not; one call is held against many rules."""
    try:
        values = decode(kinds, words)
    except (DecodingError, OverflowError, ValueError) as error:
        return f"calldata does not decode ({type(error).__name__})"
    return values if encode(kinds, values) == words else "calldata is not canonical"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedCall:
    """One function of one contract with a rule for every argument."""

    target: str
    name: str
    arguments: tuple[Argument, ...]
    signature: str = ""
    """Where a tuple or empty bytes stand among the arguments, which are listed here word by word."""
    spends: tuple[int, ...] = ()
    """Which of its words are the token and the units that it takes out of the wallet; empty: the signer knows."""

    @property
    def selector(self) -> bytes:
        """The first four bytes of the signature's hash."""
        return selector_of(self.signature or f"{self.name}({','.join(a.kind for a in self.arguments)})")

    def refuses(self, data: bytes) -> str | None:
        """Why this calldata is not allowed, or None; it must be the canonical encoding to the last byte."""
        values = canonical(tuple(a.kind for a in self.arguments), data[4:])
        if isinstance(values, str):
            return f"{self.name}: {values}"
        for position, (argument, value) in enumerate(zip(self.arguments, values, strict=True)):
            if (why := argument.refuses(value)) is not None:
                return f"{self.name}, argument {position}: {why}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Venued:
    """One venue as its calls are bounded."""

    spender: str
    units_max: Mapping[str, int | None]
    """Token address -> most units in one call (None: no bound but 2**256 - 2)."""
    accounts: tuple[str, ...]
    terms: tuple[str | int, ...] = ()
    """What names the market where one contract holds many (``seams.OneOfMany``)."""
    prices: Mapping[str, int] = field(default_factory=dict)
    """Token address -> dollars of one smallest unit, 30 decimals; of a perpetual's index."""
    fee_wei_max: int = 0
    """Most that a transaction may pay a venue's keeper for a second step."""


def exactly(value: str | int) -> Argument:
    """An argument that is that address or that integer."""
    if isinstance(value, int):
        return Argument(kind="uint256", among=frozenset({value}))
    return Argument(kind="address", among=frozenset({value.lower()}))


def owners(accounts: Iterable[str]) -> Argument:
    """An argument that is one of the guarded accounts."""
    return Argument(kind="address", among=frozenset(a.lower() for a in accounts))


def units(most: int | None) -> Argument:
    """An amount of at most ``most``; never ``type(uint256).max``, which means "everything"."""
    return Argument(kind="uint256", at_most=UINT256_MAX - 1 if most is None else most)
