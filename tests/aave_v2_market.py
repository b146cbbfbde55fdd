"""The real Aave v2 market beside the newer one, on its tokens: an oracle in ether, debt at stable rates, too.

Nothing is compiled: the package carries the artifacts of the release's own build.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from anvil.client import Chain
from anvil.compile import Artifact, own_artifact
from anvil.deploy_aave_v3 import RESERVES, USD, ZERO
from anvil.deployment import DeployedToken, Deployment
from anvil.tools import HERE, ToolMissing
from keeper.venues.aave_v2.book import DOLLAR

PACKAGE = HERE / "node_modules" / "@aave" / "protocol-v2"
LIBRARIES = ("ReserveLogic", "GenericLogic", "ValidationLogic")
"""In an order in which each links only what stands before it."""
NAMES = (*LIBRARIES, "LendingPool", "LendingPoolConfigurator", "LendingPoolCollateralManager",
         "LendingPoolAddressesProvider", "LendingRateOracle", "AaveOracle", "AaveProtocolDataProvider", "AToken",
         "StableDebtToken", "VariableDebtToken", "DefaultReserveInterestRateStrategy")  # fmt: skip
BPS_RAY = 10**23
STABLE_SLOPES_BPS = (200, 6_000)
MARKET_RATE_BPS = 400
LENT_USD = 60_000_000
ETHER = 10**18


def artifacts() -> dict[str, Artifact]:
    """What the market needs, by contract name, from the package. Raises ToolMissing."""
    if not PACKAGE.is_dir():
        raise ToolMissing("the npm package @aave/protocol-v2 is not installed: run `make setup`")
    found = {}
    for name in NAMES:
        (path,) = PACKAGE.glob(f"artifacts/contracts/**/{name}.sol/{name}.json")
        body = orjson.loads(path.read_bytes())
        links = tuple(
            (library, place["start"])
            for libraries in body["linkReferences"].values()
            for library, places in libraries.items()
            for place in places
        )
        found[name] = Artifact(
            name=name,
            source=body["sourceName"],
            abi=tuple(body["abi"]),
            bytecode=body["bytecode"],
            links=links,
        )
    return found


def deploy_aave_v2(chain: Chain, deployment: Deployment, *, dollars: bool = False) -> Deployment:
    """The deployment with this market in place of its own; the lender has filled it.

    ``dollars``: priced by the oracle that is there, which names the dollar as its currency; else by the package's,
    in ether, with feeds of its own.
    """
    code, me = artifacts(), chain.accounts[0]
    provider = chain.deploy(code["LendingPoolAddressesProvider"], "Keeper test market 2")
    libs: dict[str, str] = {}
    for name in LIBRARIES:
        libs[name] = chain.deploy(code[name], libs=libs)
    for role in ("setPoolAdmin", "setEmergencyAdmin"):
        chain.send(me, provider, f"{role}(address)", me)
    tokens = (
        deployment.tokens if dollars else tuple(_in_ether(chain, t, deployment) for t in deployment.tokens)
    )
    oracle = deployment.oracle if dollars else _oracle(chain, code, tokens, deployment)
    for name in ("LendingPool", "LendingPoolConfigurator"):
        chain.send(me, provider, f"set{name}Impl(address)", chain.deploy(code[name], libs=libs))
    manager = chain.deploy(code["LendingPoolCollateralManager"], libs=libs)
    chain.send(me, provider, "setLendingPoolCollateralManager(address)", manager)
    chain.send(me, provider, "setPriceOracle(address)", oracle)
    rates = chain.deploy(code["LendingRateOracle"])
    chain.send(me, provider, "setLendingRateOracle(address)", rates)
    market = replace(
        deployment,
        provider=provider,
        pool=chain.call(provider, "getLendingPool()(address)"),
        configurator=chain.call(provider, "getLendingPoolConfigurator()(address)"),
        oracle=oracle,
        data_provider=chain.deploy(code["AaveProtocolDataProvider"], provider),
        tokens=tokens,
    )
    for r in RESERVES:
        token = market.token(r.symbol).address
        chain.send(me, rates, "setMarketBorrowRate(address,uint256)", token, MARKET_RATE_BPS * BPS_RAY)
        _list(chain, code, market, r.symbol)
    market = replace(market, tokens=tuple(_listed(chain, market.pool, t) for t in tokens))
    _lend(chain, market)
    return market


def set_in_ether(chain: Chain, market: Deployment, prices_usd8: Mapping[str, int]) -> None:
    """New prices in dollars, as feeds that count in ether tell them; WETH's moves the price of the dollar."""
    me, ether = chain.accounts[0], prices_usd8["WETH"]
    for symbol, price in prices_usd8.items():
        # the oracle never asks for WETH: its feed tells the dollar
        answer = USD * ETHER // ether if symbol == "WETH" else price * ETHER // ether
        chain.send(me, market.token(symbol).feed, "set(int256)", answer)


def _in_ether(chain: Chain, token: DeployedToken, deployment: Deployment) -> DeployedToken:
    ether = chain.call(deployment.token("WETH").feed, "latestAnswer()(int256)")
    price = USD if token.symbol == "WETH" else chain.call(token.feed, "latestAnswer()(int256)")
    feed = chain.deploy(own_artifact("PriceFeed"), 18, price * ETHER // ether, f"{token.symbol} / ETH")
    return replace(token, feed=feed)


def _oracle(
    chain: Chain, code: Mapping[str, Artifact], tokens: tuple[DeployedToken, ...], deployment: Deployment
) -> str:
    weth = deployment.token("WETH").address
    sources = {DOLLAR if t.symbol == "WETH" else t.address: t.feed for t in tokens}
    return chain.deploy(code["AaveOracle"], list(sources), list(sources.values()), ZERO, weth)


def _list(chain: Chain, code: Mapping[str, Artifact], market: Deployment, symbol: str) -> None:
    """One reserve: its tokens, its rates, its risk; everybody may borrow it at both rates."""
    me, r = chain.accounts[0], next(x for x in RESERVES if x.symbol == symbol)
    token, pool = market.token(symbol).address, market.pool
    optimal, base, low, high = r.rates_bps
    curve = [b * BPS_RAY for b in (optimal, base, low, high, *STABLE_SLOPES_BPS)]
    strategy = chain.deploy(code["DefaultReserveInterestRateStrategy"], market.provider, *curve)
    treasury = market.roles.treasury
    a_token = chain.deploy(code["AToken"], pool, token, treasury, f"Aave {symbol}", f"a{symbol}", ZERO)
    debts = [
        chain.deploy(code[f"{kind}DebtToken"], pool, token, f"{kind} debt {symbol}", f"{kind}{symbol}", ZERO)
        for kind in ("Stable", "Variable")
    ]
    init = "initReserve(address,address,address,uint8,address)"
    chain.send(me, market.configurator, init, a_token, *debts, r.decimals, strategy)
    risk = (token, r.ltv_bps, r.threshold_bps, r.bonus_bps)
    chain.send(
        me, market.configurator, "configureReserveAsCollateral(address,uint256,uint256,uint256)", *risk
    )
    chain.send(me, market.configurator, "enableBorrowingOnReserve(address,bool)", token, True)
    chain.send(me, market.configurator, "setReserveFactor(address,uint256)", token, r.reserve_factor_bps)


def _listed(chain: Chain, pool: str, token: DeployedToken) -> DeployedToken:
    words = ",".join(["uint256"] * 7 + ["address"] * 4 + ["uint8"])
    data = chain.call(pool, f"getReserveData(address)({words})", token.address)
    return replace(token, a_token=data[7], debt_token=data[9])


def _lend(chain: Chain, market: Deployment) -> None:
    me, lender = chain.accounts[0], market.roles.lender
    for r in RESERVES:
        token = market.token(r.symbol)
        units = LENT_USD * USD * token.unit // r.price_usd8
        chain.send(me, token.address, "mint(address,uint256)", lender, units)
        chain.send(lender, token.address, "approve(address,uint256)", market.pool, 2**256 - 1)
        deposit = "deposit(address,uint256,address,uint16)"
        chain.send(lender, market.pool, deposit, token.address, units, lender, 0)
