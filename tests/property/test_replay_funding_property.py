"""Funding of perpetual positions on a path: what is paid, to whom, when; equity is conserved by what is closed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.errors import ConfigError
from keeper.replay import paper, paper_perp, perp_trips, perps
from keeper.replay.market import Market
from keeper.replay.omens import Funding
from keeper.replay.paths import Paths
from keeper.replay.perps import PerpAccount, PerpVessel, funding_of
from keeper.risk.book import Floats
from keeper.units import WAD

pytestmark = pytest.mark.property
HOUR_S = 3_600.0
RATES = st.floats(-0.01, 0.01, allow_nan=False)
PRICES = st.lists(st.floats(10.0, 10_000.0), min_size=12, max_size=40)


def hours(count: int) -> Floats:
    """The beginnings of so many hours."""
    return np.array([i * HOUR_S for i in range(count)], np.float64)


def paths(prices: list[float]) -> Paths:
    """ETH by the hour, one moment a bar, and a dollar."""
    said = np.array([[p / prices[0] for p in prices], [1.0] * len(prices)])
    return Paths(
        assets=("ETH", "USDC"),
        row=np.array([0, 1], np.int64),
        said=said,
        market=said.copy(),
        bar=np.arange(len(prices)),
        times_s=hours(len(prices)),
        step_s=HOUR_S,
        usd=np.array([prices[0], 1.0]),
        held=("USDC",),
        notes=(),
    )


def paid(rates: list[float], every_h: float = 2.0, first_h: float = 2.0) -> Funding:
    """Rates paid every so many hours."""
    times = hours(len(rates)) * every_h + first_h * HOUR_S
    return Funding(times_s=np.array(times, np.float64), rate=np.array(rates), step_s=every_h * HOUR_S)


def bet(size: float, price: float, margin: float = 1e6, **changes: object) -> PerpAccount:
    """An isolated position entered at ``price``."""
    plain = PerpAccount(
        name="bet",
        index="ETH",
        size=size,
        entry=price,
        rate=0.01,
        on_entry=False,
        minimum_usd=0.0,
        fees_usd=0.0,
        margin=(("USDC", margin, 1.0),),
        prices={"ETH": price, "USDC": 1.0},
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@given(PRICES, st.lists(RATES, min_size=2, max_size=6), st.floats(0.1, 50.0))
def test_funding__when_paid__then_rate_by_rate_at_the_price_before_and_what_one_pays_the_other_gets(
    prices: list[float], rates: list[float], size: float
) -> None:
    over, funding = paths(prices), paid(rates)
    long, short = (PerpVessel(bet(s, prices[0]), over, funding) for s in (size, -size))
    due = 0.0
    for rate, at_s in zip(rates, funding.times_s, strict=True):
        if long.times_s[0] < at_s <= long.times_s[-1]:
            due += rate * prices[int(np.searchsorted(long.times_s, at_s, side="right")) - 1]
    for vessel, sign in ((long, 1.0), (short, -1.0)):
        vessel.sail(len(prices) - 1)
        assert vessel.funding_usd == pytest.approx(sign * size * due, rel=1e-9, abs=1e-9)
    moved = size * (prices[-1] - prices[0])
    assert float(long.equity(long.at, long.at + 1)[0]) == pytest.approx(1e6 + moved - size * due, rel=1e-9)
    both = sum(float(v.equity(v.at, v.at + 1)[0]) for v in (long, short))
    assert both == pytest.approx(2e6, rel=1e-12), "funding goes from one to the other"


@given(PRICES, st.lists(RATES, min_size=2, max_size=6), st.data())
def test_sail__when_the_way_is_cut_anywhere__then_it_ends_the_same(
    prices: list[float], rates: list[float], data: st.DataObject
) -> None:
    over, funding = paths(prices), paid(rates)
    whole, parts = (PerpVessel(bet(3.0, prices[0]), over, funding) for _ in range(2))
    middle = data.draw(st.integers(0, len(prices) - 1))
    least = min(parts.sail(middle), parts.sail(len(prices) - 1))
    assert whole.sail(len(prices) - 1) == pytest.approx(least, rel=1e-9)
    assert parts.funding_usd == pytest.approx(whole.funding_usd, rel=1e-9, abs=1e-9)
    assert parts.health() == pytest.approx(whole.health(), rel=1e-9)


@given(PRICES, st.floats(0.0, 1.0), st.booleans())
def test_cut__when_a_share_is_closed__then_equity_falls_by_the_fee_alone_and_nothing_is_paid_on_it_after(
    prices: list[float], share: float, short: bool
) -> None:
    rates = [0.01] * (len(prices) // 2)
    vessel = PerpVessel(bet(-2.0 if short else 2.0, prices[0]), paths(prices), paid(rates))
    vessel.sail(5)
    before = float(vessel.equity(5, 6)[0])
    cost = vessel.cut(share, perps.CLOSE_FEE)
    assert cost == pytest.approx(share * 2.0 * prices[5] * perps.CLOSE_FEE, rel=1e-9, abs=1e-12)
    assert float(vessel.equity(5, 6)[0]) == pytest.approx(before - cost, rel=1e-12)
    settled, left = vessel.funding_usd, vessel.size
    vessel.sail(len(prices) - 1)
    after = funding_of(vessel.price, vessel.times_s, paid(rates))
    assert vessel.funding_usd - settled == pytest.approx(left * (after[-1] - after[5]), rel=1e-9, abs=1e-9)


@given(st.floats(1.0, 100.0), st.floats(0.0, 0.5), st.booleans(), st.booleans())
def test_paper__when_the_rooms_see_a_position__then_its_health_is_the_paths_to_a_millionth(
    size: float, fall: float, short: bool, on_entry: bool
) -> None:
    prices = [2_000.0, 2_000.0 * (1.0 - fall), 2_000.0]
    account = bet(-size if short else size, 2_000.0, 2_500.0 * size, on_entry=on_entry, minimum_usd=5.0)
    vessel = PerpVessel(account, paths(prices), None)
    vessel.sail(1)
    venue = paper_perp.PaperPerps(account, 500_000)
    found = paper_perp.position_of(vessel, venue, 7)
    assert (found.health_wad or 0) / WAD == pytest.approx(vessel.health(), rel=1e-6)
    row = found.row
    assert row.a[0] * prices[1] + row.a0 == pytest.approx(float(vessel.equity(1, 2)[0]), rel=1e-9)
    assert row.b[0] * prices[1] + row.b0 == pytest.approx(float(vessel.need(1, 2)[0]), rel=1e-9)
    assert found.id == paper.ID


@settings(max_examples=25)
@given(st.floats(0.05, 0.12), st.booleans())
def test_threshold__when_below_its_line__then_exactly_target_is_restored(fall: float, short: bool) -> None:
    prices = [2_000.0, 2_000.0 * (1.0 + fall if short else 1.0 - fall)]
    vessel = PerpVessel(bet(-10.0 if short else 10.0, 2_000.0, 3_000.0), paths(prices), None)
    vessel.sail(1)
    order = perp_trips.Threshold(line=100.0, target=40.0).plan(vessel, Market())
    assert isinstance(order, perp_trips.Reduction)
    assert order.land(vessel, Market()).why == ""
    assert vessel.health() == pytest.approx(40.0, rel=1e-9) or not vessel.size


@pytest.mark.parametrize(("rates", "first_h"), [([], 2.0), ([0.001] * 3, 2.0), ([0.001] * 3, 30.0)])
def test_funding__when_there_is_a_hole_in_it__then_refused_with_file_and_column(
    rates: list[float], first_h: float
) -> None:
    times_s = hours(40)
    with pytest.raises(ConfigError) as raised:
        perps.covered(Path("funding.parquet"), "ETH", paid(rates, first_h=first_h), times_s)
    assert "funding.parquet: column ts: has no funding of ETH from" in str(raised.value)
    perps.covered(Path("funding.parquet"), "ETH", paid([0.001] * 19), times_s)
    assert not math.isnan(times_s[-1])
