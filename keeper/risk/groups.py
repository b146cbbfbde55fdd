"""One position under one group of scenarios, in vectors: its sides, its minimum, its hits (pieces of
kernels).

A group is four vectors of neighbouring scenarios: sixteen or thirty-two. Indices are unsigned throughout: a
signed one would be tested for counting from the end at every access.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from keeper.risk.book import Floats, Ints
from keeper.risk.jit import inlined
from keeper.risk.sides import Sides
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
LARGEST = 1.7976931348623157e308
"""Stands for +inf in m d: inf x 0 would be NaN, and a bankrupt position without requirement read healthy."""
_BITS = 4.0 * 2.0**-53
HEALTHY = -1
"""``first`` of a position that no scenario liquidates."""
UNKNOWN = -2
"""``first`` of a position that misses a price or has no row; its minimum is NaN, it is counted nowhere."""


class Tally(NamedTuple):
    """Results: ``low`` float64[U], ``worst`` and ``first`` int64[U], ``hits`` and ``notional``
    float64[S].
    """

    low: Floats
    worst: Ints
    first: Ints
    hits: Floats
    notional: Floats


class Room(NamedTuple):
    """What a sweep works in: a kernel that allocates nothing counts no references.

    ``table`` float64[2F, >= groups] bounds of prices; ``lows`` float64[groups]; ``ties`` int64[]; ``todo``
    int64[] of one block of positions; ``low``, ``worst``, ``first``: its results.
    """

    table: Floats
    lows: Floats
    ties: Ints
    todo: Ints
    low: Floats
    worst: Ints
    first: Ints


@inlined
def more(sides: Sides, prices: Floats, j: Any, s: Any, sums: Any) -> Any:
    """``sums`` and entry j's weight x price, over the group from s on."""
    o = np.uint64(sides.feed[j]) * np.uint64(prices.shape[1]) + s
    x = spread(sides.weight[j])
    return (
        fma(x, load(prices, o), sums[0]),
        fma(x, load(prices, o + np.uint64(LANES)), sums[1]),
        fma(x, load(prices, o + np.uint64(2 * LANES)), sums[2]),
        fma(x, load(prices, o + np.uint64(3 * LANES)), sums[3]),
    )


@inlined
def total(sides: Sides, prices: Floats, first: Any, last: Any, s: Any) -> Any:
    """Four vectors of sum weight x price over entries first:last, for the group from s on; last > first."""
    o = np.uint64(sides.feed[first]) * np.uint64(prices.shape[1]) + s
    x = spread(sides.weight[first])
    c0 = mul(x, load(prices, o))
    c1 = mul(x, load(prices, o + np.uint64(LANES)))
    c2 = mul(x, load(prices, o + np.uint64(2 * LANES)))
    c3 = mul(x, load(prices, o + np.uint64(3 * LANES)))
    for j in range(first + np.uint64(1), last):
        c0, c1, c2, c3 = more(sides, prices, j, s, (c0, c1, c2, c3))
    return c0, c1, c2, c3


@inlined
def side(sides: Sides, prices: Floats, first: Any, last: Any, s: Any) -> Any:
    """As ``total``, zero without entries."""
    if first < last:
        return total(sides, prices, first, last, s)
    zero = spread(0.0)
    return zero, zero, zero, zero


@inlined
def values(sides: Sides, prices: Floats, u: Any, s: Any) -> Any:
    """(c, d): assets and requirement of position u, four vectors each, over the group from s on."""
    begin, mid, end = np.uint64(sides.start[u]), np.uint64(sides.middle[u]), sides.start[u + np.uint64(1)]
    c = side(sides, prices, begin, mid, s)
    d = side(sides, prices, mid, np.uint64(end), s)
    a0, b0 = spread(sides.a0[u]), spread(sides.b0[u])
    c = (add(c[0], a0), add(c[1], a0), add(c[2], a0), add(c[3], a0))
    d = (add(d[0], b0), add(d[1], b0), add(d[2], b0), add(d[3], b0))
    return c, d


@inlined
def quotient(c: Any, d: Any) -> Any:
    """c / d in every lane; without requirement +inf when nothing is missing, -inf when something is."""
    zero, far = spread(0.0), spread(math.inf)
    bare = choose(less(c, zero), spread(-math.inf), far)
    return choose(less(zero, d), div(c, d), bare)


@inlined
def smallest(tally: Tally, i: Any, s: Any, c: Any, d: Any) -> None:
    """The minimum over one group of scenarios by division, where it undercuts what the tally has."""
    h0, h1, h2, h3 = quotient(c[0], d[0]), quotient(c[1], d[1]), quotient(c[2], d[2]), quotient(c[3], d[3])
    here = least(minimum(minimum(h0, h1), minimum(h2, h3)))
    if here < tally.low[i]:
        tally.low[i] = here
        # the first lane that is not above the least
        x = spread(here)
        tally.worst[i] = np.int64(s) + lowest(~marks(less(x, h0), less(x, h1), less(x, h2), less(x, h3)))


@inlined
def marks(m0: Any, m1: Any, m2: Any, m3: Any) -> int:
    """Four masks as one integer, the group's first scenario in bit 0."""
    found: int = bits(m0) | (bits(m1) << LANES) | (bits(m2) << (2 * LANES)) | (bits(m3) << (3 * LANES))
    return found


@inlined
def examine(sides: Sides, prices: Floats, tally: Tally, at: Any) -> None:
    """``at`` (u, i, s): position u, whose results stand at i in ``tally``, under the group from s on."""
    u, i, s = at
    c, d = values(sides, prices, u, s)
    low = tally.low[i]
    # a little above, so that rounding in m d hides no quotient that is smaller by one bit
    edge = spread(min(low + abs(low) * _BITS, LARGEST))
    lower = either(
        either(less(c[0], mul(edge, d[0])), less(c[1], mul(edge, d[1]))),
        either(less(c[2], mul(edge, d[2])), less(c[3], mul(edge, d[3]))),
    )
    if bits(lower) != 0:
        smallest(tally, i, s, c, d)
        low = tally.low[i]
    if low < 1.0:
        m0, m1, m2, m3 = less(c[0], d[0]), less(c[1], d[1]), less(c[2], d[2]), less(c[3], d[3])
        hits = marks(m0, m1, m2, m3)
        if hits != 0:
            if tally.first[i] < 0:
                tally.first[i] = np.int64(s) + lowest(hits)
            record(tally, s, (m0, m1, m2, m3), d)


@inlined
def record(tally: Tally, s: Any, masks: Any, d: Any) -> None:
    """Count and add up the requirements of the lanes that are liquidatable, over the group from s on."""
    one = spread(1.0)
    s1, s2, s3 = s + np.uint64(LANES), s + np.uint64(2 * LANES), s + np.uint64(3 * LANES)
    store(tally.hits, s, add(load(tally.hits, s), where(masks[0], one)))
    store(tally.hits, s1, add(load(tally.hits, s1), where(masks[1], one)))
    store(tally.hits, s2, add(load(tally.hits, s2), where(masks[2], one)))
    store(tally.hits, s3, add(load(tally.hits, s3), where(masks[3], one)))
    store(tally.notional, s, add(load(tally.notional, s), where(masks[0], d[0])))
    store(tally.notional, s1, add(load(tally.notional, s1), where(masks[1], d[1])))
    store(tally.notional, s2, add(load(tally.notional, s2), where(masks[2], d[2])))
    store(tally.notional, s3, add(load(tally.notional, s3), where(masks[3], d[3])))
