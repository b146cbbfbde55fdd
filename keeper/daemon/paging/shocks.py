"""What moves of prices would do to the positions shown: ladders for the heat map, grids for the surface."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from keeper.model import BookRow, Shock
from keeper.risk import shocks as library
from keeper.risk.assets import CALM, asset
from keeper.risk.book import Book, build

Floats = npt.NDArray[np.float64]
STEPS = (-0.5, -0.4, -0.3, -0.25, -0.2, -0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3)
"""Of both axes of a surface."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The rows of one chain's positions, by id, at one block's prices."""

    ids: Mapping[str, int]
    book: Book
    feeds: tuple[str, ...]
    """Places among the feeds told, as text: a book's feeds have names."""
    symbols: Mapping[str, str]
    """Feed -> symbol."""


def shelf(rows: Mapping[str, Sequence[Any]], feeds: Sequence[tuple[str, float]]) -> Shelf:
    """Rows as the sheet tells them (a0, b0, places of feeds, a, b), and each feed's symbol and dollars."""
    made = [_row(row) for row in rows.values()]
    built = build(made, {str(k): price for k, (_, price) in enumerate(feeds)})
    return Shelf(
        ids={id: u for u, id in enumerate(rows)},
        book=built.book,
        feeds=built.feeds,
        symbols={str(k): symbol for k, (symbol, _) in enumerate(feeds)},
    )


def _row(told: Sequence[Any]) -> BookRow:
    a0, b0, feeds, a, b = told
    # a number that is none travels as null
    sides = [tuple(math.nan if x is None else float(x) for x in side) for side in (a, b, (a0, b0))]
    return BookRow(feeds=tuple(str(k) for k in feeds), a=sides[0], b=sides[1], a0=sides[2][0], b0=sides[2][1])


def health(of: Shelf, shocks: Sequence[Shock]) -> Floats:
    """Health [U, S] under each shock; inf where nothing is owed, NaN where it cannot be known.

    The plain twin of ``keeper.risk.kernels.health_under``: this process compiles nothing.
    """
    book = of.book
    factors = np.array(
        [[1.0 + library.moved(library.for_feeds(s, of.symbols), f) for f in of.feeds] for s in shocks]
    ).reshape(len(shocks), len(of.feeds))
    moved = (factors * book.prices).T[book.feed]
    assets = book.a0[:, None] + _sums(book.a[:, None] * moved, book)
    needed = book.b0[:, None] + _sums(book.b[:, None] * moved, book)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(needed > 0.0, assets / needed, np.where(assets >= 0.0, np.inf, -np.inf))
    found[np.isnan(assets) | np.isnan(needed)] = np.nan
    return np.asarray(found, np.float64)


def _sums(entries: Floats, book: Book) -> Floats:
    """Each row's entries added up."""
    out = np.zeros((len(book.a0), entries.shape[1]))
    rows = np.repeat(np.arange(len(book.a0)), np.diff(book.indptr))
    np.add.at(out, rows, entries)
    return out


def ladder(of: Shelf, steps_pct: Sequence[float]) -> Floats:
    """Health [U, S] under moves of everything volatile at once."""
    return health(of, library.ladder(library.ANY, [pct / 100.0 for pct in steps_pct]))


def axes(of: Shelf, id: str) -> list[str]:
    """What the position's prices follow, volatile first, by weight: names for the axes of a surface."""
    u = of.ids.get(id)
    if u is None:
        return []
    book = of.book
    weights: dict[str, float] = {}
    for j in range(int(book.indptr[u]), int(book.indptr[u + 1])):
        name = _axis(of.symbols.get(of.feeds[book.feed[j]], ""))
        usd = (abs(float(book.a[j])) + abs(float(book.b[j]))) * float(book.prices[book.feed[j]])
        weights[name] = weights.get(name, 0.0) + (usd if usd == usd else 0.0)
    return sorted(weights, key=lambda name: (asset(name).kind in CALM, -weights[name]))


def _axis(symbol: str) -> str:
    return asset(symbol).base


def surface(of: Shelf, id: str, x: str, y: str) -> list[list[float | None]]:
    """Health of one position, a row for each step of ``y``, a column for each of ``x``; None: nothing is owed.

    What cannot be known is 0: never healthy.
    """
    grid = library.grid((y, STEPS), (x, STEPS))
    found = health(of, grid)[of.ids[id]].tolist()
    n = len(STEPS)
    return [[shown(h) for h in found[i * n : (i + 1) * n]] for i in range(n)]


def liquidatable(debts_usd: Sequence[float], healths: Floats) -> tuple[list[float], list[int]]:
    """(dollars owed by positions below health 1, how many more cannot be known) under each shock.

    ``debts_usd`` [U] as owed now, NaN where that is not known; ``healths`` [U, S], NaN likewise.
    """
    owed = np.array(debts_usd, np.float64)[:, None]
    dark = (np.isnan(owed) | np.isnan(healths)) & (owed != 0.0)
    usd = np.where(~dark & (healths < 1.0), owed, 0.0).sum(axis=0)
    return np.round(usd, 2).tolist(), dark.sum(axis=0).tolist()


def shown(value: float) -> float | None:
    """A health for people: None where nothing is owed, 0 where it is not known or nothing covers it."""
    if value == float("inf"):
        return None
    return round(value, 4) if value > 0.0 else 0.0
