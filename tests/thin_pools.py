"""More Uniswap pools and narrow liquidity on the test market, and what the real Quoter says of them."""

from __future__ import annotations

import asyncio
from math import isqrt

from anvil.actors import Actors
from anvil.client import Chain, Reverted
from anvil.deployment import Deployment
from keeper.executor import depth
from keeper.executor.quotes import Way
from keeper.executor.ticks import Pool
from keeper.model import Token
from tests.anvil_reading import Reader
from tests.mandates import EXECUTOR

MINT = (
    "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))"
    "(uint256,uint128,uint256,uint256)"
)
SPACING = {500: 10, 3_000: 60, 10_000: 200}
QUOTE_OUT = "quoteExactOutputSingle((address,address,uint256,uint24,uint160))(uint256,uint160,uint32,uint256)"


class Depths:
    """Pools of the market as the keeper reads them, beside what the real contracts say."""

    def __init__(self, chain: Chain, market: Deployment) -> None:
        self.chain, self.market = chain, market
        self.me = chain.accounts[0]

    def open(self, a: str, b: str, fee: int, price: float) -> str:
        """A new pool without liquidity; ``price``: of one whole ``a`` in ``b``."""
        first, second = sorted((self.market.token(a), self.market.token(b)), key=lambda t: int(t.address, 16))
        raw = price * second.unit / first.unit if first.symbol == a else second.unit / (price * first.unit)
        factory = self.market.uniswap.factory
        self.chain.send(
            self.me, factory, "createPool(address,address,uint24)", first.address, second.address, fee
        )
        pool = self.chain.call(
            factory, "getPool(address,address,uint24)(address)", first.address, second.address, fee
        )
        self.chain.send(self.me, pool, "initialize(uint160)", isqrt(int(raw * 2**64) << 128))
        return str(pool)

    def fill(self, pool: str, width: int, usd_side: int, prices_usd: dict[str, float]) -> None:
        """Liquidity ``width`` ticks to either side of the price, at most so much of each token."""
        token0, token1 = (self.chain.call(pool, f"{n}()(address)") for n in ("token0", "token1"))
        fee = int(self.chain.call(pool, "fee()(uint24)"))
        tick = int(self.chain.call(pool, "slot0()(uint160,int24,uint16,uint16,uint16,uint8,bool)")[1])
        spacing, manager = SPACING[fee], self.market.uniswap.position_manager
        units = []
        for token in (token0, token1):
            listed = next(t for t in self.market.tokens if t.address.lower() == token.lower())
            units.append(int(usd_side / prices_usd[listed.symbol] * listed.unit))
            self.chain.send(self.me, listed.address, "mint(address,uint256)", self.me, units[-1])
            self.chain.send(self.me, listed.address, "approve(address,uint256)", manager, 2**256 - 1)
        low, high = (tick - width) // spacing * spacing, (tick + width) // spacing * spacing + spacing
        terms = (token0, token1, fee, low, high, *units, 0, 0, self.me, 2**40)
        self.chain.send(self.me, manager, MINT, terms)

    def read(self, *pools: str) -> dict[str, Pool]:
        """As the daemon reads them."""
        reader = Reader(self.chain, self.market)
        return asyncio.run(depth.read_pools(pools, reader._reader(reader.block().hash)))

    def quoted(self, sell: str, buy: str, fee: int, bought: int) -> int | None:
        """The real Quoter's word; None where it reverts."""
        try:
            answer = self.chain.call(
                self.market.uniswap.quoter,
                QUOTE_OUT,
                (self.market.token(sell).address, self.market.token(buy).address, bought, fee, 0),
            )
        except Reverted:  # a quote beyond the pool
            return None
        return int(answer[0])

    def token(self, symbol: str) -> Token:
        """As a record of ours."""
        found = self.market.token(symbol)
        return Token(chain_id=31337, address=found.address, symbol=symbol, decimals=found.decimals)

    def way(self, sell: str, buy: str, fee: int, pool: str) -> Way:
        """The direct way."""
        return Way(
            executor=EXECUTOR,
            sell=self.token(sell),
            buy=self.token(buy),
            fees=(fee,),
            via=(),
            pools=(pool,),
            router="",
        )

    def trade(self, sell: str, buy: str, fee: int, units: int) -> None:
        """A stranger sells so much."""
        router, actors = self.market.uniswap.router, Actors(self.chain, self.market)
        actors.mint(sell, self.me, units)
        a, b = self.market.token(sell).address, self.market.token(buy).address
        self.chain.send(self.me, a, "approve(address,uint256)", router, units)
        self.chain.send(
            self.me,
            router,
            "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))",
            (a, b, fee, self.me, 2**40, units, 0, 0),
        )
