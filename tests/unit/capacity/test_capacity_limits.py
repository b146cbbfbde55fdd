"""Each limit by its name: alone in the way it is the one named, and with it alone relaxed health rises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from keeper.capacity import Reach, Scene, case_of, reach
from keeper.model import Side
from keeper.units import GWEI, WAD
from tests import build
from tests.build import USDC, WETH, amount
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
