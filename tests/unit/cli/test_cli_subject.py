"""What a risk command is told of a position as read: in how many days holding it alone liquidates it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from keeper.cli.subject import days_of
from keeper.model import SideProfit
from keeper.risk.clocks import position_days
from tests import build, perps
from tests.build import USDC, WETH, collateral, debt

pytestmark = pytest.mark.unit

MEANS = perps.means(perps.slot())
A_TENTH = 10**29


def days(carry_year: int | None, price: int = 2_000) -> float | None:
    """Of 20,000 dollars at an entry of 2,000 with 2,000 of margin, whose side pays so much of size a year."""
    side = SideProfit(won_usd=0, pool_usd=1, factor_adl=1, carry_year=carry_year)
    return days_of(perps.position(replace(perps.perp(price), side=side)), MEANS, {})


def test_days_of__a_perp_whose_side_pays__margin_over_what_must_remain_by_hand() -> None:
    # 2,000 of margin less a fee of 12; 100 (0.5 % of size) must remain; 2,000 a year are paid
    assert days(A_TENTH) == pytest.approx((2_000 - 12 - 100) / 2_000 * 365)
    # the size at entry is charged: a fall takes from the margin, and leaves what is paid as it is
    assert days(A_TENTH, price=1_900) == pytest.approx((1_000 - 12 - 100) / 2_000 * 365)


def test_days_of__a_perp__what_is_free_liquidated_or_unread_has_its_answer() -> None:
    assert days(0) == math.inf
    assert days(A_TENTH, price=1_800) == 0.0, "liquidated already"
    assert days(None) is None, "nobody can tell what holding costs"
    assert days_of(perps.position(perps.perp(2_000)), MEANS, {}) is None


def test_days_of__a_loan__by_the_rates_of_its_market() -> None:
    vault = build.position([collateral(WETH, "10", price="2000", threshold="0.8")], [debt(USDC, "10000")])
    venue = f"{vault.id.venue}:{vault.id.chain_id}:{vault.id.key}"
    rated = (build.reserve(WETH), replace(build.reserve(USDC), borrow_rate_ray=10**26))
    means = replace(build.means(), reserves=tuple(replace(r, venue=venue) for r in rated))
    prices = {h.feed: h.price_base / 1e8 for h in (*vault.collateral, *vault.debt)}
    found = days_of(vault, means, prices)
    assert found == position_days(vault, means, prices)
    assert found is not None
    assert 0.0 < found < math.inf
