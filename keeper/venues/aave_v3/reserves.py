"""Reserves and e-modes as one batch shows them, accrued to the block's timestamp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keeper.model import Block, Reserve
from keeper.venues.aave_v3 import book, math
from keeper.venues.aave_v3.book import Listing, Market
from keeper.venues.aave_v3.layout import Layout, calls_per_mode
from keeper.words import Words

DATA, PRICE, SUPPLIED, OWED, CASH, STABLE_OWED = range(6)
"""Columns of the reserves' part of a layout."""
ROOM_AHEAD_S = 60
"""A supply cap is judged this much later, because interest uses up room until a supply is included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveNow:
    """One reserve at one block; ``why`` says what could not be read of what a position's health needs."""

    listing: Listing
    why: str = ""
    supply_index: int = 0
    """Accrued to the block's timestamp, ray; so is ``borrow_index``."""
    borrow_index: int = 0
    price: int = 0
    ltv: int = 0
    threshold: int = 0
    bonus: int = 0
    bonus_fee: int = 0
    category: int = 0
    """The e-mode category in its configuration (3.0 line only)."""
    record: Reserve | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """A reserve's words as the pool stores them."""

    listing: Listing
    data: tuple[int, ...]
    """``getReserveData``."""
    totals: tuple[int, int, int] | None
    """(scaled supply, scaled debt, cash), None when one of them could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeNow:
    """One e-mode category at one block; bitmaps are over reserve ids."""

    label: str = ""
    why: str = ""
    ltv: int = 0
    threshold: int = 0
    bonus: int = 0
    collateral: int = 0
    ltv_zero: int = 0


def stale(market: Market, words: Words) -> str:
    """Why the static facts must be loaded anew, empty when they hold.

    The pool is a proxy: governance may upgrade its arithmetic, swap the oracle or list a reserve between two
    blocks, and an old formula must not go on quietly.
    """
    if not (words.ok[:3].all() and (words.count[:3] >= 1).all()):
        return "the pool's revision, oracle or list of reserves could not be read"
    revision, oracle = words.uint(0), book.checksum(words.uint(1))
    if revision != market.revision:
        return f"the pool was upgraded from POOL_REVISION {market.revision} to {revision}"
    if oracle != market.oracle:
        return f"the market's oracle changed from {market.oracle} to {oracle}"
    return ""


def listed_anew(market: Market, words: Words) -> str:
    """Why the list of reserves must be loaded anew; holders of known reserves are still read."""
    now = tuple(book.checksum(w) for w in words.uints(2)[2:])
    known = tuple(r.token.address for r in market.listings)
    return "" if now == known else f"the market lists {len(now)} reserves, {len(known)} were loaded"


def reserves(market: Market, at: Layout, block: Block, words: Words) -> tuple[ReserveNow, ...]:
    """Every listed reserve, in the order of the listings."""
    return tuple(_reserve(market, at, block, words, k) for k in range(len(market.listings)))


def _reserve(market: Market, at: Layout, block: Block, words: Words, k: int) -> ReserveNow:
    listing, n = market.listings[k], len(market.listings)
    data_at, price_at = at.column(DATA, n) + k, at.column(PRICE, n) + k
    if not words.ok[data_at] or words.count[data_at] < book.RESERVE_DATA_WORDS:
        return ReserveNow(listing=listing, why="getReserveData failed")
    data = words.uints(data_at)
    if book.checksum(data[8]) != listing.a_token or book.checksum(data[10]) != listing.debt_token:
        return ReserveNow(listing=listing, why="its aToken or debt token is not the one loaded")
    if not words.ok[price_at] or not words.count[price_at]:
        return ReserveNow(listing=listing, why="the oracle's price failed")
    price = words.uint(price_at)
    if not price:
        return ReserveNow(listing=listing, why="the oracle's price is 0")
    age_s = block.timestamp_s - data[6]
    if age_s < 0:
        return ReserveNow(listing=listing, why=f"updated {-age_s} s after the block's timestamp")
    config = data[0]
    return ReserveNow(
        listing=listing,
        supply_index=math.supply_index(data[1], data[2], age_s),
        borrow_index=market.line.borrow_index(data[3], data[4], age_s),
        price=price,
        ltv=config & 0xFFFF,
        threshold=config >> 16 & 0xFFFF,
        bonus=config >> 32 & 0xFFFF,
        bonus_fee=config >> 152 & 0xFFFF,
        category=config >> 168 & 0xFF,
        record=_record(
            market, _Stored(listing=listing, data=data, totals=_totals(at, words, n, k)), price, block
        ),
    )


def stable_bits(market: Market, at: Layout, words: Words) -> int:
    """Bits of the debts of which somebody has a part at a stable rate, or of which that could not be read."""
    listed = [r for r in market.listings if r.stable_token]
    first = at.column(STABLE_OWED, len(market.listings))
    return sum(
        1 << 2 * r.id
        for i, r in enumerate(listed, first)
        if not words.ok[i] or not words.count[i] or words.uint(i)
    )


def _totals(at: Layout, words: Words, n: int, k: int) -> tuple[int, int, int] | None:
    """(scaled supply, scaled debt, cash), or None when one of them failed."""
    where = tuple(at.column(kind, n) + k for kind in (SUPPLIED, OWED, CASH))
    if not all(words.ok[i] and words.count[i] for i in where):
        return None
    supplied, owed, cash = (words.uint(i) for i in where)
    return supplied, owed, cash


def _record(market: Market, stored: _Stored, price: int, block: Block) -> Reserve | None:
    """What planning may know of the reserve; None when its totals could not be read."""
    listing, data, totals = stored.listing, stored.data, stored.totals
    if totals is None:
        return None
    config = data[0]
    return Reserve(
        venue=market.id,
        token=listing.token,
        feed=listing.feed,
        price_base=price,
        base_decimals=market.base_decimals,
        active=bool(config >> 56 & 1),
        frozen=bool(config >> 57 & 1),
        paused=bool(config >> 60 & 1),
        supply_room_units=_room_down(market, stored, totals, block),
        cash_units=totals[2],
        supply_rate_ray=data[2],
        borrow_rate_ray=data[4],
        supply_index_ray=data[1],
        borrow_index_ray=data[3],
        updated_s=data[6],
    )


def _room_down(market: Market, stored: _Stored, totals: tuple[int, int, int], block: Block) -> int | None:
    """Units under the supply cap a minute from now, None without a cap (ValidationLogic.validateSupply).

    The treasury's share of interest counts towards the cap (ReserveLogic._accrueToTreasury).
    """
    data = stored.data
    cap = data[0] >> 116 & (2**36 - 1)
    if not cap:
        return None
    supplied, owed, _ = totals
    age_s = block.timestamp_s - data[6] + ROOM_AHEAD_S
    index = math.supply_index(data[1], data[2], age_s)
    interest = math.ray_mul_up(owed, market.line.borrow_index(data[3], data[4], age_s) - data[3])
    treasury = data[12] + math.ray_div(math.percent_mul(interest, data[0] >> 64 & 0xFFFF), index) + 1
    return max(0, cap * stored.listing.unit - math.ray_mul_up(supplied + treasury, index))


def modes(market: Market, at: Layout, words: Words, now: tuple[ReserveNow, ...]) -> Mapping[int, ModeNow]:
    """Every e-mode category that the batch asked for."""
    step = calls_per_mode(market)
    one = _liquid_mode if market.line.modes_are_liquid else _category_mode
    return {
        mode: one(words, range(at.modes_at + i * step, at.modes_at + (i + 1) * step), mode, now)
        for i, mode in enumerate(at.modes)
    }


def _liquid_mode(words: Words, at: range, mode: int, now: tuple[ReserveNow, ...]) -> ModeNow:
    """A category whose assets stand in bitmaps (since 3.2): numbers, collateral, label, and since 3.6 LTV 0."""
    needed = [(at[0], 3), (at[1], 1), *((i, 1) for i in at[3:])]
    if not all(words.ok[i] and words.count[i] >= least for i, least in needed):
        return ModeNow(why=f"e-mode {mode} could not be read")
    label = book.text(words.raw(at[2])) if words.ok[at[2]] else ""
    return ModeNow(
        label=label or f"e-mode {mode}",
        ltv=words.uint(at[0], 0),
        threshold=words.uint(at[0], 1),
        bonus=words.uint(at[0], 2),
        collateral=words.uint(at[1]),
        ltv_zero=words.uint(at[3]) if len(at) > 3 else _without_ltv(now),
    )


def _without_ltv(now: tuple[ReserveNow, ...]) -> int:
    """Before 3.6 a mode lends nothing on what its own configuration gives no loan-to-value."""
    return sum(1 << r.listing.id for r in now if not r.ltv)


def _category_mode(words: Words, at: range, mode: int, now: tuple[ReserveNow, ...]) -> ModeNow:
    """A category named in its assets' configuration (3.0): offset, ltv, threshold, bonus, source, label."""
    if not words.ok[at[0]] or words.count[at[0]] < 7:
        return ModeNow(why=f"e-mode {mode} could not be read")
    answer = words.uints(at[0])
    mine = tuple(r for r in now if r.category == mode)
    if answer[4]:
        source = book.checksum(answer[4])
        return ModeNow(why=f"e-mode {mode} is priced by a source of its own, {source}: that is not read")
    return ModeNow(
        label=book.text(words.raw(at[0])[160:]) or f"e-mode {mode}",
        ltv=answer[1],
        threshold=answer[2],
        bonus=answer[3],
        collateral=sum(1 << r.listing.id for r in mine),
        ltv_zero=_without_ltv(mine),
    )
