"""Scenario statistics that never materialise U x S (kernel): memory is O(U + S).

For position u and scenario s: c = a0 + sum a p, d = b0 + sum b p; liquidatable where c < d. Out: the minimum
of c / d over s and its scenario, the first s with c < d, and for every s how many positions are liquidatable
and the sum of their requirements. The minimum is kept without a division per pair: c < m d decides (d >= 0).

Scenarios are looked at in groups of neighbours. By interval arithmetic over a group's lowest and highest
prices c >= c' and d <= d'; where c' > max(m, 1) d' the group holds neither a new minimum nor a liquidation
and is passed over. Results are the same bits as without; scenarios ordered worst first leave least to do.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keeper.risk.book import Floats, Ints
from keeper.risk.groups import GROUP, HEALTHY, LARGEST, UNKNOWN, Room, Tally, examine
from keeper.risk.jit import Kernels, inlined, lean, record_type, signature
from keeper.risk.pairs import TIES, judge_pairs
from keeper.risk.sides import Sides, empty_sides
from keeper.risk.simd import LANES, bits, fma, less, load, lowest, mul, spread

WIDE = 2 * LANES
"""Groups whose bounds are computed at once: two vectors."""
_USERS = 512
"""Positions a block: their results and the bounds of a few groups stay in the first-level cache."""
_MARGIN = 1e-12
"""Bounds are widened by this share of every term: above what rounding adds up to in rows of ``_LONGEST``."""
_LONGEST = 2000
"""Entries of a row above which nothing is passed over."""
_KEPT = 1 << 62
"""Marks a position as still to judge in ``todo``; the bits below are its groups."""


@inlined
def ranges(prices: Floats, table: Floats) -> None:
    """Row 2k of ``table`` float64[2F, >= S / GROUP]: just below feed k's lowest price in each group, row
    2k + 1: just above its highest."""
    for k in range(np.uint64(prices.shape[0])):
        top, groups = 0.0, prices.shape[1] // GROUP
        row = np.uint64(2) * k
        for g in range(np.uint64(groups)):
            lo = prices[k, g * np.uint64(GROUP)]
            hi = lo
            for s in range(g * np.uint64(GROUP) + np.uint64(1), (g + np.uint64(1)) * np.uint64(GROUP)):
                lo, hi = min(lo, prices[k, s]), max(hi, prices[k, s])
            table[row, g], table[row + np.uint64(1), g] = lo, hi
            top = max(top, hi)
        for g in range(np.uint64(table.shape[1])):
            table[row, g] -= _MARGIN * top
            table[row + np.uint64(1), g] += _MARGIN * top


@inlined
def open_groups(sides: Sides, table: Floats, u: Any, m: float, at: Any) -> Any:
    """Bit g set where group at + g of ``WIDE`` may hold an s with c < m d; m >= 1."""
    begin, mid = np.uint64(sides.start[u]), np.uint64(sides.middle[u])
    end, width = np.uint64(sides.start[u + np.uint64(1)]), np.uint64(table.shape[1])
    c0 = spread(sides.a0[u] - _MARGIN * abs(sides.a0[u]))
    d0 = spread(sides.b0[u] * (1.0 + _MARGIN))
    c1, d1 = c0, d0
    for j in range(begin, mid):
        w = sides.weight[j]
        # what is owned counts at the lowest price, what is sold short at the highest
        o = (np.uint64(2) * np.uint64(sides.feed[j]) + np.uint64(w < 0.0)) * width + at
        x = spread(w)
        c0, c1 = fma(x, load(table, o), c0), fma(x, load(table, o + np.uint64(LANES)), c1)
    for j in range(mid, end):
        o = (np.uint64(2) * np.uint64(sides.feed[j]) + np.uint64(1)) * width + at
        x = spread(sides.weight[j])
        d0, d1 = fma(x, load(table, o), d0), fma(x, load(table, o + np.uint64(LANES)), d1)
    e = spread(m)
    closed = bits(less(mul(e, d0), c0)) | (bits(less(mul(e, d1), c1)) << LANES)
    if end - begin > np.uint64(_LONGEST):
        closed = 0
    return ~closed & ((1 << WIDE) - 1)


@inlined
def reset(sides: Sides, here: Tally, todo: Ints, span: Any) -> None:
    """Nothing seen yet: no minimum, no scenario; NaN and UNKNOWN where a position cannot be judged."""
    for u in range(span[0], span[1]):
        known, i = sides.known[np.uint64(u)] != 0, np.uint64(u - span[0])
        todo[i] = _KEPT if known else 0
        here.low[i] = math.inf if known else math.nan
        here.worst[i] = here.first[i] = HEALTHY if known else UNKNOWN


@inlined
def sweep(sides: Sides, prices: Floats, room: Room, here: Tally, span: Any) -> None:
    """Groups span[2] to span[2] + ``WIDE`` of positions span[0]:span[1]: which are open, then those."""
    at, groups, todo = span[2], prices.shape[1] // GROUP, room.todo
    valid = (1 << min(WIDE, groups - at)) - (2 if at == 0 else 1)
    for u in range(span[0], span[1]):
        i = np.uint64(u - span[0])
        if todo[i] != 0:
            m = min(max(here.low[i], 1.0), LARGEST)
            todo[i] = (open_groups(sides, room.table, np.uint64(u), m, np.uint64(at)) & valid) | _KEPT
    for u in range(span[0], span[1]):
        i = np.uint64(u - span[0])
        work = todo[i] & (_KEPT - 1)
        while work != 0:
            examine(sides, prices, here, (np.uint64(u), i, np.uint64((at + lowest(work)) * GROUP)))
            work &= work - 1


def room_for(feeds: int, scenarios: int) -> Room:
    """Room for ``scenarios``, a multiple of ``GROUP``."""
    groups = scenarios // GROUP
    return Room(
        table=np.zeros((2 * feeds, -(-groups // WIDE) * WIDE)),
        lows=np.zeros(groups),
        ties=np.zeros(TIES, np.int64),
        todo=np.zeros(_USERS, np.int64),
        low=np.zeros(_USERS),
        worst=np.zeros(_USERS, np.int64),
        first=np.zeros(_USERS, np.int64),
    )


def fused(sides: Sides, prices: Floats, tally: Tally) -> None:
    """All statistics of every position under ``prices`` float64[F, S], S a multiple of ``GROUP``; ``hits``
    and ``notional`` are added to.

    Padding scenarios are the caller's: repeat the last one and cut the result.
    """
    run(sides, prices, room_for(prices.shape[0], prices.shape[1]), tally)


@lean
def run(sides: Sides, prices: Floats, room: Room, tally: Tally) -> None:
    """``fused``, in blocks of positions: pairs first, then the first group of everybody else, then bounds and
    what they leave open."""
    users, groups = sides.a0.shape[0], prices.shape[1] // GROUP
    ranges(prices, room.table)
    here = Tally(room.low, room.worst, room.first, tally.hits, tally.notional)
    for u0 in range(0, users, _USERS):
        u1 = min(u0 + _USERS, users)
        reset(sides, here, room.todo, (u0, u1))
        if groups > 0:
            judge_pairs(sides, prices, room, here, (u0, u1))
            # the first group sets a minimum for the bounds to beat
            for u in range(u0, u1):
                if room.todo[np.uint64(u - u0)] != 0:
                    examine(sides, prices, here, (np.uint64(u), np.uint64(u - u0), np.uint64(0)))
        for at in range(0, groups, WIDE):
            sweep(sides, prices, room, here, (u0, u1, at))
        for u in range(u0, u1):
            i, r = np.uint64(u - u0), np.uint64(sides.row[np.uint64(u)])
            tally.low[r], tally.worst[r], tally.first[r] = here.low[i], here.worst[i], here.first[i]


def _types() -> object:
    """The signature of ``run``."""
    floats, whole = np.zeros(1), np.zeros(1, np.int64)
    tally = record_type(Tally(floats, whole, whole, floats, floats))
    room = record_type(room_for(1, GROUP))
    return signature("SmRT", S=record_type(empty_sides(0, 0)), R=room, T=tally)


KERNELS: Kernels = ((run, _types),)
