"""A book laid out for sweeps: each row's entries split by side, alike rows next to each other (kernel).

Rows of one shape (as many assets, as many debts) and then of one pair of feeds follow each other: loops of a
sweep then turn as often as in the row before, and rows of one pair share their work. ``row`` leads back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from keeper.risk.book import Book, Floats, Index, Ints
from keeper.risk.jit import Kernels, inlined, kernel, record_type, signature

_SHAPES = 4
"""Counts from here on are one shape: few rows have as many entries on a side."""
LARGEST = 1e100
"""Of amounts, and of prices: what is beyond is no number, and sums of products below never overflow."""


class Sides(NamedTuple):
    """A book with each row's entries split by side. U positions, N entries.

    ``start`` int64[U+1]; ``middle`` int64[U]: assets stand in start[u]:middle[u], requirements after them;
    ``feed`` int32[N]; ``weight`` float64[N]; ``a0``, ``b0`` float64[U]; ``known`` int64[U]: 0 where a number
    is none; ``row`` int64[U]: the position's place in the book.
    """

    start: Ints
    middle: Ints
    feed: Index
    weight: Floats
    a0: Floats
    b0: Floats
    known: Ints
    row: Ints


@inlined
def sort(order: Ints, spare: Ints, key: Index, size: int) -> None:
    """``order`` sorted by ``key`` in 0..size-1, equals in the order they have; ``spare`` is scratch."""
    begin = np.zeros(size + 1, np.int64)
    for u in range(order.shape[0]):
        begin[np.uint64(key[u]) + np.uint64(1)] += 1
    for k in range(size):
        begin[k + 1] += begin[k]
    for i in range(order.shape[0]):
        bucket = np.uint64(key[np.uint64(order[i])])
        spare[np.uint64(begin[bucket])] = order[i]
        begin[bucket] += 1
    order[:] = spare


@inlined
def survey(book: Book, bad: Ints, keys: Any, known: Ints) -> None:
    """Shape, first asset's and first debt's feed (one beyond the last where there is none) of every row, and
    whether all its numbers can be judged. ``bad`` int64[F]: 1 for a feed without a price somewhere."""
    shape, own, owe = keys
    feeds = bad.shape[0]
    for u in range(book.a0.shape[0]):
        assets, debts, fine = 0, 0, abs(book.a0[u]) <= LARGEST and 0.0 <= book.b0[u] <= LARGEST
        own[u], owe[u] = feeds, feeds
        for j in range(np.uint64(book.indptr[u]), np.uint64(book.indptr[u + 1])):
            k = np.uint64(book.feed[j])
            fine = fine and bad[k] == 0 and abs(book.a[j]) <= LARGEST and 0.0 <= book.b[j] <= LARGEST
            if book.a[j] != 0.0:
                own[u] = book.feed[j] if assets == 0 else own[u]
                assets += 1
            if book.b[j] != 0.0:
                owe[u] = book.feed[j] if debts == 0 else owe[u]
                debts += 1
        shape[u] = min(assets, _SHAPES) * (_SHAPES + 1) + min(debts, _SHAPES)
        known[u] = 1 if fine else 0


@kernel
def arrange(book: Book, bad: Ints, sides: Sides) -> None:
    """Fill ``sides``, whose entries number those with a and those with b; ``bad`` as in ``survey``."""
    users, feeds = book.a0.shape[0], bad.shape[0]
    shape, own, owe = np.empty(users, np.int32), np.empty(users, np.int32), np.empty(users, np.int32)
    known, spare, order = np.empty(users, np.int64), np.empty(users, np.int64), np.arange(users)
    survey(book, bad, (shape, own, owe), known)
    sort(order, spare, owe, feeds + 1)
    sort(order, spare, own, feeds + 1)
    sort(order, spare, shape, (_SHAPES + 1) * (_SHAPES + 1))
    place = np.uint64(0)
    for i in range(users):
        u = np.uint64(order[i])
        sides.start[i], sides.row[i], sides.known[i] = place, u, known[u]
        sides.a0[i], sides.b0[i] = book.a0[u], book.b0[u]
        first, last = np.uint64(book.indptr[u]), np.uint64(book.indptr[u + np.uint64(1)])
        for j in range(first, last):
            if book.a[j] != 0.0:
                sides.feed[place], sides.weight[place] = book.feed[j], book.a[j]
                place += np.uint64(1)
        sides.middle[i] = place
        for j in range(first, last):
            if book.b[j] != 0.0:
                sides.feed[place], sides.weight[place] = book.feed[j], book.b[j]
                place += np.uint64(1)
    sides.start[users] = place


def empty_sides(users: int, entries: int) -> Sides:
    """Room for ``arrange``."""
    return Sides(
        start=np.zeros(users + 1, np.int64),
        middle=np.zeros(users, np.int64),
        feed=np.zeros(entries, np.int32),
        weight=np.zeros(entries),
        a0=np.zeros(users),
        b0=np.zeros(users),
        known=np.zeros(users, np.int64),
        row=np.zeros(users, np.int64),
    )


def split(book: Book, prices: Floats) -> Sides:
    """The book by side, alike rows together; rows with a number that is none, a negative requirement, or a
    feed without a price (NaN, negative, beyond ``LARGEST``) anywhere in ``prices`` float64[F, S], are
    unknown."""
    good = ((prices >= 0.0) & (prices <= LARGEST)).all(axis=1)
    entries = int(np.count_nonzero(book.a) + np.count_nonzero(book.b))
    sides = empty_sides(len(book.a0), entries)
    arrange(book, np.where(good, 0, 1), sides)
    return sides


KERNELS: Kernels = ((arrange, lambda: signature("BiS", S=record_type(empty_sides(0, 0)))),)
