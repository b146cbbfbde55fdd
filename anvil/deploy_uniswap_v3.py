"""The real Uniswap v3 (npm artifacts) with four pools and liquidity over the full range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt

import orjson

from anvil.client import Chain
from anvil.compile import Artifact
from anvil.deployment import DeployedPool, DeployedToken, DeployedUniswap
from anvil.tools import HERE, ToolMissing

_PATHS = {
    "UniswapV3Factory": "v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json",
    "SwapRouter": "v3-periphery/artifacts/contracts/SwapRouter.sol/SwapRouter.json",
    "QuoterV2": "v3-periphery/artifacts/contracts/lens/QuoterV2.sol/QuoterV2.json",
    "NonfungiblePositionManager": (
        "v3-periphery/artifacts/contracts/NonfungiblePositionManager.sol/NonfungiblePositionManager.json"
    ),
}
_TICK_MAX = 887_272
_SPACING = {100: 1, 500: 10, 3_000: 60}
_MINT = (
    "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))"
    "(uint256,uint128,uint256,uint256)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """One pool: the first symbol priced in the second by the feeds, and how deep (in USD, each side)."""

    symbols: tuple[str, str]
    fee: int
    side_usd: int


POOLS = (
    PoolSettings(symbols=("WETH", "USDC"), fee=500, side_usd=30_000_000),
    PoolSettings(symbols=("WBTC", "USDC"), fee=3_000, side_usd=30_000_000),
    PoolSettings(symbols=("wstETH", "WETH"), fee=500, side_usd=30_000_000),
    PoolSettings(symbols=("USDC", "DAI"), fee=500, side_usd=10_000_000),
)


def deploy_uniswap_v3(
    chain: Chain, tokens: Mapping[str, DeployedToken], prices_usd8: Mapping[str, int]
) -> DeployedUniswap:
    """Deploy from the first account, which mints the tokens and keeps the liquidity positions."""
    weth = tokens["WETH"].address
    factory = chain.deploy(_artifact("UniswapV3Factory"))
    router = chain.deploy(_artifact("SwapRouter"), factory, weth)
    quoter = chain.deploy(_artifact("QuoterV2"), factory, weth)
    # the third argument describes NFTs for pictures; nobody asks for one here
    manager = chain.deploy(_artifact("NonfungiblePositionManager"), factory, weth, factory)
    me = chain.accounts[0]
    for symbol in sorted({s for p in POOLS for s in p.symbols}):
        chain.send(me, tokens[symbol].address, "approve(address,uint256)", manager, 2**256 - 1)
    pools = []
    for pool in POOLS:
        address = _open(chain, factory, pool, tokens, prices_usd8)
        _fill(chain, manager, pool, tokens, prices_usd8)
        pools.append(DeployedPool(symbols=pool.symbols, fee=pool.fee, address=address))
    return DeployedUniswap(
        factory=factory, router=router, quoter=quoter, position_manager=manager, pools=tuple(pools)
    )


def sqrt_price_x96(amount0: int, amount1: int) -> int:
    """Uniswap's price: floor(sqrt(amount1 / amount0) * 2**96), for equal value in smallest units."""
    return isqrt((amount1 << 192) // amount0)


def _sides(
    pool: PoolSettings, tokens: Mapping[str, DeployedToken], prices_usd8: Mapping[str, int]
) -> tuple[tuple[str, int], tuple[str, int]]:
    """((token0, units), (token1, units)) of equal value, in the pool's own order: by address."""
    sides = [
        (tokens[s].address, pool.side_usd * 10**8 * tokens[s].unit // prices_usd8[s]) for s in pool.symbols
    ]
    first, second = sorted(sides, key=lambda side: int(side[0], 16))
    return first, second


def _open(
    chain: Chain,
    factory: str,
    pool: PoolSettings,
    tokens: Mapping[str, DeployedToken],
    prices_usd8: Mapping[str, int],
) -> str:
    me = chain.accounts[0]
    (token0, units0), (token1, units1) = _sides(pool, tokens, prices_usd8)
    chain.send(me, factory, "createPool(address,address,uint24)", token0, token1, pool.fee)
    address = str(chain.call(factory, "getPool(address,address,uint24)(address)", token0, token1, pool.fee))
    chain.send(me, address, "initialize(uint160)", sqrt_price_x96(units0, units1))
    return address


def _fill(
    chain: Chain,
    manager: str,
    pool: PoolSettings,
    tokens: Mapping[str, DeployedToken],
    prices_usd8: Mapping[str, int],
) -> None:
    me = chain.accounts[0]
    (token0, units0), (token1, units1) = _sides(pool, tokens, prices_usd8)
    for token, units in ((token0, units0), (token1, units1)):
        chain.send(me, token, "mint(address,uint256)", me, units)
    spacing = _SPACING[pool.fee]
    edge = _TICK_MAX // spacing * spacing
    chain.send(
        me, manager, _MINT,
        (token0, token1, pool.fee, -edge, edge, units0, units1, 0, 0, me, 2**40),
    )  # fmt: skip


def _artifact(name: str) -> Artifact:
    path = HERE / "node_modules" / "@uniswap" / _PATHS[name]
    if not path.is_file():
        raise ToolMissing(f"the npm package of {name} is not installed: run `make setup`")
    record = orjson.loads(path.read_bytes())
    links = tuple(
        (library, place["start"])
        for libraries in record["linkReferences"].values()
        for library, places in libraries.items()
        for place in places
    )
    return Artifact(
        name=name, source=_PATHS[name], abi=tuple(record["abi"]), bytecode=record["bytecode"], links=links
    )
