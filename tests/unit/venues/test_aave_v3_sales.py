"""A sale on an Aave market: when the pool lets it out, what it costs in gas, and where the call goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keeper.executor import abi
from keeper.model import Amount, Deleverage, Means, Position, Source, Token
from keeper.units import WAD
from keeper.venues.aave_v3 import AaveV3
from tests.aave_market import ALICE, FakeUser, market
from tests.aave_snapshot import snapshot_of
from tests.mandates import EXECUTOR, sale

pytestmark = pytest.mark.unit


def world() -> tuple[AaveV3, Means, Position]:
    """WETH against USDC."""
    chain = market()
    chain.users[ALICE] = FakeUser(collateral={0: 10 * WAD}, debt={1: 9_000 * 10**6})
    venue = chain.venue()
    snapshot = snapshot_of(chain, venue, ALICE)
    return venue, snapshot.means, snapshot.positions[0]


def step(venue: AaveV3, **changes: Any) -> Deleverage:
    """One WETH for 2,500 USDC."""
    tokens = {t.symbol: t for t in venue.tokens}
    plain = {
        "sell_max": Amount(token=tokens["WETH"], units=WAD),
        "sold": WAD,
        "repay": Amount(token=tokens["USDC"], units=2_500 * 10**6),
    }
    return sale(**{**plain, **changes})


def shut(means: Means, token: Token, **changes: Any) -> Means:
    """One reserve as something else."""
    return replace(
        means, reserves=tuple(replace(r, **changes) if r.token == token else r for r in means.reserves)
    )


@pytest.mark.parametrize(
    "side, changes, code",
    [
        ("sell_max", {}, None),
        ("sell_max", {"frozen": True}, None),
        ("repay", {"frozen": True}, None),
        ("sell_max", {"paused": True}, "reserve_paused"),
        ("repay", {"paused": True}, "reserve_paused"),
        ("sell_max", {"active": False}, "reserve_inactive"),
        ("sell_max", {"cash_units": WAD - 1}, "no_cash"),
        ("repay", {"cash_units": 0}, None),
    ],
)
def test_can__when_a_reserve_is_shut__then_the_sale_is_refused_for_it(
    side: str, changes: dict[str, Any], code: str | None
) -> None:
    venue, means, position = world()
    wanted = step(venue)
    refused = venue.can(wanted, position, shut(means, getattr(wanted, side).token, **changes))
    assert (refused.code if refused else None) == code


def test_can__when_the_position_has_no_such_side__then_nothing_to_move() -> None:
    venue, means, position = world()
    refused = venue.can(step(venue), replace(position, debt=()), means)
    assert refused is not None
    assert refused.code == "no_amount"


def test_gas__by_source__then_a_loan_costs_more_than_the_pool_and_each_step_more() -> None:
    venue, _, _ = world()
    pool = venue.gas(step(venue))
    loan = venue.gas(step(venue, source=Source.AAVE_V3))
    two, three = (venue.gas(step(venue, source=Source.STEPWISE, sells=(1,) * n)) for n in (2, 3))
    assert pool < loan < two < three


def test_encode__a_sale__goes_to_the_executor() -> None:
    venue, _, position = world()
    call = venue.encode(step(venue), position)
    assert (call.target, call.data[:4]) == (EXECUTOR, abi.DELEVERAGE)


def two(**changes: Any) -> tuple[AaveV3, Means, Position]:
    """WETH and WBTC against USDC; of WBTC what is given changed."""
    chain = market()
    chain.reserves[2] = replace(chain.reserves[2], **changes)
    chain.users[ALICE] = FakeUser(collateral={0: 10 * WAD, 2: 10**8}, debt={1: 9_000 * 10**6})
    venue = chain.venue()
    snapshot = snapshot_of(chain, venue, ALICE)
    return venue, snapshot.means, snapshot.positions[0]


@pytest.mark.parametrize(
    "ltv, sell, changes, code",
    [
        (7_300, "WETH", {}, None),
        (0, "WETH", {}, "ltv_zero_first"),
        (0, "WBTC", {}, None),
        # a loan pays the whole debt before anything leaves, and the pool asks nothing of who owes nothing
        (0, "WETH", {"whole": True}, None),
        (0, "WETH", {"whole": True, "source": Source.STEPWISE, "sells": (WAD,)}, "ltv_zero_first"),
    ],
)
def test_can__when_collateral_lends_nothing__then_only_such_leaves(
    ltv: int, sell: str, changes: dict[str, Any], code: str | None
) -> None:
    venue, means, position = two(ltv=ltv)
    tokens = {t.symbol: t for t in venue.tokens}
    sold = Amount(token=tokens[sell], units=10**7)
    refused = venue.can(step(venue, sell_max=sold, sold=10**7, **changes), position, means)
    assert (refused.code if refused else None) == code
    if refused is not None:
        assert "WBTC has LTV 0" in refused.why


def test_can__when_what_lends_nothing_does_not_count__then_it_stands_in_nobodys_way() -> None:
    chain = market()
    chain.reserves[2] = replace(chain.reserves[2], ltv=0)
    held = {0: 10 * WAD, 2: 10**8}
    for off, code in ((frozenset({2}), None), (frozenset[int](), "ltv_zero_first")):
        chain.users[ALICE] = FakeUser(collateral=held, debt={1: 9_000 * 10**6}, off=off)
        venue = chain.venue()
        snapshot = snapshot_of(chain, venue, ALICE)
        refused = venue.can(step(venue), snapshot.positions[0], snapshot.means)
        assert (refused.code if refused else None) == code


def test_can__when_another_debt_stays__then_the_whole_of_one_is_not_enough() -> None:
    venue, means, position = two(ltv=0)
    other = replace(position.debt[0], amount=Amount(token=venue.tokens[0], units=1))
    refused = venue.can(step(venue, whole=True), replace(position, debt=(*position.debt, other)), means)
    assert refused is not None
    assert refused.code == "ltv_zero_first"
