"""How many eggs in how few baskets: by asset, venue, oracle, chain and issuer; and long against short."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

CONCENTRATED_HHI = 0.18
"""Above it a market is highly concentrated (US merger guidelines 2023: 1,800 of 10,000)."""


def hhi(values: Sequence[float]) -> float:
    """Herfindahl-Hirschman index of |values|: sum of squared shares, 1/n (even) to 1 (one alone). NaN of nothing."""
    sizes = np.abs(np.asarray(values, np.float64))
    total = float(sizes.sum())
    return float(((sizes / total) ** 2).sum()) if total > 0.0 and math.isfinite(total) else math.nan


def effective(values: Sequence[float]) -> float:
    """1 / HHI: as many equal ones would be as concentrated."""
    index = hhi(values)
    return 1.0 / index if index > 0.0 else math.nan


def skew(long: float, short: float) -> float:
    """(long - short) / (long + short) of open interest, or of one's own exposures: -1 to 1. NaN of nothing."""
    total = long + short
    return (long - short) / total if total > 0.0 else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A book by one kind of thing it stands on: USD by name, and of how much the name is not known."""

    by: str
    usd: Mapping[str, float]
    unknown_usd: float = 0.0

    @property
    def hhi(self) -> float:
        """Of what is known; NaN of nothing."""
        return hhi(list(self.usd.values()))

    @property
    def largest(self) -> tuple[str, float]:
        """The name that holds most, and its share of what is known; ("", NaN) of nothing."""
        total = math.fsum(abs(x) for x in self.usd.values())
        if not total > 0.0:
            return "", math.nan
        name = max(self.usd, key=lambda n: abs(self.usd[n]))
        return name, abs(self.usd[name]) / total
