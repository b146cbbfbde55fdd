"""One account under way: what it holds and owes at each moment's prices. The only thing in a replay that changes."""

from __future__ import annotations

import math

import numpy as np

from keeper.replay.fleet import Account, Lot
from keeper.replay.paths import Paths
from keeper.risk.book import Book, Floats, Ints

EMPTY_USD = 1e-6
SHORT = 32
"""So many moments are looked at one by one sooner than their changes are found."""


class Vessel:
    """``held[i]`` and ``owed[j]`` are values at the run's first prices, so that a price's path multiplies them."""

    def __init__(self, account: Account, paths: Paths, usd: float, changes: Ints | None = None) -> None:
        """The account at the first moment; ``usd`` dollars of its unit. ``changes``: the moments that ``gap`` looks
        at (``paths.changes``); None: every one."""
        self.name = account.name
        self.account = account
        self.collateral: tuple[Lot, ...] = account.collateral
        self.debt: tuple[Lot, ...] = account.debt
        self.held = [x.value * usd for x in account.collateral]
        self.owed = [x.value * usd for x in account.debt]
        self.credits = [0.0] * len(account.debt)
        """What a venue gave back in the asset of a debt, at the run's first prices."""
        self.paths = paths
        self.at = 0
        self._rows = dict(zip(paths.assets, paths.row.tolist(), strict=True))
        self._weighed: tuple[list[int], list[float], list[float]] | None = None
        self._book: Book | None = None
        self._moves = paths.moves()
        self._changes = changes

    def said(self, name: str) -> float:
        """The feed's price over its first."""
        return float(self.paths.said[self._rows[name], self.at])

    def ahead(self, name: str) -> float:
        """Market price over the feed's."""
        row = self._rows[name]
        return float(self.paths.market[row, self.at] / self.paths.said[row, self.at])

    def level(self, name: str) -> float:
        """The market's price over its first."""
        return float(self.paths.market[self._rows[name], self.at])

    def held_usd(self, i: int) -> float:
        """Value of collateral ``i`` by its feed, income in it."""
        return self.held[i] * self._kept(i)

    def owed_usd(self, j: int) -> float:
        """Value of debt ``j`` by its feed, interest in it."""
        return self.owed[j] * self._due(j)

    def _kept(self, i: int) -> float:
        return float(self.paths.said[self.paths.kept_row(self.collateral[i].asset), self.at])

    def _due(self, j: int) -> float:
        return float(self.paths.said[self.paths.owed_row(self.debt[j].asset), self.at])

    def weighted_usd(self) -> float:
        """What counts against debt."""
        return sum(self.held_usd(i) * x.threshold for i, x in enumerate(self.collateral))

    def debt_usd(self) -> float:
        """All debt."""
        return sum(self.owed_usd(j) for j in range(len(self.debt)))

    def equity_usd(self) -> float:
        """Collateral less debt, and what a venue gave back."""
        given = sum(x * self._due(j) for j, x in enumerate(self.credits) if x)
        return sum(self.held_usd(i) for i in range(len(self.collateral))) - self.debt_usd() + given

    def health(self) -> float:
        """By the feeds; +inf without debt."""
        owed = self.debt_usd()
        return self.weighted_usd() / owed if owed > EMPTY_USD else math.inf

    def take(self, i: int, usd: float) -> None:
        """``usd`` of collateral ``i`` leave."""
        self._weighed = self._book = None
        self.held[i] = max(0.0, self.held[i] - usd / self._kept(i))

    def add(self, i: int, usd: float) -> None:
        """``usd`` of collateral ``i`` come in."""
        self._weighed = self._book = None
        self.held[i] += usd / self._kept(i)

    def repay(self, j: int, usd: float) -> None:
        """``usd`` of debt ``j`` are repaid."""
        self._weighed = self._book = None
        self.owed[j] = max(0.0, self.owed[j] - usd / self._due(j))

    def credit(self, j: int, usd: float) -> None:
        """``usd`` of the asset of debt ``j`` are the owner's, outside of the loan."""
        self.credits[j] += usd / self._due(j)

    def lots(self, i: int, usd: float) -> float:
        """So much of collateral ``i`` is worth ``usd`` now: an amount that prices do not move."""
        return usd / self._kept(i)

    def lots_usd(self, i: int, lots: float) -> float:
        """What an amount of collateral ``i`` is worth now."""
        return lots * self._kept(i)

    def dues(self, j: int, usd: float) -> float:
        """So much of debt ``j`` is worth ``usd`` now: an amount that prices do not move."""
        return usd / self._due(j)

    def dues_usd(self, j: int, dues: float) -> float:
        """What an amount of debt ``j`` is worth now."""
        return dues * self._due(j)

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

    def weights(self) -> tuple[list[int], list[float], list[float]]:
        """(path, weight against debt, debt) of each path that moves it."""
        if self._weighed is None:
            self._weighed = self._weigh()
        return self._weighed

    def _weigh(self) -> tuple[list[int], list[float], list[float]]:
        entries: dict[int, tuple[float, float]] = {}
        for lot, value in zip(self.collateral, self.held, strict=True):
            row = self.paths.kept_row(lot.asset)
            a, b = entries.get(row, (0.0, 0.0))
            entries[row] = (a + value * lot.threshold, b)
        for lot, value in zip(self.debt, self.owed, strict=True):
            row = self.paths.owed_row(lot.asset)
            a, b = entries.get(row, (0.0, 0.0))
            entries[row] = (a, b + value)
        return list(entries), [a for a, _ in entries.values()], [b for _, b in entries.values()]

    def book(self) -> Book:
        """Its one row, over the rows of the paths."""
        if self._book is None:
            self._book = self._booked()
        return self._book

    def _booked(self) -> Book:
        rows, a, b = self.weights()
        return Book(
            indptr=np.array([0, len(rows)], np.int64),
            feed=np.array(rows, np.int32),
            a=np.array(a, np.float64),
            b=np.array(b, np.float64),
            a0=np.zeros(1),
            b0=np.zeros(1),
            prices=np.ones(len(self.paths.said)),
        )

    def gap(self, first: int, last: int) -> float:
        """The largest further move of the market, in one update, that it survives at its worst moment from ``first``
        to ``last``: margin over what moves, net of debt that moves alike; 1 at most, negative once it is below."""
        rows = self.weights()[0]
        book = self.book()
        net, said = book.a - book.b, self._said(rows, first, last)
        margin, moved = net @ said, np.abs((net * self._moves[rows]) @ said)
        scale = 1e-9 * (book.b @ said) + EMPTY_USD
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(moved > scale, margin / moved, np.where(margin >= 0.0, 1.0, -1.0))
        return float(np.minimum(found, 1.0).min())

    def _said(self, rows: list[int], first: int, last: int) -> Floats:
        """The paths of ``rows`` from ``first`` to ``last``, at changes only where they are known."""
        if self._changes is None or last - first < SHORT:
            return self.paths.said[rows, first : last + 1]
        begin, end = np.searchsorted(self._changes, (first, last + 1))
        moments = np.concatenate([[first], self._changes[begin:end], [last]])
        return np.asarray(self.paths.said[np.ix_(np.array(rows), moments)])
