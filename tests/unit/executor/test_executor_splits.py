"""A split is offered beside the single ways, where the owner allows the router."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import encode

from keeper.executor import quotes
from keeper.executor.desk import Desk
from keeper.executor.quotes import Way
from keeper.model import Deleverage, Proposal, Side, Source
from keeper.words import Words
from strategies.deleverage import Deleverage as Strategy
from tests import build
from tests.build import USDC, WETH
from tests.fakes import LendingDouble
from tests.mandates import EXECUTOR, ROUTER, asset, borrower, lender, mandate

pytestmark = pytest.mark.unit
WAYS = tuple(
    Way(
        executor=EXECUTOR,
        sell=WETH,
        buy=USDC,
        fees=(fee,),
        via=(),
        pools=(f"0x{fee:040x}",),
        router="",
    )
    for fee in (500, 3_000)
)


def quoted(top_units: int, loss_ppm: int) -> list[list[int]]:
    """What each size costs, dearer by the square of it."""
    told = []
    for i, units in enumerate(quotes.sizes(top_units), 1):
        fair = units * 10**12 // 2_000
        told.append([fair + fair * (500 + loss_ppm * i) // 10**6])
    return told


def seen(allowed: bool):  # type: ignore[no-untyped-def]
    """Routes and a loan as the desk makes them from the Quoter's answers."""
    found = mandate(
        routers=(ROUTER,) if allowed else (), assets=(asset(WETH, Side.COLLATERAL), asset(USDC, Side.DEBT))
    )
    snapshot = build.snapshot([borrower("1.10")], wallet=replace(build.means(), mandates=(found,)))
    desk = Desk((), ways=WAYS, quoter="0x" + "88" * 20, router=ROUTER)
    most = 15_392_000_000
    rows = [(True, b"".join(v.to_bytes(32) for v in a)) for a in (*quoted(most, 900), *quoted(most, 1_100))]
    means = desk.answered(snapshot, Words([encode(["(bool,bytes)[]"], [rows])], [len(rows)]))
    return snapshot, replace(means, lenders=(lender(Source.MORPHO_BLUE, fee_ppm=0),))


def test_answered__when_the_router_is_allowed__then_the_split_is_the_cheapest_sale() -> None:
    snapshot, means = seen(True)
    assert [bool(r.legs) for r in means.routes] == [False, False, True]
    position, policy = snapshot.positions[0], build.policy(
        target="1.40", strategies=("deleverage",), caps=build.limits(action=10**7, day=10**7)
    )  # fmt: skip
    said = Strategy().propose(
        position, build.outlook(position), policy, means, LendingDouble(gas_limit=900_000), build.block()
    )
    assert isinstance(said, Proposal), said
    (step,) = said.steps
    assert isinstance(step, Deleverage)
    assert (step.source, step.router, len(step.shares)) == (Source.MORPHO_BLUE, ROUTER, 2)
    assert sum(s.bought for s in step.shares) == step.repay.units + step.fee_units


def test_answered__when_the_router_is_not_allowed__then_no_split() -> None:
    assert [bool(r.legs) for r in seen(False)[1].routes] == [False, False]
