"""What GMX v2 says of a market and a position, as integers in its own units.

USD: 1e30 a dollar. A price: USD (1e30) of one smallest unit of the token. A factor: 1e30 is 1. Fees per size: USD
(1e30) times 1e15. Amounts: the token's smallest units.
"""

from __future__ import annotations

from dataclasses import dataclass

USD = 10**30
FACTOR = 10**30
PER_SIZE = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What the oracle says at the least and at the most. ValueError where that is no pair of prices."""

    min: int
    max: int

    def __post_init__(self) -> None:
        if not 0 < self.min <= self.max:
            raise ValueError(f"a price of {self.min} to {self.max} is missing or crossed")

    @property
    def mid(self) -> int:
        """Between the two, rounded down."""
        return (self.min + self.max) // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Of the index, the long and the short token."""

    index: Price
    long: Price
    short: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """A number for longs and one for shorts."""

    long: int
    short: int

    def of(self, long: bool) -> int:
        """The side's."""
        return self.long if long else self.short


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A number by collateral: positions backed by the long and by the short token."""

    long: int
    short: int

    @property
    def total(self) -> int:
        """Both."""
        return self.long + self.short

    def of(self, long_token: bool) -> int:
        """By collateral."""
        return self.long if long_token else self.short


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """Open interest of one side, by collateral: USD at entry, and index tokens."""

    usd: Pair
    tokens: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Kink:
    """Borrowing a second by usage: ``base`` up to ``optimal``, steeper to ``above`` at full usage; 0: no kink."""

    optimal: int
    base: int
    above: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """``factor`` x usd ^ ``exponent`` where balance improves (``positive``) and where it worsens (``negative``)."""

    positive: int
    negative: int
    exponent_positive: int
    exponent_negative: int
    most_positive: int
    most_negative: int
    """Largest share of a position's size that impact may be."""
    most_at_liquidation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """The funding rule: static with ``factor``, or adaptive where ``increase`` is not 0, from the ``saved`` rate."""

    factor: int
    exponent: int
    increase: int
    decrease: int
    least: int
    most: int
    stable: int
    """Imbalance above which the rate rises."""
    decaying: int
    """Imbalance below which it falls."""
    saved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrowing:
    """The borrowing rule of one side."""

    kink: Kink
    factor: int
    exponent: int
    reserve: int
    """Share of the pool that open interest may reserve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One market with its parameters and accumulators as stored; ``borrow_s``, ``fund_s``: seconds since those were
    brought up to date."""

    prices: Prices
    long: Interest
    short: Interest
    pool: Sides
    """Tokens: long tokens for longs, short tokens for shorts."""
    pnl_most: Sides
    """Share of the pool that traders may win."""
    curve: Curve
    fee: Sides
    """Of closing: ``long`` stands for balance improved, ``short`` for not."""
    borrowing: tuple[Borrowing, Borrowing]
    """Longs, shorts."""
    borrowed: Sides
    """Cumulative borrowing factor."""
    funded: tuple[Pair, Pair]
    """Funding fee per size by collateral: of longs, of shorts."""
    funding: Funding
    borrow_s: int
    fund_s: int
    minimum: int
    minimum_at_liquidation: int
    """Collateral that a position needs at the least, share of its size."""
    minimum_usd: int
    in_tokens: bool
    """Balance is judged by tokens at the mid price instead of USD at entry."""
    smaller_side_free: bool
    """The smaller side pays no borrowing."""
    pnl_adl: Sides = Sides(long=0, short=0)
    """Share of the pool that a side may have won before winners are closed; 0: none is named."""

    def side(self, long: bool) -> Interest:
        """Open interest of longs or shorts."""
        return self.long if long else self.short


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One position as stored."""

    long: bool
    long_token: bool
    """Backed by the market's long token."""
    size: int
    tokens: int
    collateral: int
    pending_impact: int
    """Index tokens owed to (positive) or by the position since its increases."""
    borrowed: int
    funded: int
    increased_s: int = 0
    decreased_s: int = 0
    """When it was last added to, and last reduced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a position stands: USD (1e30) unless said; ``why`` is empty while it may not be liquidated."""

    remaining: int
    need: int
    """Least collateral for its size, never below the market's minimum in USD."""
    pnl: int
    impact: int
    fee: int
    borrowing: int
    funding: int
    """The three in collateral tokens."""
    why: str

    @property
    def liquidatable(self) -> bool:
        """The venue's verdict."""
        return bool(self.why)
