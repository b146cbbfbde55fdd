"""How far a position is from liquidation: by one price, along a direction, by the most likely shock, by
time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from keeper.model import BookRow, LiquidationPrice
from keeper.risk import form, kernels
from keeper.risk.book import Floats, Shelf, build
from keeper.risk.factors import Factors, phi


class Boundary(StrEnum):
    """Whether a liquidation boundary was found."""

    FOUND = "FOUND"
    NONE = "NONE"
    """Proof that no price move liquidates."""
    UNDER = "UNDER"
    """Already liquidatable."""
    UNKNOWN = "UNKNOWN"
    """A price is missing, or the search found neither a point nor a proof: never to be read as far."""


_STATUS = {form.FOUND: Boundary.FOUND, form.NONE: Boundary.NONE, form.UNDER: Boundary.UNDER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """The most likely liquidation of a position over a horizon (x*, beta) and what drives it."""

    boundary: Boundary
    beta: float
    """Standard deviations to x*; inf when no boundary exists, 0 when already under or unknown."""
    p_end: float
    """Phi(-beta): below the boundary at the horizon's end, normal log returns."""
    p_touch: float
    """2 Phi(-beta), at most 1: below it at any time before."""
    moves: tuple[tuple[str, float], ...]
    """(factor, relative move) at x*."""
    contributions: tuple[tuple[str, float], ...]
    """(factor, share of risk) at x*; shares sum to 1, a hedge is negative."""
    effective_bets: float
    """1 / sum of squared shares; 0 without a boundary."""


def nearest(row: BookRow, prices: Mapping[str, float], factors: Factors, horizon_days: float) -> Nearest:
    """x* and beta of one position, exact on log returns. Sources: the docstring of ``form``."""
    return nearest_all(build([row], prices), factors, horizon_days)[0]


def nearest_all(shelf: Shelf, factors: Factors, horizon_days: float) -> tuple[Nearest, ...]:
    """``nearest`` of every row of a shelf, in order. ValueError when the horizon is not positive."""
    if not horizon_days > 0.0:
        raise ValueError(f"horizon {horizon_days} days is not positive")
    book = shelf.book
    cov = factors.feed_covariance(shelf.feeds, horizon_days)
    near = form.search(book, cov)
    loading = factors.rows(shelf.feeds)
    covariance = factors.covariance * (horizon_days / 365.0)
    found = []
    for u in range(len(shelf)):
        boundary = _STATUS.get(int(near.status[u]), Boundary.UNKNOWN)
        part = slice(int(book.indptr[u]), int(book.indptr[u + 1]))
        feeds = book.feed[part]
        # a row that overflows is UNKNOWN already, and its drivers are not looked at
        with np.errstate(over="ignore", invalid="ignore"):
            gradient = (book.a[part] - book.b[part]) * book.prices[feeds] * np.exp(near.shift[part])
            drivers = _Drivers(
                names=factors.names, gradient=loading[feeds].T @ gradient, covariance=covariance
            )
        found.append(_nearest(boundary, float(near.beta[u]), drivers))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drivers:
    """Gradient of margin in log factors at x*, float64[K], and the horizon's covariance float64[K, K]."""

    names: tuple[str, ...]
    gradient: Floats
    covariance: Floats


def _nearest(boundary: Boundary, beta: float, drivers: _Drivers) -> Nearest:
    if boundary is not Boundary.FOUND:
        certain = 0.0 if boundary is Boundary.NONE else 1.0
        return Nearest(
            boundary=boundary,
            beta=beta,
            p_end=certain,
            p_touch=certain,
            moves=(),
            contributions=(),
            effective_bets=0.0,
        )
    pulled = drivers.covariance @ drivers.gradient
    variance = float(drivers.gradient @ pulled)
    scale = beta / math.sqrt(variance) if variance > 0.0 else 0.0
    shares = drivers.gradient * pulled / variance if variance > 0.0 else np.zeros(len(pulled))
    used = [k for k in range(len(pulled)) if drivers.gradient[k] != 0.0]
    return Nearest(
        boundary=boundary,
        beta=beta,
        p_end=phi(-beta),
        p_touch=min(1.0, 2.0 * phi(-beta)),
        # x* = -k S g: the margin falls against its gradient
        moves=tuple((drivers.names[k], math.expm1(-scale * float(pulled[k]))) for k in used),
        contributions=tuple((drivers.names[k], float(shares[k])) for k in used),
        effective_bets=effective_bets(shares),
    )


def linear_beta(row: BookRow, prices: Mapping[str, float], factors: Factors, horizon_days: float) -> float:
    """M / sqrt(g' S g): the first-order screen (off by 22 % at beta 5 to 20), inf without any variance."""
    shelf = build([row], prices)
    book = shelf.book
    weights = (book.a - book.b) * book.prices[book.feed]
    cov = factors.feed_covariance([shelf.feeds[k] for k in book.feed], horizon_days)
    variance = float(weights @ cov @ weights)
    margin = float(book.a0[0] - book.b0[0] + weights.sum())
    return margin / math.sqrt(variance) if variance > 0.0 else math.inf


def one_price(row: BookRow, prices: Mapping[str, float]) -> tuple[LiquidationPrice, ...]:
    """Where each feed alone brings margin to 0, nearest first; empty when a price is missing."""
    return one_price_all(build([row], prices))[0]


def one_price_all(shelf: Shelf) -> tuple[tuple[LiquidationPrice, ...], ...]:
    """``one_price`` of every row of a shelf, in order."""
    book, n = shelf.book, len(shelf)
    assets, requirement, roots = np.empty(n), np.empty(n), np.empty(len(shelf.book.a))
    kernels.sides(book, assets, requirement)
    kernels.one_price(book, assets, requirement, roots)
    now = book.prices.tolist()
    found = []
    for u in range(n):
        part = slice(int(book.indptr[u]), int(book.indptr[u + 1]))
        pairs = zip(roots[part].tolist(), book.feed[part].tolist(), strict=True)
        line = [
            LiquidationPrice(feed=shelf.feeds[k], price=p, distance=p / now[k] - 1.0)
            for p, k in pairs
            if math.isfinite(p)
        ]
        found.append(tuple(sorted(line, key=lambda x: abs(x.distance))))
    return tuple(found)


def along(
    row: BookRow, prices: Mapping[str, float], direction: Mapping[str, float]
) -> tuple[float | None, float | None]:
    """(t < 0, t > 0): nearest points both ways where moving each feed's log price by t x direction
    liquidates.

    A long and short book can have both. None where there is none; (0, 0) when already under. ValueError when
    a price is missing.
    """
    shelf = build([row], prices)
    book = shelf.book
    weights = (book.a - book.b) * book.prices[book.feed]
    if shelf.faults[0] or not np.isfinite(weights).all():
        raise ValueError(shelf.faults[0] or "a price is missing")
    v = np.array([direction.get(shelf.feeds[k], 0.0) for k in book.feed], np.float64)
    still = float(weights[v == 0.0].sum())
    m0 = float(book.a0[0] - book.b0[0]) + still
    w, v = np.ascontiguousarray(weights[v != 0.0]), np.ascontiguousarray(v[v != 0.0])
    if m0 + float(w.sum()) < 0.0:
        return 0.0, 0.0
    out = np.empty(2)
    form.ray(w, v, m0, out)
    return (
        -float(out[0]) if math.isfinite(out[0]) else None,
        float(out[1]) if math.isfinite(out[1]) else None,
    )


def effective_bets(shares: Floats | Sequence[float]) -> float:
    """1 / HHI of shares that sum to 1; 0 when there are none."""
    total = float(np.square(np.asarray(shares, np.float64)).sum())
    return 1.0 / total if total > 0.0 else 0.0
