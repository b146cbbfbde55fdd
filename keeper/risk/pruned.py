"""Counts, notional and first liquidating scenario with interval bounds: most pairs are never computed, none
is guessed.

Scenarios are put in an order in which neighbours are alike and cut into tiles; lo and hi are each feed's
extremes in a tile. For a position, margin in the tile lies in [low, high] by interval arithmetic: low > 0
skips the tile, high < 0 counts it whole, else its scenarios are computed exactly as ``fused`` does, so
results are identical.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from keeper.risk.book import Floats, Ints
from keeper.risk.fused import GROUP, HEALTHY, UNKNOWN, Sides, Tally, record, side
from keeper.risk.jit import Kernels, inlined, kernel, record_type, signature
from keeper.risk.simd import LANES, add, bits, fma, less, load, lowest, spread

TILE = 64
"""Scenarios per tile: smaller prunes more and costs more bounds."""
_ROUNDING = 1e-13
"""Bounds within this share of the turnover of 0 are not trusted: the tile is computed."""


class Tiles(NamedTuple):
    """Scenarios in tiles. ``prices`` float64[F, S] reordered; ``order`` int64[S] their place in the original;
    ``lo``, ``hi`` float64[F, T] padded to a multiple of ``GROUP`` tiles; ``top`` float64[F] each feed's
    highest; ``earliest`` int64[T] smallest original place in a tile; ``real``: how many tiles there are."""

    prices: Floats
    order: Ints
    lo: Floats
    hi: Floats
    top: Floats
    earliest: Ints
    real: int


class Whole(NamedTuple):
    """What tiles counted whole still owe: ``hits`` float64[T], ``constant`` float64[T], ``weight`` float64[T,
    F].
    """

    hits: Floats
    constant: Floats
    weight: Floats


@inlined
def bound(sides: Sides, one: Floats, other: Floats, u: int, at: int) -> Any:
    """Margin of position u at ``one`` for what it owns and ``other`` for what it owes, over four vectors of
    tiles.
    """
    width = np.uint64(one.shape[1])
    base = spread(sides.a0[u] - sides.b0[u])
    c0, c1, c2, c3 = base, base, base, base
    mid = np.uint64(sides.middle[u])
    for j in range(np.uint64(sides.start[u]), np.uint64(sides.start[u + 1])):
        weight = sides.weight[j] if j < mid else -sides.weight[j]
        edge = one if weight >= 0.0 else other
        x = spread(weight)
        o = np.uint64(sides.feed[j]) * width + np.uint64(at)
        c0 = fma(x, load(edge, o), c0)
        c1 = fma(x, load(edge, o + np.uint64(LANES)), c1)
        c2 = fma(x, load(edge, o + np.uint64(2 * LANES)), c2)
        c3 = fma(x, load(edge, o + np.uint64(3 * LANES)), c3)
    return c0, c1, c2, c3


@inlined
def below(vectors: Any, edge: float) -> int:
    """Bit i set where tile i's bound is below ``edge``."""
    c0, c1, c2, c3 = vectors
    e = spread(edge)
    found: int = (
        bits(less(c0, e))
        | (bits(less(c1, e)) << LANES)
        | (bits(less(c2, e)) << (2 * LANES))
        | (bits(less(c3, e)) << (3 * LANES))
    )
    return found


@inlined
def compute(sides: Sides, tiles: Tiles, tally: Tally, u: int, tile: int) -> None:
    """One tile of one position, scenario by scenario, as ``fused.fused``."""
    begin, mid, end = np.uint64(sides.start[u]), np.uint64(sides.middle[u]), np.uint64(sides.start[u + 1])
    a0, b0, one = spread(sides.a0[u]), spread(sides.b0[u]), spread(1.0)
    for s in range(tile * TILE, (tile + 1) * TILE, GROUP):
        c0, c1, c2, c3 = side(sides, tiles.prices, begin, mid, np.uint64(s))
        d0, d1, d2, d3 = side(sides, tiles.prices, mid, end, np.uint64(s))
        c0, c1, c2, c3 = add(c0, a0), add(c1, a0), add(c2, a0), add(c3, a0)
        d0, d1, d2, d3 = add(d0, b0), add(d1, b0), add(d2, b0), add(d3, b0)
        m0, m1, m2, m3 = less(c0, d0), less(c1, d1), less(c2, d2), less(c3, d3)
        hits = bits(m0) | (bits(m1) << LANES) | (bits(m2) << (2 * LANES)) | (bits(m3) << (3 * LANES))
        if hits == 0:
            continue
        record(tally, s, m0, d0, one)
        record(tally, s + LANES, m1, d1, one)
        record(tally, s + 2 * LANES, m2, d2, one)
        record(tally, s + 3 * LANES, m3, d3, one)
        if tally.first[u] < 0 or tiles.earliest[tile] < tally.first[u]:
            while hits != 0:
                place = tiles.order[s + lowest(hits)]
                hits &= hits - 1
                if tally.first[u] < 0 or place < tally.first[u]:
                    tally.first[u] = place


@kernel
def pruned(sides: Sides, tiles: Tiles, whole: Whole, tally: Tally) -> None:
    """``hits``, ``notional`` (in the tiles' order) and ``first`` (in the original order) of a tally; ``low``
    and ``worst`` are not computed."""
    users, feeds = sides.a0.shape[0], tiles.prices.shape[0]
    for u in range(users):
        tally.first[u] = HEALTHY if sides.known[u] != 0 else UNKNOWN
    for t0 in range(0, tiles.real, GROUP):
        valid = (1 << min(GROUP, tiles.real - t0)) - 1
        for u in range(users):
            if sides.known[u] == 0:
                continue
            size = abs(sides.a0[u]) + sides.b0[u]
            for j in range(sides.start[u], sides.start[u + 1]):
                size += abs(sides.weight[j]) * tiles.top[sides.feed[j]]
            edge = _ROUNDING * size
            work = below(bound(sides, tiles.lo, tiles.hi, u, t0), edge) & valid
            if work == 0:
                continue
            all_hit = below(bound(sides, tiles.hi, tiles.lo, u, t0), -edge) & work
            work &= ~all_hit
            while all_hit != 0:
                tile = t0 + lowest(all_hit)
                all_hit &= all_hit - 1
                whole.hits[tile] += 1.0
                whole.constant[tile] += sides.b0[u]
                for j in range(sides.middle[u], sides.start[u + 1]):
                    whole.weight[tile, sides.feed[j]] += sides.weight[j]
                if tally.first[u] < 0 or tiles.earliest[tile] < tally.first[u]:
                    tally.first[u] = tiles.earliest[tile]
            while work != 0:
                compute(sides, tiles, tally, u, t0 + lowest(work))
                work &= work - 1
    for tile in range(tiles.real):
        if whole.hits[tile] > 0.0:
            for s in range(tile * TILE, (tile + 1) * TILE):
                tally.hits[s] += whole.hits[tile]
                owed = whole.constant[tile]
                for k in range(feeds):
                    owed += whole.weight[tile, k] * tiles.prices[k, s]
                tally.notional[s] += owed


def tile(prices: Floats) -> Tiles:
    """Scenarios float64[F, S] in tiles of neighbours: halved along the feed with the widest spread of log
    prices, again and again, until a tile is full. A price of 0 counts as very low."""
    feeds, scenarios = prices.shape
    padded = -(-scenarios // TILE) * TILE
    level = np.log(np.maximum(prices, 1e-300))
    order = _alike(level, np.arange(scenarios))
    order = np.concatenate([order, np.full(padded - scenarios, order[-1] if scenarios else 0)])
    ordered = np.ascontiguousarray(prices[:, order])
    count = padded // TILE
    wide = -(-max(count, 1) // GROUP) * GROUP
    lo, hi = np.zeros((feeds, wide)), np.zeros((feeds, wide))
    cut = ordered.reshape(feeds, count, TILE)
    lo[:, :count], hi[:, :count] = cut.min(axis=2), cut.max(axis=2)
    return Tiles(
        prices=ordered,
        order=order.astype(np.int64),
        lo=lo,
        hi=hi,
        top=prices.max(axis=1, initial=0.0),
        earliest=order.reshape(count, TILE).min(axis=1).astype(np.int64),
        real=count,
    )


def _alike(level: Floats, members: Ints) -> Ints:
    """``members`` (columns of ``level``) in an order in which runs of ``TILE`` are alike: a k-d tree's
    leaves.
    """
    if len(members) <= TILE or not len(level):
        return members
    part = level[:, members]
    axis = int(np.argmax(part.std(axis=1)))
    ranked = members[np.argsort(part[axis], kind="stable")]
    half = (len(members) // TILE + 1) // 2 * TILE
    return np.concatenate([_alike(level, ranked[:half]), _alike(level, ranked[half:])])


def _types() -> object:
    """The signature of ``pruned``."""
    floats, whole, index, grid = np.zeros(1), np.zeros(1, np.int64), np.zeros(1, np.int32), np.zeros((1, 1))
    sides = record_type(Sides(whole, whole, index, floats, floats, floats, whole))
    tally = record_type(Tally(floats, whole, whole, floats, floats))
    tiles = record_type(tile(grid))
    owed = record_type(Whole(floats, floats, grid))
    return signature("SLWT", S=sides, L=tiles, W=owed, T=tally)


KERNELS: Kernels = ((pruned, _types),)
