"""Book: build, append, replace and re-price agree with building anew."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keeper.model import BookRow
from keeper.risk.book import Shelf, append, build, replace, with_prices

pytestmark = pytest.mark.unit

ONE = BookRow(feeds=("ETH", "DAI"), a=(8.0, 0.0), b=(0.0, 5000.0))
TWO = BookRow(feeds=("BTC", "ETH", "USDC"), a=(0.5, 2.0, 0.0), b=(0.0, 0.0, 9000.0), a0=3.0, b0=4.0)
THREE = BookRow(feeds=("LINK",), a=(-3.0,), b=(0.1,), a0=100.0)
PRICES = {"ETH": 2000.0, "DAI": 1.0, "BTC": 60_000.0, "USDC": 0.999, "LINK": 15.0}


def rows_of(shelf: Shelf) -> list[tuple[dict[str, tuple[float, float]], float, float]]:
    book = shelf.book
    out = []
    for u in range(len(shelf)):
        js = range(book.indptr[u], book.indptr[u + 1])
        entries = {shelf.feeds[book.feed[j]]: (float(book.a[j]), float(book.b[j])) for j in js}
        out.append((entries, float(book.a0[u]), float(book.b0[u])))
    return out


def test_append__rows__equals_building_all():
    grown = with_prices(append(build([ONE], PRICES), [TWO, THREE]), PRICES)
    whole = build([ONE, TWO, THREE], PRICES)
    assert grown.feeds == whole.feeds
    for mine, theirs in zip(grown.book, whole.book, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert mine.dtype == theirs.dtype


@pytest.mark.parametrize("u", [0, 1, 2])
@pytest.mark.parametrize("row", [ONE, TWO, THREE, BookRow(feeds=(), a=(), b=())])
def test_replace__any_row__changes_it_alone(u, row):
    before = build([ONE, TWO, THREE], PRICES)
    after = replace(before, u, row)
    want = [ONE, TWO, THREE]
    want[u] = row
    assert rows_of(after) == rows_of(build(want, PRICES))
    assert rows_of(before) == rows_of(build([ONE, TWO, THREE], PRICES)), "the old book is untouched"


def test_with_prices__new_prices__shares_the_rows():
    before = build([ONE, TWO], PRICES)
    after = with_prices(before, {**PRICES, "ETH": 1.0})
    assert after.book.a is before.book.a
    assert after.book.indptr is before.book.indptr
    assert after.book.prices[after.feeds.index("ETH")] == 1.0
    assert before.book.prices[before.feeds.index("ETH")] == 2000.0


def test_append__unseen_feed__has_no_price_yet():
    grown = append(build([ONE], PRICES), [THREE])
    assert math.isnan(grown.book.prices[grown.feeds.index("LINK")])


def test_build__faulty_row__keeps_its_place():
    bad = BookRow(feeds=("ETH",), a=(1.0,), b=(-1.0,))
    shelf = build([ONE, bad, THREE], PRICES)
    assert shelf.faults == ("", "row has a negative requirement", "")
    assert math.isnan(shelf.book.a0[1])
    assert rows_of(shelf)[2] == rows_of(build([THREE], PRICES))[0]


def test_build__nothing__is_an_empty_book():
    shelf = build([], {})
    assert len(shelf) == 0
    assert list(shelf.book.indptr) == [0]
