"""Arithmetic of limits, floors and warnings: what goes is enough, no more than is there, and nothing is loosened."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.decision import depeg, exposure, floor
from keeper.decision.smaller import Excess, health_after_up, lifted_for, of_loan
from keeper.decision.tighten import tightened
from keeper.model import Omen, Position
from keeper.units import UINT256_MAX, WAD
from tests import build
from tests.build import USDC, WETH, collateral, debt, position

pytestmark = pytest.mark.property
USD = st.integers(1, 10**9)


@st.composite
def loans(draw: st.DrawFn) -> Position:
    """WETH against USDC at any health above 1."""
    held = draw(st.integers(1, 10**5))
    owed = draw(st.integers(1, max(1, int(held * 2_000 * 0.82))))
    return position([collateral(WETH, str(held))], [debt(USDC, str(owed))])


@given(USD, st.lists(USD, min_size=1, max_size=6))
def test_excess__when_shared_over_positions__then_the_parts_make_up_the_whole_and_no_more_than_each_holds(
    limit: int, held: list[int]
) -> None:
    wads = [h * WAD for h in held]
    total = sum(wads)
    excess = exposure.excess_wad(total, limit)
    parts = [exposure.share_up(excess, w, total) for w in wads]
    assert sum(parts) >= excess
    assert all(p <= w for p, w in zip(parts, wads, strict=True))
    assert (excess == 0) == (100 * total <= 105 * limit * WAD)
    assert total - sum(parts) <= limit * WAD or not excess


@given(loans(), st.integers(1, 10**8))
def test_health_after__when_that_much_is_sold__then_exactly_that_much_reaches_it(
    found: Position, usd: int
) -> None:
    (held,) = found.collateral
    goal = health_after_up(found, usd * WAD, [held])
    owed, x = found.debt[0].value_base, min(usd * 10**8, held.value_base)
    if goal == UINT256_MAX:
        assert x >= owed
        return
    after = (held.value_base - x) * held.threshold_wad
    assert goal * (owed - x) >= after, "rounded up"
    assert (goal - 1) * (owed - x) < after
    if (found.health_wad or 0) > held.threshold_wad:
        less = max(0, x - 10**8)
        assert (held.value_base - less) * held.threshold_wad <= goal * (owed - less), (
            "less sold stays below it"
        )


@given(USD, USD, st.integers(WAD + 1, 20 * WAD))
def test_allowed__when_equity_or_floor_moves__then_never_against_the_floor(
    equity: int, base: int, times: int
) -> None:
    most = floor.allowed_wad(equity * WAD, base * WAD, times)
    assert most >= 0
    assert (most == 0) == (equity <= base)
    assert floor.allowed_wad((equity + 1) * WAD, base * WAD, times) >= most
    assert floor.allowed_wad(equity * WAD, (base + 1) * WAD, times) <= most
    # a fall of less than 1 / m of what is at risk stays above the floor
    assert equity <= base or equity * WAD - most * WAD // times >= base * WAD - 1


@given(st.lists(st.integers(100, 10_000), min_size=1, max_size=12), st.integers(1, 990_000))
def test_ratchet__when_prices_move__then_the_floor_never_falls(prices: list[int], ppm: int) -> None:
    policy = replace(build.policy(), floor_usd=10, floor_times_wad=3 * WAD, floor_ratchet_ppm=ppm)
    peak, floors = 0, list[int]()
    for price in prices:
        found = position([collateral(WETH, "10", price=str(price))], [debt(USDC, "500")])
        peak = floor.peak_after(peak, found, policy)
        assert peak * 1_001 >= floor.equity_wad(found) * 1_000, "remembered to a thousandth"
        floors.append(floor.floor_wad(replace(policy, peak_usd_wad=peak)))
    assert floors == sorted(floors)


@settings(max_examples=60)
@given(loans(), st.integers(1, 10**6), st.integers(WAD + 1, 8 * WAD))
def test_floor__when_its_sale_is_made_at_the_oracle__then_what_is_at_risk_is_allowed(
    found: Position, base: int, times: int
) -> None:
    policy = replace(build.policy(), floor_usd=base, floor_times_wad=times)
    equity = floor.equity_wad(found)
    most = floor.allowed_wad(equity, base * WAD, times)
    long, short = floor.at_risk(found)
    assert short == 0
    wanted = floor.reduces(policy, found)
    assert bool(wanted) == (long * 10 > most * 11)
    if wanted and wanted[0].targets[0] == UINT256_MAX:
        assert long - most >= found.debt[0].value_base * 10**10 - 10**10
    elif wanted:
        # x = (T D - W) / (T - l) sells at least what is too much
        goal, (held,), owed = wanted[0].targets[0], found.collateral, found.debt[0].value_base
        x = (goal * owed - held.value_base * held.threshold_wad) // (goal - held.threshold_wad)
        assert (x + 1) * 10**10 >= long - most


@given(loans(), st.integers(0, WAD), st.integers(0, WAD // 2), st.booleans(), st.integers(-(10**6), 10**6))
def test_warning__when_it_stands_or_not__then_nothing_is_loosened_and_the_order_holds(
    found: Position, target: int, trigger: int, stands: bool, age_s: int
) -> None:
    policy = replace(build.policy(), warning_target_wad=target, warning_trigger_wad=trigger)
    omen = Omen(stands=stands, score=2.0, line=1.5, at_s=10**9 - age_s, source="x")
    moved = tightened(policy, found, omen, 10**9)
    assert moved.trigger_wad >= policy.trigger_wad
    assert moved.target_wad >= max(policy.target_wad, moved.trigger_wad + policy.hysteresis_wad)
    assert moved.warn_wad > moved.trigger_wad > moved.emergency_wad == policy.emergency_wad
    assert (moved == policy) or (stands and -600 <= age_s <= 36 * 3_600)


@given(loans(), st.integers(1, 10**8), st.integers(10**17, 5 * WAD))
def test_lifted__when_something_is_to_be_less__then_only_better_than_now_and_within_the_executor(
    found: Position, usd: int, room: int
) -> None:
    policy = replace(build.policy(), reduce_above_trigger=True)
    excess = Excess(by=exposure.NAME, value_wad=usd * WAD, why="too much")
    reduce = of_loan(found, excess, lambda h: True)
    highest = (found.health_wad or 0) + room
    stands = lifted_for(replace(policy, reduces=(reduce,)), found, highest)
    if (found.health_wad or 0) < policy.trigger_wad:
        assert stands.moved == ()
        return
    health = found.health_wad or 0
    assert stands.trigger_wad == health + 1
    assert stands.target_wad * 999_990 // 10**6 > health, "what a plan promises is better than now"
    assert stands.max_health_wad >= stands.target_wad
    assert all(t == UINT256_MAX or t >= stands.target_wad for r in stands.reduces for t in r.targets)


@given(loans(), st.integers(5_000, 500_000), st.integers(1, 2 * 10**6))
def test_depeg__when_both_sources_are_at_the_line_or_below__then_asked_for_and_never_above_it(
    found: Position, line_ppm: int, price_ppm: int
) -> None:
    from keeper.model import Quoted

    policy = replace(build.policy(), depeg_ppm=line_ppm, max_health_wad=10**12 * WAD)
    said = tuple(
        Quoted(feed="USDC", price_wad=price_ppm * 10**12, source=s, at_s=100) for s in ("pool", "exchanges")
    )
    wanted = depeg.reduces(policy, found, said, 101)
    assert bool(wanted) == (price_ppm <= 10**6 - line_ppm)
