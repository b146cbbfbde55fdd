"""Positions as arrays: two affine forms per position in CSR rows, and the prices of their feeds.

A book is immutable from outside: ``append``, ``replace`` and ``with_prices`` answer a new one that shares
what did not change, so prices move every block without touching a row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keeper.model import BookRow

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Index = npt.NDArray[np.int32]


class Book(NamedTuple):
    """What kernels read. U positions, N entries, F feeds.

    ``indptr`` int64[U+1]; ``feed`` int32[N] index into prices; ``a``, ``b`` float64[N] per unit of price;
    ``a0``, ``b0`` float64[U] USD; ``prices`` float64[F] USD, NaN where a price is missing or not positive.
    Row u: assets = a0[u] + sum a.p, requirement = b0[u] + sum b.p over indptr[u]:indptr[u+1].
    """

    indptr: Ints
    feed: Index
    a: Floats
    b: Floats
    a0: Floats
    b0: Floats
    prices: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A book and what its numbers mean: ``feeds[k]`` is the identity of price k, ``faults[u]`` is why row u
    is no row ("" when it is one). A faulty row holds NaN constants, so every kernel answers NaN for it."""

    book: Book
    feeds: tuple[str, ...]
    faults: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.faults)


EMPTY = Book(
    indptr=np.zeros(1, np.int64),
    feed=np.zeros(0, np.int32),
    a=np.zeros(0),
    b=np.zeros(0),
    a0=np.zeros(0),
    b0=np.zeros(0),
    prices=np.zeros(0),
)
"""No positions, no feeds; also the pattern of every book's types."""


def build(rows: Sequence[BookRow], prices: Mapping[str, float]) -> Shelf:
    """A shelf of ``rows`` at ``prices`` (feed identity -> USD per whole token)."""
    columns: dict[str, int] = {}
    parts = [_entries(row, columns) for row in rows]
    column = np.array([usable(prices.get(feed)) for feed in columns], np.float64)
    return Shelf(book=_stacked(parts, column), feeds=tuple(columns), faults=tuple(p.fault for p in parts))


def append(shelf: Shelf, rows: Sequence[BookRow]) -> Shelf:
    """The shelf with ``rows`` after its own; feeds not seen before get the price NaN until
    ``with_prices``.
    """
    columns = {feed: k for k, feed in enumerate(shelf.feeds)}
    parts = [_entries(row, columns) for row in rows]
    unknown = np.full(len(columns) - len(shelf.feeds), math.nan)
    old, new = shelf.book, _stacked(parts, np.concatenate([shelf.book.prices, unknown]))
    book = Book(
        indptr=np.concatenate([old.indptr, old.indptr[-1] + new.indptr[1:]]),
        feed=np.concatenate([old.feed, new.feed]),
        a=np.concatenate([old.a, new.a]),
        b=np.concatenate([old.b, new.b]),
        a0=np.concatenate([old.a0, new.a0]),
        b0=np.concatenate([old.b0, new.b0]),
        prices=new.prices,
    )
    return Shelf(book=book, feeds=tuple(columns), faults=shelf.faults + tuple(p.fault for p in parts))


def _stacked(parts: Sequence[_Entries], prices: Floats) -> Book:
    """Compiled rows as one book."""
    return Book(
        indptr=np.array([0, *accumulate(len(p.feed) for p in parts)], np.int64),
        feed=np.array([k for p in parts for k in p.feed], np.int32),
        a=np.array([x for p in parts for x in p.a], np.float64),
        b=np.array([x for p in parts for x in p.b], np.float64),
        a0=np.array([p.a0 for p in parts], np.float64),
        b0=np.array([p.b0 for p in parts], np.float64),
        prices=prices,
    )


def replace(shelf: Shelf, u: int, row: BookRow) -> Shelf:
    """The shelf with row ``u`` exchanged: the entries after it move, no other row is compiled again."""
    columns = {feed: k for k, feed in enumerate(shelf.feeds)}
    new = _entries(row, columns)
    old = shelf.book
    start, stop = int(old.indptr[u]), int(old.indptr[u + 1])
    indptr = old.indptr.copy()
    indptr[u + 1 :] += len(new.feed) - (stop - start)
    a0, b0 = old.a0.copy(), old.b0.copy()
    a0[u], b0[u] = new.a0, new.b0
    book = Book(
        indptr=indptr,
        feed=np.concatenate([old.feed[:start], np.array(new.feed, np.int32), old.feed[stop:]]),
        a=np.concatenate([old.a[:start], np.array(new.a, np.float64), old.a[stop:]]),
        b=np.concatenate([old.b[:start], np.array(new.b, np.float64), old.b[stop:]]),
        a0=a0,
        b0=b0,
        prices=np.concatenate([old.prices, np.full(len(columns) - len(shelf.feeds), math.nan)]),
    )
    faults = (*shelf.faults[:u], new.fault, *shelf.faults[u + 1 :])
    return Shelf(book=book, feeds=tuple(columns), faults=faults)


def with_prices(shelf: Shelf, prices: Mapping[str, float]) -> Shelf:
    """The shelf at other prices; rows are shared. A price that is missing, not finite or not above 0 is
    NaN.
    """
    column = np.array([usable(prices.get(feed)) for feed in shelf.feeds], np.float64)
    return Shelf(book=shelf.book._replace(prices=column), feeds=shelf.feeds, faults=shelf.faults)


def usable(price: float | None) -> float:
    """``price`` if it can be one, else NaN: an oracle that answers 0 has failed, it has not found a
    bargain.
    """
    return float(price) if price is not None and math.isfinite(price) and price > 0.0 else math.nan


class _Entries(NamedTuple):
    feed: list[int]
    a: list[float]
    b: list[float]
    a0: float
    b0: float
    fault: str


def _entries(row: BookRow, columns: dict[str, int]) -> _Entries:
    """The entries of one row, feeds merged, zeros dropped; ``columns`` learns its feeds."""
    fault = row_fault(row)
    if fault:
        return _Entries([], [], [], math.nan, math.nan, fault)
    merged: dict[str, tuple[float, float]] = {}
    for feed, a, b in zip(row.feeds, row.a, row.b, strict=True):
        before = merged.get(feed, (0.0, 0.0))
        merged[feed] = (before[0] + a, before[1] + b)
    kept = {feed: ab for feed, ab in merged.items() if ab != (0.0, 0.0)}
    feed_index = [columns.setdefault(feed, len(columns)) for feed in kept]
    sides = list(kept.values())
    return _Entries(feed_index, [s[0] for s in sides], [s[1] for s in sides], row.a0, row.b0, "")


def row_fault(row: BookRow) -> str:
    """Why the row is no pair of affine forms; "" when it is. Requirements are never negative."""
    if not len(row.feeds) == len(row.a) == len(row.b):
        return f"row has {len(row.feeds)} feeds, {len(row.a)} a and {len(row.b)} b"
    numbers = (*row.a, *row.b, row.a0, row.b0)
    if not all(math.isfinite(x) for x in numbers):
        return "row has a coefficient that is no finite number"
    if min((*row.b, row.b0)) < 0.0:
        return "row has a negative requirement"
    return ""
