"""A Compound v3 market of our own making: the double at the level of Comet's interface, tokens and feeds.

No package carries Comet, so nothing of the protocol's is here; the read path is held against answers of the
real contract elsewhere (tests/vectors), this stands for the way in which a keeper writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from anvil.client import Chain
from anvil.compile import own_artifact
from anvil.deploy_multicall3 import deploy_multicall3
from anvil.deployment import Deployment

FACTOR = 10**18
USD = 10**8
PER_YEAR = 31_536_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetSettings:
    """One asset: factors in per cent, price in 8-decimal dollars."""

    symbol: str
    decimals: int
    price_usd8: int
    borrow_pct: int = 0
    liquidate_pct: int = 0
    liquidation_pct: int = 0
    cap: int = 0
    """Whole tokens."""


BASE = AssetSettings(symbol="USDC", decimals=6, price_usd8=USD)
ASSETS = (
    AssetSettings(
        symbol="WETH", decimals=18, price_usd8=3_000 * USD, borrow_pct=83, liquidate_pct=90,
        liquidation_pct=95, cap=500_000,
    ),
    AssetSettings(
        symbol="WBTC", decimals=8, price_usd8=90_000 * USD, borrow_pct=80, liquidate_pct=85,
        liquidation_pct=95, cap=20_000,
    ),
    AssetSettings(
        symbol="LINK", decimals=18, price_usd8=15 * USD, borrow_pct=73, liquidate_pct=79,
        liquidation_pct=93, cap=5_000_000,
    ),
    AssetSettings(
        symbol="UNI", decimals=18, price_usd8=8 * USD, borrow_pct=68, liquidate_pct=74,
        liquidation_pct=93, cap=5_000_000,
    ),
)  # fmt: skip
"""Of the order of the protocol's main market."""
CURVES = tuple(
    per_year * FACTOR // 10_000 // PER_YEAR if at % 4 != 3 else per_year * FACTOR // 10_000
    for at, per_year in enumerate((0, 390, 36_000, 8_500, 150, 333, 54_000, 8_500))
)
"""Base, slope low, slope high, kink in bps a year; lenders first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CometToken:
    """One asset as it was deployed."""

    symbol: str
    address: str
    decimals: int
    feed: str

    @property
    def unit(self) -> int:
        """Smallest units in one whole token."""
        return int(10**self.decimals)


@dataclass(frozen=True, slots=True, kw_only=True)
class CometMarket:
    """What stands where."""

    chain_id: int
    multicall: str
    comet: str
    base: CometToken
    assets: tuple[CometToken, ...]

    def token(self, symbol: str) -> CometToken:
        """The base or a collateral."""
        return next(t for t in (self.base, *self.assets) if t.symbol == symbol)


def deploy_compound_v3(chain: Chain, *, cash: int = 100_000_000) -> CometMarket:
    """The whole market, with ``cash`` whole units of the base lent to it by the first account."""
    found = [_token(chain, s) for s in (BASE, *ASSETS)]
    return _deployed(chain, found, deploy_multicall3(chain), cash)


def deploy_compound_v3_on(chain: Chain, deployment: Deployment, *, cash: int = 100_000_000) -> CometMarket:
    """The same on the tokens and feeds of another market, so that there are pools to sell in; WETH and WBTC."""
    found = [
        CometToken(symbol=s, address=t.address, decimals=t.decimals, feed=t.feed)
        for s in ("USDC", "WETH", "WBTC")
        for t in (deployment.token(s),)
    ]
    return _deployed(chain, found, deployment.multicall, cash)


def _deployed(chain: Chain, found: list[CometToken], multicall: str, cash: int) -> CometMarket:
    infos = [
        (
            0,
            token.address,
            token.feed,
            token.unit,
            s.borrow_pct * FACTOR // 100,
            s.liquidate_pct * FACTOR // 100,
            s.liquidation_pct * FACTOR // 100,
            s.cap * token.unit,
        )
        for token, s in zip(found[1:], ASSETS, strict=False)
    ]
    base = found[0]
    comet = chain.deploy(own_artifact("CometDouble"), base.address, base.feed, base.unit, CURVES, infos)
    market = CometMarket(
        chain_id=int(chain.rpc("eth_chainId"), 16),
        multicall=multicall,
        comet=comet,
        base=base,
        assets=tuple(found[1:]),
    )
    supply(chain, market, chain.accounts[0], base.symbol, cash * base.unit)
    return market


def supply(chain: Chain, market: CometMarket, account: str, symbol: str, units: int) -> None:
    """Mint to the first account, and pay it into ``account``'s position."""
    payer, token = chain.accounts[0], market.token(symbol)
    chain.send(payer, token.address, "mint(address,uint256)", payer, units)
    chain.send(payer, token.address, "approve(address,uint256)", market.comet, units)
    chain.send(payer, market.comet, "supplyTo(address,address,uint256)", account, token.address, units)


def set_price(chain: Chain, token: CometToken, price_usd8: int) -> None:
    """A new round of the token's feed."""
    chain.send(chain.accounts[0], token.feed, "set(int256)", price_usd8)


def _token(chain: Chain, settings: AssetSettings) -> CometToken:
    address = chain.deploy(own_artifact("TokenDouble"), settings.symbol, settings.decimals)
    feed = chain.deploy(own_artifact("PriceFeed"), 8, settings.price_usd8, f"{settings.symbol} / USD")
    return CometToken(symbol=settings.symbol, address=address, decimals=settings.decimals, feed=feed)
