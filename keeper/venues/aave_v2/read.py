"""Words -> positions: health recomputed to the wei and held against the pool's own answer, then told in dollars.

Where our words of account data differ from the pool's at the same block the position is Unreadable, however small the
difference: that also judges a pool whose revision nobody held against these formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from keeper.model import Block, Holding, Position, PositionId, Reserve, Unreadable
from keeper.seams import Reading, Seen, Shadow
from keeper.venues.aave_v2 import book
from keeper.venues.aave_v2.book import Market
from keeper.venues.aave_v2.layout import CASH, DATA, FIXED, HEAD, PRICE, Layout
from keeper.venues.aave_v3 import math
from keeper.venues.aave_v3.book import Listing, checksum
from keeper.venues.aave_v3.layout import STABLE
from keeper.venues.aave_v3.read import (
    UNASKED,
    Account,
    Frame,
    account_data,
    column,
    guarded,
    holds,
    shadowed,
)
from keeper.venues.aave_v3.reserves import ReserveNow
from keeper.words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Dollars:
    """From the oracle's currency to dollars; one dollar is ``each`` of its units, 0 where it is the currency."""

    each: int
    one: int
    """10 ** decimals in which positions are told."""

    def down(self, base: int) -> int:
        """Rounded down: collateral."""
        return base * self.one // self.each if self.each else base

    def up(self, base: int) -> int:
        """Rounded up: debt."""
        return -(-base * self.one // self.each) if self.each else base


def decode(
    market: Market, at: Layout, block: Block, words: Words, shadows: Mapping[PositionId, Shadow]
) -> Reading:
    """Positions, reserves and prices from the words of ``at.calls``; a failed part becomes Unreadable."""
    dollars = _dollars(market, words)
    why = stale(market, words) or ("" if dollars else "the oracle's price of the dollar could not be read")
    if why or dollars is None:
        lost = tuple(Unreadable(id=id, why=why, since_block=block.number) for id in at.ids)
        reload = why if dollars else ""
        seen = Seen(assets=at.seen.assets, stale=reload)
        return Reading(positions=(), unreadable=lost, reserves=(), prices={}, seen=seen, again=False)
    now = tuple(_reserve(market, dollars, block, words, k) for k in range(len(market.listings)))
    frame = Frame(
        market=market,
        block=block,
        reserves={r.listing.id: r for r in now},
        modes={},
        listed=sum(3 << 2 * r.id for r in market.listings),
        stable=_stable_bits(market, words),
    )
    found, assets, again = _accounts(frame, at, words, shadows)
    positions = tuple(in_dollars(f, dollars) for f in found if isinstance(f, Position))
    scale = float(dollars.one)
    return Reading(
        positions=positions,
        unreadable=tuple([f for f in found if isinstance(f, Unreadable)]),
        reserves=tuple(r.record for r in now if r.record is not None),
        prices={r.listing.feed: dollars.down(r.price) / scale for r in now if r.price},
        seen=Seen(assets=assets, stale=_listed_anew(market, words)),
        again=again,
    )


def stale(market: Market, words: Words) -> str:
    """Why the static facts must be loaded anew, empty when they hold: pool and oracle may be replaced."""
    if not (words.ok[:3].all() and (words.count[:3] >= 1).all()):
        return "the pool's revision, oracle or list of reserves could not be read"
    revision, oracle = words.uint(0), checksum(words.uint(1))
    if revision != market.revision:
        return f"the pool was upgraded from LENDINGPOOL_REVISION {market.revision} to {revision}"
    if oracle != market.oracle:
        return f"the market's oracle changed from {market.oracle} to {oracle}"
    return ""


def in_dollars(position: Position, dollars: Dollars) -> Position:
    """The position as positions are told: collateral's prices and values rounded down, debt's up; health as it is.

    The row stays: its coefficients are tokens, whatever the currency.
    """
    if not dollars.each:
        return position
    return replace(
        position,
        collateral=tuple([_told(h, dollars.down) for h in position.collateral]),
        debt=tuple([_told(h, dollars.up) for h in position.debt]),
    )


def _told(held: Holding, rounded: Callable[[int], int]) -> Holding:
    # written out: a thousand accounts a block, and copying by names costs thrice as much
    return Holding(
        amount=held.amount,
        stored=held.stored,
        price_base=rounded(held.price_base),
        value_base=rounded(held.value_base),
        threshold_wad=held.threshold_wad,
        feed=held.feed,
        bonus_bps=held.bonus_bps,
        bonus_fee_bps=held.bonus_fee_bps,
        ltv_zero=held.ltv_zero,
    )


def _dollars(market: Market, words: Words) -> Dollars | None:
    one = 10**market.base_decimals
    if not market.dollar:
        return Dollars(each=0, one=one)
    at = HEAD - 1
    return (
        Dollars(each=words.uint(at), one=one) if words.ok[at] and words.count[at] and words.uint(at) else None
    )


def _listed_anew(market: Market, words: Words) -> str:
    now = tuple(checksum(w) for w in words.uints(2)[2:])
    known = tuple(r.token.address for r in market.listings)
    return "" if now == known else f"the market lists {len(now)} reserves, {len(known)} were loaded"


def _stable_bits(market: Market, words: Words) -> int:
    """Bits of the debts of which somebody has a part at a stable rate, or of which that could not be read."""
    first = HEAD + FIXED * len(market.listings)
    return sum(
        1 << 2 * r.id
        for i, r in enumerate(market.listings, first)
        if not words.ok[i] or not words.count[i] or words.uint(i)
    )


def _accounts(
    frame: Frame, at: Layout, words: Words, shadows: Mapping[PositionId, Shadow]
) -> tuple[list[Position | Unreadable], dict[str, frozenset[int]], bool]:
    """Every account; what the next batch asks of each, and whether that is needed now."""
    configs = column(words, at.accounts_at, at.told_at)
    said = account_data(words, at.told_at, at.balances_at)
    balances = column(words, at.balances_at, len(at.calls))
    out: list[Position | Unreadable] = []
    assets: dict[str, frozenset[int]] = {}
    again, first = False, 0
    for k, id in enumerate(at.ids):
        bits, config = at.bits[k], configs[k]
        held = tuple(zip(bits, balances[first : first + len(bits)], strict=True))
        first += len(bits)
        if config is None:
            out.append(_lost(frame, id, "getUserConfiguration failed"))
            if id.account in at.seen.assets:
                assets[id.account] = at.seen.assets[id.account]
            continue
        account = Account(id=id, config=config, mode=0, held=held)
        asked = at.masks[k]
        news = config & ~asked | config & frame.stable & ~(asked >> STABLE)
        assets[id.account] = holds(at.seen, account, news, frame.stable)
        if news & frame.listed:
            again = True
            out.append(_lost(frame, id, UNASKED))
            continue
        shadow = shadows.get(id)
        found = guarded(frame, account, said[k]) if shadow is None else shadowed(frame, account, shadow)
        out.append(found if isinstance(found, Position) else _lost(frame, id, found))
    return out, assets, again


def _reserve(market: Market, dollars: Dollars, block: Block, words: Words, k: int) -> ReserveNow:
    """One reserve, accrued to the block's timestamp; prices in the oracle's own currency."""
    listing, n = market.listings[k], len(market.listings)
    data_at, price_at = HEAD + DATA * n + k, HEAD + PRICE * n + k
    if not words.ok[data_at] or words.count[data_at] < book.RESERVE_DATA_WORDS:
        return ReserveNow(listing=listing, why="getReserveData failed")
    data = words.uints(data_at)
    tokens = tuple(checksum(data[i]) for i in (book.A_TOKEN, book.DEBT_TOKEN, book.STABLE_TOKEN))
    if tokens != (listing.a_token, listing.debt_token, listing.stable_token):
        return ReserveNow(listing=listing, why="its aToken or a debt token is not the one loaded")
    if not words.ok[price_at] or not words.count[price_at]:
        return ReserveNow(listing=listing, why="the oracle's price failed")
    price, age_s = words.uint(price_at), block.timestamp_s - data[book.UPDATED]
    if not price:
        return ReserveNow(listing=listing, why="the oracle's price is 0")
    if age_s < 0:
        return ReserveNow(listing=listing, why=f"updated {-age_s} s after the block's timestamp")
    config = data[book.CONFIG]
    cash_at = HEAD + CASH * n + k
    cash = words.uint(cash_at) if words.ok[cash_at] and words.count[cash_at] else None
    paused = not (words.ok[3] and words.count[3]) or bool(words.uint(3))
    return ReserveNow(
        listing=listing,
        supply_index=math.supply_index(data[book.SUPPLY_INDEX], data[book.SUPPLY_RATE], age_s),
        borrow_index=market.line.borrow_index(data[book.BORROW_INDEX], data[book.BORROW_RATE], age_s),
        price=price,
        ltv=config & 0xFFFF,
        threshold=config >> 16 & 0xFFFF,
        bonus=config >> 32 & 0xFFFF,
        record=None
        if cash is None
        else replace(
            _record(market, listing, data, dollars.down(price)),
            cash_units=cash,
            paused=paused,
        ),
    )


def _record(market: Market, listing: Listing, data: tuple[int, ...], price_base: int) -> Reserve:
    """What planning may know of the reserve; there are no caps."""
    config = data[book.CONFIG]
    return Reserve(
        venue=market.id,
        token=listing.token,
        feed=listing.feed,
        price_base=price_base,
        base_decimals=market.base_decimals,
        active=bool(config >> 56 & 1),
        frozen=bool(config >> 57 & 1),
        paused=True,
        supply_room_units=None,
        cash_units=0,
        supply_rate_ray=data[book.SUPPLY_RATE],
        borrow_rate_ray=data[book.BORROW_RATE],
        supply_index_ray=data[book.SUPPLY_INDEX],
        borrow_index_ray=data[book.BORROW_INDEX],
        updated_s=data[book.UPDATED],
    )


def _lost(frame: Frame, id: PositionId, why: str) -> Unreadable:
    return Unreadable(id=id, why=why, since_block=frame.block.number)
