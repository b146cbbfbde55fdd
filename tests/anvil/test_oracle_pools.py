"""The market's price from real Uniswap v3 pools: found by depth, averaged, not believed while somebody moves it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from anvil.client import Chain
from anvil.deployment import Deployment
from anvil.transport import ChainTransport
from keeper.chain.batch import Batch
from keeper.model import Call, Snapshot, Token
from keeper.oracle import room
from keeper.oracle.market import Seen, calls, seen
from keeper.oracle.room import Findings, Room, Site
from keeper.sockets import Named
from keeper.words import Words
from tests import build

pytestmark = pytest.mark.anvil

SYMBOLS = ("WETH", "WBTC", "USDC", "DAI")
SWAP = "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))(uint256)"
WINDOW_S = 300


class Eye:
    """The oracle room of the market's feeds, with its pools."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self.chain, self.deployment = chain, deployment
        tokens = {s: deployment.token(s) for s in SYMBOLS}
        site = Site(
            chain="local",
            chain_id=deployment.chain_id,
            block_time_s=12.0,
            named=tuple(
                Named(id=s, symbol=s, address=t.feed, expected_decimals=8) for s, t in tokens.items()
            ),
            tokens={
                s: Token(chain_id=deployment.chain_id, address=t.address, symbol=s, decimals=t.decimals)
                for s, t in tokens.items()
            },
            quoter=deployment.uniswap.quoter,
        )
        self.room: Room = asyncio.run(room.load(site, self._read))

    def prices(self) -> dict[str, Seen]:
        """Feed -> what its pool says now."""
        pools = tuple(self.room.pools.values())
        words = asyncio.run(self._read(calls(pools)))
        return dict(zip(self.room.pools, seen(pools, words), strict=True))

    def look(self) -> Findings:
        """Everything that the room finds now."""
        block = self.chain.block()
        nothing: Snapshot = replace(build.snapshot(), block=block)
        return self.room.look(block, asyncio.run(self._read(self.room.calls())), nothing, {})

    async def _read(self, asked: Sequence[Call]) -> Words:
        at = self.chain.block().hash
        batch = Batch(asked)
        return await batch.read(ChainTransport(self.chain), self.deployment.multicall, at, timeout_s=60.0)


def later(chain: Chain, seconds: int) -> None:
    chain.mine(chain.block().timestamp_s + seconds)


def swap(chain: Chain, deployment: Deployment, symbol: str, units: int, fee: int) -> None:
    """``units`` of the token sold for dollars, whatever the price."""
    me, sold, bought = chain.accounts[0], deployment.token(symbol).address, deployment.token("USDC").address
    router = deployment.uniswap.router
    chain.send(me, sold, "mint(address,uint256)", me, units)
    chain.send(me, sold, "approve(address,uint256)", router, units)
    chain.send(me, router, SWAP, (sold, bought, fee, me, 2**40, units, 0, 0))


def oracle_usd(chain: Chain, deployment: Deployment, symbol: str) -> float:
    return float(chain.call(deployment.token(symbol).feed, "latestAnswer()(int256)")) / 1e8


def test_pools__of_real_code__price_each_token_as_the_feeds_do_whatever_its_place_and_decimals(
    chain: Chain, deployment: Deployment
) -> None:
    later(chain, 2 * WINDOW_S)
    eye = Eye(chain, deployment)
    told = eye.prices()
    assert {"WETH", "WBTC", "DAI"} <= told.keys()
    for symbol, said in told.items():
        usd = oracle_usd(chain, deployment, symbol) / oracle_usd(chain, deployment, said.pool.quote.symbol)
        assert said.price == pytest.approx(usd, rel=2e-4), (symbol, said)
        assert said.spot == pytest.approx(usd, rel=2e-4)
    assert "oracle_apart" not in {f.code for f in eye.look().faults}


def test_pool__when_somebody_moves_it__then_it_is_not_believed_until_the_average_agrees(
    chain: Chain, deployment: Deployment
) -> None:
    pool = next(p for p in deployment.uniswap.pools if p.symbols == ("WETH", "USDC"))
    chain.send(chain.accounts[0], pool.address, "increaseObservationCardinalityNext(uint16)", 8)
    later(chain, 2 * WINDOW_S)
    eye = Eye(chain, deployment)
    calm = eye.prices()["WETH"]
    assert calm.price is not None
    # five per cent of the pool's side: its price falls by about a tenth
    depth = chain.call(deployment.token("WETH").address, "balanceOf(address)(uint256)", pool.address)
    swap(chain, deployment, "WETH", depth // 20, pool.fee)
    moved = eye.prices()["WETH"]
    assert moved.price is None
    assert moved.spot is not None
    assert moved.spot < 0.95 * calm.price
    assert "far from its average" in moved.why
    found = eye.look()
    assert ("market_unread", "WETH") in {(f.code, f.subject) for f in found.faults}
    assert not [n for n in found.ahead if n.feed == "WETH"]
    # held for the whole window it is the market, and the feed is due
    later(chain, WINDOW_S + 12)
    held = eye.prices()["WETH"]
    assert held.price is not None
    assert held.price == pytest.approx(moved.spot, rel=1e-3)
    found = eye.look()
    assert ("oracle_apart", "WETH") in {(f.code, f.subject) for f in found.faults}
    (due,) = (n for n in found.ahead if n.feed == "WETH")
    assert due.move == pytest.approx(held.price / oracle_usd(chain, deployment, "WETH"), rel=1e-6)
    # as the snapshot of that look counts: what has come true by the next one is not counted again
    assert due.price == pytest.approx(due.move * 2_000.0)


def test_pool__when_it_keeps_one_observation__then_a_swap_leaves_no_average_and_no_price(
    chain: Chain, deployment: Deployment
) -> None:
    later(chain, 2 * WINDOW_S)
    eye = Eye(chain, deployment)
    assert eye.prices()["WETH"].price is not None
    pool = next(p for p in deployment.uniswap.pools if p.symbols == ("WETH", "USDC"))
    # an observation is written where the tick changes: a quarter of a per cent of the pool is enough
    depth = chain.call(deployment.token("WETH").address, "balanceOf(address)(uint256)", pool.address)
    swap(chain, deployment, "WETH", depth // 400, pool.fee)
    said = eye.prices()["WETH"]
    assert said.price is None
    assert "too few observations" in said.why
