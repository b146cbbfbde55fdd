"""A borrower with an empty wallet, his Executor with a finite grant, and a bot: on the real market."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, replace
from typing import Any

from anvil.actors import Actors, Borrower
from anvil.client import Chain
from anvil.compile import Artifact
from anvil.deploy_executor import (
    COLLATERAL,
    DEBT,
    DELEVERAGE,
    TERMS,
    UNISWAP_V3_SWAP,
    ChainVenues,
    Order,
    Terms,
    deploy_executor,
    pool_position,
    set_assets,
    set_position,
)
from anvil.deployment import Deployment
from anvil.shock import set_prices

WAD = 10**18
CAP = 2**100
FULL_SHARE_BPS = 10_000
EXACT_INPUT_SINGLE = "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))"


class ExecutorStage:
    """Owner, bot and guardian of one Executor; ``market`` is the real Aave v3.6 and Uniswap v3."""

    def __init__(
        self,
        chain: Chain,
        market: Deployment,
        *,
        owner: str | None = None,
        venues: ChainVenues | None = None,
        artifact: Artifact | None = None,
    ) -> None:
        self.chain, self.market = chain, market
        self.actors = Actors(chain, market)
        self.owner = owner or market.roles.actors[0]
        self.bot, self.guardian, self.stranger = market.roles.actors[1:4]
        self.venues = venues or ChainVenues(
            aave_v3_pool=market.pool, uniswap_v3_factory=market.uniswap.factory
        )
        self.executor = self.deployed(artifact)
        self.position = pool_position(market.pool)
        self.collateral, self.debt = "WETH", "USDC"

    def deployed(self, artifact: Artifact | None) -> str:
        """The owner's Executor, put on the chain by himself."""
        return deploy_executor(self.chain, self.owner, self.venues, artifact)

    def terms(self, **changes: int) -> Terms:
        """Terms for ETH against dollars, good for thirty days."""
        plain = Terms(expiry_s=self.now_s() + 30 * 86_400)
        return replace(plain, **changes)

    def now_s(self) -> int:
        """Time of the head."""
        return self.chain.block().timestamp_s

    def configure(
        self,
        terms: Terms | None = None,
        *,
        collateral: str = "WETH",
        debt: str = "USDC",
        sell_cap: int = CAP,
        fund_cap: int = CAP,
    ) -> None:
        """Everything the owner sets, inside the hour after deployment."""
        self.collateral, self.debt = collateral, debt
        set_position(self.chain, self.owner, self.executor, self.position, terms or self.terms())
        rows = (
            (self.token(collateral), COLLATERAL, sell_cap, fund_cap),
            (self.token(debt), DEBT, 0, fund_cap),
        )
        set_assets(self.chain, self.owner, self.executor, self.position, rows)
        self.by_owner("setBot(address,uint16,uint40)", self.bot, FULL_SHARE_BPS, 2**40 - 1)
        self.by_owner("setGuardian(address)", self.guardian)

    def open(self, collateral: Mapping[str, int], debt: Mapping[str, int], *, emode: int = 0) -> None:
        """The position; what was borrowed is spent, so the wallet is empty."""
        self.actors.open(Borrower(account=self.owner, collateral=collateral, debt=debt, emode=emode))
        for symbol, units in debt.items():
            token = self.token(symbol)
            self.chain.send(self.owner, token, "transfer(address,uint256)", self.stranger, units)

    def grant(self, symbol: str, units: int) -> None:
        """The owner's finite aToken allowance."""
        a_token = self.market.token(symbol).a_token
        self.chain.send(self.owner, a_token, "approve(address,uint256)", self.executor, units)

    def by_owner(self, signature: str, *arguments: object) -> dict[str, Any]:
        """A call of the owner's to the Executor."""
        return self.chain.send(self.owner, self.executor, signature, *arguments)

    def token(self, symbol: str) -> str:
        """Its address."""
        return self.market.token(symbol).address

    def seq(self) -> int:
        """The number that the next action must carry."""
        answer = self.chain.call(self.executor, f"positionOf(bytes32)({TERMS})", self.position)
        return int(answer[10])

    def order(self, repay: int, sell_max: int, source: int = UNISWAP_V3_SWAP, **fields: Any) -> Order:
        """An order with the right seq and a deadline of two minutes."""
        plain = Order(
            position=self.position,
            seq=self.seq(),
            deadline_s=self.now_s() + 120,
            collateral=self.token(self.collateral),
            debt=self.token(self.debt),
            repay=repay,
            sell_max=sell_max,
            source=source,
            swap_fee=500,
        )
        return replace(plain, **fields)

    def deleverage(self, order: Order, *, sender: str | None = None) -> dict[str, Any]:
        """The receipt. Raises Reverted."""
        return self.chain.send(sender or self.bot, self.executor, DELEVERAGE, astuple(order))

    def health(self) -> int:
        """The protocol's own, wad."""
        return self.actors.account(self.owner).health_wad

    def crash(self, prices_usd: Mapping[str, int]) -> None:
        """Feeds fall, and traders bring the pools of these tokens against USDC to the same price."""
        set_prices(self.chain, self.market, {s: usd * 10**8 for s, usd in prices_usd.items()})
        for symbol, usd in prices_usd.items():
            for pool in self.market.uniswap.pools:
                if set(pool.symbols) == {symbol, "USDC"}:
                    self.trade_to(symbol, "USDC", pool.fee, usd)

    def trade_to(self, sell: str, buy: str, fee: int, price: float) -> None:
        """A stranger sells (or buys back) until the pool's price of ``sell`` in ``buy`` is ``price``."""
        a, b = self.market.token(sell), self.market.token(buy)
        first = int(a.address, 16) < int(b.address, 16)
        ratio = price * b.unit / a.unit
        limit = int((ratio if first else 1 / ratio) ** 0.5 * 2**96)
        pool = next(
            p.address for p in self.market.uniswap.pools if set(p.symbols) == {sell, buy} and p.fee == fee
        )
        now = self.chain.call(pool, "slot0()(uint160,int24,uint16,uint16,uint16,uint8,bool)")[0]
        token = a if (now > limit) == first else b
        other = b if token is a else a
        units = 10**12 * token.unit
        self.actors.mint(token.symbol, self.stranger, units)
        router = self.market.uniswap.router
        self.chain.send(self.stranger, token.address, "approve(address,uint256)", router, units)
        self.chain.send(
            self.stranger, router, EXACT_INPUT_SINGLE,
            (token.address, other.address, fee, self.stranger, 2**40, units, 0, limit),
        )  # fmt: skip

    def leftovers(self) -> dict[str, int]:
        """What the Executor holds of each token and aToken, and what it allows pool and routers: all nothing."""
        spenders = (self.market.pool, self.market.uniswap.router)
        found = {}
        for token in self.market.tokens:
            for name, address in ((token.symbol, token.address), (f"a{token.symbol}", token.a_token)):
                found[name] = self.chain.call(address, "balanceOf(address)(uint256)", self.executor)
                for spender in spenders:
                    allowed = self.chain.call(
                        address, "allowance(address,address)(uint256)", self.executor, spender
                    )
                    found[f"{name} to {spender}"] = allowed
        return {name: units for name, units in found.items() if units}
