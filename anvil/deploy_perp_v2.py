"""The real Perpetual Protocol v2 (Curie), from its published bytecode: cross-margined perps on Uniswap v3 pools.

For tests alone: the live deployment is wound down. It stands here because it is a whole real engine whose cross
margin, delegation, refusals and liquidations anybody can run on a laptop.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

import orjson

from anvil.client import Chain
from anvil.compile import Artifact, own_artifact
from anvil.tools import HERE, ToolMissing

POOL_FEE = 10_000
TAKER_FEE = 1_000
"""Of 1_000_000, as the live markets took."""
TICK_MAX = 887_200
"""The whole range, on a spacing of 200."""
DEADLINE = 2**60
MAKER_USD = 100_000_000
WAIT_S = 3_700
"""Until both averages (15 and 30 minutes) stand on trades of their own: before that every view reverts."""
OPEN_POSITION = "(address,bool,bool,uint256,uint256,uint256,uint160,bytes32)"
DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpMarket:
    """One market: its base token, its pool, the feed of its index price."""

    symbol: str
    base: str
    pool: str
    feed: str
    """Our PriceFeed, 8 decimals, behind the protocol's own reader of Chainlink feeds."""
    usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpSite:
    """Where everything of Perpetual Protocol v2 stands."""

    usdc: str
    clearing_house: str
    account_balance: str
    exchange: str
    vault: str
    config: str
    delegates: str
    maker: str
    liquidator: str
    markets: tuple[PerpMarket, ...]

    def market(self, symbol: str) -> PerpMarket:
        """The market of that symbol."""
        return next(m for m in self.markets if m.symbol == symbol)


MARKETS = (("ETH", 2_000), ("BTC", 40_000))


def deploy_perp_v2(chain: Chain, maker: str, liquidator: str) -> PerpSite:
    """Deploy from the first account; ``maker`` fills both pools, ``liquidator`` has a million in the vault."""
    me = chain.accounts[0]
    usdc = chain.deploy(own_artifact("TokenDouble"), "USDC", 6)
    factory = chain.deploy(_uniswap("UniswapV3Factory"))
    core = _core(chain, usdc, factory)
    markets = tuple(_market(chain, core, factory, m) for m in MARKETS)
    site = PerpSite(
        usdc=usdc,
        clearing_house=core["ClearingHouse"],
        account_balance=core["AccountBalance"],
        exchange=core["Exchange"],
        vault=core["Vault"],
        config=core["ClearingHouseConfig"],
        delegates=core["DelegateApproval"],
        maker=maker,
        liquidator=liquidator,
        markets=markets,
    )
    fund(chain, site, maker, MAKER_USD)
    fund(chain, site, liquidator, 1_000_000)
    # bad debt is the insurance fund's: without cash in it the engine refuses to liquidate what is under water
    chain.send(me, usdc, "mint(address,uint256)", core["InsuranceFund"], 10**13)
    chain.mine(chain.block().timestamp_s + WAIT_S)
    for market in markets:
        set_index(chain, market, market.usd)
        _add_liquidity(chain, site, market)
    return site


def _core(chain: Chain, usdc: str, factory: str) -> dict[str, str]:
    """The thirteen contracts, wired as the protocol's own deployment does."""
    names = (
        "QuoteToken",
        "ClearingHouseConfig",
        "InsuranceFund",
        "MarketRegistry",
        "OrderBook",
        "Exchange",
        "AccountBalance",
        "Vault",
        "CollateralManager",
        "ClearingHouse",
        "DelegateApproval",
    )
    at = {name: chain.deploy(_curie(name)) for name in names}
    me = chain.accounts[0]

    def tell(name: str, signature: str, *arguments: Any) -> None:
        chain.send(me, at[name], signature, *arguments)

    config, vault, exchange, house = (
        at[n] for n in ("ClearingHouseConfig", "Vault", "Exchange", "ClearingHouse")
    )
    balance, book, fund_ = (at[n] for n in ("AccountBalance", "OrderBook", "InsuranceFund"))
    tell("QuoteToken", "initialize(string,string)", "vUSD", "vUSD")
    tell("ClearingHouseConfig", "initialize()")
    tell("ClearingHouseConfig", "setSettlementTokenBalanceCap(uint256)", 2**255)
    tell("InsuranceFund", "initialize(address)", usdc)
    tell("MarketRegistry", "initialize(address,address)", factory, at["QuoteToken"])
    tell("OrderBook", "initialize(address)", at["MarketRegistry"])
    tell("Exchange", "initialize(address,address,address)", at["MarketRegistry"], book, config)
    tell("OrderBook", "setExchange(address)", exchange)
    tell("AccountBalance", "initialize(address,address)", config, book)
    tell("Vault", "initialize(address,address,address,address)", fund_, config, balance, exchange)
    limits = (5, 750_000, 500_000, 2_000, 30_000, 10_000 * 10**6, 500 * 10**6)
    kinds = "address,address,uint8,uint24,uint24,uint24,uint24,uint256,uint256"
    tell("CollateralManager", f"initialize({kinds})", config, vault, *limits)
    tell("InsuranceFund", "setVault(address)", vault)
    tell("AccountBalance", "setVault(address)", vault)
    seven = ",".join(["address"] * 7)
    parts = (config, vault, at["QuoteToken"], factory, exchange, balance, fund_)
    tell("ClearingHouse", f"initialize({seven})", *parts)
    tell("DelegateApproval", "initialize()")
    tell("ClearingHouse", "setDelegateApproval(address)", at["DelegateApproval"])
    for name in ("MarketRegistry", "OrderBook", "Exchange", "AccountBalance", "Vault"):
        tell(name, "setClearingHouse(address)", house)
    tell("Exchange", "setAccountBalance(address)", balance)
    tell("Vault", "setCollateralManager(address)", at["CollateralManager"])
    tell("QuoteToken", "mintMaximumTo(address)", house)
    tell("QuoteToken", "addWhitelist(address)", house)
    return at


def _market(chain: Chain, core: dict[str, str], factory: str, listed: tuple[str, int]) -> PerpMarket:
    (symbol, usd), quote, me = listed, core["QuoteToken"], chain.accounts[0]
    feed = chain.deploy(own_artifact("PriceFeed"), 8, usd * 10**8, f"{symbol} / USD")
    reader = chain.deploy(_oracle("ChainlinkPriceFeedV3"), feed, 365 * DAY_S, 900)
    dispatcher = chain.deploy(_oracle("PriceFeedDispatcher"), reader)
    base = quote
    while int(base, 16) >= int(quote, 16):
        # the protocol takes only base tokens that sort below the quote token
        base = chain.deploy(_curie("BaseToken"))
    chain.send(me, base, "initialize(string,string,address)", f"v{symbol}", f"v{symbol}", dispatcher)
    chain.send(me, factory, "createPool(address,address,uint24)", base, quote, POOL_FEE)
    pool = chain.call(factory, "getPool(address,address,uint24)(address)", base, quote, POOL_FEE)
    chain.send(me, pool, "initialize(uint160)", isqrt(usd << 192))
    chain.send(me, base, "mintMaximumTo(address)", core["ClearingHouse"])
    for token in (base, quote):
        for holder in (pool, core["ClearingHouse"]):
            chain.send(me, token, "addWhitelist(address)", holder)
    chain.send(me, core["MarketRegistry"], "addPool(address,uint24)", base, POOL_FEE)
    chain.send(me, core["MarketRegistry"], "setFeeRatio(address,uint24)", base, TAKER_FEE)
    chain.send(me, pool, "increaseObservationCardinalityNext(uint16)", 60)
    chain.send(me, core["Exchange"], "setMaxTickCrossedWithinBlock(address,uint24)", base, 1_000)
    return PerpMarket(symbol=symbol, base=base, pool=pool, feed=feed, usd=usd)


def _add_liquidity(chain: Chain, site: PerpSite, market: PerpMarket) -> None:
    side = MAKER_USD // 2
    add = "addLiquidity((address,uint256,uint256,int24,int24,uint256,uint256,bool,uint256))"
    body = (
        market.base,
        side * 10**18 // market.usd,
        side * 10**18,
        -TICK_MAX,
        TICK_MAX,
        0,
        0,
        False,
        DEADLINE,
    )
    chain.send(site.maker, site.clearing_house, add, body)


def fund(chain: Chain, site: PerpSite, account: str, usd: int) -> None:
    """The account, unlocked, gets so many dollars and puts them into the vault as margin."""
    units = usd * 10**6
    chain.send(chain.accounts[0], site.usdc, "mint(address,uint256)", account, units)
    chain.send(account, site.usdc, "approve(address,uint256)", site.vault, 2**256 - 1)
    chain.send(account, site.vault, "deposit(address,uint256)", site.usdc, units)


def set_index(chain: Chain, market: PerpMarket, usd: float) -> None:
    """A new index price now; what the market trades at is not moved by it."""
    chain.send(chain.accounts[0], market.feed, "set(int256)", round(usd * 10**8))


def order(market: PerpMarket, *, sell: bool, exact_base: bool, amount: int) -> tuple[object, ...]:
    """OpenPositionParams: ``amount`` of base or of quote, bought or sold."""
    # exact input is what is paid: base where base is sold, quote where it is bought
    return market.base, sell, sell == exact_base, amount, 0, DEADLINE, 0, b"\0" * 32


def trade(chain: Chain, site: PerpSite, account: str, params: tuple[object, ...]) -> dict[str, Any]:
    """The account's own market order; its receipt. Raises Reverted with the engine's code."""
    return chain.send(account, site.clearing_house, f"openPosition({OPEN_POSITION})", params)


def spot_usd(chain: Chain, market: PerpMarket) -> float:
    """What the pool trades at."""
    word = chain.rpc("eth_call", {"to": market.pool, "data": "0x3850c7bd"}, "latest")[2:66]
    return float(int(word, 16) ** 2 / 2**192)


def push(chain: Chain, site: PerpSite, market: PerpMarket, usd: float) -> None:
    """The maker trades until the pool stands at ``usd``, the index going along.

    The engine lets no trade through that moves the pool by 10 % in a block or ends 10 % off the index.
    """
    for _ in range(12):
        here = spot_usd(chain, market)
        if abs(usd / here - 1) < 0.001:
            return
        aim = min(max(usd, here * 0.94), here * 1.06)
        set_index(chain, market, aim)
        # a full-range pool: what is bought or sold for a price follows from its depth
        depth = MAKER_USD / 2 * 10**18 / market.usd**0.5
        base = int(abs(depth / here**0.5 - depth / aim**0.5))
        trade(chain, site, site.maker, order(market, sell=usd < here, exact_base=True, amount=base))
        chain.mine(chain.block().timestamp_s + 16)
    raise ValueError(f"the pool of {market.symbol} did not reach {usd}")


def _read(path: str, name: str) -> Artifact:
    try:
        found = orjson.loads((HERE / "node_modules" / path.format(name=name)).read_bytes())
    except FileNotFoundError as missing:
        raise ToolMissing(f"{path.format(name=name)} is missing: run `make setup`") from missing
    return Artifact(name=name, source=path, abi=tuple(found["abi"]), bytecode=found["bytecode"], links=())


def _curie(name: str) -> Artifact:
    return _read("@perp/curie-contract/artifacts/contracts/{name}.sol/{name}.json", name)


def _oracle(name: str) -> Artifact:
    return _read("@perp/perp-oracle-contract/artifacts/contracts/{name}.sol/{name}.json", name)


def _uniswap(name: str) -> Artifact:
    return _read("@uniswap/v3-core/artifacts/contracts/{name}.sol/{name}.json", name)
