"""The real Morpho Blue with its adaptive interest curve beside the Aave market, on the same tokens and feeds."""

from __future__ import annotations

from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from anvil.client import Chain
from anvil.compile import compile_morpho
from anvil.deploy_aave_v3 import USD
from anvil.deployment import Deployment

PARAMS = "(address,address,address,address,uint256)"
LENT_USD = 20_000_000
"""What the lender supplies to each market."""
FEE_WAD = 10**17
"""Lenders pay a tenth of interest: the shares that a fee mints show in every accrual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MorphoMarket:
    """One market, and what its oracle stands for."""

    id: str
    loan: str
    """Symbols of the deployment's tokens."""
    collateral: str
    oracle: str
    lltv_wad: int
    params: tuple[str, str, str, str, int]
    """MarketParams as the contract takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MorphoSite:
    """Where everything of Morpho stands."""

    morpho: str
    irm: str
    markets: tuple[MorphoMarket, ...]

    def market(self, collateral: str, loan: str) -> MorphoMarket:
        """The market of two symbols."""
        return next(m for m in self.markets if (m.collateral, m.loan) == (collateral, loan))


PAIRS = (("WETH", "USDC", 86), ("wstETH", "WETH", 94), ("WBTC", "DAI", 77))
"""(collateral, loan, LLTV in per cent): 18 on 6 decimals, 18 on 18 at a high line, 8 on 18 at a low one."""


def deploy_morpho(chain: Chain, deployment: Deployment) -> MorphoSite:
    """Deploy from the first account, which stays owner; every market gets an oracle of its own and a lender."""
    code, me = compile_morpho(), chain.accounts[0]
    morpho = chain.deploy(code["Morpho"], me)
    irm = chain.deploy(code["AdaptiveCurveIrm"], morpho)
    chain.send(me, morpho, "enableIrm(address)", irm)
    chain.send(me, morpho, "setFeeRecipient(address)", deployment.roles.treasury)
    markets = []
    for collateral, loan, lltv_pct in PAIRS:
        lltv_wad = lltv_pct * 10**16
        chain.send(me, morpho, "enableLltv(uint256)", lltv_wad)
        oracle = chain.deploy(code["OracleMock"])
        market = _market(deployment, (collateral, loan), oracle, irm, lltv_wad)
        set_price(chain, market, usual_price(chain, deployment, market))
        chain.send(me, morpho, f"createMarket({PARAMS})", market.params)
        chain.send(me, morpho, f"setFee({PARAMS},uint256)", market.params, FEE_WAD)
        _lend(chain, deployment, morpho, market)
        markets.append(market)
    return MorphoSite(morpho=morpho, irm=irm, markets=tuple(markets))


def _market(
    deployment: Deployment, pair: tuple[str, str], oracle: str, irm: str, lltv_wad: int
) -> MorphoMarket:
    collateral, loan = pair
    params = (deployment.token(loan).address, deployment.token(collateral).address, oracle, irm, lltv_wad)
    body = encode(["address", "address", "address", "address", "uint256"], params)
    return MorphoMarket(
        id=f"0x{keccak(body).hex()}",
        loan=loan,
        collateral=collateral,
        oracle=oracle,
        lltv_wad=lltv_wad,
        params=params,
    )


def _lend(chain: Chain, deployment: Deployment, morpho: str, market: MorphoMarket) -> None:
    """The lender's cash; he approves everything, as does nobody else."""
    me, lender, token = chain.accounts[0], deployment.roles.lender, deployment.token(market.loan)
    units = LENT_USD * USD * token.unit // chain.call(token.feed, "latestAnswer()(int256)")
    # as much again stays in the lender's wallet, for whoever repays or liquidates
    chain.send(me, token.address, "mint(address,uint256)", lender, 2 * units)
    chain.send(lender, token.address, "approve(address,uint256)", morpho, 2**256 - 1)
    chain.send(
        lender,
        morpho,
        f"supply({PARAMS},uint256,uint256,address,bytes)",
        market.params,
        units,
        0,
        lender,
        b"",
    )


def usual_price(chain: Chain, deployment: Deployment, market: MorphoMarket) -> int:
    """The oracle's price by the market's two dollar feeds: loan units per collateral unit times 1e36."""
    given, owed = deployment.token(market.collateral), deployment.token(market.loan)
    dollars = [chain.call(t.feed, "latestAnswer()(int256)") for t in (given, owed)]
    return int(dollars[0] * owed.unit * 10**36 // (dollars[1] * given.unit))


def set_price(chain: Chain, market: MorphoMarket, price: int) -> None:
    """A new answer of the market's oracle."""
    chain.send(chain.accounts[0], market.oracle, "setPrice(uint256)", price)


def open_loan(
    chain: Chain, deployment: Deployment, site: MorphoSite, market: MorphoMarket, loan: tuple[str, int, int]
) -> None:
    """(account, collateral units, loan units): the account, unlocked, pledges and borrows."""
    account, given, owed = loan
    token = deployment.token(market.collateral).address
    chain.send(chain.accounts[0], token, "mint(address,uint256)", account, given)
    chain.send(account, token, "approve(address,uint256)", site.morpho, given)
    pledge = f"supplyCollateral({PARAMS},uint256,address,bytes)"
    chain.send(account, site.morpho, pledge, market.params, given, account, b"")
    if owed:
        borrow = f"borrow({PARAMS},uint256,uint256,address,address)"
        chain.send(account, site.morpho, borrow, market.params, owed, 0, account, account)
