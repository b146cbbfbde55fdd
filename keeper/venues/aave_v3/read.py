"""Words -> positions: health recomputed to the wei and held against the pool's own answer.

Nothing is trusted twice: where our six words of account data differ from the pool's at the same block, the
position is Unreadable, however small the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from keeper.model import (
    WHOLE_BPS_AVERAGE,
    Amount,
    Block,
    BookRow,
    Holding,
    Position,
    PositionId,
    Unreadable,
)
from keeper.seams import Reading, Seen, Shadow
from keeper.units import WAD
from keeper.venues.aave_v3 import reserves as rsv
from keeper.venues.aave_v3.book import Market, Pooled
from keeper.venues.aave_v3.layout import STABLE, Layout
from keeper.venues.aave_v3.math import AccountData, Line
from keeper.venues.aave_v3.reserves import ModeNow, ReserveNow
from keeper.words import Words

BPS_WAD = 10**14
"""One basis point as a wad."""
STABLE_RATE = "stable_rate"
"""Flag of a row: a debt grows at a rate of its own, which no index of the market tells (Aave v3.0.x)."""
NO_MODE = ModeNow()
UNASKED = "holdings not read yet: a second round is needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What every account of one batch shares."""

    market: Pooled
    block: Block
    reserves: Mapping[int, ReserveNow]
    modes: Mapping[int, ModeNow]
    listed: int
    """Every bit that a listed reserve may set in a user's configuration."""
    stable: int = 0
    """Bits of the debts of which somebody has a part at a stable rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account as the batch shows it."""

    id: PositionId
    config: int
    """The pool's bitmap: bit 2i debt, bit 2i + 1 collateral."""
    mode: int
    held: Sequence[tuple[int, int | None]]
    """(bit, scaled balance or None when it could not be read), ascending."""


Make = Callable[[Frame, Account], tuple[AccountData, Position] | str]
"""One account's position and its six words of account data, or why it cannot be read."""


def decode(
    market: Market, at: Layout, block: Block, words: Words, shadows: Mapping[PositionId, Shadow]
) -> Reading:
    """Positions, reserves and prices from the words of ``at.calls``; a failed part becomes Unreadable."""
    why = rsv.stale(market, words)
    if why:
        lost = tuple(Unreadable(id=id, why=why, since_block=block.number) for id in at.ids)
        seen = Seen(assets=at.seen.assets, modes=at.seen.modes, stale=why)
        return Reading(positions=(), unreadable=lost, reserves=(), prices={}, seen=seen, again=False)
    now = rsv.reserves(market, at, block, words)
    frame = Frame(
        market=market,
        block=block,
        reserves={r.listing.id: r for r in now},
        modes=rsv.modes(market, at, words, now),
        listed=sum(3 << 2 * r.id for r in market.listings),
        stable=rsv.stable_bits(market, at, words),
    )
    scale = float(10**market.base_decimals)
    found, seen, again = _accounts(frame, at, words, shadows)
    return Reading(
        positions=tuple([f for f in found if isinstance(f, Position)]),
        unreadable=tuple([f for f in found if isinstance(f, Unreadable)]),
        reserves=tuple(r.record for r in now if r.record is not None),
        prices={r.listing.feed: r.price / scale for r in now if r.price},
        seen=replace(seen, stale=rsv.listed_anew(market, words)),
        again=again,
    )


def _accounts(
    frame: Frame, at: Layout, words: Words, shadows: Mapping[PositionId, Shadow]
) -> tuple[list[Position | Unreadable], Seen, bool]:
    """Every account; what the next batch asks, and whether it is needed now."""
    n, start = len(at.accounts), at.accounts_at
    configs = column(words, start, start + n)
    regimes = column(words, start + n, start + 2 * n)
    balances = column(words, at.balances_at, len(at.calls))
    said = account_data(words, start + 2 * n, start + 3 * n)
    out: list[Position | Unreadable] = []
    assets: dict[str, frozenset[int]] = {}
    modes: set[int] = set()
    again, first = False, 0
    for k, id in enumerate(at.ids):
        bits = at.bits[k]
        held = tuple(zip(bits, balances[first : first + len(bits)], strict=True))
        first += len(bits)
        config, mode = configs[k], regimes[k]
        if config is None or mode is None:
            out.append(_lost(frame, id, "getUserConfiguration or getUserEMode failed"))
            if id.account in at.seen.assets:
                assets[id.account] = at.seen.assets[id.account]
            continue
        account = Account(id=id, config=config, mode=mode, held=held)
        fixed = config & frame.stable & ~(at.masks[k] >> STABLE)
        news = config & ~at.masks[k] | fixed
        assets[id.account] = holds(at.seen, account, news, frame.stable)
        if mode:
            modes.add(mode)
        if news & frame.listed or (mode and mode not in frame.modes):
            again = True
            out.append(_lost(frame, id, UNASKED))
            continue
        shadow = shadows.get(id)
        found = guarded(frame, account, said[k]) if shadow is None else shadowed(frame, account, shadow)
        out.append(found if isinstance(found, Position) else _lost(frame, id, found))
    return out, Seen(assets=assets, modes=frozenset(modes)), again


def account_data(words: Words, start: int, stop: int) -> list[bytes | None]:
    """The six words of each ``getUserAccountData``; None for one that failed or fell short."""
    if start < stop and words.ok[start:stop].all() and (words.count[start:stop] >= 6).all():
        raw = words.limbs(start, stop, 6).astype(">u8").tobytes()
        return [raw[i : i + 192] for i in range(0, len(raw), 192)]
    return [words.raw(i)[:192] if words.ok[i] and words.count[i] >= 6 else None for i in range(start, stop)]


def guarded(frame: Frame, account: Account, said: bytes | None, make: Make | None = None) -> Position | str:
    """The position, if its account data equal the pool's own (``said``) word for word.

    ``make``: another release's ``position``.
    """
    found = (make or position)(frame, account)
    if isinstance(found, str):
        return found
    ours, result = found
    if said is None:
        return "the pool's own getUserAccountData failed"
    if b"".join([w.to_bytes(32) for w in ours]) != said:
        pool = [int.from_bytes(said[i : i + 32]) for i in range(0, 192, 32)]
        return (
            f"our health {ours[5]} differs from the pool's {pool[5]} at the same block "
            f"(collateral {ours[0]} / {pool[0]}, debt {ours[1]} / {pool[1]}, threshold {ours[3]} / {pool[3]})"
        )
    return result


def shadowed(frame: Frame, account: Account, shadow: Shadow, make: Make | None = None) -> Position | str:
    """The dry-run's version: all its stored integers in place of the chain's; the pool knows nothing of it.

    Collateral that the chain shows switched off stays off. Where the chain shows none at all (a liquidation
    took it), the shadow's counts: with the keeper armed it would still be there.
    """
    chain, config, held = dict(account.held), account.config, []
    for id, reserve in sorted(frame.reserves.items()):
        address, off = reserve.listing.token.address, 2 * id
        owed, given = shadow.debt.get(address, 0), shadow.collateral.get(address, 0)
        fixed = chain.get(STABLE + off, 0)
        config = config | 1 << off if owed or fixed != 0 else config & ~(1 << off)
        if given and not chain.get(off + 1):
            config |= 2 << off
        # nothing of ours touches debt at a stable rate: the chain's stands
        held += [(bit, x) for bit, x in ((off, owed), (off + 1, given), (STABLE + off, fixed)) if x != 0]
    found = (make or position)(frame, Account(id=account.id, config=config, mode=account.mode, held=held))
    return found if isinstance(found, str) else found[1]


def position(frame: Frame, account: Account) -> tuple[AccountData, Position] | str:
    """One account's position and its six words of account data, or why it cannot be read."""
    market, line, config = frame.market, frame.market.line, account.config
    unknown = config & ~frame.listed
    if unknown:
        id = (unknown.bit_length() - 1) // 2
        return f"holds reserve {id}, which was not listed when the market was loaded"
    mode = frame.modes[account.mode] if account.mode else NO_MODE
    if mode.why:
        return mode.why
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
            counts = bool(on and (reserve.threshold or line.bare_threshold_counts))
            holding, ltv = _collateral(line, reserve, scaled, mode, counts)
            collateral.append(replace(holding, ltv_zero=True) if counts and not ltv else holding)
            if counts:
                c += holding.value_base
                by_threshold += holding.value_base * (holding.threshold_wad // BPS_WAD)
                by_ltv += holding.value_base * ltv
        else:
            parts = _debts(line, reserve, scaled, fixed.pop(bit, 0))
            if parts is None:
                return f"reserve {reserve.listing.token.symbol}: debt at a stable rate could not be read"
            debt += parts
            d += sum([h.value_base for h in parts])
    for bit, units in fixed.items():
        if units is None or units:
            return f"reserve {bit >> 1}: debt at a stable rate beside none that was asked"
    six = line.account(c, d, by_threshold, by_ltv)
    return six, Position(
        id=account.id,
        owner=account.id.account,
        block_number=frame.block.number,
        health_wad=six[5],
        collateral=tuple(collateral),
        debt=tuple(debt),
        base_decimals=market.base_decimals,
        row=book_row(line, collateral, debt),
        mode=mode.label,
        emode=bool(mode.label),
    )


def _collateral(
    line: Line, reserve: ReserveNow, scaled: int, mode: ModeNow, counts: bool
) -> tuple[Holding, int]:
    """A holding of collateral, and the loan-to-value that applies to it."""
    listing = reserve.listing
    ltv, threshold, bonus = reserve.ltv, reserve.threshold, reserve.bonus
    if mode.collateral >> listing.id & 1:
        ltv, threshold, bonus = 0 if mode.ltv_zero >> listing.id & 1 else mode.ltv, mode.threshold, mode.bonus
    units = line.collateral(scaled, reserve.supply_index)
    return Holding(
        amount=Amount(token=listing.token, units=units),
        stored=scaled,
        price_base=reserve.price,
        value_base=units * reserve.price // listing.unit,
        threshold_wad=threshold * BPS_WAD if counts else 0,
        feed=listing.feed,
        bonus_bps=bonus,
        bonus_fee_bps=reserve.bonus_fee,
    ), ltv


def _debts(line: Line, reserve: ReserveNow, scaled: int, fixed: int | None) -> list[Holding] | None:
    """A debt and, under a name of its own, its part at a stable rate, which no step of ours repays.

    The pool values both together: the part is worth what it adds. It stands first, so that who looks a debt up by
    the token's address and takes the last finds what is at a variable rate.
    """
    if fixed is None:
        return None
    holding = _debt(line, reserve, scaled)
    if not fixed:
        return [holding]
    listing, units = reserve.listing, holding.amount.units
    both = line.debt_value(units + fixed, reserve.price, listing.unit)
    token = replace(listing.token, symbol=f"{listing.token.symbol} (stable rate)")
    part = replace(
        holding,
        amount=Amount(token=token, units=fixed),
        stored=0,
        value_base=both - holding.value_base,
    )
    return [part, holding] if scaled else [part]


def _debt(line: Line, reserve: ReserveNow, scaled: int) -> Holding:
    """A holding of debt."""
    listing = reserve.listing
    units = line.debt(scaled, reserve.borrow_index)
    return Holding(
        amount=Amount(token=listing.token, units=units),
        stored=scaled,
        price_base=reserve.price,
        value_base=line.debt_value(units, reserve.price, listing.unit),
        threshold_wad=WAD,
        feed=listing.feed,
    )


def book_row(line: Line, collateral: Iterable[Holding], debt: Iterable[Holding]) -> BookRow:
    """The position as a.p over b.p, in USD prices of one whole token.

    Coefficients come from the protocol's own rounded values, so that the row equals health at today's prices
    even for dust. Lines up to 3.2 cut the average threshold to whole bps, which no affine form holds: flagged.
    """
    a: dict[str, float] = {}
    b: dict[str, float] = {}
    for h in collateral:
        if h.threshold_wad and h.price_base:
            a[h.feed] = h.value_base / h.price_base * (h.threshold_wad / WAD)
    flags = () if line.bare_threshold_counts else (WHOLE_BPS_AVERAGE,)
    for h in debt:
        per_price = h.value_base / h.price_base
        b[h.feed] = b[h.feed] + per_price if h.feed in b else per_price
        # stored integers cannot follow a rate that is the account's own
        flags = (*flags, STABLE_RATE) if not h.stored and STABLE_RATE not in flags else flags
    if a.keys().isdisjoint(b):
        # by far the most: nothing is both given and owed
        return BookRow(
            feeds=(*a, *b),
            a=(*a.values(), *(0.0,) * len(b)),
            b=(*(0.0,) * len(a), *b.values()),
            flags=flags,
        )
    feeds = tuple({**a, **b})
    return BookRow(
        feeds=feeds,
        a=tuple([a.get(f, 0.0) for f in feeds]),
        b=tuple([b.get(f, 0.0) for f in feeds]),
        flags=flags,
    )


def column(words: Words, start: int, stop: int) -> list[int | None]:
    """The first word of each answer, None for one that failed or is empty."""
    if words.ok[start:stop].all() and (words.count[start:stop] >= 1).all():
        limbs = words.limbs(start, stop, 1)[:, 0, :]
        low = [hi << 64 | lo for hi, lo in zip(limbs[:, 2].tolist(), limbs[:, 3].tolist(), strict=True)]
        if not limbs[:, :2].any():
            return list(low)
        high = [hi << 64 | lo for hi, lo in zip(limbs[:, 0].tolist(), limbs[:, 1].tolist(), strict=True)]
        return [h << 128 | x for h, x in zip(high, low, strict=True)]
    return [words.uint(i) if words.ok[i] and words.count[i] else None for i in range(start, stop)]


def holds(seen: Seen, account: Account, news: int, stable: int) -> frozenset[int]:
    """The bits worth asking next time: those set, and those off that still hold something."""
    before = seen.assets.get(account.id.account)
    config = account.config
    bits = [b for b, scaled in account.held if (scaled != 0 if b < STABLE else config >> (b - STABLE) & 1)]
    if not news and before is not None and len(bits) == len(before):
        # what was asked is what is held: the commonest case by far, so it is told first
        return before
    while config:
        low = config & -config
        bits.append(low.bit_length() - 1)
        if low & stable:
            bits.append(STABLE + low.bit_length() - 1)
        config ^= low
    return frozenset(bits)


def _lost(frame: Frame, id: PositionId, why: str) -> Unreadable:
    return Unreadable(id=id, why=why, since_block=frame.block.number)
