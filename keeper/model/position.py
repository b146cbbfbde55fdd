"""What is read of the chain at one block: tokens, positions, means. Facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keeper.model.identity import Amount, PositionId, Token
from keeper.model.mandate import Lender, Mandate, Route
from keeper.model.perp import Perp


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block header of one chain."""

    chain_id: int
    number: int
    hash: str
    parent_hash: str
    timestamp_s: int
    base_fee_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One asset inside a position, as the protocol counts it at the block read."""

    amount: Amount
    """Accrued units at the block's timestamp, rounded as the protocol rounds them."""
    stored: int
    """The protocol's own stored integer (Aave: scaled balance; Morpho: shares)."""
    price_base: int
    """The venue's oracle price of one whole token, in base-currency units."""
    value_base: int
    """Value in base-currency units, rounded as the protocol rounds it."""
    threshold_wad: int
    """Collateral: liquidation threshold that applies (e-mode resolved), 0 when not counted. Debt: 1e18."""
    feed: str
    """Identity of the price that this venue uses for it (a price belongs to a venue's oracle)."""
    bonus_bps: int = 0
    """Collateral: what a liquidator gets per 10_000 of debt value (10_500 = 5 % bonus; e-mode resolved)."""
    bonus_fee_bps: int = 0
    """Collateral: the protocol's share of that bonus."""
    ltv_zero: bool = False
    """Collateral that counts but lends nothing (e-mode resolved): on Aave no other may leave before it."""


WHOLE_BPS_AVERAGE = "whole_bps_average"
"""Flag of a row: the protocol floors the average liquidation threshold to whole basis points (Aave v3.0.x)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookRow:
    """A position as two affine forms in feed prices: assets a0 + a.p, requirement b0 + b.p.

    See docs/ARCHITECTURE.md, "The affine book".
    """

    feeds: tuple[str, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    a0: float = 0.0
    b0: float = 0.0
    flags: tuple[str, ...] = ()
    slack: float = 0.0
    """USD of assets that the protocol may stop counting when prices move; shocks are judged without them."""
    holds: tuple[tuple[str, float, float], ...] = ()
    """(feed, lowest, highest price) within which the forms are exact; outside they promise less than the chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One guarded position at one block: the protocol's exact integers, and its row of the book."""

    id: PositionId
    owner: str
    block_number: int
    health_wad: int | None
    """The protocol's own health integer; 2**256-1 without debt; None where a venue has none."""
    collateral: tuple[Holding, ...]
    debt: tuple[Holding, ...]
    base_decimals: int
    """Decimals of the base currency in which value_base and price_base are given (USD)."""
    row: BookRow
    mode: str = ""
    """The venue's own name for what the position is (an Aave e-mode's label, a vault's number, a perp's side and
    market), empty in the ordinary case."""
    emode: bool = False
    """The venue holds that its assets move together; ``mode`` is then the name that it has for it."""
    perp: Perp | None = None
    """A perpetual position's own numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A position that could not be read; it is UNKNOWN, whatever it was before."""

    id: PositionId
    why: str
    since_block: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """What planning must know of one asset on one venue and may not fetch."""

    venue: str
    """The venue's id (``seams.Venue.id``)."""
    token: Token
    feed: str
    price_base: int
    base_decimals: int
    active: bool
    frozen: bool
    paused: bool
    supply_room_units: int | None
    """Units that may still be supplied under the cap; None when there is no cap."""
    cash_units: int
    """Units that can be withdrawn or borrowed now."""
    supply_rate_ray: int
    borrow_rate_ray: int
    supply_index_ray: int = 0
    """Index of deposits as stored at ``updated_s`` (not accrued); 0 where a venue has none."""
    borrow_index_ray: int = 0
    """Index of debt as stored at ``updated_s``."""
    updated_s: int = 0
    borrow_factor_wad: int | None = None
    """Share of its value by which what stays must cover the debt when collateral leaves, where that is not the
    threshold of liquidation (Compound v3); None elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a spender may pull of a token from the keeper's wallet."""

    token: Token
    spender: str
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """What one market outside the venue says of a feed's token; a fact with its source and its time."""

    feed: str
    price_wad: int
    """Dollars of one whole token."""
    source: str
    """Two of one name are one source."""
    at_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Omen:
    """The early warning as somebody measured it outside of the chain, and when."""

    stands: bool
    score: float
    line: float
    at_s: int
    """Of the newest data in it."""
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """All that planning needs and may not fetch: the keeper's wallet, allowances, reserves, gas."""

    wallet: str
    native_wei: int
    nonce: int
    balances: tuple[Amount, ...]
    allowances: tuple[Allowance, ...]
    reserves: tuple[Reserve, ...]
    tip_wei: int
    native_price_base: int | None
    """Price of one native token in USD with ``native_price_decimals``; None when no feed gives it."""
    native_price_decimals: int = 8
    mandates: tuple[Mandate, ...] = ()
    """What the owners' Executors allow."""
    lenders: tuple[Lender, ...] = ()
    """Flash loans that could be taken; read for positions in need only."""
    routes: tuple[Route, ...] = ()
    """Swaps from collateral to debt with their prices; read for positions in need only."""
    quoted: tuple[Quoted, ...] = ()
    """What markets said of the feeds' tokens at the last look."""
    omen: Omen | None = None
    """None where nobody measures it."""

    def mandate(self, id: PositionId) -> Mandate | None:
        """What the Executor of a position allows; None where it has none or could not be read."""
        return next((m for m in self.mandates if m.id == id), None)

    def balance(self, token: Token) -> int:
        """Units of ``token`` in the wallet (0 when it was not among those read)."""
        return next((a.units for a in self.balances if a.token == token), 0)

    def allowance(self, token: Token, spender: str) -> int:
        """Units of ``token`` that ``spender`` may pull from the wallet."""
        return next((a.units for a in self.allowances if a.token == token and a.spender == spender), 0)

    def reserve(self, venue: str, token: Token) -> Reserve | None:
        """The reserve of ``token`` on ``venue``, if read."""
        return next((r for r in self.reserves if r.venue == venue and r.token == token), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything known of one chain at one block hash."""

    block: Block
    positions: tuple[Position, ...]
    unreadable: tuple[Unreadable, ...]
    means: Means
    prices: Mapping[str, float]
    """Feed identity -> price of one whole token in USD."""
    digest: str

    def position(self, id: PositionId) -> Position | None:
        """The position of that identity, if it could be read."""
        return next((p for p in self.positions if p.id == id), None)

    def by_id(self) -> dict[PositionId, Position]:
        """Every position by its identity, for whoever looks up more than one: ``position`` is a search."""
        return {p.id: p for p in self.positions}
