"""The sweeps over the affine book: arrays in, arrays out, formulas in the docstrings.

Symbols: A = a0 + a.p assets, R = b0 + b.p requirement, M = A - R margin, H = A / R health; j runs over a
row's entries, k over feeds, u over positions, s over scenarios. NaN in (a missing price, a faulty row) is NaN
out.
"""

from __future__ import annotations

import math

from keeper.risk.book import Book, Floats
from keeper.risk.jit import Kernels, inlined, kernel, scalars, signature

LARGEST = 1.7976931348623157e308


@inlined
def health_of(assets: float, requirement: float) -> float:
    """H = A / R. With R = 0: +inf when A >= 0 (nothing to cover), -inf when A < 0. NaN when unknown or R < 0.

    An overflow is no health: A or R beyond float64 is unknown, and a quotient beyond it stays finite.
    """
    if 0.0 < requirement <= LARGEST:
        quotient = assets / requirement
        if abs(quotient) <= LARGEST:
            return quotient
        return min(max(quotient, -LARGEST), LARGEST) if math.isfinite(assets) else math.nan
    if requirement != 0.0 or not math.isfinite(assets):
        return math.nan
    return math.inf if assets >= 0.0 else -math.inf


@kernel
def sides(book: Book, assets: Floats, requirement: Floats) -> None:
    """A and R of every position at the book's prices, into float64[U] each."""
    for u in range(book.a0.shape[0]):
        total = book.a0[u]
        needed = book.b0[u]
        for j in range(book.indptr[u], book.indptr[u + 1]):
            price = book.prices[book.feed[j]]
            total += book.a[j] * price
            needed += book.b[j] * price
        assets[u] = total
        requirement[u] = needed


@kernel
def health(book: Book, out: Floats) -> None:
    """H of every position at the book's prices, into float64[U]."""
    for u in range(book.a0.shape[0]):
        total = book.a0[u]
        needed = book.b0[u]
        for j in range(book.indptr[u], book.indptr[u + 1]):
            price = book.prices[book.feed[j]]
            total += book.a[j] * price
            needed += book.b[j] * price
        out[u] = health_of(total, needed)


@kernel
def health_under(book: Book, scenarios: Floats, out: Floats) -> None:
    """H[u, s] under price rows ``scenarios`` float64[S, F], into float64[U, S].

    For the few scenarios of a report; statistics over many never materialise U x S.
    """
    for u in range(book.a0.shape[0]):
        for s in range(scenarios.shape[0]):
            total = book.a0[u]
            needed = book.b0[u]
            for j in range(book.indptr[u], book.indptr[u + 1]):
                price = scenarios[s, book.feed[j]]
                total += book.a[j] * price
                needed += book.b[j] * price
            out[u, s] = health_of(total, needed)


@kernel
def one_price(book: Book, assets: Floats, requirement: Floats, out: Floats) -> None:
    """p_j* = p_j - M / (a_j - b_j): where entry j's feed alone brings M to 0, into float64[N].

    NaN where no positive price does (a_j = b_j, or the root is not above 0). One feed, one root: M is affine.
    """
    for u in range(book.a0.shape[0]):
        margin = assets[u] - requirement[u]
        for j in range(book.indptr[u], book.indptr[u + 1]):
            slope = book.a[j] - book.b[j]
            root = book.prices[book.feed[j]] - margin / slope if slope != 0.0 else math.nan
            out[j] = root if root > 0.0 and root < math.inf else math.nan


KERNELS: Kernels = (
    (health_of, scalars),
    (sides, lambda: signature("Bvv")),
    (health, lambda: signature("Bv")),
    (health_under, lambda: signature("Bmm")),
    (one_price, lambda: signature("Bvvv")),
)
