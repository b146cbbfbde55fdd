"""The hedge: off unless asked for, with a key and caps of its own, sized to a share of the collateral."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.model import Amount, Position, Refusal
from keeper.units import UINT256_MAX
from strategies.hedge import Order, Seen, Terms, propose
from strategies.registry import SHIPPED
from tests import build
from tests.build import USDC, WETH, collateral, position
from tests.hedged import dollars, loan, order, perp, short

pytestmark = pytest.mark.unit

KEY, KEEPER = "0x" + "77" * 20, build.WALLET
USD = 10**30
TERMS = Terms(
    on=True,
    key=KEY,
    assets=("WETH",),
    share_pct=50,
    notional_usd_max=50_000,
    action_usd_max=20_000,
    day_usd_max=30_000,
)


def seen(usdc: int = 9_000, **changes: object) -> Seen:
    means = replace(build.means([dollars(usdc)]), wallet=KEY)
    return replace(Seen(keeper=KEEPER, means=means, funding_year_pct=10.0), **changes)  # type: ignore[arg-type]


def made(
    hedge: Position | None, terms: Terms = TERMS, facts: Seen | None = None, price: str = "2000"
) -> Order:
    found = propose(loan(price), hedge, terms, facts or seen())
    assert isinstance(found, Order), found
    return found


def refused(
    hedge: Position | None = None,
    *,
    terms: Terms = TERMS,
    facts: Seen | None = None,
    of: Position | None = None,
) -> str:
    at = short(perp(2000, eth=0.0)) if hedge is None else hedge
    found = propose(of or loan("2000"), at, terms, facts or seen())
    assert isinstance(found, Refusal), found
    return found.code


def test_propose__without_a_short__opens_the_share_with_margin_for_its_leverage() -> None:
    found = made(short(perp(2000, eth=0.0)))
    assert found.opens
    assert found.size_usd == 10_000 * USD
    assert found.margin.units == -(-10_000 * 10**6 // 3)
    # sold: no lower than one per cent below
    assert found.worst_price == 2000 * 10**12 * 99 // 100


def test_propose__when_the_loan_shrank__closes_what_is_too_much_whatever_the_caps() -> None:
    tight = replace(TERMS, action_usd_max=0, day_usd_max=0)
    found = made(short(perp(2000, eth=8.0, entry=2500.0)), tight, seen(usdc=0, funding_year_pct=None))
    assert not found.opens
    # 6,000 of 16,000 dollars, of the size at entry
    assert found.size_usd == 7_500 * USD
    assert found.margin.units == 0
    assert found.worst_price == 2000 * 10**12 * 101 // 100


def test_propose__a_loan_that_is_repaid__needs_no_hedge() -> None:
    free = position([collateral(WETH, "10")], [])
    assert free.health_wad == UINT256_MAX
    found = propose(free, short(perp(2000)), TERMS, seen())
    assert isinstance(found, Order)
    assert not found.opens
    assert found.size_usd == 10_000 * USD


@pytest.mark.parametrize(
    ("changes", "facts", "usd"),
    [
        ({"action_usd_max": 4_000}, seen(), 4_000),
        ({}, seen(opened_today_usd=28_000.0), 2_000),
        ({"notional_usd_max": 3_000}, seen(), 3_000),
        ({}, seen(usdc=1_000), 3_000),
    ],
)
def test_propose__by_the_tightest_limit__opens_no_more(
    changes: dict[str, int], facts: Seen, usd: int
) -> None:
    found = made(short(perp(2000, eth=0.0)), replace(TERMS, **changes), facts)  # type: ignore[arg-type]
    assert found.size_usd == usd * USD
    assert found.margin.units <= facts.means.balance(USDC)


def test_propose__each_reason__is_named() -> None:
    assert refused(terms=replace(TERMS, on=False)) == "not_asked"
    assert refused(terms=replace(TERMS, key=KEEPER)) == "wrong_key"
    assert refused(facts=seen(means=build.means([dollars(9_000)]))) == "wrong_key"
    assert refused(of=replace(loan("2000"), health_wad=None)) == "unknown"
    assert refused(replace(short(perp(2000)), perp=None)) == "unknown"
    assert refused(short(perp(2000, long=True))) == "wrong_side"
    assert refused(short(perp(2000, orders=(order(),)))) == "order_pending"
    assert refused(short(perp(2000, eth=4.6))) == "within_band"
    assert refused(short(perp(2000, eth=0.0, disabled=True))) == "disabled"
    assert refused(facts=seen(funding_year_pct=None)) == "funding"
    assert refused(facts=seen(funding_year_pct=41.0)) == "funding"
    assert refused(facts=seen(usdc=0)) == "caps"


def test_propose__what_cannot_be_read__is_not_hedged() -> None:
    for one, other in ((None, short(perp(2000))), (loan("2000"), None)):
        found = propose(one, other, TERMS, seen())
        assert isinstance(found, Refusal)
        assert found.code == "unknown"


def test_propose__a_stop_that_rests__is_no_order_under_way() -> None:
    assert made(short(perp(2000, eth=3.0, orders=(order(resting=True),)))).opens


def test_registry__of_rescues__has_no_hedge() -> None:
    assert "hedge" not in {s.name for s in SHIPPED}
    assert (
        Terms(key=KEY, assets=(), share_pct=0, notional_usd_max=0, action_usd_max=0, day_usd_max=0).on
        is False
    )
    assert isinstance(made(short(perp(2000, eth=0.0))).margin, Amount)
