"""A sale projected on an Aave market is never healthier than the pool would show it."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keeper.model import Amount, Deleverage, Source
from keeper.seams import Shadow
from tests.aave_market import ALICE, FakeMarket
from tests.aave_snapshot import snapshot_of
from tests.mandates import EXECUTOR, KEY
from tests.property.test_aave_v3_projection import chains

pytestmark = pytest.mark.property


@given(chains(), st.integers(0, 2), st.integers(1, 10**27), st.integers(1, 10**27))
@settings(max_examples=150, deadline=None)
def test_after__a_sale__never_promises_more_than_the_pool_would_show(
    chain: FakeMarket, pick: int, sold: int, paid: int
) -> None:
    venue = chain.venue()
    snapshot = snapshot_of(chain, venue, ALICE)
    before = snapshot.positions[0]
    out, owed = before.collateral[pick % len(before.collateral)], before.debt[pick % len(before.debt)]
    assume(sold <= out.amount.units)
    step = Deleverage(
        executor=EXECUTOR,
        key=KEY,
        seq=0,
        deadline_s=1,
        sell_max=Amount(token=out.amount.token, units=sold),
        sold=sold,
        repay=Amount(token=owed.amount.token, units=paid),
        source=Source.UNISWAP_V3_SWAP,
        fees=(500,),
    )
    promised = venue.after([step], before)
    shadow = Shadow(
        id=before.id,
        collateral={h.amount.token.address: h.stored for h in before.collateral},
        debt={h.amount.token.address: h.stored for h in before.debt},
    )
    filled = venue.fill([step], snapshot.block, snapshot, shadow)
    real = snapshot_of(chain, venue, ALICE, shadows={filled.id: filled}).positions[0]
    assert promised.health_wad is not None
    assert real.health_wad is not None
    assert promised.health_wad <= real.health_wad
    assert sum(h.amount.units for h in promised.collateral) <= sum(h.amount.units for h in real.collateral)
    left = {h.amount.token: h.amount.units for h in promised.debt}
    assert all(left.get(h.amount.token, 0) >= h.amount.units for h in real.debt)
    gone = next((h.amount.units for h in real.collateral if h.amount.token == out.amount.token), 0)
    assert gone <= out.amount.units - sold + 1
