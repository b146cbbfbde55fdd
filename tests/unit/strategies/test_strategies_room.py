"""How much of a collateral may be sold: the least of grant, holdings, epoch's cap, the venue's cash and the caps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keeper.model import Deleverage, MandateAsset, Means, Proposal, Refusal, Reserve, Side, Token
from strategies.deleverage import Deleverage as Strategy
from strategies.drawn import Need
from strategies.room import sellable
from strategies.selling import Sale
from tests import build
from tests.build import TOKENS, USDC, WBTC, WETH, units
from tests.fakes import LendingDouble
from tests.mandates import asset, borrower, mandate, means, route

pytestmark = pytest.mark.unit
POLICY = build.policy(target="1.40", strategies=("deleverage",), caps=build.limits(action=10**7, day=10**7))
TEN, SIX = units(WETH, "10"), units(WETH, "6")


def reserves(cash: str | None, of: Token = WETH) -> tuple[Reserve, ...]:
    """The market with so much of ``of`` that can leave; None: the reserve was not read."""
    every = tuple(build.reserve(t) for t in TOKENS)
    if cash is None:
        return tuple(r for r in every if r.token != of)
    return tuple(replace(r, cash_units=units(of, cash)) if r.token == of else r for r in every)


def sale(cash: str | None = "1000000", action: int = 10**7, **listed: Any) -> Sale:
    """Ten WETH against dollars, all granted."""
    rows: tuple[MandateAsset, ...] = (asset(WETH, Side.COLLATERAL, **listed), asset(USDC, Side.DEBT))
    found = mandate(assets=rows)
    position = borrower("1.10")
    need = Need(
        position=position,
        policy=replace(POLICY, caps=build.limits(action=action, day=10**7)),
        means=replace(means(found), reserves=reserves(cash)),
        venue=LendingDouble(),
        block=build.block(),
    )
    (held,), (owed,) = position.collateral, position.debt
    return Sale(need=need, mandate=found, route=route(), lender=None, collateral=held, debt=owed)


@pytest.mark.parametrize(
    ("of", "most", "code", "why"),
    [
        (sale(), TEN, "infeasible", "all of WETH would not do"),
        (sale(held=SIX), SIX, "infeasible", "all of WETH would not do"),
        (sale(cash="6"), SIX, "venue_refuses", "no_cash: WETH cannot be paid out"),
        (sale(cash="0"), 0, "venue_refuses", "no_cash: WETH cannot be paid out"),
        (sale(cash=None), 0, "venue_refuses", "no_cash: WETH cannot be paid out"),
        (sale(granted=SIX), SIX, "grant_too_small", "WETH"),
        (sale(sell_cap=SIX), SIX, "cap", "the Executor's cap of this epoch leaves"),
        (sale(action=12_000), SIX, "caps", "the caps leave $12,000"),
        # of two limits the lower
        (sale(cash="6", granted=SIX + 1), SIX, "venue_refuses", "no_cash"),
        (sale(cash="6.1", granted=SIX), SIX, "grant_too_small", "WETH"),
    ],
    ids=["all", "held", "cash", "none", "unread", "grant", "epoch", "caps", "cash first", "grant first"],
)
def test_sellable__when_one_limit_is_lowest__then_so_much_and_its_name(
    of: Sale, most: int, code: str, why: str
) -> None:
    found, binding = sellable(of)
    assert (found, binding.code) == (most, code)
    assert why in binding.why


def two(cash: str) -> Means:
    """WETH and WBTC may be sold; of WETH, whose pool is the cheaper, so much can leave."""
    found = mandate(
        assets=(asset(WETH, Side.COLLATERAL), asset(WBTC, Side.COLLATERAL), asset(USDC, Side.DEBT))
    )
    routes = (route(impact_ppm=1_000), route(sell=WBTC, impact_ppm=9_000))
    return replace(means(found, routes), reserves=reserves(cash))


@pytest.mark.parametrize(("cash", "symbol"), [("1000000", "WETH"), ("0.5", "WBTC"), ("0", "WBTC")])
def test_propose__when_the_cheaper_collateral_cannot_leave__then_the_other_is_sold(
    cash: str, symbol: str
) -> None:
    position = build.position(
        [build.collateral(WETH, "10"), build.collateral(WBTC, "0.3")], [build.debt(USDC, "27000")]
    )
    said = Strategy().propose(
        position, build.outlook(position), POLICY, two(cash), LendingDouble(), build.block()
    )
    assert isinstance(said, Proposal), said
    assert said.steps[0].amount.token.symbol == symbol
    assert "PARTIAL" not in said.why


def test_propose__when_only_a_part_can_leave_below_emergency__then_that_part_and_never_more() -> None:
    position = borrower("1.05")
    wallet = replace(means(), reserves=reserves("2"))
    said = Strategy().propose(
        position, build.outlook(position), POLICY, wallet, LendingDouble(), build.block()
    )
    assert isinstance(said, Proposal), said
    (step,) = said.steps
    assert isinstance(step, Deleverage)
    assert units(WETH, "1.9") < step.sell_max.units <= units(WETH, "2")
    assert "PARTIAL" in said.why
    assert "no_cash: WETH cannot be paid out" in said.why


def test_propose__when_nothing_can_leave__then_the_refusal_names_the_token() -> None:
    position = borrower("1.05")
    wallet = replace(means(), reserves=reserves("0"))
    said = Strategy().propose(
        position, build.outlook(position), POLICY, wallet, LendingDouble(), build.block()
    )
    assert isinstance(said, Refusal)
    assert (said.code, said.why) == ("venue_refuses", "no_cash: WETH cannot be paid out")
