"""When GMX v2 may liquidate a position, to the integer: what is left of its collateral after everything it owes.

The venue's own ``isPositionLiquidatable`` uses borrowing and funding as stored; they are brought up to date before a
liquidation is judged, so this counts them up to the market's present second (``pending``) unless asked otherwise.
"""

from __future__ import annotations

from keeper.venues.gmx_v2.curves import (
    applied,
    borrowing_a_second,
    funding_since,
    impact_of_closing,
    up,
)
from keeper.venues.gmx_v2.layout import FACTOR, PER_SIZE, Held, Market, Standing

BELOW_MINIMUM = "min collateral"
NOTHING_LEFT = "< 0"
BELOW_LEVERAGE = "min collateral for leverage"
"""The venue's own words for its verdicts."""


def standing(market: Market, held: Held, *, pending: bool = True, liquidating: bool = True) -> Standing:
    """How ``held`` stands at the market's prices. ``liquidating``: by the lower minimum that liquidation uses, not by
    that which a reduction must leave. ValueError for a position without size: it is closed."""
    if held.size <= 0 or held.tokens <= 0:
        raise ValueError(f"the position has size {held.size} and {held.tokens} tokens: it is closed")
    price = (market.prices.long if held.long_token else market.prices.short).min
    won = profit(market, held)
    impact, improved = _impact(market, held)
    fee = applied(held.size, market.fee.of(improved)) // price
    borrowing = applied(held.size, _borrowed(market, held, pending) - held.borrowed) // price
    per_size = market.funded[0 if held.long else 1].of(held.long_token)
    per_size += funding_since(market, held) if pending else 0
    funding = up(held.size * (per_size - held.funded), FACTOR * PER_SIZE)
    remaining = held.collateral * price + won + impact - (fee + borrowing + funding) * price
    factor = market.minimum_at_liquidation if liquidating else market.minimum
    need = applied(held.size, factor)
    why = ""
    if remaining < market.minimum_usd:
        why = BELOW_MINIMUM
    elif remaining <= 0:
        why = NOTHING_LEFT
    elif remaining < need:
        why = BELOW_LEVERAGE
    return Standing(
        remaining=remaining,
        need=need,
        pnl=won,
        impact=impact,
        fee=fee,
        borrowing=borrowing,
        funding=funding,
        why=why,
    )


def profit(market: Market, held: Held) -> int:
    """Unrealised profit at the price that is worse for the position; a profit is cut as far as all of its side's
    exceed what the pool may lose."""
    index = market.prices.index
    worth = held.tokens * (index.min if held.long else index.max)
    won = worth - held.size if held.long else held.size - worth
    return won if won <= 0 else _cut(market, held.long, won)


def _cut(market: Market, long: bool, won: int) -> int:
    side = market.side(long)
    if not side.usd.total or not side.tokens.total:
        return won
    all_won, pool = side_profit(market, long)
    most = applied(pool, market.pnl_most.of(long))
    if all_won <= most or most <= 0:
        return won
    return won * most // all_won


def side_profit(market: Market, long: bool) -> tuple[int, int]:
    """(what a side has won at the price that is better for it, what its pool is worth at the least), as GMX measures
    them against the shares that cap profits and that make it close winners (``MAX_PNL_FACTOR``)."""
    side, index = market.side(long), market.prices.index
    worth = side.tokens.total * (index.max if long else index.min)
    pool = market.pool.of(long) * (market.prices.long if long else market.prices.short).min
    return (worth - side.usd.total if long else side.usd.total - worth), pool


def _impact(market: Market, held: Held) -> tuple[int, bool]:
    """(what closing costs by impact as a liquidation counts it: never above 0, nor below its floor; whether balance
    improves)."""
    impact, improved = impact_of_closing(market, held)
    curve, index = market.curve, market.prices.index
    if impact > 0:
        impact = min(impact, applied(held.size, min(curve.most_positive, curve.most_negative)))
    impact += held.pending_impact * (index.min if held.pending_impact > 0 else index.max)
    if impact >= 0:
        return 0, improved
    return max(impact, -applied(held.size, curve.most_at_liquidation)), improved


def _borrowed(market: Market, held: Held, pending: bool) -> int:
    since = borrowing_a_second(market, held.long) * market.borrow_s if pending else 0
    return market.borrowed.of(held.long) + since


def margin_needed(stands: Standing, minimum_usd: int, target: int) -> int:
    """USD of collateral to add so that remaining is ``target`` (1e30 is 1) times what is needed; 0 when it is."""
    line = max(applied(stands.need, target), applied(minimum_usd, target))
    return max(line - stands.remaining, 0)


def reduction_needed(stands: Standing, held: Held, factor: int, target: int) -> int:
    """USD of size to close so that remaining is ``target`` times what the rest needs: size - remaining / (target x
    factor). What closing costs is charged in ``remaining`` already. 0 when it is; all of it where nothing is left."""
    if stands.remaining <= 0:
        return held.size
    kept = stands.remaining * FACTOR // max(applied(factor, target), 1)
    return max(held.size - kept, 0)
