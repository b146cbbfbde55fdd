"""Words -> positions: interest accrued by ourselves, health by the contract's own inequality.

``market()`` leaves out what has accrued since its last update, so a debt read from it is too small: exactly the side
on which a position looks healthier than it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keeper.errors import KeeperError, Unread
from keeper.model import Amount, Block, BookRow, Holding, Position, Reserve, Unreadable
from keeper.model.identity import PositionId
from keeper.seams import Reading, Seen, Shadow
from keeper.units import RAY, WAD, YEAR_S
from keeper.venues.aave_v3.book import ZERO_ADDRESS
from keeper.venues.morpho_blue import book, math
from keeper.venues.morpho_blue import layout as lay
from keeper.venues.morpho_blue.book import Market
from keeper.venues.morpho_blue.layout import Layout
from keeper.venues.morpho_blue.math import Totals
from keeper.venues.morpho_blue.rules import bonus_bps_up
from keeper.words import Words

BASE_DECIMALS = 18
"""Of a dollar here: prices of cheap tokens keep their digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One loan-to-value above which collateral may be taken, at one oracle's price."""

    lltv_wad: int
    price: int
    """Loan units per collateral unit x 1e36."""
    feed: str
    price_base: int
    """Dollars of one whole collateral token, BASE_DECIMALS; 0 where nothing prices the loan token."""
    price_usd: float
    """The same as a number; in loan tokens where nothing prices those."""
    why: str = ""
    """What kept the price from being read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """The market at one block, interest accrued to its timestamp."""

    market: Market
    block: Block
    totals: Totals
    rate_wad: int
    """Average borrow rate a second since the last update."""
    usd_wad: int
    """Dollars of one whole loan token, BASE_DECIMALS; 0 where nothing prices it."""
    lines: tuple[Line, ...]
    """The market's own, then those of the PreLiquidations."""
    bonus_bps: tuple[int, int]
    """What a liquidation gives per 10_000: at the market's line, and with the PreLiquidations."""

    @property
    def loan_usd(self) -> float:
        """Dollars of one whole loan token, or 1 where nothing prices it: then prices are in loan tokens."""
        return self.usd_wad / 10**BASE_DECIMALS if self.usd_wad else 1.0


def decode(
    market: Market, at: Layout, block: Block, words: Words, shadows: Mapping[PositionId, Shadow]
) -> Reading:
    """Positions, reserves and prices from the words of ``at.calls``; a failed part becomes Unreadable."""
    now = _now(market, at, block, words)
    found = [_one(now, id, held, shadows.get(id)) for id, held in zip(at.ids, _held(at, words), strict=True)]
    return Reading(
        positions=tuple([f for f in found if isinstance(f, Position)]),
        unreadable=tuple([f for f in found if isinstance(f, Unreadable)]),
        reserves=_reserves(now, words),
        prices={
            market.loan_feed: now.loan_usd,
            **{line.feed: line.price_usd for line in now.lines if line.price},
        },
        seen=Seen(),
        again=False,
    )


def _now(market: Market, at: Layout, block: Block, words: Words) -> Now:
    """The market's own part of the batch. Raises Unread for what no position can do without."""
    stored = _totals(words, lay.STORED)
    rate_wad = 0
    if market.irm != ZERO_ADDRESS:
        if not _told(words, lay.RATE):
            raise Unread("the interest rate model's rate at target could not be read")
        age_s = block.timestamp_s - stored.updated_s
        rate_wad, _ = math.borrow_rate(words.uint(lay.RATE), stored, age_s)
    totals = math.accrue(stored, rate_wad, block.timestamp_s)
    _held_against(totals, stored, words)
    usd_wad = _dollars(market, at, words)
    oracles = ((market.lltv_wad, market.oracle), *((p.terms.line_wad, p.oracle) for p in market.pre))
    return Now(
        market=market,
        block=block,
        totals=totals,
        rate_wad=rate_wad,
        usd_wad=usd_wad,
        lines=tuple(
            _line(market, (lltv, oracle), words, lay.PRICES + i, usd_wad)
            for i, (lltv, oracle) in enumerate(oracles)
        ),
        bonus_bps=(
            bonus_bps_up(market.lltv_wad, ()),
            bonus_bps_up(market.lltv_wad, tuple(p.terms for p in market.pre)),
        ),
    )


def _totals(words: Words, i: int) -> Totals:
    if not words.ok[i] or words.count[i] < book.MARKET_WORDS:
        raise Unread("market() could not be read")
    supplied, supply_shares, borrowed, borrow_shares, updated_s, fee = words.uints(i)[: book.MARKET_WORDS]
    if not updated_s:
        raise Unread("the market does not exist at this block")
    return Totals(
        supply_assets=supplied,
        supply_shares=supply_shares,
        borrow_assets=borrowed,
        borrow_shares=borrow_shares,
        updated_s=updated_s,
        fee_wad=fee,
    )


def _held_against(ours: Totals, stored: Totals, words: Words) -> None:
    """Raises Unread where the contract's accrual at this block is not ours."""
    if not words.ok[lay.ACCRUED]:
        raise Unread("the market cannot accrue interest: nothing can be repaid or liquidated there now")
    theirs = _totals(words, lay.AGAIN)
    # a batch cut between the two shows the stored ones again, which say nothing
    if theirs not in (ours, stored):
        raise Unread(f"our totals with interest {ours} differ from the contract's {theirs} at the same block")


def _dollars(market: Market, at: Layout, words: Words) -> int:
    """Dollars of one whole loan token, BASE_DECIMALS, up: caps are counted by it. 0 where nothing says it, or what
    says it is not positive: nothing is spent then.

    An answer counts whatever its age, and where it tells none: the oracle's watch names that, and a rescue that it
    kept from being sent would cost more than a cap that is some per cent off.
    """
    dollars, i = market.dollars, at.positions_at - 1
    if dollars is None or not words.ok[i] or words.count[i] <= dollars.word:
        return 0
    answer = words.uint(i, dollars.word)
    # a feed's answer is signed
    return -(-answer * 10**BASE_DECIMALS // dollars.unit) if answer < 2**255 else 0


def _line(market: Market, of: tuple[int, str], words: Words, i: int, usd_wad: int) -> Line:
    lltv_wad, oracle = of
    feed = market.feed(oracle)
    if not _told(words, i):
        why = f"the oracle {oracle} gives no price"
        return Line(lltv_wad=lltv_wad, price=0, feed=feed, price_base=0, price_usd=0.0, why=why)
    price = words.uint(i)
    whole, loan = 10**market.collateral.decimals, 10**market.loan.decimals
    in_loan = price * whole / (math.ORACLE_SCALE * loan)
    return Line(
        lltv_wad=lltv_wad,
        price=price,
        feed=feed,
        price_base=-(-price * whole * usd_wad // (math.ORACLE_SCALE * loan)),
        price_usd=in_loan * (usd_wad / 10**BASE_DECIMALS if usd_wad else 1.0),
    )


Held = tuple[int, int, tuple[bool, ...]] | str
"""Borrow shares, collateral, and which PreLiquidations are authorised; or why they could not be read."""


def _held(at: Layout, words: Words) -> list[Held]:
    """What each account holds, column by column."""
    n, start = len(at.accounts), at.positions_at
    columns = [_flags(words, first, first + n) for first in range(at.permits_at, len(at.calls), n or 1)]
    permits: Sequence[tuple[bool | None, ...]] = list(zip(*columns, strict=True)) if columns else [()] * n
    rows = _rows(words, start, start + n)
    return [
        "position() failed"
        if row is None
        else "isAuthorized() failed"
        if None in allowed
        else (*row, tuple(map(bool, allowed)))
        for row, allowed in zip(rows, permits, strict=True)
    ]


def _rows(words: Words, start: int, stop: int) -> list[tuple[int, int] | None]:
    """(borrow shares, collateral) of each answer; both are uint128 on chain."""
    wide = book.POSITION_WORDS
    if words.ok[start:stop].all() and (words.count[start:stop] >= wide).all():
        limbs = words.limbs(start, stop, wide)
        low = [limbs[:, w, 2:].tolist() for w in (1, 2)]
        if not limbs[:, 1:, :2].any():
            return [(a << 64 | b, c << 64 | d) for (a, b), (c, d) in zip(*low, strict=True)]
    return [
        (words.uint(i, 1), words.uint(i, 2)) if words.ok[i] and words.count[i] >= wide else None
        for i in range(start, stop)
    ]


def _flags(words: Words, start: int, stop: int) -> list[bool | None]:
    return [bool(words.uint(i)) if _told(words, i) else None for i in range(start, stop)]


def _told(words: Words, i: int) -> bool:
    return bool(words.ok[i] and words.count[i])


def _one(now: Now, id: PositionId, held: Held, shadow: Shadow | None) -> Position | Unreadable:
    """One account's position, or why it cannot be known."""
    try:
        if isinstance(held, str):
            raise Unread(held)
        shares, collateral, permits = held
        if shadow is not None:
            shares = shadow.debt.get(now.market.loan.address, 0)
            collateral = shadow.collateral.get(now.market.collateral.address, 0)
        return position(now, id, shares, collateral, permits)
    except KeeperError as error:
        return Unreadable(id=id, why=str(error), since_block=now.block.number)


def position(now: Now, id: PositionId, shares: int, collateral: int, permits: tuple[bool, ...]) -> Position:
    """One account's position at the line that is crossed first. Raises Unread without its price."""
    market, totals = now.market, now.totals
    owed = math.to_assets_up(shares, totals.borrow_assets, totals.borrow_shares) if shares else 0
    line, quoted = _first(now, collateral, permits, needed=bool(owed))
    borrowable = math.borrowable_down(quoted, line.lltv_wad)
    loan_unit = 10**market.loan.decimals
    given = Holding(
        amount=Amount(token=market.collateral, units=collateral),
        stored=collateral,
        price_base=line.price_base,
        value_base=quoted * now.usd_wad // loan_unit,
        threshold_wad=line.lltv_wad,
        feed=line.feed,
        bonus_bps=now.bonus_bps[any(permits)],
    )
    taken = Holding(
        amount=Amount(token=market.loan, units=owed),
        stored=shares,
        price_base=now.usd_wad,
        value_base=-(-owed * now.usd_wad // loan_unit),
        threshold_wad=WAD,
        feed=market.loan_feed,
    )
    return Position(
        id=id,
        owner=id.account,
        block_number=now.block.number,
        health_wad=math.health_down(borrowable, owed),
        collateral=(given,) if collateral else (),
        debt=(taken,) if owed else (),
        base_decimals=BASE_DECIMALS,
        row=_row(now, line, collateral, (borrowable / loan_unit, owed / loan_unit)),
    )


def _first(now: Now, collateral: int, permits: tuple[bool, ...], *, needed: bool) -> tuple[Line, int]:
    """The line that applies and is crossed first, and the collateral in loan units there."""
    lines = [now.lines[0], *(line for line, mine in zip(now.lines[1:], permits, strict=True) if mine)]
    if needed:
        for line in lines:
            if line.why:
                raise Unread(line.why)
    quoted = [math.quoted_down(collateral, line.price) for line in lines]
    carried = [math.borrowable_down(q, line.lltv_wad) for q, line in zip(quoted, lines, strict=True)]
    first = carried.index(min(carried))
    return lines[first], quoted[first]


def _row(now: Now, line: Line, collateral: int, sides: tuple[float, float]) -> BookRow:
    """The position as a.p over b.p; from the contract's own rounded integers, so that dust agrees too."""
    borrowable, owed = sides
    if not collateral:
        return BookRow(feeds=(now.market.loan_feed,), a=(0.0,), b=(owed,))
    whole = collateral / 10**now.market.collateral.decimals * line.lltv_wad / WAD
    a = borrowable * now.loan_usd / line.price_usd if line.price_usd and borrowable else whole
    return BookRow(feeds=(line.feed, now.market.loan_feed), a=(a, 0.0), b=(0.0, owed))


def _reserves(now: Now, words: Words) -> tuple[Reserve, ...]:
    """What planning may know of both tokens: the loan's cash is what lenders have left in this market."""
    market, totals, line = now.market, now.totals, now.lines[0]
    held = [words.uint(i) if _told(words, i) else 0 for i in (lay.CASH, lay.LOCKED)]
    shares, assets = totals.borrow_shares + math.VIRTUAL_SHARES, totals.borrow_assets + math.VIRTUAL_ASSETS
    pledged = Reserve(
        venue=market.id,
        token=market.collateral,
        feed=line.feed,
        price_base=line.price_base,
        base_decimals=BASE_DECIMALS,
        active=True,
        frozen=False,
        paused=False,
        supply_room_units=None,
        cash_units=held[1],
        supply_rate_ray=0,
        borrow_rate_ray=0,
        updated_s=now.block.timestamp_s,
    )
    lent = replace(
        pledged,
        token=market.loan,
        feed=market.loan_feed,
        price_base=now.usd_wad,
        cash_units=min(held[0], max(0, totals.supply_assets - totals.borrow_assets)),
        borrow_rate_ray=now.rate_wad * YEAR_S * (RAY // WAD),
        borrow_index_ray=-(-assets * RAY // shares),
    )
    return lent, pledged
