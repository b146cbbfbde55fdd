"""The real Aave v3.6 market (POOL_REVISION 10): libraries, proxies, five reserves, two e-modes.

The order matters in three places: libraries before what links them, the ACL admin before the ACL manager,
the pool proxy before the data provider (its constructor asks for the pool).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eth_abi.abi import encode

from anvil.client import Chain
from anvil.compile import Artifact, own_artifact
from anvil.deployment import DeployedToken

ZERO = "0x" + "00" * 20
USD = 10**8
"""Aave's base currency unit, and the decimals of every feed here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveSettings:
    """One reserve, in Aave's own units: basis points, and 8-decimal dollars."""

    symbol: str
    name: str
    decimals: int
    price_usd8: int
    ltv_bps: int
    threshold_bps: int
    bonus_bps: int
    """10500 pays the liquidator 5 % above the debt's value."""
    reserve_factor_bps: int
    rates_bps: tuple[int, int, int, int]
    """Optimal usage, base rate, slope below it, slope above it."""
    protocol_fee_bps: int = 1_000
    """Share of the bonus that goes to the treasury."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EModeSettings:
    """One e-mode category."""

    id: int
    label: str
    ltv_bps: int
    threshold_bps: int
    bonus_bps: int
    collateral: tuple[str, ...]
    borrowable: tuple[str, ...]


RESERVES = (
    ReserveSettings(
        symbol="WETH", name="Wrapped Ether", decimals=18, price_usd8=3_000 * USD, ltv_bps=8_050,
        threshold_bps=8_300, bonus_bps=10_500, reserve_factor_bps=1_500, rates_bps=(9_200, 0, 270, 4_000),
    ),
    ReserveSettings(
        symbol="WBTC", name="Wrapped BTC", decimals=8, price_usd8=90_000 * USD, ltv_bps=7_300,
        threshold_bps=7_800, bonus_bps=10_500, reserve_factor_bps=2_000, rates_bps=(8_000, 0, 400, 30_000),
    ),
    ReserveSettings(
        symbol="wstETH", name="Wrapped staked Ether", decimals=18, price_usd8=3_600 * USD, ltv_bps=7_850,
        threshold_bps=8_100, bonus_bps=10_600, reserve_factor_bps=3_500, rates_bps=(8_000, 0, 90, 8_500),
    ),
    ReserveSettings(
        symbol="USDC", name="USD Coin", decimals=6, price_usd8=USD, ltv_bps=7_500,
        threshold_bps=7_800, bonus_bps=10_450, reserve_factor_bps=1_000, rates_bps=(9_200, 0, 550, 4_000),
    ),
    ReserveSettings(
        symbol="DAI", name="Dai Stablecoin", decimals=18, price_usd8=USD, ltv_bps=6_300,
        threshold_bps=7_700, bonus_bps=10_500, reserve_factor_bps=2_500, rates_bps=(9_200, 0, 550, 4_000),
    ),
)  # fmt: skip
"""Of the order of the protocol's main market; prices are round so that results can be checked by hand."""

EMODES = (
    EModeSettings(
        id=1, label="Stablecoins", ltv_bps=9_300, threshold_bps=9_500, bonus_bps=10_100,
        collateral=("USDC", "DAI"), borrowable=("USDC", "DAI"),
    ),
    EModeSettings(
        id=2, label="ETH correlated", ltv_bps=9_300, threshold_bps=9_500, bonus_bps=10_100,
        collateral=("wstETH",), borrowable=("WETH",),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AaveMarket:
    """Addresses of the deployed market."""

    provider: str
    pool: str
    configurator: str
    oracle: str
    data_provider: str
    acl: str
    tokens: tuple[DeployedToken, ...]


@dataclass(frozen=True, slots=True)
class _Core:
    provider: str
    strategy: str
    pool: str
    configurator: str
    acl: str


def deploy_aave_v3(chain: Chain, code: Mapping[str, Artifact], treasury: str) -> AaveMarket:
    """Deploy from the first account, which stays owner of tokens and market."""
    chain.learn(code["Errors"])
    assets = {r.symbol: _deploy_asset(chain, code, r) for r in RESERVES}
    core = _deploy_core(chain, code)
    oracle = _deploy_oracle(chain, code, core.provider, assets)
    me = chain.accounts[0]
    # only now: its constructor needs the provider to know the pool
    data_provider = chain.deploy(code["AaveProtocolDataProvider"], core.provider)
    chain.send(me, core.provider, "setPoolDataProvider(address)", data_provider)
    _list_reserves(chain, code, core, assets, treasury)
    for mode in EMODES:
        set_emode(chain, core.configurator, mode, assets)
    return AaveMarket(
        provider=core.provider,
        pool=core.pool,
        configurator=core.configurator,
        oracle=oracle,
        data_provider=data_provider,
        acl=core.acl,
        tokens=tuple(_listed(chain, core.pool, r, *assets[r.symbol]) for r in RESERVES),
    )


def _deploy_asset(chain: Chain, code: Mapping[str, Artifact], reserve: ReserveSettings) -> tuple[str, str]:
    """(token, feed) of one asset; the deployer may mint."""
    me = chain.accounts[0]
    if reserve.symbol == "WETH":
        token = chain.deploy(code["WETH9Mock"], reserve.name, reserve.symbol, me)
    else:
        token = chain.deploy(code["TestnetERC20"], reserve.name, reserve.symbol, reserve.decimals, me)
    feed = chain.deploy(own_artifact("PriceFeed"), 8, reserve.price_usd8, f"{reserve.symbol} / USD")
    return token, feed


def _deploy_core(chain: Chain, code: Mapping[str, Artifact]) -> _Core:
    me = chain.accounts[0]
    libs: dict[str, str] = {}
    # FlashLoanLogic links BorrowLogic, so it comes last
    for name in (
        "BorrowLogic",
        "LiquidationLogic",
        "PoolLogic",
        "SupplyLogic",
        "ConfiguratorLogic",
        "FlashLoanLogic",
    ):
        libs[name] = chain.deploy(code[name], libs=libs)
    provider = chain.deploy(code["PoolAddressesProvider"], "Keeper test market", me)
    strategy = chain.deploy(code["DefaultReserveInterestRateStrategyV2"], provider)
    chain.send(me, provider, "setACLAdmin(address)", me)
    acl = chain.deploy(code["ACLManager"], provider)
    chain.send(me, provider, "setACLManager(address)", acl)
    for role in ("addPoolAdmin", "addEmergencyAdmin", "addRiskAdmin", "addAssetListingAdmin"):
        chain.send(me, acl, f"{role}(address)", me)
    pool = chain.deploy(code["PoolInstance"], provider, strategy, libs=libs)
    chain.send(me, provider, "setPoolImpl(address)", pool)
    configurator = chain.deploy(code["PoolConfiguratorInstance"], libs=libs)
    chain.send(me, provider, "setPoolConfiguratorImpl(address)", configurator)
    return _Core(
        provider=provider,
        strategy=strategy,
        pool=chain.call(provider, "getPool()(address)"),
        configurator=chain.call(provider, "getPoolConfigurator()(address)"),
        acl=acl,
    )


def _deploy_oracle(
    chain: Chain, code: Mapping[str, Artifact], provider: str, assets: Mapping[str, tuple[str, str]]
) -> str:
    tokens, feeds = zip(*assets.values(), strict=True)
    # base currency 0x0 with unit 1e8 is Aave's way to say US dollars
    oracle = chain.deploy(code["AaveOracle"], provider, tokens, feeds, ZERO, ZERO, USD)
    chain.send(chain.accounts[0], provider, "setPriceOracle(address)", oracle)
    return oracle


def _list_reserves(
    chain: Chain,
    code: Mapping[str, Artifact],
    core: _Core,
    assets: Mapping[str, tuple[str, str]],
    treasury: str,
) -> None:
    me = chain.accounts[0]
    a_token = chain.deploy(code["ATokenInstance"], core.pool, ZERO, treasury)
    debt_token = chain.deploy(code["VariableDebtTokenInstance"], core.pool, ZERO)
    inputs = [
        (
            a_token, debt_token, assets[r.symbol][0], f"Aave {r.symbol}", f"a{r.symbol}",
            f"Aave variable debt {r.symbol}", f"variableDebt{r.symbol}", b"",
            encode(("uint16", "uint32", "uint32", "uint32"), r.rates_bps),
        )
        for r in RESERVES
    ]  # fmt: skip
    chain.send(
        me,
        core.configurator,
        "initReserves((address,address,address,string,string,string,string,bytes,bytes)[])",
        inputs,
    )
    for r in RESERVES:
        token = assets[r.symbol][0]
        # a new reserve starts with everything off and without caps
        for signature, values in (
            ("setReserveBorrowing(address,bool)", (True,)),
            ("configureReserveAsCollateral(address,uint256,uint256,uint256)",
             (r.ltv_bps, r.threshold_bps, r.bonus_bps)),
            ("setReserveFactor(address,uint256)", (r.reserve_factor_bps,)),
            ("setReserveFlashLoaning(address,bool)", (True,)),
            ("setLiquidationProtocolFee(address,uint256)", (r.protocol_fee_bps,)),
        ):  # fmt: skip
            chain.send(me, core.configurator, signature, token, *values)
    chain.send(me, core.configurator, "updateFlashloanPremium(uint128)", 5)


def set_emode(
    chain: Chain, configurator: str, mode: EModeSettings, assets: Mapping[str, tuple[str, str]]
) -> None:
    """One liquid e-mode over ``assets``: (token, feed) by symbol."""
    me = chain.accounts[0]
    chain.send(
        me, configurator, "setEModeCategory(uint8,uint16,uint16,uint16,string)",
        mode.id, mode.ltv_bps, mode.threshold_bps, mode.bonus_bps, mode.label,
    )  # fmt: skip
    for switch, symbols in (
        ("setAssetCollateralInEMode(address,uint8,bool)", mode.collateral),
        ("setAssetBorrowableInEMode(address,uint8,bool)", mode.borrowable),
    ):
        for symbol in symbols:
            chain.send(me, configurator, switch, assets[symbol][0], mode.id, True)


def _listed(chain: Chain, pool: str, reserve: ReserveSettings, token: str, feed: str) -> DeployedToken:
    return DeployedToken(
        symbol=reserve.symbol,
        address=token,
        decimals=reserve.decimals,
        feed=feed,
        a_token=chain.call(pool, "getReserveAToken(address)(address)", token),
        debt_token=chain.call(pool, "getReserveVariableDebtToken(address)(address)", token),
    )
