"""Words -> positions: health recomputed to the wei and held against the pool's own answer, then told in dollars.

Where our words of account data differ from the pool's at the same block the position is Unreadable, however small the
difference: that also judges a pool whose revision nobody held against these formulas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from keeper.model import Amount, Block, Holding, Position, PositionId, Reserve, Unreadable
from keeper.seams import Reading, Seen, Shadow
from keeper.units import WAD
from keeper.venues.aave_v2 import book
from keeper.venues.aave_v2.book import Market
from keeper.venues.aave_v2.layout import CASH, DATA, FIXED, HEAD, PRICE, Layout
from keeper.venues.aave_v2.math import LINE
from keeper.venues.aave_v3 import math
from keeper.venues.aave_v3.book import Listing, checksum
from keeper.venues.aave_v3.layout import STABLE
from keeper.venues.aave_v3.math import AccountData
from keeper.venues.aave_v3.read import (
    BPS_WAD,
    UNASKED,
    Account,
    Frame,
    Make,
    account_data,
    book_row,
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
    found, assets, again = _accounts(frame, partial(position, dollars), (at, words), shadows)
    scale = float(dollars.one)
    return Reading(
        positions=tuple([f for f in found if isinstance(f, Position)]),
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


def position(dollars: Dollars, frame: Frame, account: Account) -> tuple[AccountData, Position] | str:
    """One account's position and its six words of account data in the oracle's currency, or why it cannot be read.

    As on the 3.0 line of v3, but without modes, and told in dollars at once: a thousand accounts a block.
    """
    config = account.config
    if unknown := config & ~frame.listed:
        id = (unknown.bit_length() - 1) // 2
        return f"holds reserve {id}, which was not listed when the market was loaded"
    collateral: list[Holding] = []
    debt: list[Holding] = []
    fixed = {bit - STABLE: units for bit, units in account.held if bit >= STABLE}
    c = d = by_threshold = by_ltv = 0
    for bit, scaled in account.held:
        if bit >= STABLE:
            continue
        on, reserve = config >> bit & 1, frame.reserves[bit >> 1]
        if not on and (not scaled or not bit & 1 or reserve.why):
            # switched off, it has no part in health: a reserve that broke must not blind us to the position
            continue
        if reserve.why or scaled is None:
            return f"reserve {reserve.listing.token.symbol}: {reserve.why or 'the balance could not be read'}"
        if bit & 1:
            units = math.ray_mul(scaled, reserve.supply_index)
            value = units * reserve.price // reserve.listing.unit
            collateral.append(_given(dollars, reserve, (scaled, units, value), bool(on)))
            if on and reserve.threshold:
                c += value
                by_threshold += value * reserve.threshold
                by_ltv += value * reserve.ltv
        else:
            at_a_rate = fixed.pop(bit, 0)
            if at_a_rate is None:
                return f"reserve {reserve.listing.token.symbol}: debt at a stable rate could not be read"
            d += _owed(dollars, reserve, (scaled, at_a_rate), debt)
    for bit, left in fixed.items():
        if left is None or left:
            return f"reserve {bit >> 1}: debt at a stable rate beside none that was asked"
    six = LINE.account(c, d, by_threshold, by_ltv)
    return six, Position(
        id=account.id,
        owner=account.id.account,
        block_number=frame.block.number,
        health_wad=six[5],
        collateral=tuple(collateral),
        debt=tuple(debt),
        base_decimals=frame.market.base_decimals,
        row=book_row(LINE, collateral, debt),
    )


def _given(dollars: Dollars, reserve: ReserveNow, of: tuple[int, int, int], on: bool) -> Holding:
    """Collateral of (scaled, units, value); what is switched off counts for nothing."""
    scaled, units, value = of
    listing = reserve.listing
    return Holding(
        amount=Amount(token=listing.token, units=units),
        stored=scaled,
        price_base=dollars.down(reserve.price),
        value_base=dollars.down(value),
        threshold_wad=reserve.threshold * BPS_WAD if on else 0,
        feed=listing.feed,
        bonus_bps=reserve.bonus,
    )


def _owed(dollars: Dollars, reserve: ReserveNow, of: tuple[int, int], debt: list[Holding]) -> int:
    """Adds a debt of (scaled, units at a stable rate) to ``debt``; its value in the oracle's currency.

    The part at a stable rate stands first and under a name of its own, and no step of ours repays it.
    """
    scaled, fixed = of
    listing, units = reserve.listing, math.ray_mul(scaled, reserve.borrow_index)
    both = (units + fixed) * reserve.price // listing.unit
    variable = units * reserve.price // listing.unit
    token, price = listing.token, dollars.up(reserve.price)
    parts = [(token, scaled, units, variable)] if scaled or not fixed else []
    if fixed:
        named = replace(token, symbol=f"{token.symbol} (stable rate)")
        parts.insert(0, (named, 0, fixed, both - variable))
    for who, stored, amount, value in parts:
        debt.append(
            Holding(
                amount=Amount(token=who, units=amount),
                stored=stored,
                price_base=price,
                value_base=dollars.up(value),
                threshold_wad=WAD,
                feed=listing.feed,
            )
        )
    return both


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
    frame: Frame, make: Make, told: tuple[Layout, Words], shadows: Mapping[PositionId, Shadow]
) -> tuple[list[Position | Unreadable], dict[str, frozenset[int]], bool]:
    """Every account; what the next batch asks of each, and whether that is needed now."""
    at, words = told
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
        found = (
            guarded(frame, account, said[k], make)
            if shadow is None
            else shadowed(frame, account, shadow, make)
        )
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
