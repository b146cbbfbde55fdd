"""Words -> positions: debt accrued by ourselves and held against the market's own answers.

Two answers of the market are compared, each at the same block: ``borrowBalanceOf``, which accrues, to the
unit, and ``isLiquidatable``, which does not, with our verdict at the stored index. Where either differs the
position is Unreadable. Health itself is taken after accrual, as ``absorb`` takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keeper.model import Amount, Block, BookRow, Holding, Position, PositionId, Unreadable
from keeper.seams import Reading, Seen, Shadow
from keeper.units import BPS, WAD
from keeper.venues.aave_v3.read import column
from keeper.venues.compound_v3 import book, math
from keeper.venues.compound_v3 import market as mkt
from keeper.venues.compound_v3.book import Market
from keeper.venues.compound_v3.layout import BASIC, OWED, VERDICT, Layout
from keeper.venues.compound_v3.market import AssetNow, MarketNow
from keeper.words import Words

UNASKED = "holdings not read yet: a second round is needed"
SIGN = 1 << 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account as the batch shows it."""

    id: PositionId
    principal: int
    """Signed; negative is debt."""
    held: tuple[tuple[int, int], ...]
    """(number of the asset, units), those above 0."""


def decode(
    market: Market, at: Layout, block: Block, words: Words, shadows: Mapping[PositionId, Shadow]
) -> Reading:
    """Positions, reserves and prices from the words of ``at.calls``; a failed part becomes Unreadable."""
    why = mkt.stale(market, words)
    now = why or mkt.market_now(market, at, block, words)
    if isinstance(now, str):
        lost = tuple(Unreadable(id=id, why=now, since_block=block.number) for id in at.ids)
        seen = Seen(assets=at.seen.assets, stale=why)
        return Reading(positions=(), unreadable=lost, reserves=(), prices={}, seen=seen, again=False)
    found, seen, again = _accounts(market, now, at, words, shadows)
    changed = next((a for a in now.assets if "not the one loaded" in a.why), None)
    scale = float(10**math.PRICE_DECIMALS)
    return Reading(
        positions=tuple([f for f in found if isinstance(f, Position)]),
        unreadable=tuple(
            Unreadable(id=id, why=f, since_block=block.number)
            for id, f in zip(at.ids, found, strict=True)
            if isinstance(f, str)
        ),
        reserves=(now.base, *(a.record for a in now.assets if a.record is not None)),
        prices={market.base.feed: now.base_price / scale}
        | {a.listing.feed: a.price / scale for a in now.assets if a.price},
        seen=replace(seen, stale=f"{changed.listing.token.symbol}: {changed.why}" if changed else ""),
        again=again,
    )


def _accounts(
    market: Market, now: MarketNow, at: Layout, words: Words, shadows: Mapping[PositionId, Shadow]
) -> tuple[list[Position | str], Seen, bool]:
    """Every account or why not; what the next batch asks, and whether it is needed now."""
    n = len(at.accounts)
    owed = column(words, at.accounts_at + OWED * n, at.accounts_at + (OWED + 1) * n)
    verdicts = column(words, at.accounts_at + VERDICT * n, at.accounts_at + (VERDICT + 1) * n)
    balances = column(words, at.balances_at, len(at.calls))
    basics = _basics(words, at.accounts_at + BASIC * n, at.accounts_at + (BASIC + 1) * n)
    sorts: dict[tuple[int, tuple[int, ...]], tuple[frozenset[int], tuple[int, ...], bool]] = {}
    out: list[Position | str] = []
    assets: dict[str, frozenset[int]] = {}
    again, first = False, 0
    for k, id in enumerate(at.ids):
        asked, units = at.asked[k], balances[first : first + len(at.asked[k])]
        first += len(asked)
        basic = basics[k]
        if basic is None:
            out.append("userBasic failed")
            if id.account in at.seen.assets:
                assets[id.account] = at.seen.assets[id.account]
            continue
        principal, inside = basic
        # few kinds of accounts hold the same assets, and were asked for the same
        if (inside, asked) not in sorts:
            mine = tuple(i for i in range(len(market.assets)) if inside >> i & 1)
            sorts[inside, asked] = frozenset(mine), mine, not set(mine) <= set(asked)
        holds, mine, unasked = sorts[inside, asked]
        assets[id.account] = holds
        if inside >> len(market.assets):
            out.append("holds an asset that was not listed when the market was loaded")
            continue
        if unasked:
            again = True
            out.append(UNASKED)
            continue
        known = dict(zip(asked, units, strict=True))
        failed = [market.assets[i].token.symbol for i in mine if known[i] is None]
        if failed:
            out.append(f"the balance of {', '.join(failed)} could not be read")
            continue
        account = Account(
            id=id,
            principal=principal,
            held=tuple([(i, known[i] or 0) for i in mine]),
        )
        shadow = shadows.get(id)
        if shadow is None:
            out.append(_guarded(market, now, account, (owed[k], verdicts[k])))
        else:
            out.append(position(market, now, _shadowed(market, account, shadow)))
    return out, Seen(assets=assets), again


def _basics(words: Words, start: int, stop: int) -> list[tuple[int, int] | None]:
    """(signed principal, bits of the assets held) of each ``userBasic``; None for one that failed."""
    least = book.USER_BASIC_WORDS
    if start == stop or not words.ok[start:stop].all() or (words.count[start:stop] < least).any():
        return [_basic(words, i) for i in range(start, stop)]
    limbs = words.limbs(start, stop, 5)
    # an int104: its lower 128 bits are all of it, the sign included
    high, low = limbs[:, 0, 2].astype(np.int64).tolist(), limbs[:, 0, 3].tolist()
    inside = (
        limbs[:, 3, 3] & np.uint64(0xFFFF) | (limbs[:, 4, 3] & np.uint64(0xFF)) << np.uint64(16)
    ).tolist()
    return [(h << 64 | x, bits) for h, x, bits in zip(high, low, inside, strict=True)]


def _basic(words: Words, i: int) -> tuple[int, int] | None:
    """The same of one answer."""
    if not words.ok[i] or words.count[i] < book.USER_BASIC_WORDS:
        return None
    raw, _, _, low, high = words.uints(i)[:5]
    return raw - (raw & SIGN) * 2, low & 0xFFFF | (high & 0xFF) << 16


def _guarded(
    market: Market, now: MarketNow, account: Account, said: tuple[int | None, int | None]
) -> Position | str:
    """The position, if debt and stored verdict are what the market says (``said``)."""
    weighed = _weighed(market, now, account)
    if isinstance(weighed, str):
        return weighed
    found, counted = weighed
    owed, verdict = said
    ours = max(0, -math.present(account.principal, now.supply_index, now.borrow_index))
    if owed is None or verdict is None:
        return "the market's own borrowBalanceOf or isLiquidatable failed"
    if owed != ours:
        return f"our accrued debt {ours} differs from the market's {owed} at the same block"
    stored = math.present(account.principal, now.totals.supply_index, now.totals.borrow_index)
    left = math.value_of(stored, now.base_price, market.base.scale) + counted
    if math.is_short(account.principal, left) != bool(verdict):
        return f"our stored liquidity {left} contradicts the market's isLiquidatable {bool(verdict)}"
    return found


def _shadowed(market: Market, account: Account, shadow: Shadow) -> Account:
    """The dry-run's version: all its stored integers in place of the chain's."""
    base = market.base.token.address
    held = ((i, shadow.collateral.get(a.token.address, 0)) for i, a in enumerate(market.assets))
    return Account(
        id=account.id,
        principal=shadow.collateral.get(base, 0) - shadow.debt.get(base, 0),
        held=tuple((i, units) for i, units in held if units),
    )


def position(market: Market, now: MarketNow, account: Account) -> Position | str:
    """One account's position after accrual, or why it cannot be read."""
    found = _weighed(market, now, account)
    return found if isinstance(found, str) else found[0]


def _weighed(market: Market, now: MarketNow, account: Account) -> tuple[Position, int] | str:
    """The position and what its collateral counts by the liquidate factors, or why it cannot be read."""
    broken = next((now.assets[i] for i, _ in account.held if now.assets[i].why), None)
    if broken is not None:
        return f"asset {broken.listing.token.symbol}: {broken.why}"
    base_units = math.present(account.principal, now.supply_index, now.borrow_index)
    collateral = [_pledged(now.assets[i], units) for i, units in account.held]
    counts = [weighted(h) for h in collateral]
    base = _base(market, now, base_units, abs(account.principal))
    debt = [base] if account.principal < 0 else []
    if account.principal > 0:
        collateral.append(replace(base, threshold_wad=0))
        counts.append(0)
    counted = sum(counts)
    found = Position(
        id=account.id,
        owner=account.id.account,
        block_number=now.block_number,
        health_wad=math.health_down(base.value_base if debt else 0, counted),
        collateral=tuple(collateral),
        debt=tuple(debt),
        base_decimals=math.PRICE_DECIMALS,
        row=_row(collateral, counts, debt),
    )
    return found, counted


def _pledged(asset: AssetNow, units: int) -> Holding:
    """One collateral; an absorbed account is credited its worth times the liquidation factor, all at once."""
    listing = asset.listing
    return Holding(
        amount=Amount(token=listing.token, units=units),
        stored=units,
        price_base=asset.price,
        value_base=units * asset.price // listing.scale,
        threshold_wad=asset.liquidate_factor,
        feed=listing.feed,
        bonus_bps=BPS * WAD // asset.liquidation_factor if asset.liquidation_factor else 0,
    )


def _base(market: Market, now: MarketNow, base_units: int, stored: int) -> Holding:
    """The base token, owed or lent."""
    listing = market.base
    return Holding(
        amount=Amount(token=listing.token, units=abs(base_units)),
        stored=stored,
        price_base=now.base_price,
        value_base=abs(math.value_of(base_units, now.base_price, listing.scale)),
        threshold_wad=WAD,
        feed=listing.feed,
    )


def weighted(held: Holding) -> int:
    """What one collateral counts, both roundings down, as the market takes them."""
    return held.value_base * held.threshold_wad // WAD


def health_down(collateral: Iterable[Holding], debt: Iterable[Holding]) -> int:
    """Health of holdings as a position shows them."""
    return math.health_down(sum(h.value_base for h in debt), sum(weighted(h) for h in collateral))


def book_row(collateral: Sequence[Holding], debt: Sequence[Holding]) -> BookRow:
    """The position as a.p over b.p, in USD prices of one whole token, equal to its health at today's prices."""
    return _row(collateral, [weighted(h) for h in collateral], debt)


def _row(collateral: Sequence[Holding], counts: Sequence[int], debt: Sequence[Holding]) -> BookRow:
    a = {h.feed: n / h.price_base for h, n in zip(collateral, counts, strict=True) if h.threshold_wad}
    b = {h.feed: h.value_base / h.price_base for h in debt}
    feeds = tuple({**a, **b})
    return BookRow(
        feeds=feeds, a=tuple([a.get(f, 0.0) for f in feeds]), b=tuple([b.get(f, 0.0) for f in feeds])
    )
