"""Where GmxV2Executor must let an order pass, so that it never refuses what the policy wants. Pure.

Health takes fees, impact, borrowing, funding and what GMX requires off; the Executor's equity by the feeds knows none
of it, so a position that owes is in need while its equity still looks fine. And health is a ratio of prices: a long's
equity at a health follows from its size, a short's from its margin too. So the trigger of a grant is that equity of
*this* position at the price where its health is the policy's.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from keeper.model import Perp
from keeper.units import WAD

PPM = 10**6
FACTOR = 10**30
YEAR_S = 31_536_000
MOVE_MAX = 3
"""A short whose margin rises with the index may be liquidated by no rise at all: looked at up to so many times
today's price."""
CARRY_UNKNOWN = FACTOR // 10
"""A year, of size, where nobody can tell what holding costs."""


def least_trigger(perp: Perp, health_wad: int) -> int:
    """The least ``triggerPpm`` with which the Executor acts at the price of the index where health is that, with what
    is owed now.

    Margin that is no dollar token may keep its price or move with the index: the worse of both counts.
    """
    moves = (False,) if perp.stable else (False, True)
    equity = max(_equity_usd(perp, Fraction(health_wad, WAD), joint) for joint in moves)
    # the contract rounds its equity down and wants it below the trigger
    return max(int(equity * PPM // perp.size_usd), 0) + 1


def grown(perp: Perp, carry_s: int, margin: int) -> tuple[Perp, ...]:
    """The same position after so many seconds of today's rates and at its worst impact: with its margin as it is, and
    with so many units more."""
    rate = perp.side.carry_year if perp.side is not None else None
    rate = CARRY_UNKNOWN if rate is None else rate
    carry_usd = -(-perp.size_usd * rate * max(carry_s, 0) // (FACTOR * YEAR_S))
    units = -(-carry_usd // perp.collateral_price)
    worse_usd = max(perp.impact_usd - perp.impact_least_usd, 0)
    later = replace(
        perp,
        owed=perp.owed + units,
        remaining_usd=perp.remaining_usd - units * perp.collateral_price - worse_usd,
    )
    more = replace(
        later,
        margin=later.margin + margin,
        remaining_usd=later.remaining_usd + margin * perp.collateral_price,
    )
    return later, more


def _equity_usd(perp: Perp, health: Fraction, joint: bool) -> Fraction:
    """By the feeds, at the move of the index that brings the venue's health there; ``joint``: the margin's price
    moves as much. A profit that the pool does not pay is counted as it is now."""
    size, worth = perp.size_usd, perp.tokens * perp.index_price
    margin = (perp.margin - perp.owed) * perp.collateral_price
    taken = margin + perp.pnl_usd - (perp.remaining_usd - perp.need_usd)  # fee, impact and what must remain
    must, moved, fixed = (
        (health * (size + taken), Fraction(worth), margin)
        if perp.long
        else (Fraction(size - taken), health * worth, -margin)
    )
    # long: worth x move + margin = must; short: health x worth x move - margin = what it holds besides
    over, under = (must, moved + fixed) if joint else (must - fixed, moved)
    move = min(max(over / under, Fraction(0)), Fraction(MOVE_MAX)) if under > 0 else Fraction(MOVE_MAX)
    held = perp.margin * perp.collateral_mid * (move if joint else 1)
    tokens = perp.tokens * perp.index_mid * move
    return held + (tokens - size if perp.long else size - tokens)
