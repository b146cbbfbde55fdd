"""Books and shocks for the benchmarks of the risk core: 30 assets, 3.1 entries a position, Student-t
market.
"""

from __future__ import annotations

import numpy as np

from keeper.risk.book import Book, Floats

ASSETS = 30
STABLE = 22
"""Assets from here on hardly move."""


def lending_book(users: int, seed: int = 1) -> tuple[Book, Floats]:
    """(book at prices 1, health now): 1-4 collaterals, 1-3 debts, health 1 + lognormal (median 1.74)."""
    rng = np.random.default_rng(seed)
    own = rng.choice([1, 2, 3, 4], users, p=[0.55, 0.25, 0.12, 0.08])
    owe = rng.choice([1, 2, 3], users, p=[0.70, 0.20, 0.10])
    popular = 1 / np.arange(1, ASSETS + 1) ** 1.1
    popular /= popular.sum()
    entries = own + owe
    indptr = np.zeros(users + 1, np.int64)
    np.cumsum(entries, out=indptr[1:])
    owner = np.repeat(np.arange(users), entries)
    place = np.arange(indptr[-1]) - indptr[:-1][owner]
    owned = place < own[owner]
    rng.permutation(ASSETS)  # keeps the stream of the published generator
    liked = rng.choice(ASSETS, indptr[-1], p=popular)
    lent = ASSETS - 1 - rng.choice(ASSETS, indptr[-1], p=popular)
    threshold = (0.70 + 0.2 * rng.random(indptr[-1])).round(2)
    value = rng.lognormal(9, 1.5, indptr[-1])
    a = np.where(owned, value * threshold, 0.0)
    b = np.where(owned, 0.0, value)
    health = 1 + rng.lognormal(-0.3, 0.9, users)
    scale = np.add.reduceat(a, indptr[:-1]) / np.add.reduceat(b, indptr[:-1]) / health
    book = Book(
        indptr=indptr,
        feed=np.where(owned, liked, lent).astype(np.int32),
        a=a,
        b=b * scale[owner],
        a0=np.zeros(users),
        b0=np.zeros(users),
        prices=np.ones(ASSETS),
    )
    return book, health


def shocked_prices(scenarios: int, seed: int = 2, vol: float = 0.12) -> Floats:
    """float64[30, S] price factors, worst market first, as both the core and its peers take them."""
    rng = np.random.default_rng(seed)
    market = rng.standard_t(4, scenarios) * vol
    moves = market[:, None] * np.linspace(1.2, 0.6, ASSETS)[None] + rng.normal(
        0, vol * 0.4, (scenarios, ASSETS)
    )
    moves[:, STABLE:] = rng.normal(0, 0.004, (scenarios, ASSETS - STABLE))
    return np.ascontiguousarray(np.exp(moves[np.argsort(moves[:, :STABLE].mean(axis=1))]).T)


def block_path(blocks: int, seed: int = 3, vol: float = 0.8) -> Floats:
    """float64[blocks, 30] prices of 12-second blocks at a yearly volatility; stables 1 %."""
    rng = np.random.default_rng(seed)
    each = np.where(np.arange(ASSETS) < STABLE, vol, 0.01) * np.sqrt(12 / 31_557_600)
    steps = 0.8 * rng.standard_normal((blocks, 1)) + 0.6 * rng.standard_normal((blocks, ASSETS))
    return np.exp(np.cumsum(steps * each, axis=0))


def covariance_year(vol: float = 0.8) -> Floats:
    """Yearly covariance of the 30 assets: volatile ones correlated at 0.64, stables independent."""
    vols = np.where(np.arange(ASSETS) < STABLE, vol, 0.01)
    market = np.where(np.arange(ASSETS) < STABLE, 0.8, 0.0)
    correlation = np.outer(market, market)
    np.fill_diagonal(correlation, 1.0)
    return np.ascontiguousarray(correlation * np.outer(vols, vols))
