"""Counts, notional and first liquidating scenario with interval bounds: most pairs are never computed, none
is guessed.

Scenarios are put in an order in which neighbours are alike and cut into tiles; lo and hi are each feed's
extremes in a tile. For a position, margin in the tile lies in [low, high] by interval arithmetic: low > 0
skips the tile, high < 0 counts it whole, else its scenarios are computed exactly as ``fused`` does, so
results are identical.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from keeper.risk.book import Floats, Ints
from keeper.risk.groups import GROUP, HEALTHY, UNKNOWN, Tally, marks, record, values
from keeper.risk.jit import Kernels, inlined, lean, record_type, signature
from keeper.risk.sides import Sides, empty_sides
from keeper.risk.simd import LANES, fma, less, load, lowest, spread

TILE = 64
"""Scenarios per tile: smaller prunes more and costs more bounds."""
_ROUNDING = 1e-12
"""Bounds within this share of the turnover of 0 are not trusted: above what rounding adds up to in a row."""
_LONGEST = 2000
"""Entries of a row above which no bound is trusted."""


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
def bound(sides: Sides, one: Floats, other: Floats, u: Any, at: int) -> Any:
    """Margin of position u at ``one`` for what it owns and ``other`` for what it owes, over four vectors of
    tiles.
    """
    width = np.uint64(one.shape[1])
    base = spread(sides.a0[u] - sides.b0[u])
    c0, c1, c2, c3 = base, base, base, base
    mid = np.uint64(sides.middle[u])
    for j in range(np.uint64(sides.start[u]), np.uint64(sides.start[u + np.uint64(1)])):
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
    return marks(less(c0, e), less(c1, e), less(c2, e), less(c3, e))


@inlined
def compute(sides: Sides, tiles: Tiles, tally: Tally, u: Any, tile: Any) -> None:
    """One tile of one position, scenario by scenario, as ``fused.fused``."""
    r = np.uint64(sides.row[u])
    for n in range(TILE // GROUP):
        s = np.uint64(tile * TILE + n * GROUP)
        c, d = values(sides, tiles.prices, u, s)
        masks = (less(c[0], d[0]), less(c[1], d[1]), less(c[2], d[2]), less(c[3], d[3]))
        hits = marks(masks[0], masks[1], masks[2], masks[3])
        if hits == 0:
            continue
        record(tally, s, masks, d)
        if tally.first[r] < 0 or tiles.earliest[tile] < tally.first[r]:
            while hits != 0:
                place = tiles.order[s + np.uint64(lowest(hits))]
                hits &= hits - 1
                if tally.first[r] < 0 or place < tally.first[r]:
                    tally.first[r] = place


@inlined
def take(sides: Sides, tiles: Tiles, whole: Whole, tally: Tally, at: Any) -> None:
    """``at`` (u, tile): position u is liquidatable throughout the tile: noted once, added up at the end."""
    u, tile = at
    r = np.uint64(sides.row[u])
    whole.hits[tile] += 1.0
    whole.constant[tile] += sides.b0[u]
    for j in range(np.uint64(sides.middle[u]), np.uint64(sides.start[u + np.uint64(1)])):
        whole.weight[tile, np.uint64(sides.feed[j])] += sides.weight[j]
    if tally.first[r] < 0 or tiles.earliest[tile] < tally.first[r]:
        tally.first[r] = tiles.earliest[tile]


@inlined
def rounding(sides: Sides, tiles: Tiles, u: Any) -> float:
    """Bounds of u within this much of 0 are not trusted; inf for a row so long that none is."""
    size = abs(sides.a0[u]) + sides.b0[u]
    first, last = np.uint64(sides.start[u]), np.uint64(sides.start[u + np.uint64(1)])
    for j in range(first, last):
        size += abs(sides.weight[j]) * tiles.top[np.uint64(sides.feed[j])]
    return _ROUNDING * size if last - first <= np.uint64(_LONGEST) else math.inf


@inlined
def settle(tiles: Tiles, whole: Whole, tally: Tally) -> None:
    """Hits and requirements of tiles counted whole, scenario by scenario."""
    for tile in range(tiles.real):
        if whole.hits[tile] > 0.0:
            for s in range(tile * TILE, (tile + 1) * TILE):
                tally.hits[s] += whole.hits[tile]
                owed = whole.constant[tile]
                for k in range(tiles.prices.shape[0]):
                    owed += whole.weight[tile, k] * tiles.prices[k, s]
                tally.notional[s] += owed


@lean
def pruned(sides: Sides, tiles: Tiles, whole: Whole, tally: Tally) -> None:
    """``hits``, ``notional`` (in the tiles' order) and ``first`` (in the original order) of a tally; ``low``
    and ``worst`` are not computed."""
    users = np.uint64(sides.a0.shape[0])
    for u in range(users):
        tally.first[np.uint64(sides.row[u])] = HEALTHY if sides.known[u] != 0 else UNKNOWN
    for t0 in range(0, tiles.real, GROUP):
        valid = (1 << min(GROUP, tiles.real - t0)) - 1
        for u in range(users):
            if sides.known[u] == 0:
                continue
            edge = rounding(sides, tiles, u)
            work = below(bound(sides, tiles.lo, tiles.hi, u, t0), edge) & valid
            if work == 0:
                continue
            all_hit = below(bound(sides, tiles.hi, tiles.lo, u, t0), -edge) & work
            work &= ~all_hit
            while all_hit != 0:
                take(sides, tiles, whole, tally, (u, np.uint64(t0 + lowest(all_hit))))
                all_hit &= all_hit - 1
            while work != 0:
                compute(sides, tiles, tally, u, np.uint64(t0 + lowest(work)))
                work &= work - 1
    settle(tiles, whole, tally)


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
    floats, whole, grid = np.zeros(1), np.zeros(1, np.int64), np.zeros((1, 1))
    tally = record_type(Tally(floats, whole, whole, floats, floats))
    tiles = record_type(tile(grid))
    owed = record_type(Whole(floats, floats, grid))
    return signature("SLWT", S=record_type(empty_sides(0, 0)), L=tiles, W=owed, T=tally)


KERNELS: Kernels = ((pruned, _types),)
