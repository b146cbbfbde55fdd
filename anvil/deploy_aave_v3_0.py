"""The real Aave v3.0.2 market (POOL_REVISION 1, SparkLend's line) beside the newer one, on its tokens and feeds.

Nothing is compiled: the package carries the artifacts of the release's own build. What the line has and newer ones do
not is switched on: e-mode by category, isolation mode, stable-rate debt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from anvil.client import Chain
from anvil.compile import Artifact
from anvil.deploy_aave_v3 import EMODES, RESERVES, USD, ZERO, ReserveSettings
from anvil.deployment import DeployedToken, Deployment
from anvil.tools import HERE, ToolMissing

PACKAGE = HERE / "node_modules" / "@aave" / "core-v3"
LIBRARIES = ("SupplyLogic", "BorrowLogic", "LiquidationLogic", "EModeLogic", "BridgeLogic", "ConfiguratorLogic",
             "PoolLogic", "FlashLoanLogic")  # fmt: skip
"""In an order in which each links only what stands before it."""
NAMES = (*LIBRARIES, "Pool", "PoolConfigurator", "PoolAddressesProvider", "ACLManager", "AaveOracle",
         "AaveProtocolDataProvider", "DefaultReserveInterestRateStrategy", "AToken", "StableDebtToken",
         "VariableDebtToken")  # fmt: skip
BPS_RAY = 10**23
STABLE_BPS = (50, 6_000, 100, 800, 2_000)
"""Stable rates: two slopes, what they lie above the variable one, the excess, the share of debt that is usual."""
ISOLATED = "WBTC"
CEILING_USD = 100_000_000
BORROWABLE_IN_ISOLATION = ("USDC", "DAI")
STABLE_RATES = ("USDC", "WETH")
LENT_USD = 60_000_000


def artifacts() -> dict[str, Artifact]:
    """What the market needs, by contract name, from the package. Raises ToolMissing."""
    return {name: shipped(name) for name in NAMES}


def shipped(name: str) -> Artifact:
    """One contract of the release's own build. Raises ToolMissing."""
    if not PACKAGE.is_dir():
        raise ToolMissing("the npm package @aave/core-v3 is not installed: run `make setup`")
    (path,) = PACKAGE.glob(f"artifacts/contracts/**/{name}.sol/{name}.json")
    body = orjson.loads(path.read_bytes())
    links = tuple(
        (library, place["start"])
        for libraries in body["linkReferences"].values()
        for library, places in libraries.items()
        for place in places
    )
    return Artifact(
        name=name, source=body["sourceName"], abi=tuple(body["abi"]), bytecode=body["bytecode"], links=links
    )


def deploy_aave_v3_0(chain: Chain, deployment: Deployment) -> Deployment:
    """The deployment with this market in place of its own; the lender has filled it."""
    code = artifacts()
    provider, libs = _core(chain, code)
    market = housed(chain, code, deployment, (provider, libs), ("Pool", "PoolConfigurator"))
    _list(chain, code, market)
    _modes(chain, market)
    market = replace(market, tokens=tuple(listed(chain, market.pool, t) for t in deployment.tokens))
    lend(chain, market)
    return market


def housed(
    chain: Chain,
    code: Mapping[str, Artifact],
    deployment: Deployment,
    stands: tuple[str, Mapping[str, str]],
    names: tuple[str, str],
) -> Deployment:
    """The deployment with the oracle, pool and configurator of another release in its provider; none is listed yet.

    ``stands``: that provider and the release's libraries; ``names``: its artifacts of pool and configurator.
    """
    (provider, libs), me, tokens = stands, chain.accounts[0], deployment.tokens
    oracle = chain.deploy(
        code["AaveOracle"], provider, [t.address for t in tokens], [t.feed for t in tokens], ZERO, ZERO, USD
    )
    chain.send(me, provider, "setPriceOracle(address)", oracle)
    chain.send(me, provider, "setPoolImpl(address)", chain.deploy(code[names[0]], provider, libs=libs))
    settings = chain.deploy(code[names[1]], libs=libs)
    chain.send(me, provider, "setPoolConfiguratorImpl(address)", settings)
    # only now: its constructor needs the provider to know the pool
    data_provider = chain.deploy(code["AaveProtocolDataProvider"], provider)
    chain.send(me, provider, "setPoolDataProvider(address)", data_provider)
    return replace(
        deployment,
        provider=provider,
        pool=chain.call(provider, "getPool()(address)"),
        configurator=chain.call(provider, "getPoolConfigurator()(address)"),
        oracle=oracle,
        data_provider=data_provider,
        acl=chain.call(provider, "getACLManager()(address)"),
    )


def _core(chain: Chain, code: Mapping[str, Artifact]) -> tuple[str, dict[str, str]]:
    """(provider with its ACL, libraries by name)."""
    libs: dict[str, str] = {}
    for name in LIBRARIES:
        libs[name] = chain.deploy(code[name], libs=libs)
    return ruled(chain, code, "Keeper test market 3.0"), libs


def ruled(chain: Chain, code: Mapping[str, Artifact], name: str) -> str:
    """A provider with its ACL manager; the deployer has every role."""
    me = chain.accounts[0]
    provider = chain.deploy(code["PoolAddressesProvider"], name, me)
    chain.send(me, provider, "setACLAdmin(address)", me)
    acl = chain.deploy(code["ACLManager"], provider)
    chain.send(me, provider, "setACLManager(address)", acl)
    for role in ("addPoolAdmin", "addEmergencyAdmin", "addRiskAdmin", "addAssetListingAdmin"):
        chain.send(me, acl, f"{role}(address)", me)
    return provider


def _list(chain: Chain, code: Mapping[str, Artifact], market: Deployment) -> None:
    me = chain.accounts[0]
    made = [chain.deploy(code[n], market.pool) for n in ("AToken", "StableDebtToken", "VariableDebtToken")]
    inputs = [_input(chain, code, market, r, made) for r in RESERVES]
    fields = "address,address,address,uint8,address,address,address,address" + ",string" * 6 + ",bytes"
    chain.send(me, market.configurator, f"initReserves(({fields})[])", inputs)
    for r in RESERVES:
        for signature, values in switches(r):
            chain.send(me, market.configurator, signature, market.token(r.symbol).address, *values)
    for symbol in STABLE_RATES:
        signature, token = "setReserveStableRateBorrowing(address,bool)", market.token(symbol).address
        chain.send(me, market.configurator, signature, token, True)


def _input(
    chain: Chain, code: Mapping[str, Artifact], market: Deployment, r: ReserveSettings, made: list[str]
) -> tuple[object, ...]:
    """InitReserveInput of one reserve, its rate strategy deployed."""
    rates = [b * BPS_RAY for b in (*r.rates_bps, *STABLE_BPS)]
    strategy = chain.deploy(code["DefaultReserveInterestRateStrategy"], market.provider, *rates)
    s, token = r.symbol, market.token(r.symbol).address
    names = (f"Spark {s}", f"sp{s}", f"Spark debt {s}", f"vd{s}", f"Spark stable debt {s}", f"sd{s}")
    return (*made, r.decimals, strategy, token, market.roles.treasury, ZERO, *names, b"\x10")


def switches(r: ReserveSettings) -> list[tuple[str, tuple[object, ...]]]:
    """What the configurator is told of a reserve: a new one starts with everything off and without caps."""
    out: list[tuple[str, tuple[object, ...]]] = [
        ("setReserveBorrowing(address,bool)", (True,)),
        (
            "configureReserveAsCollateral(address,uint256,uint256,uint256)",
            (r.ltv_bps, r.threshold_bps, r.bonus_bps),
        ),
        ("setReserveFactor(address,uint256)", (r.reserve_factor_bps,)),
        ("setReserveFlashLoaning(address,bool)", (True,)),
        ("setLiquidationProtocolFee(address,uint256)", (r.protocol_fee_bps,)),
    ]
    if r.symbol == ISOLATED:
        out.append(("setDebtCeiling(address,uint256)", (CEILING_USD * 100,)))
    if r.symbol in BORROWABLE_IN_ISOLATION:
        out.append(("setBorrowableInIsolation(address,bool)", (True,)))
    return out


def _modes(chain: Chain, market: Deployment) -> None:
    me = chain.accounts[0]
    for mode in EMODES:
        chain.send(
            me,
            market.configurator,
            "setEModeCategory(uint8,uint16,uint16,uint16,address,string)",
            mode.id,
            mode.ltv_bps,
            mode.threshold_bps,
            mode.bonus_bps,
            ZERO,
            mode.label,
        )
        # here a category holds both sides
        for symbol in dict.fromkeys((*mode.collateral, *mode.borrowable)):
            token = market.token(symbol).address
            chain.send(me, market.configurator, "setAssetEModeCategory(address,uint8)", token, mode.id)


def listed(chain: Chain, pool: str, token: DeployedToken) -> DeployedToken:
    """The token with what that pool calls its aToken and its variable debt."""
    words = ",".join(["uint256"] * 7 + ["uint16"] + ["address"] * 4 + ["uint256"] * 3)
    data = chain.call(pool, f"getReserveData(address)({words})", token.address)
    return replace(token, a_token=data[8], debt_token=data[10])


def lend(chain: Chain, market: Deployment) -> None:
    """The lender supplies so many dollars of each token."""
    me, lender = chain.accounts[0], market.roles.lender
    for token in market.tokens:
        units = LENT_USD * USD * token.unit // chain.call(token.feed, "latestAnswer()(int256)")
        chain.send(me, token.address, "mint(address,uint256)", lender, units)
        chain.send(lender, token.address, "approve(address,uint256)", market.pool, 2**256 - 1)
        supply = "supply(address,uint256,address,uint16)"
        chain.send(lender, market.pool, supply, token.address, units, lender, 0)
