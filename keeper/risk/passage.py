"""First passage: the probability that a position touches its boundary by a horizon, over given price paths.

A path is left out whole where its feeds' extremes cannot liquidate (interval bounds over the path, and over
tiles of alike paths before); what remains is walked step by step. Hits equal those of walking everything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keeper.risk.book import Book, Floats, Ints
from keeper.risk.jit import Kernels, inlined, kernel, record_type, signature

TILE = 32
"""Paths per tile of bounds."""
_ROUNDING = 1e-12


class Paths(NamedTuple):
    """Prices float64[P, T, F]; extremes over each path ``lo``, ``hi`` float64[P, F] and over each tile of
    paths ``tile_lo``, ``tile_hi`` float64[B, F]; ``marks`` int64[H] steps (exclusive ends) of the horizons,
    ascending.
    """

    prices: Floats
    lo: Floats
    hi: Floats
    tile_lo: Floats
    tile_hi: Floats
    marks: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """``hits`` int64[U, H] paths that touch by each horizon, of ``paths``; ``low``, ``high`` float64[U, H]
    Wilson's interval of the probability; ``known`` bool[U]: where it is False the interval is (0, 1)."""

    hits: Ints
    paths: int
    low: Floats
    high: Floats
    known: np.ndarray[tuple[int], np.dtype[np.bool_]]


@inlined
def reach(book: Book, one: Floats, other: Floats, u: int) -> tuple[float, float]:
    """(smallest margin, turnover) of u where every feed lies between ``one`` (low) and ``other`` (high)."""
    margin = book.a0[u] - book.b0[u]
    size = abs(margin)
    for j in range(book.indptr[u], book.indptr[u + 1]):
        weight = book.a[j] - book.b[j]
        k = book.feed[j]
        margin += weight * (one[k] if weight >= 0.0 else other[k])
        size += abs(weight) * other[k]
    return margin, size


@inlined
def walk(book: Book, path: Floats, u: int) -> int:
    """First step at which u's margin is negative, or the number of steps."""
    for t in range(path.shape[0]):
        assets, needed = book.a0[u], book.b0[u]
        for j in range(book.indptr[u], book.indptr[u + 1]):
            price = path[t, book.feed[j]]
            assets += book.a[j] * price
            needed += book.b[j] * price
        if assets < needed:
            return t
    return len(path)


@inlined
def mark(paths: Paths, hits: Ints, u: int, step: int) -> None:
    """Count a first passage at ``step`` for every horizon that ends after it."""
    for h in range(paths.marks.shape[0]):
        if step < paths.marks[h]:
            hits[u, h] += 1


@kernel
def brute(book: Book, paths: Paths, hits: Ints) -> None:
    """Every path of every position, step by step, into int64[U, H]."""
    for u in range(book.a0.shape[0]):
        for p in range(paths.prices.shape[0]):
            mark(paths, hits, u, walk(book, paths.prices[p], u))


@kernel
def pruned(book: Book, paths: Paths, hits: Ints) -> None:
    """As ``brute``, leaving out tiles and paths that cannot reach the boundary."""
    count = paths.prices.shape[0]
    for u in range(book.a0.shape[0]):
        for b in range(paths.tile_lo.shape[0]):
            margin, size = reach(book, paths.tile_lo[b], paths.tile_hi[b], u)
            if margin > _ROUNDING * size:
                continue
            for p in range(b * TILE, min((b + 1) * TILE, count)):
                margin, size = reach(book, paths.lo[p], paths.hi[p], u)
                if not margin > _ROUNDING * size:
                    mark(paths, hits, u, walk(book, paths.prices[p], u))


def prepare(prices: Floats, marks: Ints) -> Paths:
    """Paths sorted by how deep they go, in tiles with their extremes. ``prices`` float64[P, T, F]."""
    depth = np.log(np.maximum(prices.min(axis=1), 1e-300)).mean(axis=1)
    ordered = np.ascontiguousarray(prices[np.argsort(depth, kind="stable")])
    lo, hi = ordered.min(axis=1), ordered.max(axis=1)
    edges = np.arange(0, len(lo), TILE)
    return Paths(
        prices=ordered,
        lo=lo,
        hi=hi,
        tile_lo=np.minimum.reduceat(lo, edges, axis=0),
        tile_hi=np.maximum.reduceat(hi, edges, axis=0),
        marks=np.asarray(marks, np.int64),
    )


def first_passage(book: Book, paths: Paths) -> Touched:
    """Hits and their intervals for every position. A position with a NaN anywhere is unknown, never
    unlikely.
    """
    users, horizons = len(book.a0), len(paths.marks)
    bad_feed = np.asarray(~np.isfinite(paths.prices).all(axis=(0, 1)), np.bool_)
    owner = np.repeat(np.arange(users), np.diff(book.indptr))
    known = np.asarray(np.isfinite(book.a0 - book.b0), np.bool_)
    known[owner[bad_feed[book.feed]]] = False
    hits = np.zeros((users, horizons), np.int64)
    pruned(book, paths, hits)
    count = len(paths.prices)
    low, high = wilson(hits, count)
    low[~known], high[~known], hits[~known] = 0.0, 1.0, count
    return Touched(hits=hits, paths=count, low=low, high=high, known=known)


def wilson(hits: Ints, paths: int, z: float = 1.959963984540054) -> tuple[Floats, Floats]:
    """Wilson's score interval (1927) of hits / paths at 95 %: sound where hits are few or none."""
    share = hits / paths
    centre = (share + z * z / (2 * paths)) / (1 + z * z / paths)
    half = z / (1 + z * z / paths) * np.sqrt(share * (1 - share) / paths + z * z / (4 * paths * paths))
    low = np.where(hits == 0, 0.0, centre - half)
    high = np.where(hits == paths, 1.0, centre + half)
    return np.asarray(low, np.float64), np.asarray(high, np.float64)


def horizons(step_days: float, days: tuple[float, ...]) -> Ints:
    """Steps after which each horizon has passed, at least one."""
    return np.array([max(1, math.ceil(d / step_days - 1e-9)) for d in days], np.int64)


def _types() -> object:
    paths = record_type(prepare(np.ones((1, 1, 1)), np.ones(1, np.int64)))
    return signature("BPh", P=paths, h=record_type(np.zeros((1, 1), np.int64)))


KERNELS: Kernels = ((brute, _types), (pruned, _types))
