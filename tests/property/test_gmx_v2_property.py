"""GMX v2's rule over generated positions: sizes that restore do restore, nothing reads better than its parts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keeper.venues.gmx_v2 import curves, layout, rules
from keeper.venues.gmx_v2.layout import FACTOR, USD

pytestmark = pytest.mark.property

ETH = 2_000 * USD // 10**18
DOLLAR = USD // 10**6


def market(
    price: int = ETH, longs: int = 30_000_000, shorts: int = 20_000_000, **changes: object
) -> layout.Market:
    """ETH/USD backed by ether and dollars; impact exponent 2, kink borrowing, adaptive funding."""
    interest = {
        side: layout.Interest(
            usd=layout.Pair(long=usd * USD * 2 // 3, short=usd * USD // 3),
            tokens=layout.Pair(long=usd * USD * 2 // 3 // ETH, short=usd * USD // 3 // ETH),
        )
        for side, usd in (("long", longs), ("short", shorts))
    }
    rule = layout.Borrowing(
        kink=layout.Kink(optimal=FACTOR * 3 // 4, base=14 * 10**21, above=31 * 10**21),
        factor=0,
        exponent=FACTOR,
        reserve=FACTOR * 9 // 10,
    )
    plain = layout.Market(
        prices=layout.Prices(
            index=layout.Price(min=price, max=price),
            long=layout.Price(min=price, max=price),
            short=layout.Price(min=DOLLAR, max=DOLLAR),
        ),
        long=interest["long"],
        short=interest["short"],
        pool=layout.Sides(long=50_000 * 10**18, short=80_000_000 * 10**6),
        pnl_most=layout.Sides(long=FACTOR * 9 // 10, short=FACTOR * 9 // 10),
        curve=layout.Curve(
            positive=27 * 10**18,
            negative=175 * 10**18,
            exponent_positive=2 * FACTOR,
            exponent_negative=2 * FACTOR,
            most_positive=FACTOR // 250,
            most_negative=FACTOR // 200,
            most_at_liquidation=0,
        ),
        fee=layout.Sides(long=FACTOR * 4 // 10_000, short=FACTOR * 6 // 10_000),
        borrowing=(rule, rule),
        borrowed=layout.Sides(long=0, short=0),
        funded=(layout.Pair(long=0, short=0), layout.Pair(long=0, short=0)),
        funding=layout.Funding(
            factor=2 * 10**22,
            exponent=FACTOR,
            increase=2_642_482_665_313_715_677,
            decrease=165_155_166_582_107_229,
            least=0,
            most=28 * 10**21,
            stable=FACTOR // 25,
            decaying=FACTOR * 3 // 100,
            saved=10**21,
        ),
        borrow_s=3_600,
        fund_s=3_600,
        minimum=FACTOR // 100,
        minimum_at_liquidation=FACTOR // 200,
        minimum_usd=USD,
        in_tokens=False,
        smaller_side_free=True,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


positions = st.builds(
    lambda long, size, leverage: layout.Held(
        long=long,
        long_token=False,
        size=size * USD,
        tokens=size * USD // ETH,
        collateral=size * 10**6 // leverage,
        pending_impact=0,
        borrowed=0,
        funded=0,
    ),
    long=st.booleans(),
    size=st.integers(1_000, 3_000_000),
    leverage=st.integers(2, 90),
)
moves = st.integers(-30, 30)


@settings(deadline=None)
@given(positions, moves, st.integers(11, 40))
def test_margin_needed__when_added__then_the_target_is_reached_and_one_dollar_less_misses(
    held: layout.Held, move: int, target: int
) -> None:
    now = market(ETH * (100 + move) // 100)
    stands = rules.standing(now, held)
    wanted = rules.margin_needed(stands, now.minimum_usd, target * FACTOR // 10)
    after = rules.standing(now, replace(held, collateral=held.collateral + curves.up(wanted, DOLLAR)))
    line = max(stands.need, now.minimum_usd) * target // 10
    assert after.remaining >= line - 1
    if wanted > 2 * USD:
        less = replace(held, collateral=held.collateral + (wanted - 2 * USD) // DOLLAR)
        assert rules.standing(now, less).remaining < line


@settings(deadline=None)
@given(positions, moves)
def test_standing__when_the_price_goes_against_it__then_less_remains(held: layout.Held, move: int) -> None:
    against = -1 if held.long else 1
    here = rules.standing(market(ETH * (100 + move) // 100), held)
    worse = rules.standing(market(ETH * (100 + move + against) // 100), held)
    assert worse.remaining <= here.remaining


@settings(deadline=None)
@given(positions)
def test_standing__when_time_passes__then_what_is_owed_never_shrinks(held: layout.Held) -> None:
    soon, later = market(), market(borrow_s=86_400, fund_s=86_400)
    a, b = rules.standing(soon, held), rules.standing(later, held)
    assert b.borrowing >= a.borrowing
    assert b.funding >= a.funding
    stored = rules.standing(later, held, pending=False)
    assert stored.remaining >= b.remaining


@settings(deadline=None)
@given(positions, moves)
def test_reduction_needed__when_it_is_a_part__then_the_rest_has_what_it_needs(
    held: layout.Held, move: int
) -> None:
    now = market(ETH * (100 + move) // 100)
    stands = rules.standing(now, held)
    target = 2 * FACTOR
    cut = rules.reduction_needed(stands, held, now.minimum_at_liquidation, target)
    assert 0 <= cut <= held.size
    if 0 < cut < held.size:
        rest = held.size - cut
        assert stands.remaining >= curves.applied(curves.applied(rest, now.minimum_at_liquidation), target)
    if stands.remaining >= 2 * stands.need:
        assert cut == 0


@given(st.integers(USD, 10**45), st.sampled_from((FACTOR, 2 * FACTOR)), st.integers(1, 9))
def test_power__when_the_exponent_is_between__then_so_is_the_power(
    usd: int, exponent: int, tenth: int
) -> None:
    assume(usd > 2 * USD)
    low, high = curves.power(usd, exponent), curves.power(usd, exponent + FACTOR)
    assert low <= curves.power(usd, exponent + FACTOR * tenth // 10) <= high
    assert curves.power(USD - 1, exponent) == 0


@pytest.mark.parametrize(("least", "most"), [(0, 5), (5, 4), (-1, 3)])
def test_price__when_missing_or_crossed__then_refused(least: int, most: int) -> None:
    with pytest.raises(ValueError, match="missing or crossed"):
        layout.Price(min=least, max=most)


def test_standing__when_the_position_is_closed__then_refused() -> None:
    closed = layout.Held(
        long=True, long_token=True, size=0, tokens=0, collateral=5, pending_impact=0, borrowed=0, funded=0
    )
    with pytest.raises(ValueError, match="it is closed"):
        rules.standing(market(), closed)
