"""Nobody acts: health at the start, the least, and the first bar at which the venue may liquidate. The yardstick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keeper.replay.fleet import Account, Fleet
from keeper.replay.paths import Paths
from keeper.risk import kernels, screen
from keeper.risk.book import Book, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """``start``, ``least`` float64[U] health; ``first`` int64[U] the bar below 1, -1 for never."""

    start: Floats
    least: Floats
    first: Ints


def idle(fleet: Fleet, paths: Paths) -> Idle:
    """What becomes of accounts that nobody guards: no interest, no action."""
    book = book_of(fleet.accounts, paths)
    count, moments = len(fleet.accounts), paths.said.shape[1]
    start, least = np.empty(count), np.empty(count)
    kernels.health(book._replace(prices=np.ascontiguousarray(paths.said[:, 0])), start)
    everywhere = np.full(count, moments, np.int64)
    screen.lowest(book, paths.said, np.zeros(count, np.int64), everywhere, least)
    first = np.empty(count, np.int64)
    screen.first_below(book, paths.said, np.zeros(count, np.int64), np.ones(count), first)
    bar = np.where(first < moments, paths.bar[np.minimum(first, moments - 1)], -1)
    return Idle(start=start, least=least, first=bar)


def book_of(accounts: tuple[Account, ...], paths: Paths) -> Book:
    """One row an account over ``paths.said``'s rows, weights by value at the start."""
    parts = [_entries(a, paths) for a in accounts]
    return Book(
        indptr=np.cumsum([0, *(len(p) for p in parts)], dtype=np.int64),
        feed=np.array([k for p in parts for k, _, _ in p], np.int32),
        a=np.array([a for p in parts for _, a, _ in p], np.float64),
        b=np.array([b for p in parts for _, _, b in p], np.float64),
        a0=np.zeros(len(parts)),
        b0=np.zeros(len(parts)),
        prices=np.ones(len(paths.said)),
    )


def _entries(account: Account, paths: Paths) -> list[tuple[int, float, float]]:
    """(path, weight against debt, debt) for each path that moves the account."""
    found: dict[int, tuple[float, float]] = {}
    lots = [(paths.kept_row(x.asset), x.value * x.threshold, 0.0) for x in account.collateral]
    lots += [(paths.owed_row(x.asset), 0.0, x.value) for x in account.debt]
    for row, held, owed in lots:
        a, b = found.get(row, (0.0, 0.0))
        found[row] = (a + held, b + owed)
    return [(k, a, b) for k, (a, b) in found.items()]
