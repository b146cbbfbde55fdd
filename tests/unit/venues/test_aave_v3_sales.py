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
