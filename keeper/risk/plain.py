"""The plain twin of the vector kernels: the same statistics in ordinary loops, for where nothing is
compiled.
"""

from __future__ import annotations

from keeper.risk.book import Floats
from keeper.risk.fused import Sides, Tally, reset


def statistics(sides: Sides, prices: Floats, tally: Tally) -> None:
    """As ``fused.fused``, for any number of scenarios."""
    reset(sides, tally, 0, sides.a0.shape[0])
    for u in range(sides.a0.shape[0]):
        if sides.known[u] == 0:
            continue
        for s in range(prices.shape[1]):
            c, d = sides.a0[u], sides.b0[u]
            for j in range(sides.start[u], sides.middle[u]):
                c += sides.weight[j] * prices[sides.feed[j], s]
            for j in range(sides.middle[u], sides.start[u + 1]):
                d += sides.weight[j] * prices[sides.feed[j], s]
            h = quotient(c, d)
            if h < tally.low[u]:
                tally.low[u], tally.worst[u] = h, s
            if c < d:
                tally.hits[s] += 1.0
                tally.notional[s] += d
                if tally.first[u] < 0:
                    tally.first[u] = s


def quotient(c: float, d: float) -> float:
    """c / d; without requirement +inf when nothing is missing, -inf when something is."""
    if d > 0.0:
        return c / d
    return float("inf") if c >= 0.0 else -float("inf")
