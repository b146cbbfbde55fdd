"""What an owner's Executor allows the keeper for one position, and what a sale through it would cost. Facts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from keeper.model.identity import PositionId, Token


class Source(IntEnum):
    """Where the money comes from until the collateral is sold; numbers as in the contract's enum ``Source``."""

    STEPWISE = 0
    UNISWAP_V3_SWAP = 1
    UNISWAP_V3_FLASH = 2
    AAVE_V3 = 3
    MORPHO_BLUE = 4
    BALANCER = 5


class Side(IntEnum):
    """What a token is in a position; numbers as in the contract's enum ``Side``."""

    COLLATERAL = 0
    DEBT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the owner allows for one position, field by field as the Executor stores it (struct ``Position``)."""

    trigger_wad: int
    """0: the Executor does not know the position."""
    target_wad: int
    max_wad: int
    emergency_wad: int
    hysteresis_wad: int
    cooldown_blocks: int
    epoch_s: int
    expiry_s: int
    slippage_bps: int
    flash_fee_bps: int
    seq: int
    """The number that the next action must carry."""
    last_block: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What was moved in the epoch of that number, units."""

    sold: int = 0
    funded: int = 0
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateAsset:
    """One token of one position, as the Executor lists it."""

    token: Token
    side: Side
    receipt: str
    """The protocol's own token for it; the zero address where the Executor does not list it."""
    unit: int
    sell_cap: int
    fund_cap: int
    spent: Spent
    bot_spent: Spent
    granted: int
    """What the owner lets the Executor pull: receipt tokens for collateral, the token itself for debt."""
    held: int
    """What the owner holds of that."""
    funds: int = 0
    """What can be paid in of the token itself: the Executor's reserve, and what the owner holds and grants; less what
    is promised to another position."""
    reserve: int = 0
    wallet: int = 0
    allowed: int = 0
    """Of the token itself: what the Executor keeps, what the owner holds, and what of that it may pull."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """The Executor's facts of one position, at the block read."""

    id: PositionId
    executor: str
    owner: str
    """Whose positions the Executor may touch; the account of ``id`` must be the same."""
    key: str
    """The position's id inside the Executor: 32 bytes as 0x-hex."""
    bot: str
    """The keeper's wallet."""
    bot_share_bps: int
    """Its share of every cap; 0 when it is no bot."""
    bot_expiry_s: int
    paused: bool
    terms: Terms
    assets: tuple[MandateAsset, ...]
    routers: tuple[str, ...]
    """Those of the configured routers that the owner allowed."""
    routers_refused: tuple[str, ...]
    """The others."""
    block_number: int
    """As contracts see it at the block read (on some rollups not the chain's own)."""
    timestamp_s: int

    def asset(self, token: Token, side: Side) -> MandateAsset | None:
        """The asset as listed; None where it is not listed or could not be read."""
        return next(
            (a for a in self.assets if a.token == token and a.side is side and int(a.receipt, 16)), None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lender:
    """A flash loan of one token that an Executor can take at the block read."""

    executor: str
    source: Source
    token: str
    fee_ppm: int
    cash_units: int
    pool: str
    """The contract that lends."""
    other_token: str = ""
    """UNISWAP_V3_FLASH: the pool's other token, and its fee."""
    pool_fee: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One way of several that share a sale."""

    fees: tuple[int, ...]
    via: tuple[str, ...]
    pools: tuple[str, ...]
    bought: tuple[int, ...]
    """Its part of each of the route's points, in units bought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A way from collateral to debt through Uniswap v3, with what it took at a few sizes at the block read."""

    executor: str
    sell: Token
    buy: Token
    fees: tuple[int, ...]
    """Of the pools on the way, in hundredths of a bip; one: the direct pool."""
    via: tuple[str, ...]
    """Tokens between, one fewer than pools."""
    pools: tuple[str, ...]
    router: str
    """Empty: the Executor swaps on the direct pool itself."""
    points: tuple[tuple[int, int], ...]
    """(units bought, units sold), both ascending, without (0, 0)."""
    legs: tuple[Leg, ...] = ()
    """Where the sale is split over several ways; ``fees`` and ``via`` are then empty."""
    calldata: bytes = b""
    """What the router is told, composed by an aggregator for exactly the one size there is."""
