"""Positions of one asset and one debt that share both feeds: what their prices' quotient says, said once.

Health is (a / b) (p / q), so the scenario of the least p / q is the worst for all of them, and a group of
scenarios whose least p / q is above b / a liquidates nobody. Quotients are rounded: whatever lies within a
margin is computed from the position's own numbers, as elsewhere, and the results are the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keeper.risk.book import Floats
from keeper.risk.groups import GROUP, Room, Tally, examine
from keeper.risk.jit import inlined
from keeper.risk.sides import Sides
from keeper.risk.simd import LANES, div, least, load, minimum, spread

FEWEST = 4
"""Positions from which a pair's quotients pay."""
TIES = 8
"""Room for scenarios so near the least quotient that rounding decides; with more the pair is not used."""
_TIE = 1e-14
"""Quotients this near, as a share, may be in another order in a position's own arithmetic."""
_NEAR = 1e-12
"""A group is passed over when its least quotient is farther than this above b / a."""
TINY = 1e-100
"""Prices and weights below are left to the general way: products of others lose no digits."""


@inlined
def coupled(sides: Sides, u: Any) -> bool:
    """Whether u has one asset, one debt and nothing else."""
    one: bool = sides.middle[u] - sides.start[u] == 1 and sides.start[u + np.uint64(1)] - sides.middle[u] == 1
    alone: bool = one and sides.a0[u] == 0.0 and sides.b0[u] == 0.0
    return alone


@inlined
def run(sides: Sides, u: Any, end: Any) -> Any:
    """One beyond the last position, up to ``end``, that has the same pair of feeds as u."""
    j = np.uint64(sides.start[u])
    k, q = sides.feed[j], sides.feed[j + np.uint64(1)]
    v = u + np.uint64(1)
    while v < end and coupled(sides, v):
        j = np.uint64(sides.start[v])
        if sides.feed[j] != k or sides.feed[j + np.uint64(1)] != q:
            break
        v += np.uint64(1)
    return v


@inlined
def quotients(prices: Floats, feeds: Any, lows: Floats) -> tuple[float, float]:
    """Least price of feed feeds[0] over price of feed feeds[1] in each group, into ``lows``; the least of all
    and the least price of either."""
    k, q = feeds
    width = np.uint64(prices.shape[1])
    best, near = math.inf, spread(math.inf)
    for g in range(lows.shape[0]):
        o, n = k * width + np.uint64(g * GROUP), q * width + np.uint64(g * GROUP)
        low = spread(math.inf)
        for i in range(4):
            x, y = load(prices, o + np.uint64(i * LANES)), load(prices, n + np.uint64(i * LANES))
            low, near = minimum(div(x, y), low), minimum(minimum(x, y), near)
        lows[g] = least(low)
        best = min(best, lows[g])
    return best, least(near)


@inlined
def nearest(prices: Floats, feeds: Any, room: Room, edge: float) -> int:
    """Scenarios whose quotient is at most ``edge``, in order, into ``ties``; how many, 0 when too many.

    One with the prices of the one before it is left out: a minimum keeps the first.
    """
    (k, q), lows, ties, found = feeds, room.lows, room.ties, 0
    for g in range(lows.shape[0]):
        if lows[g] > edge:
            continue
        for s in range(g * GROUP, (g + 1) * GROUP):
            p, r = prices[k, np.uint64(s)], prices[q, np.uint64(s)]
            if p / r > edge:
                continue
            if found > 0 and p == prices[k, ties[found - 1]] and r == prices[q, ties[found - 1]]:
                continue
            if found == ties.shape[0]:
                return 0
            ties[found] = s
            found += 1
    return found


@inlined
def couple(sides: Sides, prices: Floats, room: Room, here: Tally, at: Any) -> bool:
    """``at`` (u, i, n): judge position u, whose results stand at i in ``here``, by the room's first n ties;
    False when its numbers are not fit for it."""
    u, i, found = at
    lows, ties = room.lows, room.ties
    j = np.uint64(sides.start[u])
    a, b = sides.weight[j], sides.weight[j + np.uint64(1)]
    if not (a >= TINY and b >= TINY):
        return False
    k, q = np.uint64(sides.feed[j]), np.uint64(sides.feed[j + np.uint64(1)])
    for n in range(found):
        s = np.uint64(ties[n])
        h = (a * prices[k, s]) / (b * prices[q, s])
        if h < here.low[i]:
            here.low[i], here.worst[i] = h, ties[n]
    if here.low[i] < 1.0:
        edge = (1.0 + _NEAR) * b / a
        for g in range(lows.shape[0]):
            if lows[g] <= edge:
                examine(sides, prices, here, (u, i, np.uint64(g * GROUP)))
    return True


@inlined
def judge_pairs(sides: Sides, prices: Floats, room: Room, here: Tally, span: Any) -> None:
    """Positions span[0]:span[1] that come in runs of one pair; 0 in ``todo`` for those that are done.

    Results of position u stand at u - span[0] in ``here``.
    """
    u, end = np.uint64(span[0]), np.uint64(span[1])
    while u < end:
        if not coupled(sides, u):
            u += np.uint64(1)
            continue
        v = run(sides, u, end)
        if v - u >= np.uint64(FEWEST):
            j = np.uint64(sides.start[u])
            feeds = (np.uint64(sides.feed[j]), np.uint64(sides.feed[j + np.uint64(1)]))
            best, near = quotients(prices, feeds, room.lows)
            # a price of 0 is left to the general way
            found = nearest(prices, feeds, room, best * (1.0 + _TIE)) if near >= TINY else 0
            while found > 0 and u < v:
                i = u - np.uint64(span[0])
                if room.todo[i] != 0 and couple(sides, prices, room, here, (u, i, found)):
                    room.todo[i] = 0
                u += np.uint64(1)
        u = v
