"""What one batch asks of a slot and its accounts, and the words back to positions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keeper.executor import perp_bounded
from keeper.model import (
    Acting,
    Block,
    BookRow,
    Call,
    Perp,
    PerpOrder,
    Position,
    PositionId,
    Reserve,
    SideProfit,
    Token,
    Unreadable,
)
from keeper.seams import Reading, Seen, Shadow
from keeper.units import UINT256_MAX
from keeper.venues.gmx_v2 import book, forms, orders, store
from keeper.venues.gmx_v2.book import Slot, ask, key, word
from keeper.venues.gmx_v2.curves import (
    applied,
    borrowing_a_second,
    borrowing_untold,
    funding_a_second,
    impact_of_closing,
)
from keeper.venues.gmx_v2.layout import USD, Held, Market, Price, Prices
from keeper.venues.gmx_v2.prices import Source
from keeper.venues.gmx_v2.rules import side_profit, standing
from keeper.venues.gmx_v2.store import Rules
from keeper.words import Words

YEAR_S = 31_536_000
_POSITION_WORDS = 14
_FEE, _BORROWING, _FUNDING, _PNL = 53, 35, 28, 63
"""Words of getPositionInfo: key and position first, then fees (referral 10, pro 3, funding 6, borrowing 4, ui 3,
liquidation 4, price 2, ten more) and six of the execution price; then profit."""
_PRICE_BITS = 232
_SPARE_PPB = 1
"""What the Reader may charge beyond our arithmetic, parts per billion of the size: rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The slot at one block."""

    slot: Slot
    block: Block
    market: Market
    rules: Rules


def position_id(slot: Slot, account: str) -> PositionId:
    """An account has one position in a slot."""
    return PositionId(venue=book.KIND, chain_id=slot.chain_id, account=account, key=slot.key)


def calls(slot: Slot, source: Source, accounts: Sequence[str], seen: Seen) -> tuple[Call, ...]:
    """The batch; its order is what ``decode`` expects."""
    told = remembered(seen)
    each = tuple(c for a in accounts for c in _of_account(slot, a, told, orders.page(seen, a)))
    return (*store.calls(slot), *source.calls(slot), *each)


def _of_account(slot: Slot, account: str, told: Prices | None, page: int = orders.PAGE) -> tuple[Call, ...]:
    at, who = slot.position(account), word(account)
    asked = [
        ask(slot.reader, book.GET_POSITION, word(slot.store), at),
        ask(slot.reader, book.GET_ORDERS, word(slot.store), who, word(0), word(page)),
    ]
    if slot.subaccount != book.ZERO and not slot.own:
        listed = key("SUBACCOUNT_LIST", account)
        asked.append(ask(slot.store, book.CONTAINS_ADDRESS, listed, word(slot.subaccount)))
        for field in (
            "SUBACCOUNT_EXPIRES_AT",
            "MAX_ALLOWED_SUBACCOUNT_ACTION_COUNT",
            "SUBACCOUNT_ACTION_COUNT",
        ):
            asked.append(ask(slot.store, book.GET_UINT, slot.grant(field, account)))
    if slot.executor:
        asked.append(ask(slot.executor, perp_bounded.STATE_OF, at))
        asked.append(ask(slot.executor, perp_bounded.PRICE_OF, at))
    if told is not None:
        three = (told.index, told.long, told.short)
        prices = tuple(word(p) for each in three for p in (each.min, each.max))
        head = (word(slot.store), word(0), at)
        asked.append(ask(slot.reader, book.GET_INFO, *head, *prices, word(0), word(0), word(1)))
    return tuple(asked)


def remembered(seen: Seen) -> Prices | None:
    """The prices of the last batch, at which this one asks GMX's own opinion."""
    each = sorted((m >> _PRICE_BITS, m & (2**_PRICE_BITS - 1)) for m in seen.modes)
    if len(each) != 6:
        return None
    p = [value for _, value in each]
    return Prices(
        index=Price(min=p[0], max=p[1]), long=Price(min=p[2], max=p[3]), short=Price(min=p[4], max=p[5])
    )


def kept(prices: Prices) -> frozenset[int]:
    """Inverse of ``remembered``: integers that carry their place."""
    p = (prices.index, prices.long, prices.short)
    return frozenset(
        (place << _PRICE_BITS) | value
        for place, value in enumerate(v for each in p for v in (each.min, each.max))
    )


def decode(
    slot: Slot,
    source: Source,
    block: Block,
    asked: tuple[Sequence[str], Words, Seen],
    shadows: Mapping[PositionId, Shadow],
) -> Reading:
    """Positions, reserves and prices; a failed part becomes Unreadable."""
    accounts, words, seen = asked
    head = store.size(slot)
    priced = head + len(source.calls(slot))
    prices = source.prices(slot, words.part(head, priced), block)
    if isinstance(prices, str):
        return _lost(slot, accounts, block, prices)
    found = store.market(slot, words.part(0, head), prices, block)
    if isinstance(found, str):
        return _lost(slot, accounts, block, found)
    frame = Frame(slot=slot, block=block, market=found[0], rules=found[1])
    told = remembered(seen)
    width = len(_of_account(slot, book.ZERO, told))
    ids = [position_id(slot, a) for a in accounts]
    parts = [words.part(priced + i * width, priced + (i + 1) * width) for i in range(len(ids))]
    each = [
        _one(frame, id, part, About(told=told, shadow=shadows.get(id), page=orders.page(seen, id.account)))
        for id, part in zip(ids, parts, strict=True)
    ]
    listed, again = orders.more(accounts, parts, seen)
    held = any(isinstance(p, Position) and p.perp is not None for p in each)
    return Reading(
        positions=tuple(p for p in each if isinstance(p, Position)),
        unreadable=tuple(
            Unreadable(id=id, why=p, since_block=block.number)
            for id, p in zip(ids, each, strict=True)
            if isinstance(p, str)
        ),
        reserves=_reserves(frame),
        prices=_prices(frame),
        seen=replace(listed, modes=kept(prices)),
        # GMX's own opinion is asked at prices known before: the first time that takes a second question
        again=again or (told is None and held),
    )


def _lost(slot: Slot, accounts: Sequence[str], block: Block, why: str) -> Reading:
    lost = tuple(Unreadable(id=position_id(slot, a), why=why, since_block=block.number) for a in accounts)
    return Reading(positions=(), unreadable=lost, reserves=(), prices={}, seen=Seen(), again=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a position's words are read with."""

    told: Prices | None
    """At which GMX's own opinion was asked."""
    shadow: Shadow | None
    page: int
    """Orders asked for."""


def _one(frame: Frame, id: PositionId, words: Words, about: About) -> Position | str:
    told, shadow = about.told, about.shadow
    if not words.ok[0] or words.count[0] < _POSITION_WORDS:
        return f"position of {id.account} could not be read from {frame.slot.reader}"
    held = _held(frame, words, shadow)
    if not held.size or not held.tokens:
        return Position(
            id=id,
            owner=id.account,
            block_number=frame.block.number,
            health_wad=UINT256_MAX,
            collateral=(),
            debt=(),
            base_decimals=forms.USD_DECIMALS,
            row=BookRow(feeds=(), a=(), b=()),
            mode="closed",
        )
    if why := borrowing_untold(frame.market, held.long):
        return why
    waits = orders.waiting(frame.slot, frame.block, words, about.page)
    if isinstance(waits, str):
        return waits
    if told is not None and shadow is None and (why := _worse(frame, held, words, told)):
        return why
    acting = orders.granted(frame.slot, id.account, words, frame.block.timestamp_s)
    return position(frame, id, perp(frame, held, waits, acting))


def _held(frame: Frame, words: Words, shadow: Shadow | None) -> Held:
    slot, market = frame.slot, frame.market
    n = [words.uint(0, k) for k in range(_POSITION_WORDS)]
    pending = n[6] - 2**256 if n[6] >= 2**255 else n[6]
    size, tokens, units = n[3], n[4], n[5]
    if shadow is not None:
        # a dry-run's own version: its margin, size and tokens by what they are called
        units = shadow.collateral.get(slot.collateral.address, units)
        size = shadow.debt.get("size", size)
        tokens = shadow.debt.get("tokens", tokens)
        if not n[3]:
            # the chain's own position is gone, and with it since when interest counts: none is counted from then on
            n[7] = market.borrowed.of(slot.long)
            n[8] = market.funded[0 if slot.long else 1].of(slot.collateral == slot.long_token)
    return Held(
        # of the slot, not of the word: a dry-run's own version outlives a position that the chain has closed
        long=slot.long,
        long_token=slot.collateral == slot.long_token,
        size=size,
        tokens=tokens,
        collateral=units,
        pending_impact=pending,
        borrowed=n[7],
        funded=n[8],
        increased_s=n[11],
        decreased_s=n[12],
    )


def _worse(frame: Frame, held: Held, words: Words, told: Prices) -> str:
    """Why GMX's own opinion, at prices known before, is worse than our arithmetic; empty where it is not."""
    last = len(words) - 1
    if not words.ok[last] or words.count[last] <= _PNL:
        return "GMX's Reader gives no opinion on the position"
    ours = standing(replace(frame.market, prices=told), held)
    price = (told.long if held.long_token else told.short).min
    charged = sum(words.uint(last, k) for k in (_FEE, _BORROWING, _FUNDING)) * price
    won = words.uint(last, _PNL)
    won = won - 2**256 if won >= 2**255 else won
    gap = (charged - won) - ((ours.fee + ours.borrowing + ours.funding) * price - ours.pnl)
    if gap > held.size * _SPARE_PPB // 10**9:
        return f"GMX's Reader counts {gap / USD:.6f} USD less than our arithmetic: neither is believed"
    return ""


def perp(frame: Frame, held: Held, waits: tuple[PerpOrder, ...], acting: Acting) -> Perp:
    """The position's numbers, borrowing and funding up to the block's second."""
    slot, market, rules = frame.slot, frame.market, frame.rules
    stands = standing(market, held)
    least = -applied(held.size, market.curve.most_at_liquidation)
    unknown = rules.inventory and least < stands.impact
    remaining = stands.remaining + (least - stands.impact if unknown else 0)
    price = market.prices.long if held.long_token else market.prices.short
    index = market.prices.index
    worth = held.tokens * (index.min if held.long else index.max)
    gas = rules.gas_base + 3 * rules.gas_price
    return Perp(
        long=held.long,
        size_usd=held.size,
        tokens=held.tokens,
        margin=held.collateral,
        index=slot.index,
        collateral=slot.collateral,
        index_price=index.min if held.long else index.max,
        index_mid=index.mid,
        collateral_price=price.min,
        collateral_mid=price.mid,
        stable=slot.stable,
        pnl_usd=stands.pnl,
        won_usd=worth - held.size if held.long else held.size - worth,
        impact_usd=least if unknown else stands.impact,
        impact_least_usd=least,
        closing_usd=_closing(market, held),
        fee_factor=max(market.fee.long, market.fee.short),
        owed=stands.borrowing + stands.funding,
        remaining_usd=remaining,
        minimum_factor=market.minimum_at_liquidation,
        minimum_factor_after=market.minimum,
        minimum_usd=market.minimum_usd,
        size_least_usd=rules.size_least_usd,
        orders=waits,
        order_expires_s=rules.order_expires_s,
        increase_gas=gas + applied(rules.increase_gas, rules.gas_factor),
        decrease_gas=gas + applied(rules.decrease_gas, rules.gas_factor),
        disabled=rules.disabled,
        increased_s=held.increased_s,
        decreased_s=held.decreased_s,
        acting=acting,
        side=side_of(market, held.long),
    )


def side_of(market: Market, long: bool) -> SideProfit:
    """What a side of the market has won, and what holding it costs a year."""
    won, pool = side_profit(market, long)
    rate, longs_pay = funding_a_second(market)
    a_second = borrowing_a_second(market, long) + (rate if long == longs_pay else 0)
    return SideProfit(
        won_usd=won, pool_usd=pool, factor_adl=market.pnl_adl.of(long), carry_year=a_second * YEAR_S
    )


def _closing(market: Market, held: Held) -> int:
    """What closing all of it costs by impact, pending ones included, at most as far as the venue charges at once."""
    impact, _ = impact_of_closing(market, held)
    index = market.prices.index
    impact += held.pending_impact * (index.min if held.pending_impact > 0 else index.max)
    return max(min(impact, 0), -applied(held.size, market.curve.most_negative))


def position(frame: Frame, id: PositionId, p: Perp) -> Position:
    """The record of one position at its block."""
    feeds = (frame.slot.feed(p.index), frame.slot.feed(p.collateral))
    return of(id, p, feeds, (frame.block.number, _holds(frame, p, feeds[0])))


def of(
    id: PositionId, p: Perp, feeds: tuple[str, str], at: tuple[int, tuple[tuple[str, float, float], ...]]
) -> Position:
    """A position of these numbers; ``at``: block, and where its forms hold."""
    collateral, debt = forms.holdings(p, feeds)
    waits = p.pending
    return Position(
        id=id,
        owner=id.account,
        block_number=at[0],
        health_wad=forms.health_down(p),
        collateral=collateral,
        debt=debt,
        base_decimals=forms.USD_DECIMALS,
        row=forms.row(p, feeds, at[1]),
        mode=f"{'long' if p.long else 'short'} {p.index.symbol}"
        + (f", order {waits.key[:10]} pending" if waits else "")
        + (", stop on venue" + (" FROZEN" if p.stop.frozen else "") if p.stop else ""),
        perp=p,
    )


def _holds(frame: Frame, p: Perp, feed: str) -> tuple[tuple[str, float, float], ...]:
    """Between which prices of the index the forms are exact: as far as the pool pays every profit."""
    market = frame.market
    side = market.side(p.long)
    usd, tokens = side.usd.total, side.tokens.total
    now = p.index_mid * 10**p.index.decimals / USD
    if p.pnl_usd < p.won_usd:
        return ((feed, now, now),)
    pool, factor = market.pool.of(p.long), market.pnl_most.of(p.long) / USD
    if p.long:
        # all tokens x price - entry = share of a pool that holds the index itself
        free = tokens - factor * pool
        most = usd / free * 10**p.index.decimals / USD if free > 0 else float("inf")
        return ((feed, 0.0, max(most, now)),)
    capped = usd - factor * pool * market.prices.short.min
    low = capped / tokens * 10**p.index.decimals / USD if tokens and capped > 0 else 0.0
    return ((feed, min(low, now), float("inf")),)


def _prices(frame: Frame) -> dict[str, float]:
    """Dollars of one whole token, the middle of both prices."""
    slot, prices = frame.slot, frame.market.prices
    found = {f"{book.KIND}:{slot.chain_id}:usd": 1.0}
    for token, price in (
        (slot.index, prices.index),
        (slot.long_token, prices.long),
        (slot.short_token, prices.short),
    ):
        found[slot.feed(token)] = price.mid * 10**token.decimals / USD
    return found


def _reserves(frame: Frame) -> tuple[Reserve, ...]:
    """Margin token and index as planning may know them."""
    slot, prices = frame.slot, frame.market.prices
    own = prices.short if slot.stable else prices.long
    priced = {slot.index: prices.index, slot.collateral: own}
    return tuple(_reserve(frame, token, price) for token, price in priced.items())


def _reserve(frame: Frame, token: Token, price: Price) -> Reserve:
    return Reserve(
        venue=frame.slot.id,
        token=token,
        feed=frame.slot.feed(token),
        price_base=price.min * 10**token.decimals,
        base_decimals=forms.USD_DECIMALS,
        active=not frame.rules.disabled,
        frozen=False,
        paused=frame.rules.disabled,
        supply_room_units=None,
        cash_units=0,
        supply_rate_ray=0,
        borrow_rate_ray=0,
    )
