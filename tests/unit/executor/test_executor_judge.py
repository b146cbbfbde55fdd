"""Each reason for which an Executor would take nothing, or not this: by its name, before anything is signed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keeper.executor import judge, rules
from keeper.executor.rules import Deal, Moment
from keeper.model import Mandate, Side, Source, Spent
from keeper.units import UINT256_MAX, WAD
from tests.build import DAI, USDC, WETH
from tests.mandates import NOW_S, ROUTER, asset, mandate, order, sale, terms

pytestmark = pytest.mark.unit
BEFORE, AFTER = 110 * WAD // 100, 145 * WAD // 100
DEAL = Deal(
    owed=15_000 * 10**6, price_collateral=2_000 * 10**8, price_debt=10**8, swap_there=True, lender_there=True,
    fee=0, bought=9_500 * 10**6, sold=4_780 * WAD // 1000, health_after_wad=AFTER,
)  # fmt: skip
WORST = replace(DEAL, sold=5 * WAD, price_collateral=1_900 * 10**8)
"""All that may be sold is, at the oracle's price."""


def one(side: Side, **changes: Any) -> Mandate:
    """The mandate with one asset changed."""
    assets = mandate().assets
    return mandate(assets=tuple(replace(a, **changes) if a.side is side else a for a in assets))


@pytest.mark.parametrize(
    "found, code",
    [
        (mandate(paused=True), "paused"),
        (mandate(bot_share_bps=0), "grant_expired"),
        (mandate(bot_expiry_s=NOW_S - 1), "grant_expired"),
        (mandate(terms=terms(expiry_s=NOW_S - 1)), "grant_expired"),
        (mandate(terms=terms(trigger_wad=0)), "unknown_position"),
        (mandate(terms=terms(trigger_wad=BEFORE)), "not_triggered"),
        (mandate(terms=terms(last_block=96)), "cooldown"),
    ],
)
def test_ready__when_the_executor_takes_nothing__then_its_reason(found: Mandate, code: str) -> None:
    refused = judge.ready(found, BEFORE)
    assert refused is not None
    assert refused.code == code


def test_ready__when_below_emergency__then_one_block_is_cooldown_enough() -> None:
    found = mandate(terms=terms(last_block=99))
    assert judge.ready(found, 108 * WAD // 100 - 1) is None
    refused = judge.ready(found, 108 * WAD // 100)
    assert refused is not None
    assert refused.code == "cooldown"


@pytest.mark.parametrize(
    "found, code",
    [
        (one(Side.COLLATERAL, granted=0), "no_grant"),
        (one(Side.COLLATERAL, granted=5 * WAD - 1), "grant_too_small"),
        (one(Side.COLLATERAL, sell_cap=5 * WAD - 1), "cap"),
        (one(Side.COLLATERAL, sell_cap=6 * WAD, spent=Spent(sold=2 * WAD, epoch=NOW_S // 86_400)), "cap"),
        (one(Side.COLLATERAL, receipt="0x" + "00" * 20), "unknown_asset"),
        (one(Side.DEBT, receipt="0x" + "00" * 20), "unknown_asset"),
        (replace(one(Side.COLLATERAL, sell_cap=8 * WAD), bot_share_bps=5_000), "cap"),
        (mandate(executor=ROUTER), "unknown_position"),
        (mandate(key="0x" + "01" * 32), "unknown_position"),
        (mandate(terms=terms(seq=4)), "wrong_seq"),
        (mandate(terms=terms(target_wad=AFTER + 1)), "target_missed"),
        (mandate(terms=terms(max_wad=AFTER - 1)), "above_max"),
    ],
)
def test_refuses__when_the_executor_would__then_for_its_reason(found: Mandate, code: str) -> None:
    refused = judge.refuses(found, sale(), BEFORE, WORST)
    assert refused is not None
    assert refused.code == code


def test_refuses__when_all_is_allowed__then_nothing() -> None:
    assert judge.refuses(mandate(), sale(), BEFORE, WORST) is None
    spent_before = one(
        Side.COLLATERAL, sell_cap=5 * WAD, spent=Spent(sold=2 * WAD, epoch=NOW_S // 86_400 - 1)
    )
    assert judge.refuses(spent_before, sale(), BEFORE, WORST) is None


def test_refuses__when_the_router_is_not_allowed__then_by_that_name() -> None:
    step = sale(source=Source.AAVE_V3, router=ROUTER, fees=(500, 500), via=(DAI.address,))
    refused = judge.refuses(mandate(), step, BEFORE, replace(WORST, bought=10**12))
    assert refused is not None
    assert refused.code == "router_not_allowed"
    assert judge.refuses(mandate(routers=(ROUTER,)), step, BEFORE, replace(WORST, bought=10**12)) is None


AT = Moment(block_number=100, timestamp_s=NOW_S, health_wad=BEFORE)


@pytest.mark.parametrize(
    "asked, deal, name",
    [
        ({}, {}, None),
        ({"deadline_s": NOW_S - 1}, {}, "DeadlinePassed"),
        ({"collateral": DAI.address}, {}, "AssetUnknown"),
        ({"debt": WETH.address}, {}, "AssetUnknown"),
        ({"sell_max": 0}, {}, "BadAmount"),
        ({"sell_max": 2**112}, {}, "BadAmount"),
        ({"repay": 0}, {}, "BadAmount"),
        ({"data": (b"",)}, {}, "BadAmount"),
        ({"router": ROUTER}, {}, "RouterUnknown"),
        ({"source": 0}, {}, "RouterUnknown"),
        ({}, {"price_debt": 0}, "NoPrice"),
        ({}, {"swap_there": False}, "SourceUnavailable"),
        ({"source": 3}, {"lender_there": False}, "SourceUnavailable"),
        ({"source": 3}, {"fee": 9_500_001, "bought": 9_509_500_001}, "FlashFeeTooHigh"),
        ({"source": 3}, {"fee": 9_500_000, "bought": 9_509_500_000}, None),
        ({}, {"bought": 1}, "SwapShort"),
        ({}, {"sold": 5 * WAD + 1}, "SellLimit"),
        ({}, {"sold": 4_798 * WAD // 1000}, "SlippageExceeded"),
        ({}, {"owed": 9_500 * 10**6 - 1}, "TransferShort"),
        ({"repay": 2**256 - 1}, {"owed": 9_500 * 10**6}, None),
        ({}, {"health_after_wad": BEFORE}, "NotImproved"),
        ({}, {"health_after_wad": 140 * WAD // 100 - 1}, "TargetMissed"),
        ({}, {"health_after_wad": 160 * WAD // 100 + 1}, "MaxHealthExceeded"),
        ({}, {"health_after_wad": UINT256_MAX}, None),
    ],
)
def test_verdict__when_one_thing_is_wrong__then_that_error(
    asked: dict[str, Any], deal: dict[str, Any], name: str | None
) -> None:
    fault = rules.verdict(mandate(), order(**asked), AT, replace(DEAL, **deal))
    assert (fault.name if fault else None) == name


def test_settles__when_below_emergency__then_a_thousandth_is_enough_and_less_is_not() -> None:
    before = 107 * WAD // 100
    least = before + before // 1000
    assert rules.settles(terms(), before, least, selling=True) is None
    assert rules.settles(terms(), before, least - 1, selling=True) is not None


def test_settles__when_paid_in_above_emergency__then_the_hysteresis_is_enough() -> None:
    after = BEFORE + 2 * WAD // 100
    assert rules.settles(terms(), BEFORE, after, selling=False) is None
    assert rules.settles(terms(), BEFORE, after, selling=True) is not None
    assert rules.settles(terms(), BEFORE, after - 1, selling=False) is not None


def test_sell_room__when_a_share_binds__then_the_lesser_of_both() -> None:
    found = replace(
        one(Side.COLLATERAL, sell_cap=10, bot_spent=Spent(sold=3, epoch=NOW_S // 86_400)), bot_share_bps=5_000
    )
    listed = found.asset(WETH, Side.COLLATERAL)
    assert listed is not None
    assert rules.sell_room(found, listed, NOW_S) == 2
    assert rules.sell_room(found, asset(USDC, Side.COLLATERAL, sell_cap=1), NOW_S) == 0
