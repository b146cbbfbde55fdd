"""What a venue may tell of itself besides (``seams.Venue`` is what it must): each by a socket of its own. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from keeper.model import Call, Step, Token
from keeper.seams import LogFilter
from keeper.words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A feed as a venue names it, before it was looked at."""

    id: str
    symbol: str
    address: str
    expected_decimals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An oracle, and the two tokens that it sets against each other."""

    id: str
    address: str
    symbols: tuple[str, str]
    """Collateral, loan token."""
    decimals: tuple[int, int]


@runtime_checkable
class Performs(Protocol):
    """A lending venue that names the functions by which it performs the wallet's steps. Pure."""

    @property
    def functions(self) -> Mapping[type[Step], frozenset[bytes]]:
        """Selectors by kind of step; each names its token, its account and its units in whole words."""
        ...

    @property
    def by_shares(self) -> frozenset[bytes]:
        """Those that name a whole debt by the stored integer instead of its units."""
        ...


@runtime_checkable
class Lends(Protocol):
    """A venue whose logs tell who ever borrowed."""

    def borrow_logs(self) -> tuple[LogFilter, int]:
        """The logs, and which of their topics names the borrower."""
        ...


@runtime_checkable
class Fed(Protocol):
    """A venue each of whose prices is one feed's answer."""

    @property
    def priced(self) -> Mapping[str, Token]:
        """Identity of a price -> the token."""
        ...

    def feed_calls(self) -> tuple[Call, ...]:
        """What is asked to learn where the prices come from; may be nothing."""
        ...

    def feeds(self, words: Words) -> tuple[Named, ...]:
        """The feeds, from the words of ``feed_calls``; a price that no feed tells is left out."""
        ...


@runtime_checkable
class Composes(Protocol):
    """A venue whose oracles are made of several feeds each."""

    @property
    def oracles(self) -> tuple[Pair, ...]:
        """Each with the pair that it prices."""
        ...


@runtime_checkable
class Waits(Protocol):
    """A venue that does not liquidate for a while after its chain's sequencer stood."""

    @property
    def sentinel_of(self) -> str:
        """The contract that names the sentinel; empty where none is asked."""
        ...


@runtime_checkable
class Delays(Protocol):
    """A venue whose next price is known before it counts."""

    foreseen_wad: int | None
    """The lowest price that will count; None: not known."""

    @property
    def delayed(self) -> tuple[str, str]:
        """(identity of the price, the contract that holds it back)."""
        ...


@runtime_checkable
class InDollars(Protocol):
    """A venue whose oracle prices tokens in dollars, for venues that have none."""

    @property
    def dollar_oracle(self) -> str:
        """Its address."""
        ...


@runtime_checkable
class Lined(Protocol):
    """A venue where a contract that an owner authorised may draw a stricter line than the market's own."""

    async def lines(
        self, who: Sequence[str], read: Callable[[Sequence[Call]], Awaitable[Words]]
    ) -> tuple[str, ...]:
        """Those of them that do so in this market. Raises Transient."""
        ...
