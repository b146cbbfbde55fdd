"""Generated accounts: more collateral never lowers health, and no projection flatters."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.model import Amount, Repay, Step, Supply
from keeper.seams import Shadow
from keeper.units import RAY, YEAR_S
from keeper.venues.aave_v3.math import LINE_3_0, LINE_3_5, Line, ray_mul, supply_index
from tests.aave_market import ALICE, NOW_S, FakeMarket, FakeUser, market
from tests.aave_snapshot import snapshot_of

pytestmark = pytest.mark.property

INDEX = st.integers(RAY, 3 * RAY)
RATE = st.integers(0, RAY)
LINES = st.sampled_from((LINE_3_0, LINE_3_5))


@st.composite
def chains(draw: st.DrawFn) -> FakeMarket:
    """A market with one account, from dust to whales, at any index."""
    chain = market()
    for id in (0, 1, 2):
        chain.set(
            id,
            supply_index=draw(INDEX),
            borrow_index=draw(INDEX),
            supply_rate=draw(RATE),
            borrow_rate=draw(RATE),
            updated_s=NOW_S - draw(st.integers(0, YEAR_S)),
            price=draw(st.integers(1, 10**14)),
        )
    amount = st.integers(1, 10**26)
    chain.users[ALICE] = FakeUser(
        collateral={0: draw(amount), 2: draw(amount)}, debt={1: draw(amount), 2: draw(amount)}
    )
    return chain


@given(chains(), st.integers(0, 2), st.integers(1, 10**27), st.booleans())
@settings(max_examples=150, deadline=None)
def test_after__any_step__never_promises_more_than_the_pool_would_show(
    chain: FakeMarket, pick: int, units: int, paying: bool
) -> None:
    venue = chain.venue()
    snapshot = snapshot_of(chain, venue, ALICE)
    before = snapshot.positions[0]
    side = before.debt if paying else before.collateral
    token = side[pick % len(side)].amount.token
    step: Step = (Repay if paying else Supply)(amount=Amount(token=token, units=units))
    promised = venue.after([step], before)
    filled = venue.fill(
        [step],
        snapshot.block,
        snapshot,
        Shadow(
            id=before.id,
            collateral={h.amount.token.address: h.stored for h in before.collateral},
            debt={h.amount.token.address: h.stored for h in before.debt},
        ),
    )
    real = snapshot_of(chain, venue, ALICE, shadows={filled.id: filled}).positions[0]
    assert promised.health_wad is not None
    assert real.health_wad is not None
    assert before.health_wad is not None
    assert promised.health_wad <= real.health_wad
    assert real.health_wad >= before.health_wad
    assert sum(h.amount.units for h in promised.collateral) <= sum(h.amount.units for h in real.collateral)
    owed = {h.amount.token: h.amount.units for h in promised.debt}
    for h in real.debt:
        assert owed.get(h.amount.token, 0) >= h.amount.units


@given(chains(), st.integers(1, 10**26))
@settings(max_examples=80, deadline=None)
def test_health__more_scaled_collateral__never_falls(chain: FakeMarket, more: int) -> None:
    venue = chain.venue()
    before = snapshot_of(chain, venue, ALICE).positions[0]
    user = chain.users[ALICE]
    chain.users[ALICE] = replace(user, collateral={**user.collateral, 0: user.collateral[0] + more})
    after = snapshot_of(chain, venue, ALICE).positions[0]
    assert before.health_wad is not None
    assert after.health_wad is not None
    assert after.health_wad >= before.health_wad


@given(LINES, st.integers(0, 10**30), INDEX, st.integers(1, 10**30))
def test_balances__in_and_out__never_pay_more_than_was_put_in(
    line: Line, scaled: int, index: int, units: int
) -> None:
    slack = 0 if line is LINE_3_5 else index // RAY + 1
    minted = line.collateral(scaled + line.mint_collateral(units, index), index)
    assert minted <= line.collateral(scaled, index) + units + 1 + slack
    owed = line.debt(scaled, index)
    paid = min(units, owed)
    left = line.debt(max(0, scaled - line.burn_debt(paid, index)), index)
    assert left >= owed - paid - 1 - slack


@given(LINES, INDEX, RATE, st.integers(0, YEAR_S), st.integers(0, YEAR_S))
def test_indices__longer_time__never_fall_and_debt_outgrows_deposits(
    line: Line, index: int, rate: int, age_s: int, more_s: int
) -> None:
    early, late = line.borrow_index(index, rate, age_s), line.borrow_index(index, rate, age_s + more_s)
    assert index <= early <= late
    assert supply_index(index, rate, age_s) <= line.borrow_index(index, rate, age_s) + ray_mul(2, RAY)
