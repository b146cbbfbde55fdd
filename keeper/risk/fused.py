"""Scenario statistics that never materialise U x S (kernels): memory is O(U + S).

For position u and scenario s: c = a0 + sum a p, d = b0 + sum b p; liquidatable where c < d. Out: the minimum
of c / d over s and its scenario, the first s with c < d, and for every s how many positions are liquidatable
and the sum of their requirements. The minimum is kept without a division per pair: c < m d decides (d >= 0).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from keeper.risk.book import Floats, Index, Ints
from keeper.risk.jit import Kernels, inlined, kernel, record_type, signature
from keeper.risk.simd import (
    LANES,
    add,
    bits,
    choose,
    div,
    either,
    fma,
    least,
    less,
    load,
    lowest,
    minimum,
    mul,
    spread,
    store,
    where,
)

GROUP = 4 * LANES
"""Scenarios judged at once: four vectors of each side stay in registers."""
TILE = 1024
"""Scenarios per pass over a block of positions: 30 feeds x 128 prices fit the first-level cache."""
_USERS = 512
_LARGEST = 1.7976931348623157e308
"""Stands for +inf in m d: inf x 0 would be NaN, and a bankrupt position without requirement read healthy."""
HEALTHY = -1
"""``first`` of a position that no scenario liquidates."""
UNKNOWN = -2
"""``first`` of a position that misses a price or has no row; its minimum is NaN, it is counted nowhere."""


class Sides(NamedTuple):
    """A book with each row's entries split by side. U positions, N entries.

    ``start`` int64[U+1]; ``middle`` int64[U]: assets stand in start[u]:middle[u], requirements after them;
    ``feed`` int32[N]; ``weight`` float64[N]; ``a0``, ``b0`` float64[U]; ``known`` int64[U]: 0 where NaN.
    """

    start: Ints
    middle: Ints
    feed: Index
    weight: Floats
    a0: Floats
    b0: Floats
    known: Ints


class Tally(NamedTuple):
    """Results: ``low`` float64[U], ``worst`` and ``first`` int64[U], ``count`` and ``notional``
    float64[S].
    """

    low: Floats
    worst: Ints
    first: Ints
    hits: Floats
    notional: Floats


@inlined
def total(sides: Sides, prices: Floats, first: Any, last: Any, s: Any) -> Any:
    """Four vectors of sum weight x price over entries first:last, for the scenarios from s on; last > first.

    Unsigned numbers throughout: a signed index would be tested for counting from the end at every access.
    """
    n = np.uint64(prices.shape[1])
    o = np.uint64(sides.feed[first]) * n + s
    x = spread(sides.weight[first])
    c0 = mul(x, load(prices, o))
    c1 = mul(x, load(prices, o + np.uint64(LANES)))
    c2 = mul(x, load(prices, o + np.uint64(2 * LANES)))
    c3 = mul(x, load(prices, o + np.uint64(3 * LANES)))
    for j in range(first + np.uint64(1), last):
        o = np.uint64(sides.feed[j]) * n + s
        x = spread(sides.weight[j])
        c0 = fma(x, load(prices, o), c0)
        c1 = fma(x, load(prices, o + np.uint64(LANES)), c1)
        c2 = fma(x, load(prices, o + np.uint64(2 * LANES)), c2)
        c3 = fma(x, load(prices, o + np.uint64(3 * LANES)), c3)
    return c0, c1, c2, c3


@inlined
def side(sides: Sides, prices: Floats, first: Any, last: Any, s: Any) -> Any:
    """As ``total``, zero without entries."""
    if first < last:
        return total(sides, prices, first, last, s)
    zero = spread(0.0)
    return zero, zero, zero, zero


@inlined
def quotient(c: Any, d: Any) -> Any:
    """c / d in every lane; without requirement +inf when nothing is missing, -inf when something is."""
    zero, far = spread(0.0), spread(math.inf)
    bare = choose(less(c, zero), spread(-math.inf), far)
    return choose(less(zero, d), div(c, d), bare)


@inlined
def smallest(tally: Tally, u: int, s: int, c: Any, d: Any) -> None:
    """The minimum over one group of scenarios by division, where it undercuts what the tally has."""
    h0, h1, h2, h3 = quotient(c[0], d[0]), quotient(c[1], d[1]), quotient(c[2], d[2]), quotient(c[3], d[3])
    here = least(minimum(minimum(h0, h1), minimum(h2, h3)))
    if here < tally.low[u]:
        tally.low[u] = here
        # the first lane that is not above the least
        x = spread(here)
        above = (
            bits(less(x, h0))
            | (bits(less(x, h1)) << LANES)
            | (bits(less(x, h2)) << (2 * LANES))
            | (bits(less(x, h3)) << (3 * LANES))
        )
        tally.worst[u] = s + lowest(~above)


@inlined
def reset(sides: Sides, tally: Tally, u0: int, u1: int) -> None:
    """Nothing seen yet: no minimum, no scenario; NaN and UNKNOWN where a position cannot be judged."""
    for u in range(u0, u1):
        known = sides.known[u] != 0
        tally.low[u] = math.inf if known else math.nan
        tally.worst[u] = HEALTHY if known else UNKNOWN
        tally.first[u] = HEALTHY if known else UNKNOWN


@kernel
def fused(sides: Sides, prices: Floats, tally: Tally) -> None:
    """All statistics of every position under ``prices`` float64[F, S], S a multiple of ``GROUP``.

    Padding scenarios are the caller's: repeat the last one and cut the result.
    """
    users, scenarios = sides.a0.shape[0], prices.shape[1]
    for u0 in range(0, users, _USERS):
        u1 = min(u0 + _USERS, users)
        reset(sides, tally, u0, u1)
        for t0 in range(0, scenarios, TILE):
            t1 = min(t0 + TILE, scenarios)
            for u in range(u0, u1):
                if sides.known[u] != 0:
                    judge(sides, prices, tally, u, (t0, t1))


@inlined
def judge(sides: Sides, prices: Floats, tally: Tally, u: int, span: tuple[int, int]) -> None:
    """One position under the scenarios of a tile."""
    begin, mid, end = np.uint64(sides.start[u]), np.uint64(sides.middle[u]), np.uint64(sides.start[u + 1])
    low = tally.low[u]
    edge, one = spread(min(low, _LARGEST)), spread(1.0)
    a0, b0 = spread(sides.a0[u]), spread(sides.b0[u])
    for place in range(span[0], span[1], GROUP):
        s = np.uint64(place)
        c0, c1, c2, c3 = side(sides, prices, begin, mid, s)
        d0, d1, d2, d3 = side(sides, prices, mid, end, s)
        c0, c1, c2, c3 = add(c0, a0), add(c1, a0), add(c2, a0), add(c3, a0)
        d0, d1, d2, d3 = add(d0, b0), add(d1, b0), add(d2, b0), add(d3, b0)
        lower = either(
            either(less(c0, mul(edge, d0)), less(c1, mul(edge, d1))),
            either(less(c2, mul(edge, d2)), less(c3, mul(edge, d3))),
        )
        if bits(lower) != 0:
            smallest(tally, u, place, (c0, c1, c2, c3), (d0, d1, d2, d3))
            low = tally.low[u]
            edge = spread(min(low, _LARGEST))
        if low < 1.0:
            m0, m1, m2, m3 = less(c0, d0), less(c1, d1), less(c2, d2), less(c3, d3)
            hits = bits(m0) | (bits(m1) << LANES) | (bits(m2) << (2 * LANES)) | (bits(m3) << (3 * LANES))
            if hits != 0:
                if tally.first[u] < 0:
                    tally.first[u] = place + lowest(hits)
                record(tally, s, m0, d0, one)
                record(tally, s + np.uint64(LANES), m1, d1, one)
                record(tally, s + np.uint64(2 * LANES), m2, d2, one)
                record(tally, s + np.uint64(3 * LANES), m3, d3, one)


@inlined
def record(tally: Tally, s: Any, mask: Any, d: Any, one: Any) -> None:
    """Count and add up the requirements of the lanes that are liquidatable."""
    store(tally.hits, s, add(load(tally.hits, s), where(mask, one)))
    store(tally.notional, s, add(load(tally.notional, s), where(mask, d)))


def _types() -> object:
    """The signature of ``fused``."""
    floats, whole, index = np.zeros(1), np.zeros(1, np.int64), np.zeros(1, np.int32)
    sides = record_type(Sides(whole, whole, index, floats, floats, floats, whole))
    tally = record_type(Tally(floats, whole, whole, floats, floats))
    return signature("SmT", S=sides, T=tally)


KERNELS: Kernels = ((fused, _types),)
