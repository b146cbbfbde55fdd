"""What an owner grants on GMX is enough: where the policy wants to act, the Executor's own rule lets it, whatever is
owed and whichever the side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.cli.perp_terms import MAX, TRIGGER, Terms, Wished, looser, near, terms
from keeper.executor import perp_need, perp_rules
from keeper.model import OrderBounds, Perp, Policy, ReducePerp, SideProfit
from keeper.units import WAD
from keeper.venues.gmx_v2 import forms
from keeper.venues.gmx_v2.book import Feed
from tests import build
from tests.build import USDC, WALLET, WETH
from tests.hedge_relief import ACTING, PERP, SLOT
from tests.hedged import INDEX, perp

pytestmark = pytest.mark.property
USD, CENT, YEAR_S = 10**30, 10**10, 31_536_000
BLOCK = build.snapshot([]).block
FEEDS = tuple((t.address, Feed(address=WALLET, multiplier=1, heartbeat_s=86_400)) for t in (INDEX, USDC))
SPREAD_BPS = 10
BOUNDS = OrderBounds(
    executor=WALLET,
    timestamp_s=1,
    expiry_s=2,
    paused=False,
    seq=0,
    ready_s=0,
    slippage_bps=500,
    may_close=False,
    trigger_ppm=0,
    max_ppm=0,
    size_min_usd=0,
    size_left_usd=2**128,
    margin_min=0,
    margin_left=1,
    fee_wei_max=1,
    order="",
    bots=((WALLET, 2),),
    price=None,
    equity_ppm=None,
)


def at(found: Perp, cents: int, owed: int) -> Perp:
    """The position at a price of the index, widened as the venue widens its feeds, owing so many units."""
    mid = cents * CENT
    here = mid * (10_000 - SPREAD_BPS if found.long else 10_000 + SPREAD_BPS) // 10_000
    margin_mid = found.collateral_mid if found.stable else mid
    price = margin_mid * (10_000 - SPREAD_BPS) // 10_000
    worth = found.tokens * here
    won = worth - found.size_usd if found.long else found.size_usd - worth
    taken = found.size_usd * 6 // 10_000 - found.impact_usd
    return replace(
        found,
        index_price=here,
        index_mid=mid,
        collateral_price=price,
        collateral_mid=margin_mid,
        pnl_usd=won,
        won_usd=won,
        owed=owed,
        remaining_usd=(found.margin - owed) * price + won - taken,
    )


def equity_ppm(found: Perp) -> int:
    """``GmxV2Executor._look``."""
    worth, margin = found.tokens * found.index_mid, found.margin * found.collateral_mid
    plus, minus = (margin + worth, found.size_usd) if found.long else (margin + found.size_usd, worth)
    return (plus - minus) * perp_rules.PPM // found.size_usd if plus > minus else 0


def in_need(found: Perp, owed: int, trigger_wad: int) -> Perp | None:
    """At the first price, by cents, at which its health is below the trigger; None where there is none near."""
    good, bad = (200_000, 1) if found.long else (200_000, 600_000)
    if forms.health_down(at(found, bad, owed)) >= trigger_wad:
        return None
    if forms.health_down(at(found, good, owed)) < trigger_wad:
        return at(found, good, owed)
    while abs(good - bad) > 1:
        cents = (good + bad) // 2
        if forms.health_down(at(found, cents, owed)) < trigger_wad:
            bad = cents
        else:
            good = cents
    return at(found, bad, owed)


def allowed(found: Perp, given_terms: Terms) -> bool:
    """Whether the Executor's own rule takes an order now, as far as need goes."""
    bounds = replace(
        BOUNDS,
        trigger_ppm=int(given_terms[TRIGGER]),
        max_ppm=int(given_terms[MAX]),
        price=found.index_mid,
        equity_ppm=equity_ppm(found),
    )
    step = ReducePerp(
        amount=build.amount(INDEX, "0.001"),
        size_usd=found.size_usd // 10,
        worst_price=found.index_mid,
        fee_wei=1,
    )
    needy = replace(found, acting=replace(ACTING, bounds=bounds))
    no = perp_rules.refuses(step, needy, WALLET)
    return no is None or no.code != "not_triggered"


@st.composite
def positions(draw: st.DrawFn) -> tuple[Perp, int]:
    """A position of 20,000 dollars at 2,000, margined in dollars or in ether, and what it owes of its size."""
    long, stable = draw(st.booleans()), draw(st.booleans())
    margin = draw(st.integers(15, 100)) / 100 * 20_000
    found = perp(2_000, eth=10.0, margin_usd=margin, long=long)
    impact = -draw(st.integers(0, 50)) * found.size_usd // 10_000
    rate = draw(st.integers(0, 40)) * USD // 100
    side = SideProfit(won_usd=0, pool_usd=1, factor_adl=0, carry_year=rate)
    worst = min(impact, -draw(st.integers(0, 50)) * found.size_usd // 10_000)
    found = replace(found, impact_usd=impact, impact_least_usd=worst, side=side, stable=stable)
    share = draw(st.integers(0, 8_000)) / 100_000
    if stable:
        return found, int(share * 20_000 * 10**6)
    # in ether no short has enough of it to be indifferent to the price
    ether = replace(
        found, collateral=WETH, margin=int(margin / 2_000 * 10**18), collateral_mid=200_000 * CENT
    )
    return ether, int(share * 10 * 10**18)


def granted(found: Perp, policy: Policy, until_s: int) -> Terms:
    slot = replace(SLOT, collateral=found.collateral, feeds=FEEDS)
    amounts = {"USD": "10000", found.collateral.symbol: "1"}
    return terms(
        Wished(
            policy=policy,
            slot=slot,
            perp=found,
            block=BLOCK,
            until_s=BLOCK.timestamp_s + until_s,
            amounts=amounts,
        )
    )


@settings(deadline=None, max_examples=150)
@given(made=positions(), trigger=st.integers(102, 115), days=st.integers(1, 90))
def test_terms__of_a_position_that_owes__let_the_first_order_pass_until_they_end(
    made: tuple[Perp, int], trigger: int, days: int
) -> None:
    found, owed = made
    trigger_wad = trigger * WAD // 100
    policy = replace(PERP, trigger_wad=trigger_wad, target_wad=trigger_wad + 2 * WAD // 100)
    today = at(found, 200_000, owed)
    given_terms = granted(today, policy, days * 86_400)
    assert found.side is not None
    rate = found.side.carry_year or 0
    accrued = found.size_usd * rate * days // (365 * USD) // today.collateral_price
    for owes in (owed, owed + accrued):
        # impact that may still come is its worst
        worse = replace(found, impact_usd=found.impact_least_usd)
        needy = in_need(worse, owes, trigger_wad)
        if needy is not None and forms.health_down(today) >= trigger_wad:
            assert allowed(needy, given_terms), (equity_ppm(needy), given_terms[TRIGGER])


@settings(deadline=None, max_examples=100)
@given(made=positions(), trigger=st.integers(102, 115))
def test_least_trigger__is_the_executor_s_equity_where_health_is_the_policy_s(
    made: tuple[Perp, int], trigger: int
) -> None:
    found, owed = made
    trigger_wad = trigger * WAD // 100
    needy, today = in_need(found, owed, trigger_wad), at(found, 200_000, owed)
    least = perp_need.least_trigger(today, trigger_wad)
    if needy is None or forms.health_down(today) < trigger_wad:
        return
    assert equity_ppm(needy) < least
    # and not much above it where nothing but the index moves
    if found.stable:
        assert least - equity_ppm(needy) <= 30


def test_near__tomorrow_s_bytes_are_among_today_s() -> None:
    short = replace(at(perp(2_000, eth=10.0), 200_000, 200 * 10**6), side=None)
    first = granted(short, PERP, 30 * 86_400)
    assert near(PERP, first)[0] == first
    later = replace(at(short, 200_000, 260 * 10**6), side=None)
    assert first in near(PERP, granted(later, PERP, 30 * 86_400))
    assert not looser(first, [int(n) for n in first])
    for i in (0, 3, 4, 6, 7, 8, 10, 12):
        old = [int(n) for n in first]
        old[i] -= 1
        assert looser(first, old), i
    for i in (1, 2, 9, 11):
        old = [int(n) for n in first]
        old[i] += 1
        assert looser(first, old), i
    assert looser(first, [0] * 13)
    assert looser(first, [])
