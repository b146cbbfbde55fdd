"""Feeds move with factors: p = c exp(L log f). A staked token is ratio x base, a stable is a factor of its
own.

Covariance lives on factors; feeds get C = L S L'. A hard-coded or pegged feed has an empty row in L: it does
not move, whatever the market does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keeper.risk.assets import ALT, Asset, asset
from keeper.risk.book import Floats

DEFAULT_VOL_YEAR: Mapping[str, float] = {
    "eth": 0.80,
    "btc": 0.60,
    ALT: 1.10,
    "stable": 0.02,
    "fiat": 0.10,
    "gold": 0.20,
    "ratio": 0.04,
}
"""Yearly volatility by class where no history is given: near the 2018-2025 mean of daily closes, rounded
up.
"""
DEFAULT_CORRELATION = 0.8
"""Between volatile factors: near the worst month's average between large coins; calm factors are
independent.
"""
_VOLATILE = frozenset({"eth", "btc", ALT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """``loading`` float64[F, K] of ``feeds`` on factors ``names``; ``covariance`` float64[K, K] of yearly log
    returns."""

    feeds: tuple[str, ...]
    names: tuple[str, ...]
    loading: Floats
    covariance: Floats

    def feed_covariance(self, feeds: Sequence[str], horizon_days: float) -> Floats:
        """C = L S L' over the horizon for ``feeds`` in that order, float64[len, len]."""
        rows = self.rows(feeds)
        return np.ascontiguousarray(rows @ self.covariance @ rows.T * (horizon_days / 365.0))

    def rows(self, feeds: Sequence[str]) -> Floats:
        """Loadings of ``feeds``, float64[len, K]. A feed unknown to the map raises KeyError."""
        place = {feed: i for i, feed in enumerate(self.feeds)}
        return self.loading[[place[f] for f in feeds]]


def for_symbols(symbols: Mapping[str, str], fixed: frozenset[str] = frozenset()) -> Factors:
    """The factor map of feeds by their symbols, with default volatilities; feeds in ``fixed`` never move."""
    links = {feed: () if feed in fixed else _links(symbol) for feed, symbol in symbols.items()}
    names = tuple(dict.fromkeys(name for link in links.values() for name in link))
    loading = np.zeros((len(links), len(names)))
    for i, link in enumerate(links.values()):
        for name in link:
            loading[i, names.index(name)] = 1.0
    return Factors(feeds=tuple(links), names=names, loading=loading, covariance=default_covariance(names))


def default_covariance(names: Sequence[str]) -> Floats:
    """Yearly covariance of factors by class: volatile ones correlated, calm ones and ratios independent."""
    kinds = ["ratio" if "/" in n else asset(n).kind for n in names]
    vol = np.array([DEFAULT_VOL_YEAR[k] for k in kinds])
    market = np.array([1.0 if k in _VOLATILE else 0.0 for k in kinds])
    correlation = DEFAULT_CORRELATION * np.outer(market, market)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation * np.outer(vol, vol), np.float64)


def with_covariance(factors: Factors, names: Sequence[str], covariance: Floats) -> Factors:
    """The map with a covariance estimated for some factors; the others keep their default volatility.

    A volatile factor of which nothing is known follows the mean of the known volatile ones with the default
    correlation (to call it independent would promise a diversification that nobody has seen); calm ones and
    ratios stay independent. Raises ValueError unless ``covariance`` is square, symmetric, finite and positive
    semidefinite.
    """
    if covariance.shape != (len(names), len(names)) or not np.isfinite(covariance).all():
        raise ValueError(f"covariance of {len(names)} factors has shape {covariance.shape} or is not finite")
    if not np.allclose(covariance, covariance.T, rtol=1e-9, atol=0.0):
        raise ValueError("covariance is not symmetric")
    if len(names) and np.linalg.eigvalsh(covariance)[0] < -1e-9 * np.trace(covariance):
        raise ValueError("covariance is not positive semidefinite")
    known = np.array([n in names for n in factors.names], bool)
    place = [names.index(n) for n in factors.names if n in names]
    given = covariance[np.ix_(place, place)]
    deviation = np.sqrt(np.diag(factors.covariance))
    deviation[known] = np.sqrt(np.diag(given))
    merged = factors.covariance.copy()
    merged[known, :] = merged[:, known] = 0.0
    merged[np.ix_(known, known)] = given
    volatile = np.array([is_volatile(n) for n in factors.names], bool)
    unit = given / np.outer(*2 * [np.where(deviation[known] > 0.0, deviation[known], 1.0)])
    market = volatile[known].astype(np.float64)
    spread = float(market @ unit @ market)
    if spread > 0.0:
        # z_k = r m + e_k with m the mean of known ones, standardised: positive semidefinite by construction
        follows = DEFAULT_CORRELATION * (unit @ market) / math.sqrt(spread)
        for k in np.flatnonzero(volatile & ~known):
            merged[k, known] = merged[known, k] = follows * deviation[known] * deviation[k]
    return Factors(feeds=factors.feeds, names=factors.names, loading=factors.loading, covariance=merged)


def is_volatile(factor: str) -> bool:
    """True for a factor that follows the market: no ratio, and neither stable, currency nor gold."""
    return "/" not in factor and asset(factor).kind in _VOLATILE


def _links(symbol: str) -> tuple[str, ...]:
    """Names of the factors that a symbol's price is a product of."""
    known: Asset = asset(symbol)
    if not known.ratio:
        return (known.base,)
    return (known.base, f"{known.ratio}/{known.base}")


def phi(x: float) -> float:
    """Standard normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
