"""The nearest liquidation: the most likely shock x* and its distance beta, exactly, on log returns (kernels).

For a position M(y) = m0 + sum_j w_j exp(y_j), where y are the log moves of its feeds with covariance C over
the horizon, beta = min sqrt(y' C^-1 y) subject to M(y) = 0 (Hasofer and Lind 1974; the "FORM" index of
structural reliability). First order: y* = -M C g / (g' C g). The exact point is found by the HL-RF iteration
with an Armijo step on the merit 1/2 y' C^-1 y + c |M| (Zhang and Der Kiureghian 1995), then Newton steps on
its first-order conditions. C is never inverted: every iterate is y = C alpha, so y' C^-1 y = alpha . y and C
may be singular.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from keeper.risk.algebra import dot, margin_at, solve, times, turnover
from keeper.risk.book import Book, Floats, Ints
from keeper.risk.jit import Kernels, formula, kernel, record_type, signature

FOUND = 0
"""x* satisfies M = 0 and the first-order conditions."""
NONE = 1
"""Proof that no boundary exists: no negative weight and no negative constant, so M > 0 at every price."""
UNDER = 2
"""Already liquidatable: beta is 0."""
LOST = 3
"""No point was found and no proof either: unknown, to be treated as near."""


class Problem(NamedTuple):
    """M(y) = m0 + sum w exp(y): ``w`` float64[n], ``c`` float64[>=n, >=n] covariance of y, ``m0``."""

    w: Floats
    c: Floats
    m0: float


class Room(NamedTuple):
    """Scratch for rows of up to n entries: ``w``, ``y`` float64[n], ``c`` float64[n, n], ``place`` int64[n],
    ``work`` float64[8, n], ``matrix`` float64[n+1, n]."""

    w: Floats
    y: Floats
    c: Floats
    place: Ints
    work: Floats
    matrix: Floats


class Found(NamedTuple):
    """Results: ``status`` int64[U], ``beta`` float64[U], ``shift`` float64[N] the log move of each entry's
    feed at x*, ``off`` float64[U, 2] first-order gap and |M| / turnover there."""

    status: Ints
    beta: Floats
    shift: Floats
    off: Floats


_FAR = 60.0
"""A log move beyond which nothing is searched (a factor of 1e26)."""
_ITERATIONS = 200
_MARGIN_REL = 1e-13
_STATIONARY = 1e-9


@formula
def march(w: Floats, m0: float, v: Floats, limit: float, work: Floats) -> float:
    """Smallest t in (0, limit) with M(t v) <= 0, inf when there is none.

    Certified: no log move with max |dy| < ln(1 + M / sum |g|) reaches M < 0, so steps of that length never
    jump over a root; near the root Newton finishes.
    """
    n = w.shape[0]
    y, g = work[0], work[1]
    top = 0.0
    for j in range(n):
        top = max(top, abs(v[j]))
    if top == 0.0:
        return math.inf
    t = 0.0
    for _ in range(2000):
        for j in range(n):
            y[j] = t * v[j]
        value = margin_at(w, y, m0, g)
        size = turnover(g, 0.0)
        if value <= _MARGIN_REL * (size + abs(m0)) or size == 0.0:
            return t if size > 0.0 else math.inf
        t += math.log1p(value / size) / top
        if not (t < limit and t * top < _FAR):
            return math.inf
    return t


@formula
def converge(problem: Problem, y: Floats, alpha: Floats, work: Floats) -> int:
    """HL-RF with step control from (y, alpha); leaves the last point there. FOUND or LOST."""
    w, c, m0 = problem
    n = w.shape[0]
    g, cg, step, trial, scratch = work[0], work[1], work[2], work[3], work[4]
    weight = 0.0
    for _ in range(_ITERATIONS):
        value = margin_at(w, y, m0, g)
        times(c, g, cg)
        q = dot(g, cg)
        if not q > 0.0:
            return LOST
        k = (dot(g, y) - value) / q
        gap = 0.0
        size = 1.0
        length = 0.0
        for j in range(n):
            step[j] = k * cg[j] - y[j]
            gap = max(gap, abs(step[j]))
            size = max(size, abs(y[j]))
            length += (k * g[j] - alpha[j]) * step[j]
        if gap <= _STATIONARY * size and abs(value) <= _MARGIN_REL * turnover(g, m0):
            return FOUND
        # the penalty must exceed the multiplier |k| at the solution for the step to descend
        weight = max(weight, 2.0 * abs(k))
        merit = 0.5 * dot(alpha, y) + weight * abs(value)
        t = 1.0 if gap <= 5.0 else 5.0 / gap
        for _halving in range(40):
            energy = 0.0
            for j in range(n):
                trial[j] = y[j] + t * step[j]
                energy += (alpha[j] + t * (k * g[j] - alpha[j])) * trial[j]
            there = margin_at(w, trial, m0, scratch)
            if 0.5 * energy + weight * abs(there) <= merit - 1e-4 * t * (0.5 * length + weight * abs(value)):
                break
            t *= 0.5
        for j in range(n):
            y[j] = trial[j]
            alpha[j] += t * (k * g[j] - alpha[j])
            if abs(y[j]) > _FAR:
                return LOST
    return LOST


@formula
def residual(problem: Problem, y: Floats, work: Floats) -> tuple[float, float, float]:
    """(first-order gap, relative margin, multiplier k): y = k C g and M = 0 hold at a nearest point."""
    w, c, m0 = problem
    g, cg = work[0], work[1]
    value = margin_at(w, y, m0, g)
    times(c, g, cg)
    top, bottom = dot(y, cg), dot(cg, cg)
    k = top / bottom if bottom > 0.0 else 0.0
    gap, size = 0.0, 1.0
    for j in range(w.shape[0]):
        gap = max(gap, abs(y[j] - k * cg[j]))
        size = max(size, abs(y[j]))
    return gap / size, abs(value) / turnover(g, m0), k


@formula
def newton(problem: Problem, y: Floats, work: Floats, matrix: Floats) -> bool:
    """Newton on y - k C g = 0, M = 0 from ``y``, kept while it improves. True when both hold."""
    w, c, m0 = problem
    n = w.shape[0]
    trial, b = work[2], matrix[n + 1]
    gap, off, k = residual(problem, y, work)
    for _ in range(40):
        if gap <= 1e-12 and off <= _MARGIN_REL:
            return True
        g, cg = work[0], work[1]
        value = margin_at(w, y, m0, g)
        times(c, g, cg)
        for i in range(n):
            for j in range(n):
                matrix[i, j] = -k * c[i, j] * g[j]
            matrix[i, i] += 1.0
            matrix[i, n] = -cg[i]
            matrix[n, i] = g[i]
            b[i] = -(y[i] - k * cg[i])
        matrix[n, n] = 0.0
        b[n] = -value
        if not solve(matrix, b, n + 1):
            return False
        t = 1.0
        for j in range(n):
            t = min(t, 2.0 / max(abs(b[j]), 2.0))
        better = False
        for _halving in range(30):
            for j in range(n):
                trial[j] = y[j] + t * b[j]
            new_gap, new_off, new_k = residual(problem, trial, work)
            if new_gap + new_off < gap + off:
                better = True
                break
            t *= 0.5
        if not better:
            # rounding floor reached: good enough or not at all
            return gap <= 1e-7 and off <= 1e-11
        for j in range(n):
            y[j] = trial[j]
        gap, off, k = new_gap, new_off, new_k
    return gap <= 1e-7 and off <= 1e-11


@formula
def energy(problem: Problem, y: Floats, work: Floats) -> float:
    """y' C^-1 y at a stationary point: y = k C g gives k (g . y)."""
    _, _, k = residual(problem, y, work)
    return max(0.0, k * dot(work[0], y))


@formula
def aim(c: Floats, start: int, v: Floats, alpha: Floats, matrix: Floats) -> bool:
    """Direction number ``start`` with v' C^-1 v = 1 and v = C alpha; False when it is none.

    0..2n-1: C e_j both ways (each feed's most likely move); 2n..4n-1: one feed alone both ways, 4n and 4n+1:
    all together. One of the last always meets the boundary where there is one, if C is not singular.
    """
    n = v.shape[0]
    side = 1.0 if start % 2 == 0 else -1.0
    i = start // 2
    if i < n:
        if not c[i, i] > 0.0:
            return False
        alpha[i] = side / math.sqrt(c[i, i])
        for j in range(n):
            v[j] = c[j, i] * alpha[i]
        return True
    b = matrix[n + 1]
    for j in range(n):
        for q in range(n):
            matrix[j, q] = c[j, q]
        v[j] = side if i == 2 * n or i - n == j else 0.0
        b[j] = v[j]
    if not solve(matrix, b, n):
        return False
    length = 0.0
    for j in range(n):
        length += v[j] * b[j]
    if not length > 0.0:
        return False
    for j in range(n):
        v[j] /= math.sqrt(length)
        alpha[j] = b[j] / math.sqrt(length)
    return True


@formula
def nearest(problem: Problem, y: Floats, work: Floats, matrix: Floats) -> tuple[int, float]:
    """(status, beta) and y*: the best of several starts, each brought to the first-order conditions.

    Starts: the linear closed form, then the boundary along the directions of ``aim`` (a long and short book
    has boundaries on several sides; M need not be convex).
    """
    w, c, m0 = problem
    n = w.shape[0]
    best, alpha, direction = work[5], work[6], work[7]
    total, negative = m0, m0 < 0.0
    for j in range(n):
        total += w[j]
        negative = negative or w[j] < 0.0
        y[j] = 0.0
        best[j] = 0.0
    if total < 0.0:
        return UNDER, 0.0
    if not negative:
        return NONE, math.inf
    smallest = math.inf
    for start in range(4 * n + 3):
        if start > 2 * n and smallest < math.inf:
            break
        for j in range(n):
            y[j] = 0.0
            alpha[j] = 0.0
        if start > 0 and not aim(c, start - 1, direction, alpha, matrix):
            continue
        if start > 0:
            # a side whose own line meets the boundary only far beyond what was found is not searched
            t = march(w, m0, direction, 1.5 * math.sqrt(smallest), work)
            if t == math.inf:
                continue
            for j in range(n):
                y[j] = t * direction[j]
                alpha[j] *= t
        found = converge(problem, y, alpha, work) == FOUND
        if not newton(problem, y, work, matrix) and not found:
            continue
        here = energy(problem, y, work)
        if here < smallest:
            smallest = here
            for j in range(n):
                best[j] = y[j]
    for j in range(n):
        y[j] = best[j]
    return (FOUND, math.sqrt(smallest)) if smallest < math.inf else (LOST, 0.0)


@formula
def gather(book: Book, cov: Floats, u: int, room: Room) -> tuple[int, float]:
    """(n, m0) of row u: feeds that do not vary are folded into m0, feeds that move as one are merged.

    ``place[i]`` is the variable to which the row's i-th entry belongs, -1 when it does not vary.
    """
    w, c, place = room.w, room.c, room.place
    first = book.indptr[u]
    m0 = book.a0[u] - book.b0[u]
    n = 0
    for i in range(book.indptr[u + 1] - first):
        k = book.feed[first + i]
        weight = (book.a[first + i] - book.b[first + i]) * book.prices[k]
        place[i] = -1
        if not cov[k, k] > 0.0:
            m0 += weight
            continue
        for j in range(i):
            other = book.feed[first + j]
            spread = cov[k, k] + cov[other, other] - 2.0 * cov[k, other]
            if place[j] >= 0 and abs(spread) <= 1e-12 * (cov[k, k] + cov[other, other]):
                place[i] = place[j]
                break
        if place[i] >= 0:
            w[place[i]] += weight
            continue
        for j in range(i):
            if place[j] >= 0:
                c[n, place[j]] = cov[k, book.feed[first + j]]
                c[place[j], n] = c[n, place[j]]
        c[n, n] = cov[k, k]
        w[n] = weight
        place[i] = n
        n += 1
    return n, m0


@kernel
def form(book: Book, cov: Floats, room: Room, found: Found) -> None:
    """Nearest liquidation of every position under covariance ``cov`` float64[F, F] of log feed moves.

    ``room`` holds one entry more than any row. Results are documented at ``Found``.
    """
    for u in range(book.a0.shape[0]):
        n, m0 = gather(book, cov, u, room)
        w, y, work = room.w[:n], room.y[:n], room.work[:, :n]
        problem = Problem(w, room.c, m0)
        found.status[u], found.beta[u], found.off[u, 0], found.off[u, 1] = LOST, 0.0, 0.0, 0.0
        known = math.isfinite(m0)
        for j in range(n):
            known = known and math.isfinite(w[j])
        if known:
            found.status[u], found.beta[u] = nearest(problem, y, work, room.matrix)
            if found.status[u] == FOUND:
                found.off[u, 0], found.off[u, 1], _ = residual(problem, y, work)
        hit = known and found.status[u] == FOUND
        first = book.indptr[u]
        for i in range(book.indptr[u + 1] - first):
            found.shift[first + i] = y[room.place[i]] if hit and room.place[i] >= 0 else 0.0


def search(book: Book, cov: Floats) -> Found:
    """``form`` with its room and results made for the book."""
    users = len(book.a0)
    size = int(np.diff(book.indptr).max(initial=0)) + 1
    found = Found(np.zeros(users, np.int64), np.zeros(users), np.zeros(len(book.a)), np.zeros((users, 2)))
    form(book, cov, _room(size), found)
    return found


def _room(size: int) -> Room:
    return Room(
        w=np.zeros(size),
        y=np.zeros(size),
        c=np.zeros((size, size)),
        place=np.zeros(size, np.int64),
        work=np.zeros((8, size)),
        matrix=np.zeros((size + 1, size)),
    )


@kernel
def ray(w: Floats, v: Floats, m0: float, out: Floats) -> None:
    """First boundary along -v and along +v in log prices, into float64[2]; inf where there is none."""
    n = w.shape[0]
    work = np.zeros((2, n))
    back = np.empty(n)
    for j in range(n):
        back[j] = -v[j]
    out[0] = march(w, m0, back, math.inf, work)
    out[1] = march(w, m0, v, math.inf, work)


def _types() -> object:
    found = Found(np.zeros(1, np.int64), np.zeros(1), np.zeros(1), np.zeros((1, 2)))
    return signature("BmRO", R=record_type(_room(1)), O=record_type(found))


KERNELS: Kernels = (
    (form, _types),
    (ray, lambda: signature("vvdv")),
)
