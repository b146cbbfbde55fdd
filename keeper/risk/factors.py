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
    """The map with a covariance estimated for some factors; the others keep their default and independence.

    Raises ValueError unless ``covariance`` is square, symmetric, finite and positive semidefinite.
    """
    if covariance.shape != (len(names), len(names)) or not np.isfinite(covariance).all():
        raise ValueError(f"covariance of {len(names)} factors has shape {covariance.shape} or is not finite")
    if not np.allclose(covariance, covariance.T, rtol=1e-9, atol=0.0):
        raise ValueError("covariance is not symmetric")
    if len(names) and np.linalg.eigvalsh(covariance)[0] < -1e-9 * np.trace(covariance):
        raise ValueError("covariance is not positive semidefinite")
    merged = np.diag(np.diag(factors.covariance)).copy()
    known = [(i, names.index(n)) for i, n in enumerate(factors.names) if n in names]
    for i, j in known:
        for i2, j2 in known:
            merged[i, i2] = covariance[j, j2]
    return Factors(feeds=factors.feeds, names=factors.names, loading=factors.loading, covariance=merged)


def ewma_covariance(returns: Floats, step_s: float, half_life_days: float = 30.0) -> Floats:
    """Yearly covariance of log ``returns`` float64[T, K] by EWMA, shrunk towards constant correlation.

    RiskMetrics weights by age; intensity k/(k + n_eff) on correlations, so that few effective samples trust
    the common correlation more. Rows with a gap (NaN) are left out. Raises ValueError below 2 usable rows.
    """
    usable = returns[np.isfinite(returns).all(axis=1)]
    if len(usable) < 2:
        raise ValueError(f"covariance needs at least 2 complete rows of returns, got {len(usable)}")
    age_days = np.arange(len(usable))[::-1] * step_s / 86_400.0
    weight = np.exp2(-age_days / half_life_days)
    weight /= weight.sum()
    raw = (usable * weight[:, None]).T @ usable
    vol = np.sqrt(np.diag(raw))
    k = len(vol)
    safe = np.where(vol > 0.0, vol, 1.0)
    correlation = raw / np.outer(safe, safe)
    off = ~np.eye(k, dtype=bool)
    common = float(correlation[off].mean()) if k > 1 else 0.0
    effective = 1.0 / float((weight**2).sum())
    trust = effective / (k + effective)
    shrunk = trust * correlation + (1.0 - trust) * common
    np.fill_diagonal(shrunk, 1.0)
    return np.asarray(shrunk * np.outer(vol, vol) * (365.0 * 86_400.0 / step_s), np.float64)


def _links(symbol: str) -> tuple[str, ...]:
    """Names of the factors that a symbol's price is a product of."""
    known: Asset = asset(symbol)
    if not known.ratio:
        return (known.base,)
    return (known.base, f"{known.ratio}/{known.base}")


def phi(x: float) -> float:
    """Standard normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
