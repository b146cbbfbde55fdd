"""Where a book's liquidations lie along a fall, against a book whose fixed point is known in closed form."""

from __future__ import annotations

import math

import pytest

from keeper.model import BookRow, Shock
from keeper.risk.bookfile import NamedBook
from keeper.risk.heat import Heat, heat
from keeper.risk.spiral import TWO_PERCENT, Law, project

pytestmark = pytest.mark.unit
CROWD, EACH, PRICE = 2_000, 1_000.0, 2_000.0
FALL = Shock(name="ETH", moves={"ETH": -0.5})
WHOLE = Law(close=1.0, full_below=0.0, bonus=0.0)
"""Each liquidation repays the whole debt: what is sold is known."""
SPAN = 0.5
"""Thresholds lie evenly between 0 and this log fall."""


def crowd(*, extra: tuple[tuple[str, float, float], ...] = ()) -> NamedBook:
    """Equal debts, evenly spread in the log price at which each is liquidatable, each half a step in."""
    falls = [SPAN * (n + 0.5) / CROWD for n in range(CROWD)]
    rows, tokens, names = [], [], []
    for name, x, owed in (*((f"p{n}", x, EACH) for n, x in enumerate(falls)), *extra):
        held = owed / (PRICE * math.exp(-x)) / 0.8
        rows.append(BookRow(feeds=("ETH", "USDC"), a=(0.8 * held, 0.0), b=(0.0, owed)))
        tokens.append((held, 0.0))
        names.append(name)
    return NamedBook(
        names=tuple(names),
        rows=tuple(rows),
        prices={"ETH": PRICE, "USDC": 1.0},
        symbols={"ETH": "ETH", "USDC": "USDC"},
        tokens=tuple(tokens),
    )


def mapped(ratio: float, sizes: tuple[float, ...], book: NamedBook | None = None) -> Heat:
    """The map in a market so deep that each USD sold leads to ``ratio`` more."""
    return heat(book or crowd(), FALL, {"ETH": depth(ratio)}, WHOLE, sizes)


def depth(ratio: float) -> float:
    """The 2 % depth: density of debt per log fall over the ratio."""
    return CROWD * EACH / SPAN / ratio * TWO_PERCENT


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.8])
def test_heat__crowd_spread_evenly__fixed_point_is_the_analytic_one(ratio: float) -> None:
    """x = x0 + n x, so x = x0 / (1 - n), as far as steps of one position allow."""
    start = 0.05
    (band,) = mapped(ratio, (-math.expm1(-start),)).bands
    step = SPAN / CROWD
    assert -math.log1p(-band.end) == pytest.approx(start / (1 - ratio), abs=step / (1 - ratio))
    assert band.amplification == pytest.approx(1 / (1 - ratio), abs=step / start / (1 - ratio))
    assert band.branching == pytest.approx(ratio, rel=2 * step / 0.02)
    assert band.settled
    assert band.bad_debt_usd == pytest.approx(0.0, abs=1e-6)


def test_heat__crowd_spread_evenly__fixed_point_is_that_of_the_staircase_exactly() -> None:
    ratio, start = 0.5, 0.05003
    per = EACH / (depth(ratio) / TWO_PERCENT)
    # the least k at which the price stands above everybody who is left
    k = next(k for k in range(CROWD) if SPAN * (k + 0.5) / CROWD >= start + k * per)
    (band,) = mapped(ratio, (-math.expm1(-start),)).bands
    assert -math.log1p(-band.end) == pytest.approx(start + k * per, abs=1e-12)
    assert band.repaid_usd == pytest.approx(k * EACH, rel=1e-12)


def test_heat__the_same_shock__agrees_with_the_cascade_of_it() -> None:
    band = mapped(0.5, (0.5,)).bands[0]
    found = project(crowd(), FALL, {"ETH": depth(0.5)}, WHOLE)
    assert band.repaid_usd == found.repaid_usd
    assert band.amplification == pytest.approx(found.amplification)
    (eth,) = (x for x in found.feeds if x.feed == "ETH")
    assert band.end == pytest.approx(1 - eth.end / eth.now)


def test_heat__cumulative_value__counts_everybody_below_at_that_size() -> None:
    found = mapped(0.1, (0.1, 0.2, 0.3))
    for band in found.bands:
        count = sum(SPAN * (n + 0.5) / CROWD < -math.log1p(-band.size) for n in range(CROWD))
        assert band.liquidatable == count
        assert band.debt_usd == pytest.approx(count * EACH)
    new = sum(usd for b in found.bands for _, usd in b.new_collateral_usd)
    assert new >= found.bands[-1].collateral_usd


def test_heat__more_sold_than_the_market_takes__is_unstable_from_the_crowds_first() -> None:
    dense = mapped(1.2, (0.3,))
    assert dense.unstable == 0.0
    assert mapped(0.9, (0.3,)).unstable is None
    # a quiet crowd, and a cliff of one large debt at a log fall of 0.2
    cliff = 5.0 * depth(0.1) / TWO_PERCENT * 0.02
    found = mapped(0.1, (0.3,), crowd(extra=(("cliff", 0.2, cliff),)))
    assert found.unstable is not None
    assert 0.2 - 0.02 - 0.005 <= -math.log1p(-found.unstable) <= 0.2
    assert found.price_at(found.unstable) == pytest.approx(PRICE * (1 - found.unstable))


def test_heat__our_place__is_behind_all_who_come_before() -> None:
    found = mapped(0.1, (0.3,), crowd(extra=(("mine", 0.1, 50.0), ("safe", 2.0, 50.0))))
    mine = next(p for p in found.queue if p.name == "mine")
    before = sum(SPAN * (n + 0.5) / CROWD < 0.1 for n in range(CROWD))
    assert mine.size == pytest.approx(-math.expm1(-0.1), rel=1e-9)
    assert (mine.rank, mine.ahead_usd) == (before + 1, pytest.approx(before * EACH))
    safe = next(p for p in found.queue if p.name == "safe")
    assert safe.size is None
    assert [p.rank for p in found.queue] == sorted(p.rank for p in found.queue)


def test_heat__shock_that_moves_nothing__is_refused() -> None:
    with pytest.raises(ValueError, match="moves none"):
        heat(crowd(), Shock(name="BTC", moves={"BTC": -0.5}), {"ETH": 1e6}, WHOLE, (0.1,))


def test_heat__a_price_that_rises__is_measured_turned_over() -> None:
    """A short of ETH: owed in ETH, pledged in dollars."""
    row = BookRow(feeds=("USDC", "ETH"), a=(0.8, 0.0), b=(0.0, 1.0))
    book = NamedBook(
        names=("short",),
        rows=(BookRow(feeds=row.feeds, a=(2_400.0, 0.0), b=(0.0, 1.0)),),
        prices={"ETH": 2_000.0, "USDC": 1.0},
        symbols={"ETH": "ETH", "USDC": "USDC"},
        tokens=((3_000.0, 0.0),),
    )
    found = heat(book, Shock(name="up", moves={"ETH": 0.5}), {"ETH": 1e9}, WHOLE, (0.1, 0.3))
    assert found.rises
    (place,) = found.queue
    assert place.size == pytest.approx(1 - 2_000 / 2_400)
    assert found.price_at(place.size or 0.0) == pytest.approx(2_400)
