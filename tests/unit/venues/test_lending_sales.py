"""A sale on Morpho Blue and on Compound v3: what the protocol would refuse, what is left after it, where it goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeper.executor import abi
from keeper.model import (
    AddMargin,
    Amount,
    Deleverage,
    Errand,
    Holding,
    Means,
    Position,
    Repay,
    Reserve,
    Side,
    Snapshot,
    Source,
    Supply,
    Token,
)
from keeper.seams import Shadow
from keeper.units import RAY, UINT256_MAX, WAD
from keeper.venues.compound_v3 import CompoundV3
from keeper.venues.compound_v3.read import book_row, health_down
from keeper.venues.morpho_blue import MorphoBlue
from tests import build
from tests.build import DAI, USDC, WETH
from tests.mandates import EXECUTOR, KEY, sale
from tests.unit.executor.test_executor_seats import comet, morpho

pytestmark = pytest.mark.unit
LCF, BCF = 90 * WAD // 100, 83 * WAD // 100


def held(token: Token, units: int, threshold_wad: int, price: int) -> Holding:
    """So many units at a price in eight decimals."""
    return Holding(
        amount=Amount(token=token, units=units),
        stored=units,
        price_base=price,
        value_base=units * price // 10**token.decimals,
        threshold_wad=threshold_wad,
        feed=token.symbol,
    )


def reserve(venue: str, token: Token, factor_wad: int | None = None) -> Reserve:
    """Open, with all the cash there is."""
    return Reserve(
        venue=venue, token=token, feed=token.symbol, price_base=1, base_decimals=8, active=True, frozen=False,
        paused=False, supply_room_units=None, cash_units=10**30, supply_rate_ray=0, borrow_rate_ray=0,
        borrow_index_ray=RAY, borrow_factor_wad=factor_wad, updated_s=build.block().timestamp_s,
    )  # fmt: skip


def world(
    venue: CompoundV3 | MorphoBlue, owed: int, factor_wad: int, usd: int = 2_000
) -> tuple[Position, Means]:
    """Ten WETH against so many dollars."""
    given, taken = held(WETH, 10 * WAD, factor_wad, usd * 10**8), held(USDC, owed * 10**6, WAD, 10**8)
    position = replace(
        build.position([given], [taken]),
        id=venue.position_id(build.ALICE),
        health_wad=health_down([given], [taken]),
        row=book_row([given], [taken]),
    )
    reserves = (reserve(venue.id, WETH, BCF), reserve(venue.id, USDC))
    return position, replace(build.means(), reserves=reserves)


def step(**changes: object) -> Deleverage:
    """5 WETH for 9,900 dollars."""
    return replace(sale(sold=49 * WAD // 10, repay=Amount(token=USDC, units=9_900 * 10**6)), **changes)  # type: ignore[arg-type]


def code(venue: CompoundV3 | MorphoBlue, wanted: Deleverage, world: tuple[Position, Means]) -> str:
    refused = venue.can(wanted, *world)
    return refused.code if refused else ""


def test_compound__a_sale_that_leaves_less_than_the_borrow_factor__is_refused_before_it_is_sent() -> None:
    venue = comet()
    there = world(venue, 17_700, LCF)
    # 5 WETH are left against 7,800: 10,000 x 0.83 covers it
    assert code(venue, step(), there) == ""
    small = step(sell_max=Amount(token=WETH, units=WAD), repay=Amount(token=USDC, units=1_980 * 10**6))
    # 18,000 x 0.90 = 16,200 is more than 15,720: health above 1; by 0.83 it is 14,940
    assert (venue.after((small,), there[0]).health_wad or 0) > WAD
    assert code(venue, small, there) == "borrow_factor"
    # a loan repays before anything leaves; in steps the first piece leaves before anything is repaid
    pieces = step(source=Source.STEPWISE, sells=(WAD,) * 5, router=build.POOL)
    assert code(venue, pieces, there) == "borrow_factor"
    assert code(venue, pieces, world(venue, 14_000, LCF)) == ""
    assert code(venue, replace(pieces, sells=(WAD, 4 * WAD)), world(venue, 14_000, LCF)) == "borrow_factor"
    whole = step(
        repay=Amount(token=USDC, units=17_800 * 10**6), whole=True, sell_max=Amount(token=WETH, units=9 * WAD)
    )
    assert code(venue, whole, there) == ""


def test_morpho__sales_of_what_is_not_there__are_refused_by_name() -> None:
    venue = morpho()
    there = world(venue, 15_000, 86 * WAD // 100)
    assert code(venue, step(), there) == ""
    assert code(venue, step(sell_max=Amount(token=WETH, units=11 * WAD)), there) == "no_collateral"
    assert code(venue, step(sell_max=Amount(token=DAI, units=WAD)), there) == "reserve_unread"
    assert code(venue, step(sell_max=Amount(token=USDC, units=WAD)), there) == "no_amount"
    assert code(venue, step(sell_max=Amount(token=WETH, units=0)), there) == "no_amount"
    assert code(venue, step(), (replace(there[0], debt=()), there[1])) == "no_debt"


def test_morpho__after_a_sale__promises_no_more_than_the_integers_give() -> None:
    venue = morpho()
    position, _ = world(venue, 15_000, 86 * WAD // 100)
    after = venue.after((step(),), position)
    owed, left = after.debt[0].amount.units, after.collateral[0].amount.units
    assert (owed, left) == (15_000 * 10**6 - 9_900 * 10**6 + 1, 5 * WAD)
    exact = 5 * 2_000 * 86 * WAD // 100 * 10**6 // owed
    assert exact - 10**10 < (after.health_wad or 0) <= exact
    assert after.row.a[0] == pytest.approx(position.row.a[0] / 2)
    whole = venue.after((step(repay=Amount(token=USDC, units=15_001 * 10**6), whole=True),), position)
    assert (whole.debt, whole.health_wad) == ((), UINT256_MAX)
    assert whole.collateral[0].amount.units == 5 * WAD


def test_morpho__a_dry_fill_of_a_sale__takes_what_was_quoted_and_closes_all_shares() -> None:
    venue = morpho()
    position, means = world(venue, 15_000, 86 * WAD // 100)
    shot = Snapshot(
        block=build.block(), positions=(position,), unreadable=(), means=means, prices={}, digest=""
    )
    shadow = Shadow(id=position.id, collateral={}, debt={})
    filled = venue.fill((step(),), build.block(), shot, shadow)
    assert filled.collateral[WETH.address] == 10 * WAD - 49 * WAD // 10
    assert filled.debt[USDC.address] == (15_000 - 9_900) * 10**6
    closed = venue.fill((step(repay=Amount(token=USDC, units=15_000 * 10**6)),), build.block(), shot, shadow)
    assert closed.debt[USDC.address] == 0


@pytest.mark.parametrize("venue", [comet(), morpho()], ids=["compound_v3", "morpho_blue"])
def test_encode__what_an_executor_does__goes_to_it_and_costs_more_gas(venue: CompoundV3 | MorphoBlue) -> None:
    position, _ = world(venue, 15_000, LCF)
    call = venue.encode(step(), position)
    assert (call.target, call.data[:4]) == (EXECUTOR, abi.DELEVERAGE)
    errand = Errand(executor=EXECUTOR, key=KEY, seq=3, deadline_s=1)
    for plain, selector in (
        (Supply(amount=Amount(token=WETH, units=WAD)), abi.ADD_COLLATERAL),
        (Repay(amount=Amount(token=USDC, units=10**6)), abi.REPAY_FROM_RESERVE),
    ):
        paid = replace(plain, through=errand)
        call = venue.encode(paid, position)
        assert (call.target, call.data[:4]) == (EXECUTOR, selector)
        assert venue.gas(paid) > venue.gas(plain)
        wanted = abi.pay_in_of(paid)
        assert wanted is not None
        assert wanted.side is (Side.COLLATERAL if isinstance(plain, Supply) else Side.DEBT)
    assert venue.gas(step(source=Source.MORPHO_BLUE)) > venue.gas(step())


@pytest.mark.parametrize("venue", [comet(), morpho()], ids=["compound_v3", "morpho_blue"])
def test_lending__a_step_of_a_perpetual_position__is_refused_by_name(venue: CompoundV3 | MorphoBlue) -> None:
    position, means = world(venue, 15_000, LCF)
    margin = AddMargin(amount=Amount(token=USDC, units=1), fee_wei=1)
    refused = venue.can(margin, position, means)
    assert refused is not None
    assert refused.code == "no_such_step"
    with pytest.raises(ValueError, match="AddMargin"):
        venue.encode(margin, position)
