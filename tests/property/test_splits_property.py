"""A split sale costs at most what the best single pool costs, pays exactly what is asked, and is the least cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import decode
from eth_utils.address import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.executor import abi
from keeper.executor.quotes import sold_up
from keeper.executor.splits import shares, split, splits
from keeper.model import Amount, Route, Source
from keeper.units import mul_div_up
from tests.build import USDC, WETH
from tests.mandates import EXECUTOR, ROUTER, sale

pytestmark = pytest.mark.property
MOST = 80_000 * 10**6


def curve(at: int, depth: int, fee: int, reach: int) -> Route:
    """Constant product, quoted at eight sizes: ``depth`` units of the debt token inside, some of it to be had."""
    points = []
    for i in range(1, 9):
        bought = min(MOST, depth * reach // 100) * i // 8
        sold = mul_div_up(depth * 10**9 // 2, bought, depth - bought)
        points.append((bought, mul_div_up(sold, 1_000_000, 1_000_000 - fee) + 1))
    pool = to_checksum_address(f"0x{at + 1:040x}")
    return Route(
        executor=EXECUTOR, sell=WETH, buy=USDC, fees=(fee,), via=(), pools=(pool,), router="",
        points=tuple(points),
    )  # fmt: skip


@st.composite
def pools(draw: st.DrawFn) -> list[Route]:
    """Two to four pools of any depth and fee."""
    return [
        curve(
            i,
            draw(st.integers(20_000, 4_000_000)) * 10**6,
            draw(st.sampled_from([100, 500, 3_000, 10_000])),
            draw(st.integers(5, 60)),
        )
        for i in range(draw(st.integers(2, 4)))
    ]


@settings(max_examples=200, deadline=None)
@given(pools(), st.integers(1, 1000))
def test_split__whatever_the_pools__never_worse_than_the_best_of_them(ways: list[Route], part: int) -> None:
    found = split(ways, ROUTER)
    if found is None:
        return
    for way in ways:
        most = min(way.points[-1][0], found.points[-1][0])
        for bought in {max(1, most * part // 1000), most}:
            alone, together = sold_up(way, bought), sold_up(found, bought)
            assert alone is not None
            assert together is not None
            assert together <= alone + len(found.legs)  # each chord rounds up once
    bought = max(1, found.points[-1][0] * part // 1000)
    taken = shares(found, bought)
    assert sum(s.bought for s in taken) == bought
    assert all(s.bought > 0 for s in taken)
    # and what each way really asks for its part is within what was told
    by_fee = {(leg.fees, leg.pools): leg for leg in found.legs}
    assert len(by_fee) == len(found.legs)
    total = 0
    for way in ways:
        mine = [leg for leg in found.legs if leg.pools == way.pools]
        if mine:
            (index,) = [i for i, leg in enumerate(found.legs) if leg.pools == way.pools]
            units = _part(found, bought, index)
            total += sold_up(way, units) or 0
    told = sold_up(found, bought)
    assert told is not None
    assert total <= told + 2 * len(found.legs)


def _part(found: Route, bought: int, index: int) -> int:
    """What leg ``index`` pays, by fee where shares leave nothing out."""
    taken = list(shares(found, bought))
    amounts = []
    for leg in found.legs:
        match = next((s for s in taken if (s.fees, s.via) == (leg.fees, leg.via)), None)
        amounts.append(match.bought if match is not None else 0)
        if match is not None:
            taken.remove(match)
    return amounts[index]


@settings(max_examples=60, deadline=None)
@given(pools())
def test_split__against_every_cut_of_a_grid__nothing_is_cheaper(ways: list[Route]) -> None:
    ways = ways[:2]
    found = split(ways, ROUTER)
    if found is None:
        return
    bought = found.points[-1][0]
    cuts = [
        a + b
        for i in range(41)
        if (a := sold_up(ways[0], bought * i // 40)) is not None
        and (b := sold_up(ways[1], bought - bought * i // 40)) is not None
    ]
    told = sold_up(found, bought)
    assert told is not None
    assert all(told <= cut + 4 for cut in cuts)


def test_split__when_two_ways_share_a_pool__then_they_are_not_split_over() -> None:
    one, other = curve(0, 10**12, 500, 50), curve(1, 10**12, 500, 50)
    assert split([one, other], ROUTER) is not None
    assert split([one, replace(other, pools=one.pools)], ROUTER) is None
    assert splits([one, other], (), ROUTER) == []
    assert splits([one, other], (ROUTER,), "") == []
    assert len(splits([one, other], (ROUTER.lower(),), ROUTER)) == 1


def test_router_data__when_split__then_one_multicall_of_exact_outputs_to_the_executor() -> None:
    ways = [curve(0, 2 * 10**11, 500, 50), curve(1, 10**11, 3_000, 50)]
    found = split(ways, ROUTER)
    assert found is not None
    step = sale(
        source=Source.AAVE_V3, router=ROUTER, fees=(), fee_units=7,
        repay=Amount(token=USDC, units=30_000 * 10**6 - 7), shares=shares(found, 30_000 * 10**6),
    )  # fmt: skip
    (data,) = abi.order_of(step).data
    assert data[:4] == abi.ROUTER_MULTICALL
    (parts,) = decode(["bytes[]"], data[4:])
    bodies = [decode([abi.EXACT_OUTPUT], part[4:])[0] for part in parts]
    assert {part[:4] for part in parts} == {abi.ROUTER_EXACT_OUTPUT}
    assert sum(body[3] for body in bodies) == 30_000 * 10**6
    assert {to_checksum_address(body[1]) for body in bodies} == {EXECUTOR}
    fees = {int.from_bytes(body[0][20:23]) for body in bodies}
    assert fees == {500, 3_000}
