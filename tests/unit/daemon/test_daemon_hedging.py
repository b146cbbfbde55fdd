"""What a hedge's key would do is journaled when it changes, and never signed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.config.pairing import HedgeSettings
from keeper.daemon.hedging import KIND
from keeper.model import SideProfit
from tests import hedged
from tests.hedge_relief import SHORT, short
from tests.unit_pairs import LINK, SETTINGS, paired, shown

pytestmark = pytest.mark.unit
HEDGE = HedgeSettings(
    key="0x" + "77" * 20,
    share_pct=100,
    band_pct=10,
    leverage=4,
    notional_usd_max=40_000,
    action_usd_max=3_000,
    day_usd_max=9_000,
    funding_year_max_pct=40,
    slip_bps=100,
)
CALM, DEAR = (SideProfit(won_usd=0, pool_usd=1, factor_adl=1, carry_year=n * 10**28) for n in (12, 90))


@pytest.mark.asyncio
async def test_hedge__as_asked__is_told_once_with_its_bounds_and_planned_by_nobody(tmp_path: Path) -> None:
    link = replace(LINK, settings=replace(SETTINGS, hedge=HEDGE))
    made = paired(tmp_path, link)
    here = replace(hedged.perp(2000, eth=5.0), side=CALM)
    for _ in range(3):
        tick = await made.running.tick(shown(made, "2000", short(2000, here)))
        assert tick.plans == ()
    (row,) = made.journal.entries(KIND)
    assert row.subject == str(SHORT)
    assert "is signed by nobody" in row.why
    assert "no more by the cap of an order" in row.why
    assert (row.data["opens"], row.data["size_usd"]) == (True, str(3_000 * 10**30))
    assert row.data["worst_price"] == str(2000 * 10**12 * 99 // 100)
    await made.running.tick(shown(made, "2000", short(2000, replace(here, side=DEAR))))
    assert [e.data.get("code") for e in made.journal.entries(KIND)] == [None, "funding"]


@pytest.mark.asyncio
async def test_hedge__not_asked_for__says_nothing(tmp_path: Path) -> None:
    made = paired(tmp_path)
    await made.running.tick(shown(made, "2000", short(2000)))
    assert list(made.journal.entries(KIND)) == []
