"""The real Synthetix v3 perps market on a local chain: cross-margined accounts, orders in two steps, permissions.

For tests alone: the live deployments are wound down. What is the protocol's own is unchanged: accounts, margins,
orders, funding, interest, liquidation, keepers' rewards, oracle nodes. What its packages lack (the core system) is a
double of ours. Needs a node that takes contracts above 24 kB: ``AnvilSettings(code_size_max=CODE_SIZE_MAX)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from anvil.abi import parse, type_text
from anvil.client import Chain
from anvil.compile import Artifact, compile_synthetix, own_artifact

CODE_SIZE_MAX = 100_000
WAD = 10**18
FLAG_COST = WAD // 10
"""Dollars that flagging costs a keeper for every feed, and liquidating, as the oracle of gas costs says."""
LIQUIDATE_COST = WAD // 5
SETTLE_COST = WAD // 100
DELAY_S = 2
WINDOW_S = 60
STALE_S = 30 * 86_400
COLLATERAL = "PERPS_MODIFY_COLLATERAL"
ORDERS = "PERPS_COMMIT_ASYNC_ORDER"
COMMIT = "commitOrder((uint128,uint128,int128,uint128,uint256,bytes32,address))"
NOBODY = "0x" + "00" * 20
_MODULES = (
    "PerpsMarketFactoryModule",
    "AsyncOrderModule",
    "AsyncOrderSettlementPythModule",
    "AsyncOrderCancelModule",
    "PerpsAccountModule",
    "PerpsMarketModule",
    "LiquidationModule",
    "CollateralConfigurationModule",
    "MarketConfigurationModule",
    "GlobalPerpsMarketModule",
    "FeatureFlagModule",
    "AccountModuleDouble",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthetixMarket:
    """One market: its number, the feed that margins are judged by, and the verifier that orders settle at."""

    id: int
    symbol: str
    usd: int
    feed: str
    pyth: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthetixSite:
    """Where everything of the perps market stands."""

    perps: str
    usd: str
    node: str
    """The oracle manager."""
    costs: str
    markets: tuple[SynthetixMarket, ...]

    def market(self, symbol: str) -> SynthetixMarket:
        """The market of that symbol."""
        return next(m for m in self.markets if m.symbol == symbol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What one market is created with; wad, in the style of the ether market on Base."""

    id: int
    symbol: str
    usd: int
    skew_scale: int
    initial: int
    minimum_initial: int
    scalar: int
    flag: int
    minimum_position: int


MARKETS = (
    Parameters(
        id=100,
        symbol="ETH",
        usd=2_000,
        skew_scale=100_000 * WAD,
        initial=2 * WAD,
        minimum_initial=WAD // 50,
        scalar=WAD // 2,
        flag=3 * 10**14,
        minimum_position=5 * WAD,
    ),
    Parameters(
        id=200,
        symbol="BTC",
        usd=40_000,
        skew_scale=7_000 * WAD + 1,
        initial=16 * 10**17,
        minimum_initial=WAD // 40,
        scalar=45 * 10**16 + 7,
        flag=4 * 10**14,
        minimum_position=15 * WAD,
    ),
)


def deploy_synthetix_v3(chain: Chain) -> SynthetixSite:
    """Deploy from the first account, which owns the market and mints its dollars."""
    code, me = compile_synthetix(), chain.accounts[0]
    usd = chain.deploy(own_artifact("TokenDouble"), "snxUSD", 18)
    node = chain.deploy(code["NodeModule"])
    core = chain.deploy(code["CoreDouble"], usd, node, 50_000_000 * WAD)
    perps = _router(chain, code)
    for flag in ("perpsSystem", "createMarket"):
        chain.send(me, perps, "setFeatureFlagAllowAll(bytes32,bool)", word(flag), True)
    chain.send(me, perps, "initializeFactory(address,address)", core, core)
    costs = chain.deploy(code["MockGasPriceNode"])
    told = (SETTLE_COST, FLAG_COST, LIQUIDATE_COST)
    chain.send(me, costs, "setCosts(uint256,uint256,uint256)", *told)
    external = _node(chain, node, 2, encode(["address"], [costs]))
    chain.send(me, perps, "updateKeeperCostNodeId(bytes32)", external)
    markets = tuple(_market(chain, code, perps, node, p) for p in MARKETS)
    _guards(chain, perps)
    return SynthetixSite(perps=perps, usd=usd, node=node, costs=costs, markets=markets)


def _guards(chain: Chain, perps: str) -> None:
    """What holds for all markets: rewards of liquidators, caps an account, margin in dollars, interest."""
    me = chain.accounts[0]
    guards = (WAD, WAD // 5, 500 * WAD, WAD // 2)
    chain.send(me, perps, "setKeeperRewardGuards(uint256,uint256,uint256,uint256)", *guards)
    chain.send(me, perps, "setPerAccountCaps(uint128,uint128)", 10, 10)
    collateral = "setCollateralConfiguration(uint128,uint256,uint256,uint256,uint256)"
    chain.send(me, perps, collateral, 0, 2**250, 0, 0, 0)
    chain.send(me, perps, "setCollateralLiquidateRewardRatio(uint128)", WAD // 500)
    interest = (3 * 10**14, 4 * 10**17, 10**15)
    chain.send(me, perps, "setInterestRateParameters(uint128,uint128,uint128)", *interest)


def _router(chain: Chain, code: dict[str, Artifact]) -> str:
    slot = keccak(encode(["string"], ["io.synthetix.core-contracts.Ownable"]))
    router = chain.deploy(code["RouterDouble"], slot, chain.accounts[0])
    for name in _MODULES:
        module = chain.deploy(code[name])
        selectors = [
            parse(f"{entry['name']}({','.join(type_text(i) for i in entry['inputs'])})")[0]  # type: ignore[attr-defined]
            for entry in code[name].abi
            if entry["type"] == "function"
        ]
        chain.send(chain.accounts[0], router, "route(bytes4[],address)", selectors, module)
    return router


def _node(chain: Chain, node: str, kind: int, parameters: bytes) -> bytes:
    chain.send(chain.accounts[0], node, "registerNode(uint8,bytes,bytes32[])", kind, parameters, [])
    return bytes(chain.call(node, "getNodeId(uint8,bytes,bytes32[])(bytes32)", kind, parameters, []))


def _market(chain: Chain, code: dict[str, Artifact], perps: str, node: str, p: Parameters) -> SynthetixMarket:
    me = chain.accounts[0]
    feed = chain.deploy(own_artifact("PriceFeed"), 8, p.usd * 10**8, f"{p.symbol} / USD")
    price = _node(chain, node, 3, encode(["address", "uint256", "uint8"], [feed, 0, 8]))
    pyth = chain.deploy(code["MockPythERC7412Wrapper"])
    strategy = (0, DELAY_S, WINDOW_S, pyth, b"\1" * 32, WAD // 2, False, 1)
    parts = "(uint8,uint256,uint256,address,bytes32,uint256,bool,uint256)"

    def tell(signature: str, *arguments: Any) -> None:
        chain.send(me, perps, signature, p.id, *arguments)

    tell("createMarket(uint128,string,string)", p.symbol, p.symbol)
    tell("updatePriceData(uint128,bytes32,uint256)", price, STALE_S)
    tell(f"addSettlementStrategy(uint128,{parts})", strategy)
    tell("setOrderFees(uint128,uint256,uint256)", 2 * 10**14, 5 * 10**14)
    tell("setFundingParameters(uint128,uint256,uint256)", p.skew_scale, 9 * WAD)
    tell("setMaxMarketSize(uint128,uint256)", 100_000 * WAD)
    # 0.2 s worth of fees: positions of ordinary size need several windows, which the liquidator is paid for
    limits = (WAD // 50, 30, WAD // 1_000, NOBODY)
    tell("setMaxLiquidationParameters(uint128,uint256,uint256,uint256,address)", *limits)
    ratios = (p.initial, p.minimum_initial, p.scalar, p.flag, p.minimum_position)
    tell("setLiquidationParameters(uint128,uint256,uint256,uint256,uint256,uint256)", *ratios)
    tell("setLockedOiRatio(uint128,uint256)", WAD // 2)
    market = SynthetixMarket(id=p.id, symbol=p.symbol, usd=p.usd, feed=feed, pyth=pyth)
    set_price(chain, market, p.usd)
    return market


def word(text: str) -> bytes:
    """A name as bytes32."""
    return text.encode().ljust(32, b"\0")


def set_price(chain: Chain, market: SynthetixMarket, usd: float) -> None:
    """What margins are judged by and orders settle at, from now on; to eight decimals."""
    answer = round(usd * 10**8)
    chain.send(chain.accounts[0], market.feed, "set(int256)", answer)
    chain.send(chain.accounts[0], market.pyth, "setBenchmarkPrice(int256)", answer * 10**10)


def open_account(chain: Chain, site: SynthetixSite, owner: str, id: int, margin_wad: int) -> None:
    """The owner, unlocked, has an account of that number with so many dollars in it."""
    chain.send(owner, site.perps, "createAccount(uint128)", id)
    pay_in(chain, site, owner, id, margin_wad)


def pay_in(chain: Chain, site: SynthetixSite, sender: str, id: int, wad: int) -> None:
    """Margin from the sender's own dollars, minted for it."""
    chain.send(chain.accounts[0], site.usd, "mint(address,uint256)", sender, wad)
    chain.send(sender, site.perps, "modifyCollateral(uint128,uint128,int256)", id, 0, wad)


def commitment(market: SynthetixMarket, id: int, size_wad: int, limit_wad: int) -> tuple[object, ...]:
    """An order's request: ``size_wad`` signed, filled no worse than ``limit_wad``."""
    return market.id, id, size_wad, 0, limit_wad, b"\0" * 32, NOBODY


def trade(
    chain: Chain, site: SynthetixSite, market: SynthetixMarket, order: tuple[str, int, int]
) -> dict[str, Any]:
    """(sender, account, signed size): committed, waited for and settled by the first account; the receipt."""
    sender, id, size_wad = order
    price = chain.call(site.perps, "indexPrice(uint128)(uint256)", market.id)
    limit = price * (105 if size_wad > 0 else 95) // 100
    chain.send(sender, site.perps, COMMIT, commitment(market, id, size_wad, limit))
    chain.mine(chain.block().timestamp_s + DELAY_S + 1)
    return chain.send(chain.accounts[0], site.perps, "settleOrder(uint128)", id)
