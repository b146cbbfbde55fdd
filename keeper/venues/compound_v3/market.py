"""A market as one batch shows it: indices accrued to the block's timestamp, assets with factors and prices."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.model import Block, Reserve
from keeper.units import YEAR_S
from keeper.venues.aave_v3.book import checksum
from keeper.venues.compound_v3 import book, math
from keeper.venues.compound_v3.book import Listing, Market
from keeper.venues.compound_v3.layout import (
    ASSET_PRICE,
    ASSET_TOTAL,
    CASH,
    COUNT,
    CURVES,
    FEED,
    HEAD,
    INFO,
    PRICE,
    TOKEN,
    TOTALS,
    Layout,
)
from keeper.venues.compound_v3.math import Curve, Totals
from keeper.words import Words

PAUSE_SUPPLY, PAUSE_TRANSFER, PAUSE_WITHDRAW, PAUSE_ABSORB, PAUSE_BUY = (1 << i for i in range(5))
"""Bits of ``pauseFlags`` (CometStorage)."""
RAY_PER_RATE = 10**9 * YEAR_S
"""A rate per second of 1e18 as a yearly rate in rays."""
RAY_PER_INDEX = 10**12
"""An index of 1e15 as a ray."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetNow:
    """One collateral at one block; ``why`` says what could not be read of what a position's health needs."""

    listing: Listing
    why: str = ""
    price: int = 0
    borrow_factor: int = 0
    liquidate_factor: int = 0
    liquidation_factor: int = 0
    """Share of its worth that the account is credited when it is absorbed."""
    record: Reserve | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketNow:
    """The market at one block."""

    totals: Totals
    supply_index: int
    """Accrued to the block's timestamp; so is ``borrow_index``."""
    borrow_index: int
    base_price: int
    paused: int
    """The pause flags."""
    assets: tuple[AssetNow, ...]
    base: Reserve
    block_number: int


def stale(market: Market, words: Words) -> str:
    """Why the static facts must be loaded anew, empty when they hold: the market is a proxy."""
    if not (words.ok[TOKEN : COUNT + 1].all() and (words.count[TOKEN : COUNT + 1] >= 1).all()):
        return "the market's base token, its feed or its number of assets could not be read"
    token, feed, n = checksum(words.uint(TOKEN)), checksum(words.uint(FEED)), words.uint(COUNT)
    if token != market.base.token.address:
        return f"the market's base token changed to {token}"
    if feed != market.base.oracle:
        return f"the base token's price feed changed from {market.base.oracle} to {feed}"
    return "" if n == len(market.assets) else f"the market lists {n} assets, {len(market.assets)} were loaded"


def market_now(market: Market, at: Layout, block: Block, words: Words) -> MarketNow | str:
    """The market accrued to the block, or why nothing of it can be believed."""
    if not (words.ok[:HEAD].all() and (words.count[:HEAD] >= 1).all()):
        return "the market's totals, rates, cash or base price could not be read"
    if words.count[TOTALS] < book.TOTALS_BASIC_WORDS:
        return "totalsBasic() answered short"
    supply_index, borrow_index, _, _, supplied, borrowed, updated_s, paused = words.uints(TOTALS)[:8]
    totals = Totals(
        supply_index=supply_index,
        borrow_index=borrow_index,
        supply=supplied,
        borrow=borrowed,
        updated_s=updated_s,
    )
    if updated_s > block.timestamp_s:
        return f"accrued {updated_s - block.timestamp_s} s after the block's timestamp"
    price = words.uint(PRICE)
    if not price:
        return "the base token's price is 0"
    supply, borrow = _curves(words)
    accrued = math.accrued(totals, supply, borrow, block.timestamp_s)
    used = totals.utilization
    cash = 0 if paused & PAUSE_WITHDRAW else words.uint(CASH)
    base = Reserve(
        venue=market.id,
        token=market.base.token,
        feed=market.base.feed,
        price_base=price,
        base_decimals=math.PRICE_DECIMALS,
        active=True,
        frozen=False,
        paused=bool(paused & PAUSE_SUPPLY),
        supply_room_units=None,
        cash_units=cash,
        supply_rate_ray=supply.rate(used) * RAY_PER_RATE,
        borrow_rate_ray=borrow.rate(used) * RAY_PER_RATE,
        supply_index_ray=supply_index * RAY_PER_INDEX,
        borrow_index_ray=borrow_index * RAY_PER_INDEX,
        updated_s=updated_s,
    )
    return MarketNow(
        totals=totals,
        supply_index=accrued[0],
        borrow_index=accrued[1],
        base_price=price,
        paused=paused,
        assets=tuple(_asset(market, at, words, i, paused) for i in range(len(market.assets))),
        base=base,
        block_number=block.number,
    )


def _curves(words: Words) -> tuple[Curve, Curve]:
    """(lenders', borrowers') from the head's eight parameters."""
    eight = [words.uint(CURVES + i) for i in range(len(book.CURVES))]
    supply, borrow = (
        Curve(base=base, slope_low=low, slope_high=high, kink=kink)
        for base, low, high, kink in (eight[:4], eight[4:])
    )
    return supply, borrow


def _asset(market: Market, at: Layout, words: Words, i: int, paused: int) -> AssetNow:
    listing, n = market.assets[i], len(market.assets)
    info, price_at, total_at = (at.asset(c, i, n) for c in (INFO, ASSET_PRICE, ASSET_TOTAL))
    if not words.ok[info] or words.count[info] < book.ASSET_INFO_WORDS:
        return AssetNow(listing=listing, why="getAssetInfo failed")
    _, token, oracle, scale, borrow, liquidate, liquidation, cap = words.uints(info)[:8]
    if (checksum(token), checksum(oracle), scale) != (listing.token.address, listing.oracle, listing.scale):
        return AssetNow(listing=listing, why="its token, feed or scale is not the one loaded")
    if not words.ok[price_at] or not words.count[price_at]:
        return AssetNow(listing=listing, why="the oracle's price failed")
    price = words.uint(price_at)
    if not price:
        return AssetNow(listing=listing, why="the oracle's price is 0")
    total = words.uint(total_at) if words.ok[total_at] and words.count[total_at] else None
    return AssetNow(
        listing=listing,
        price=price,
        borrow_factor=borrow,
        liquidate_factor=liquidate,
        liquidation_factor=liquidation,
        record=None
        if total is None
        else Reserve(
            venue=market.id,
            token=listing.token,
            feed=listing.feed,
            price_base=price,
            base_decimals=math.PRICE_DECIMALS,
            active=bool(liquidate),
            frozen=False,
            paused=bool(paused & PAUSE_SUPPLY),
            supply_room_units=max(0, cap - total),
            # collateral is never lent out: what was paid in is there
            cash_units=0 if paused & PAUSE_WITHDRAW else total,
            supply_rate_ray=0,
            borrow_rate_ray=0,
            borrow_factor_wad=borrow,
        ),
    )
