"""What the guard asks the Executor's rules with: the worst that a step promises, loan and pool as they were read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keeper.executor import foresight, judge
from keeper.executor.foresight import Ahead
from keeper.model import Amount, Deleverage, Errand, Mandate, Means, Refusal, Side, Source, Supply
from keeper.units import WAD
from tests.build import DAI, USDC, WETH
from tests.mandates import EXECUTOR, KEY, NOW_S, ROUTER, asset, borrower, lender, mandate, means, sale

pytestmark = pytest.mark.unit
AFTER = 145 * WAD // 100
GOOD = sale(sell_max=replace(sale().sell_max, units=4_790 * WAD // 1000))
VIA = {
    "source": Source.AAVE_V3,
    "router": ROUTER,
    "fees": (500, 500),
    "via": (DAI.address,),
    "fee_units": 4_750_000,
}


def code(
    step: Deleverage, found: Mandate | None = None, wallet: Means | None = None, **more: Any
) -> str | None:
    """The Executor's word on a step, as the guard asks for it."""
    owner = found or mandate()
    position = borrower()
    given = {"position": position, "means": wallet or means(owner), "after_wad": AFTER, "refused": None}
    ahead = Ahead(**{**given, **more})
    said = judge.refuses(owner, step, position.health_wad or 0, foresight.deal(owner, step, ahead))
    return said.code if said is not None else None


def paid_in(**more: Any) -> str | None:
    """The Executor's word on a supply out of its reserve."""
    owner = mandate(
        assets=(asset(WETH, Side.COLLATERAL, funds=WAD, fund_cap=10 * WAD), asset(USDC, Side.DEBT))
    )
    position = borrower()
    errand = Errand(executor=EXECUTOR, key=KEY, seq=owner.terms.seq, deadline_s=NOW_S + 180)
    step = Supply(amount=Amount(token=WETH, units=WAD), through=errand)
    given = {"position": position, "means": means(owner), "after_wad": AFTER, "refused": None}
    purse = foresight.purse(owner, step, Ahead(**{**given, **more}))
    said = judge.refuses_pay_in(owner, step, position.health_wad or 0, purse)
    return said.code if said is not None else None


def test_deal__when_the_sale_is_as_quoted__then_the_executor_takes_it() -> None:
    assert code(GOOD) is None
    routed = replace(GOOD, **VIA)
    assert code(routed, mandate(routers=(ROUTER,)), means(lenders=[lender()])) is None


def test_deal__when_the_most_that_may_be_sold_is_dearer_than_the_owner_allows__then_slippage() -> None:
    assert code(sale()) == "slippage"


def test_deal__when_no_pool_or_no_lender_was_read__then_no_source() -> None:
    assert code(GOOD, wallet=means(routes=[])) == "no_source"
    routed, owner = replace(GOOD, **VIA), mandate(routers=(ROUTER,))
    assert code(routed, owner, means(owner)) == "no_source"
    assert code(routed, owner, means(owner, lenders=[lender(cash="9499")])) == "no_source"
    flash = replace(routed, source=Source.UNISWAP_V3_FLASH, source_token=WETH.address, source_fee=500)
    pool = lender(Source.UNISWAP_V3_FLASH, other_token=WETH.address, pool_fee=3_000)
    assert code(flash, owner, means(owner, lenders=[pool])) == "no_source"
    assert code(replace(flash, source_fee=3_000), owner, means(owner, lenders=[pool])) is None


def test_deal__when_the_loan_is_dearer_than_the_owner_allows__then_flash_fee() -> None:
    owner = mandate(routers=(ROUTER,))
    assert code(replace(GOOD, **VIA), owner, means(owner, lenders=[lender(fee_ppm=1_001)])) == "flash_fee"


def test_deal__when_the_protocol_keeps_the_collateral__then_its_word_comes_before_the_cap() -> None:
    small = (asset(WETH, Side.COLLATERAL, sell_cap=1), asset(USDC, Side.DEBT))
    no = Refusal(who="venue", code="no_cash", why="nothing there")
    assert code(GOOD, mandate(assets=small), refused=no) == "venue_refuses"
    assert code(GOOD, mandate(assets=small)) == "cap"
    short = (asset(WETH, Side.COLLATERAL, held=4 * WAD), asset(USDC, Side.DEBT))
    assert code(GOOD, mandate(assets=short)) == "no_collateral"


def test_deal__when_all_is_sold__then_only_what_the_price_bound_asks_is_promised() -> None:
    # five ETH at the oracle's price bring more than the repayment: the rest is the owner's
    every = replace(sale(), **VIA, sell_all=True)
    owner = mandate(routers=(ROUTER,))
    assert code(every, owner, means(owner, lenders=[lender()])) is None


def test_deal__when_it_goes_step_by_step__then_grant_and_limit_hold_for_the_sum() -> None:
    owner = mandate(routers=(ROUTER,))
    steps = replace(GOOD, source=Source.STEPWISE, router=ROUTER, sells=(3 * WAD, 1_790 * WAD // 1000))
    assert code(steps, owner) is None
    assert code(replace(steps, sells=(3 * WAD, 1_791 * WAD // 1000)), owner) == "sell_limit"
    granted = (asset(WETH, Side.COLLATERAL, granted=4 * WAD), asset(USDC, Side.DEBT))
    assert code(steps, mandate(routers=(ROUTER,), assets=granted)) == "grant_too_small"


def test_purse__when_the_protocol_takes_no_payment__then_its_word_is_the_executors() -> None:
    no = Refusal(who="venue", code="frozen", why="no supply is taken")
    assert paid_in(refused=no) == "venue_refuses"
    assert paid_in() is None
