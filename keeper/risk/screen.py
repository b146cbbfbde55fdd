"""Kernels of a replay: when a row first falls below a line along a price path, how low it gets, what a feed says.

A path is float64[F, T], one contiguous row a feed: a row's margin over many bars is a few multiply-adds of vectors.
"""

from __future__ import annotations

import math

import numpy as np

from keeper.risk.book import Book, Floats, Ints
from keeper.risk.jit import Kernels, kernel, signature
from keeper.risk.kernels import health_of

CHUNK = 1_024
"""Bars judged at once: two such vectors stay in the first cache."""


@kernel
def first_below(book: Book, path: Floats, start: Ints, threshold: Floats, out: Ints) -> None:
    """First bar at or after ``start[u]`` at which health is below ``threshold[u]`` or unknown, else T.

    ``start``, ``out`` int64[U], ``threshold`` float64[U] (1 is where the venue liquidates), ``path`` float64[F, T].
    """
    bars = path.shape[1]
    margin = np.empty(CHUNK)
    for u in range(book.a0.shape[0]):
        first = start[u]
        out[u] = bars
        while first < bars and out[u] == bars:
            n = min(CHUNK, bars - first)
            for i in range(n):
                margin[i] = book.a0[u] - threshold[u] * book.b0[u]
            for j in range(book.indptr[u], book.indptr[u + 1]):
                weight = book.a[j] - threshold[u] * book.b[j]
                row = path[book.feed[j]]
                for i in range(n):
                    margin[i] += weight * row[first + i]
            for i in range(n):
                if not margin[i] >= 0.0:
                    out[u] = first + i
                    break
            first += n


@kernel
def lowest(book: Book, path: Floats, start: Ints, stop: Ints, out: Floats) -> None:
    """Least health at bars start[u] <= t < stop[u], into float64[U]; +inf where there are none, NaN where any of them
    is unknown."""
    for u in range(book.a0.shape[0]):
        least = math.inf
        for t in range(start[u], stop[u]):
            total = book.a0[u]
            needed = book.b0[u]
            for j in range(book.indptr[u], book.indptr[u + 1]):
                price = path[book.feed[j], t]
                total += book.a[j] * price
                needed += book.b[j] * price
            h = health_of(total, needed)
            if not h >= least:
                least = h
                if math.isnan(h):
                    break
        out[u] = least


@kernel
def deviating(seen: Floats, step_s: float, deviation: float, heartbeat_s: float, out: Floats) -> None:
    """What a feed that is written on a move of ``deviation`` (0.005 is 0.5 %) or every ``heartbeat_s`` says after
    each of the prices ``seen`` float64[T], ``step_s`` apart, into float64[T]. The first price is its first answer."""
    said = seen[0]
    age_s = 0.0
    for t in range(seen.shape[0]):
        age_s += step_s
        if abs(seen[t] / said - 1.0) >= deviation or age_s >= heartbeat_s:
            said = seen[t]
            age_s = 0.0
        out[t] = said


@kernel
def scheduled(seen: Floats, step_s: float, hop_s: float, out: Floats) -> None:
    """What a delayed feed (Maker's OSM) says: every ``hop_s`` the queued price becomes valid and the newest is
    queued; ``seen`` float64[T], into float64[T]."""
    said = seen[0]
    queued = seen[0]
    age_s = 0.0
    for t in range(seen.shape[0]):
        age_s += step_s
        if age_s >= hop_s:
            said = queued
            queued = seen[t]
            age_s = 0.0
        out[t] = said


KERNELS: Kernels = (
    (first_below, lambda: signature("Bmivi")),
    (lowest, lambda: signature("Bmiiv")),
    (deviating, lambda: signature("vdddv")),
    (scheduled, lambda: signature("vddv")),
)
