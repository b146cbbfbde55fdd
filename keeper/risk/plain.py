"""The plain twin of the vector kernels: the same statistics in ordinary loops, for where nothing is
compiled.
"""

from __future__ import annotations

import math

from keeper.risk.book import Floats
from keeper.risk.groups import HEALTHY, UNKNOWN, Tally
from keeper.risk.sides import Sides


def statistics(sides: Sides, prices: Floats, tally: Tally) -> None:
    """As ``fused.fused``, for any number of scenarios."""
    for u in range(sides.a0.shape[0]):
        row = sides.row[u]
        if sides.known[u] == 0:
            tally.low[row], tally.worst[row], tally.first[row] = math.nan, UNKNOWN, UNKNOWN
            continue
        tally.low[row], tally.worst[row], tally.first[row] = math.inf, HEALTHY, HEALTHY
        for s in range(prices.shape[1]):
            c, d = (
                side(sides, prices, sides.start[u], sides.middle[u], s),
                side(sides, prices, sides.middle[u], sides.start[u + 1], s),
            )
            c, d = c + sides.a0[u], d + sides.b0[u]
            h = quotient(c, d)
            if h < tally.low[row]:
                tally.low[row], tally.worst[row] = h, s
            if c < d:
                tally.hits[s] += 1.0
                tally.notional[s] += d
                if tally.first[row] < 0:
                    tally.first[row] = s


def side(sides: Sides, prices: Floats, first: int, last: int, s: int) -> float:
    """Sum of weight x price over entries first:last in scenario s."""
    total = 0.0
    for j in range(first, last):
        total += sides.weight[j] * prices[sides.feed[j], s]
    return total


def quotient(c: float, d: float) -> float:
    """c / d; without requirement +inf when nothing is missing, -inf when something is."""
    if d > 0.0:
        return c / d
    return float("inf") if c >= 0.0 else -float("inf")
