"""Each limit by its name: alone in the way it is the one named, and with it alone relaxed health rises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from keeper.capacity import Reach, Scene, case_of, reach
from keeper.capacity.reach import WAYS_MAX
from keeper.model import Side
from keeper.units import GWEI, WAD
from tests import build
from tests.build import DAI, USDC, WETH, amount, collateral, debt
from tests.fakes import LendingDouble
from tests.mandates import asset, borrower, mandate, means, route

pytestmark = pytest.mark.unit
GAS = 900_000
SELLS = build.policy(target="1.40", strategies=("deleverage",), caps=build.limits(action=10**6, day=10**6))
PAYS = replace(SELLS, strategies=("repay",))


def scene(**changes: Any) -> Scene:
    """A borrower at 1.05, below emergency, whose collateral may be sold without limit."""
    plain = Scene(
        position=borrower("1.05"),
        policy=SELLS,
        means=means(),
        venue=LendingDouble(gas_limit=GAS),
        storm_wei=1_000 * GWEI,
        gas_wei_max=None,
        spent_today_usd=0.0,
    )
    return replace(plain, **changes)


def listed(**changes: int) -> Scene:
    """The Executor's own bounds on the collateral."""
    assets = (asset(WETH, Side.COLLATERAL, **changes), asset(USDC, Side.DEBT))
    return scene(means=means(mandate(assets=assets)))


def pools(most: str) -> Scene:
    """Pools that have so much of the debt's token within the owner's slippage."""
    return scene(means=means(routes=[route(most=most, impact_ppm=0)]))


def wallet(usdc: str, *, allowed: str = "50000") -> Scene:
    """The keeper's own wallet, which has nothing but what it may repay with."""
    held = build.means([amount(USDC, usdc)], allowances=[amount(USDC, allowed)])
    return scene(policy=PAYS, means=held)


def tank(native: str) -> Scene:
    return scene(means=replace(means(), native_wei=int(float(native) * WAD)))


def day(spent_usd: float) -> Scene:
    return scene(policy=replace(SELLS, caps=build.limits(action=10**4, day=10**4)), spent_today_usd=spent_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A limit, the scene in which it alone stands in the way, and the same scene with more of it."""

    code: str
    tight: Callable[[], Scene]
    wide: Callable[[], Scene]


BOUNDS = (
    Bound(code="gas_tank", tight=lambda: tank("0.5"), wide=lambda: tank("0.9")),
    Bound(code="cap_per_day", tight=lambda: day(9_000.0), wide=lambda: day(7_000.0)),
    Bound(code="depth", tight=lambda: pools("1000"), wide=lambda: pools("4000")),
    Bound(code="epoch_cap", tight=lambda: listed(sell_cap=WAD), wide=lambda: listed(sell_cap=3 * WAD)),
    Bound(code="grant", tight=lambda: listed(granted=WAD), wide=lambda: listed(granted=3 * WAD)),
    Bound(code="wallet", tight=lambda: wallet("1000"), wide=lambda: wallet("4000")),
    Bound(
        code="allowance",
        tight=lambda: wallet("9000", allowed="1000"),
        wide=lambda: wallet("9000", allowed="4000"),
    ),
)


def told(of: Scene) -> Reach:
    return reach(case_of(of))


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda b: b.code)
def test_reach__when_one_limit_is_in_the_way__then_it_is_named_and_more_of_it_lifts_health(
    bound: Bound,
) -> None:
    tight, wide = told(bound.tight()), told(bound.wide())
    assert tight.short
    assert tight.binding == (bound.code,)
    assert tight.why.startswith(f"{bound.code}: ")
    assert wide.reached_wad > tight.reached_wad


def crowded(debts: int) -> Scene:
    """Debts of which the wallet and the Executor's reserve can pay a little each, and collateral that may be sold."""
    tokens = [replace(DAI, address="0x" + f"a{n}" * 20, symbol=f"D{n}") for n in range(debts)]
    position = build.position(
        [collateral(WETH, "10")],
        [replace(debt(DAI, "4000"), amount=replace(debt(DAI, "4000").amount, token=t)) for t in tokens],
    )
    assets = (
        asset(WETH, Side.COLLATERAL),
        *(asset(t, Side.DEBT, funds=10 * WAD, fund_cap=10 * WAD) for t in tokens),
    )
    held = means(mandate(assets=assets), [replace(route(buy=DAI), buy=t) for t in tokens])
    strategies = ("repay", "repay_from_reserve", "deleverage")
    return scene(position=position, policy=replace(SELLS, strategies=strategies), means=held)


def test_reach__when_there_are_more_ways_than_are_looked_at__then_those_left_out_are_named() -> None:
    few, many = told(crowded(2)), told(crowded(4))
    assert len(case_of(crowded(2)).ways) <= WAYS_MAX < len(case_of(crowded(4)).ways)
    assert "not looked at" not in few.why
    assert many.short
    left = many.why.partition("not looked at, more ways than ")[2]
    assert "sell WETH for D3" in left
    assert len(left.split(", ")) == len(case_of(crowded(4)).ways) - WAYS_MAX
