"""Where an owner wants out by price: at a level, so far from the best price seen, or at a profit.

Pure, on exact integers; strategies and decision ask here, so that what is lifted and what is sold agree. Prices are
the venue's own, dollars of one whole token in wad. What is held (or a long) is hurt by a fall, what is owed (or a
short) by a rise; an asset on both sides is hurt by neither and has no exit, but what is less than a hundredth of its
other side does not count: anybody may send dust.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keeper.model import Holding, Policy, Position
from keeper.units import UINT256_MAX, WAD, decimal_text, mul_div_down, mul_div_up

TRAIL, PROFIT = "trailing_stop", "take_profit"
STOPS = ("close_position", "close_perp")
"""Strategies that leave at ``close_prices``."""
ALONE = "price_by_one_endpoint"
"""Flag of a row whose prices no second endpoint has agreed to yet: they move no mark."""
MARK_STEP = 1_000
"""A mark moves by at least one part in so many, so that the journal is not written at every block."""
DUST = 100
"""A side counts where it is worth more than one part in so many of the other."""
PERP_USD = 10**30
PCT_PPM = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One price that the position lives by; ``side`` 1 where a fall hurts, -1 where a rise does."""

    symbol: str
    side: int
    price_wad: int

    def beyond(self, level_wad: int) -> bool:
        """Whether the price is at the level or on its hurting side."""
        return self.side * (self.price_wad - level_wad) <= 0


def seen(position: Position) -> tuple[Seen, ...]:
    """Every price of an open position that hurts one way; none without debt, and none that is not known."""
    if (perp := position.perp) is not None:
        price = perp.index_price * 10**perp.index.decimals * WAD // PERP_USD
        return (
            (Seen(symbol=perp.index.symbol, side=1 if perp.long else -1, price_wad=price),) if price else ()
        )
    if not position.debt or position.health_wad in (None, UINT256_MAX):
        return ()
    scale = 10**position.base_decimals
    sides = ((1, position.collateral), (-1, position.debt))
    every = [
        Seen(symbol=h.amount.token.symbol, side=side, price_wad=mul_div_down(h.price_base, WAD, scale))
        for side, held in sides
        for h in held
        if h.amount.units and h.price_base > 0
    ]
    worth = {1: _worth(position.collateral), -1: _worth(position.debt)}
    return tuple(s for s in every if worth[-s.side].get(s.symbol, 0) * DUST < worth[s.side][s.symbol])


def _worth(held: Sequence[Holding]) -> dict[str, int]:
    found: dict[str, int] = {}
    for h in held:
        found[h.amount.token.symbol] = found.get(h.amount.token.symbol, 0) + h.value_base
    return found


Marks = tuple[tuple[str, int, int], ...]
"""(symbol, side, the best price seen since the position was opened or guarded)."""


def marks_after(marks: Marks, position: Position | None, policy: Policy) -> Marks:
    """The best prices with this block's; as they were where the position cannot be read or one endpoint alone says
    what it costs, none once it is closed."""
    if not policy.trail_pct:
        return ()
    if position is None or (position.perp is None and position.health_wad is None):
        return marks
    if ALONE in position.row.flags:
        return marks
    wanted, before = dict(policy.trail_pct), {(symbol, side): best for symbol, side, best in marks}
    found = []
    for s in seen(position):
        if s.symbol not in wanted:
            continue
        best = before.get((s.symbol, s.side), 0)
        step = best // MARK_STEP
        better = not best or s.side * (s.price_wad - best) > step
        found.append((s.symbol, s.side, s.price_wad if better else best))
    return tuple(found)


def line_wad(best: int, side: int, trail_ppm: int) -> int:
    """So far from the best price that the owner wants out; rounded to the side that leaves earlier."""
    if side > 0:
        return mul_div_up(best, 100 * PCT_PPM - trail_ppm, 100 * PCT_PPM)
    return mul_div_down(best, 100 * PCT_PPM + trail_ppm, 100 * PCT_PPM)


def stopped(position: Position, policy: Policy) -> str:
    """Which of ``close_prices`` is reached, in words; "" where none is."""
    levels = dict(policy.close_prices)
    return next((_at(s, levels[s.symbol]) for s in seen(position) if _there(s, levels)), "")


def trailed(position: Position, policy: Policy) -> str:
    """Which price has come so far from its best, in words; "" where none has. ``trail_marks`` are the best."""
    best_of, wanted = {(sym, side): best for sym, side, best in policy.trail_marks}, dict(policy.trail_pct)
    for s in seen(position):
        best, ppm = best_of.get((s.symbol, s.side)), wanted.get(s.symbol)
        if best and ppm and s.beyond(level := line_wad(best, s.side, ppm)):
            from_best = "highest" if s.side > 0 else "lowest"
            share = decimal_text(ppm, 4)
            return f"{_at(s, level)}, {share} % from its {from_best} {decimal_text(best, 18)}"
    return ""


def gained(position: Position, policy: Policy) -> str:
    """Which price of ``take_profit`` is reached, in words; "" where none is: held at or above, owed at or below."""
    levels = dict(policy.take_profit)
    for s in seen(position):
        level = levels.get(s.symbol)
        if level is not None and s.side * (s.price_wad - level) >= 0:
            sign = ">=" if s.side > 0 else "<="
            return f"{s.symbol} at {decimal_text(s.price_wad, 18)} {sign} {decimal_text(level, 18)}"
    return ""


def reached(position: Position, policy: Policy) -> Iterator[tuple[str, str]]:
    """(strategy of the policy, why) of each exit by price that is reached now."""
    for name in policy.strategies:
        ask = stopped if name in STOPS else {TRAIL: trailed, PROFIT: gained}.get(name)
        if ask is not None and (why := ask(position, policy)):
            yield name, why


def _there(s: Seen, levels: dict[str, int]) -> bool:
    return s.symbol in levels and s.beyond(levels[s.symbol])


def _at(s: Seen, level: int) -> str:
    sign = "<=" if s.side > 0 else ">="
    return f"{s.symbol} at {decimal_text(s.price_wad, 18)} {sign} {decimal_text(level, 18)}"
