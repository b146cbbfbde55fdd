"""Depth read tick by tick says what the real Quoter says, to the last unit, here and after the price has moved."""

from __future__ import annotations

import pytest

from anvil.client import Chain
from anvil.deployment import Deployment
from keeper.executor import ticks
from tests.thin_pools import Depths

pytestmark = pytest.mark.anvil
PRICES = {"WETH": 2_000.0, "USDC": 1.0}
SIZES = (1, 10**6, 12_345 * 10**6, 900_000 * 10**6, 6_000_000 * 10**6)


def prices(depths: Depths) -> dict[str, float]:
    """Of the pool that the market has, in dollars."""
    pool = next(p for p in depths.market.uniswap.pools if set(p.symbols) == {"WETH", "USDC"})
    found = depths.read(pool.address)[pool.address]
    weth, usdc = depths.token("WETH"), depths.token("USDC")
    raw = (found.sqrt_price / 2**96) ** 2
    raw = raw if found.token0 == weth.address else 1 / raw
    return {"WETH": raw * 10**weth.decimals / 10**usdc.decimals, "USDC": 1.0}


def test_sold_for__over_layers_of_narrow_liquidity__equals_the_quoter(
    chain: Chain, deployment: Deployment
) -> None:
    depths = Depths(chain, deployment)
    usd = prices(depths)
    pool = depths.open("WETH", "USDC", 3_000, usd["WETH"])
    for width, side in ((60, 400_000), (900, 2_000_000), (6_000, 1_000_000), (13_000, 3_000_000)):
        depths.fill(pool, width, side, usd)
    compared = 0
    for _ in range(2):
        found = depths.read(pool)[pool]
        for sell, buy in (("WETH", "USDC"), ("USDC", "WETH")):
            for size in SIZES:
                bought = size if buy == "USDC" else size * 10**12 // 2_000
                ours = ticks.sold_for(found, depths.token(sell).address, bought)
                theirs = depths.quoted(sell, buy, 3_000, bought)
                # beyond what was read we say nothing; where we say something, it is the pool's own word
                assert ours == theirs or ours is None, (sell, size)
                compared += ours is not None
        before = found
        depths.trade("WETH", "USDC", 3_000, 700 * 10**18)
    assert compared >= 16
    after = depths.read(pool)[pool]
    assert after.sqrt_price != before.sqrt_price
    # the same pool, told where the price will be: liquidity is found where it lies
    there = ticks.moved(before, after.sqrt_price)
    assert there is not None
    weth = depths.token("WETH").address
    for size in SIZES[:4]:
        assert ticks.sold_for(there, weth, size) == depths.quoted("WETH", "USDC", 3_000, size)
