"""One account under way: what it holds and owes at each moment's prices. The only thing in a replay that changes."""

from __future__ import annotations

import math

import numpy as np

from keeper.replay.fleet import Account, Lot
from keeper.replay.paths import Paths
from keeper.risk.book import Book

EMPTY_USD = 1e-6


class Vessel:
    """``held[i]`` and ``owed[j]`` are values at the run's first prices, so that a price's path multiplies them."""

    def __init__(self, account: Account, paths: Paths, usd: float) -> None:
        """The account at the first moment; ``usd`` dollars of its unit."""
        self.name = account.name
        self.collateral: tuple[Lot, ...] = account.collateral
        self.debt: tuple[Lot, ...] = account.debt
        self.held = [x.value * usd for x in account.collateral]
        self.owed = [x.value * usd for x in account.debt]
        self.paths = paths
        self.at = 0

    def said(self, name: str) -> float:
        """The feed's price over its first."""
        return float(self.paths.said[self.paths.row_of(name), self.at])

    def gap(self, name: str) -> float:
        """Market price over the feed's."""
        row = self.paths.row_of(name)
        return float(self.paths.market[row, self.at] / self.paths.said[row, self.at])

    def held_usd(self, i: int) -> float:
        """Value of collateral ``i`` by its feed."""
        return self.held[i] * self.said(self.collateral[i].asset)

    def owed_usd(self, j: int) -> float:
        """Value of debt ``j`` by its feed."""
        return self.owed[j] * self.said(self.debt[j].asset)

    def weighted_usd(self) -> float:
        """What counts against debt."""
        return sum(self.held_usd(i) * x.threshold for i, x in enumerate(self.collateral))

    def debt_usd(self) -> float:
        """All debt."""
        return sum(self.owed_usd(j) for j in range(len(self.debt)))

    def equity_usd(self) -> float:
        """Collateral less debt."""
        return sum(self.held_usd(i) for i in range(len(self.collateral))) - self.debt_usd()

    def health(self) -> float:
        """By the feeds; +inf without debt."""
        owed = self.debt_usd()
        return self.weighted_usd() / owed if owed > EMPTY_USD else math.inf

    def take(self, i: int, usd: float) -> None:
        """``usd`` of collateral ``i`` leave."""
        self.held[i] = max(0.0, self.held[i] - usd / self.said(self.collateral[i].asset))

    def add(self, i: int, usd: float) -> None:
        """``usd`` of collateral ``i`` come in."""
        self.held[i] += usd / self.said(self.collateral[i].asset)

    def repay(self, j: int, usd: float) -> None:
        """``usd`` of debt ``j`` are repaid."""
        self.owed[j] = max(0.0, self.owed[j] - usd / self.said(self.debt[j].asset))

    def largest_collateral(self) -> int | None:
        """The collateral of most value that counts."""
        found = [
            i for i, x in enumerate(self.collateral) if self.held_usd(i) > EMPTY_USD and x.threshold > 0.0
        ]
        return max(found, key=self.held_usd, default=None)

    def largest_debt(self) -> int | None:
        """The debt of most value."""
        found = [j for j in range(len(self.debt)) if self.owed_usd(j) > EMPTY_USD]
        return max(found, key=self.owed_usd, default=None)

    def book(self) -> Book:
        """Its one row, over the rows of the paths."""
        entries: dict[int, tuple[float, float]] = {}
        for lot, value in zip(self.collateral, self.held, strict=True):
            row = self.paths.row_of(lot.asset)
            a, b = entries.get(row, (0.0, 0.0))
            entries[row] = (a + value * lot.threshold, b)
        for lot, value in zip(self.debt, self.owed, strict=True):
            row = self.paths.row_of(lot.asset)
            a, b = entries.get(row, (0.0, 0.0))
            entries[row] = (a, b + value)
        return Book(
            indptr=np.array([0, len(entries)], np.int64),
            feed=np.array(list(entries), np.int32),
            a=np.array([a for a, _ in entries.values()], np.float64),
            b=np.array([b for _, b in entries.values()], np.float64),
            a0=np.zeros(1),
            b0=np.zeros(1),
            prices=np.ones(len(self.paths.said)),
        )
