"""Three lines of Aave v3 and Morpho Blue (real), Compound v3 and Maker (doubles) on one chain, each an Executor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anvil.client import Chain
from anvil.compile import Artifact, own_artifact
from anvil.deploy_compound_v3 import CometMarket, supply
from anvil.deploy_executor import ChainVenues, Terms
from anvil.deploy_maker import VaultSystem, deploy_maker_executor, open_vault, proxy_of, set_delayed
from anvil.deploy_morpho import MorphoMarket, MorphoSite, open_loan, set_price
from anvil.deployment import Deployment
from anvil.shock import set_prices
from keeper.config import VenueSettings
from keeper.executor.desk import Desk
from keeper.executor.load import Place, Wanted, load
from keeper.executor.seat import Seat, Seated
from keeper.model import Call, Position, Snapshot
from keeper.snapshot import GatherRequest, gather
from keeper.venues.cushion import Cushioned
from tests.executor_stage import CAP, ExecutorStage
from tests.morpho_stage import settings as morpho_settings
from tests.venue_stage import VenueReader

ARTIFACTS = {
    "aave_v3": "AaveV3Executor",
    "aave_v3_0": "AaveV3Executor",
    "aave_v3_2": "AaveV3Executor",
    "morpho_blue": "MorphoBlueExecutor",
    "compound_v3": "CompoundV3Executor",
    "maker": "MakerExecutor",
}
AAVE = {"aave_v3": "aave", "aave_v3_0": "spark", "aave_v3_2": "middle"}
"""Lines of Aave v3, one kind to the daemon, each with a name for its venue."""
OWES = {"maker": "DAI"}
"""What is lent where it is not USDC."""
DAI_PER_USDC = 10**12
GRANT = 10**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What stands on the chain."""

    chain: Chain
    deployment: Deployment
    morpho: MorphoSite
    comet: CometMarket
    maker: VaultSystem | None = None
    spark: Deployment | None = None
    """The deployment with the market of Aave v3.0 in place of its own."""
    middle: Deployment | None = None
    """The same with that of v3.2."""

    def market(self, kind: str) -> Deployment:
        """Where tokens, feeds and Uniswap are, with the Aave market of that kind."""
        own = {"aave_v3_0": self.spark, "aave_v3_2": self.middle}
        if kind not in own:
            return self.deployment
        market = own[kind]
        assert market is not None
        return market

    @property
    def ether(self) -> MorphoMarket:
        """The Morpho market of WETH against USDC."""
        return self.morpho.market("WETH", "USDC")

    @property
    def vaults(self) -> VaultSystem:
        """The vault system, which not every test has."""
        assert self.maker is not None
        return self.maker

    def settings(self, kind: str) -> VenueSettings:
        """The venue as a configuration names it; of Maker without any vault."""
        if kind == "morpho_blue":
            return morpho_settings(self.deployment, self.morpho, self.ether)
        if kind in AAVE:
            market = self.market(kind)
            return VenueSettings(name=AAVE[kind], kind="aave_v3", chain="local", provider=market.provider)
        if kind == "maker":
            at = self.vaults
            return VenueSettings(name="vaults", kind=kind, chain="local", provider=at.chainlog, market=at.ilk)
        return VenueSettings(name="comet", kind=kind, chain="local", provider=self.comet.comet)

    def oracles(self, usd: float) -> None:
        """WETH at so many dollars for every protocol; the pools stay where they are."""
        set_prices(self.chain, self.deployment, {"WETH": int(usd * 10**8)})
        set_price(self.chain, self.ether, int(usd * 10**6) * 10**36 // 10**18)
        if self.maker is not None:
            wad = int(usd * 10**6) * 10**12
            set_delayed(self.chain, self.maker, wad, wad)


class VenueExecutor(ExecutorStage):
    """The owner of one position in one of the protocols, and his Executor there."""

    def __init__(self, ground: Ground, kind: str, owner: str, *, proxied: bool = False) -> None:
        self.ground, self.kind = ground, kind
        uniswap, market = ground.deployment.uniswap.factory, ground.market(kind)
        super().__init__(
            ground.chain,
            market,
            owner=owner,
            venues=ChainVenues(
                aave_v3_pool=market.pool if kind in AAVE else ChainVenues().aave_v3_pool,
                morpho_blue=ground.morpho.morpho,
                uniswap_v3_factory=uniswap,
            ),
            artifact=own_artifact(ARTIFACTS[kind]),
        )
        self.owes = OWES.get(kind, "USDC")
        self.settings, self.account = ground.settings(kind), owner
        if kind == "maker":
            self._open_vault(proxied)
        self.reader = VenueReader(ground.chain, self.settings, ground.deployment.multicall)
        assert isinstance(self.reader.venue, Seated)
        self.seat: Seat = self.reader.venue.seat(self.account)
        self.position = bytes.fromhex(self.seat.key[2:])

    def deployed(self, artifact: Artifact | None) -> str:
        """By the factory of its own where the Executor has one."""
        if self.kind != "maker":
            return super().deployed(artifact)
        return deploy_maker_executor(self.chain, self.ground.vaults, self.owner, self.venues)

    def _open_vault(self, proxied: bool) -> None:
        """An empty vault of the owner, or of a proxy of his; the bot has a proxy to pay in by."""
        at = self.ground.vaults
        holder = proxy_of(self.chain, self.owner) if proxied else self.owner
        number, self.account = open_vault(self.chain, at, holder, 0, 0)
        self.settings = VenueSettings(
            name="vaults",
            kind="maker",
            chain="local",
            provider=at.chainlog,
            market=at.ilk,
            vaults=(number,),
            proxy=proxy_of(self.chain, self.bot),
        )

    def configure(
        self,
        terms: Terms | None = None,
        *,
        collateral: str = "WETH",
        debt: str | None = None,
        sell_cap: int = CAP,
        fund_cap: int = CAP,
    ) -> None:
        """Everything the owner sets, in the token that is owed here."""
        super().configure(
            terms, collateral=collateral, debt=debt or self.owes, sell_cap=sell_cap, fund_cap=fund_cap
        )

    def borrow(self, weth: int, usdc: int) -> None:
        """Open the position and spend what was borrowed: the wallet is empty."""
        ground = self.ground
        if self.kind == "maker":
            self._fill(weth, usdc * DAI_PER_USDC)
            return
        if self.kind in AAVE:
            self.open({"WETH": weth}, {"USDC": usdc})
            return
        if self.kind == "morpho_blue":
            loan = (self.owner, weth, usdc)
            open_loan(ground.chain, ground.deployment, ground.morpho, ground.ether, loan)
        else:
            supply(ground.chain, ground.comet, self.owner, "WETH", weth)
            withdraw = "withdraw(address,uint256)"
            ground.chain.send(self.owner, ground.comet.comet, withdraw, self.token("USDC"), usdc)
        self.chain.send(self.owner, self.token("USDC"), "transfer(address,uint256)", self.stranger, usdc)

    def _fill(self, ink: int, dai: int) -> None:
        """Collateral through its adapter into the vault, and Dai drawn, which stays in the Vat."""
        at, number = self.ground.vaults, self.settings.vaults[0]
        self.actors.mint("WETH", at.gem_join, ink)
        _, rate, *_ = self.chain.call(
            at.vat, "ilks(bytes32)(uint256,uint256,uint256,uint256,uint256)", bytes.fromhex(at.ilk[2:])
        )
        fill = "fill(uint256,int256,int256)"
        self.chain.send(self.owner, at.manager, fill, number, ink, dai * 10**27 // rate)

    def authorise(self, allowed: bool = True) -> None:
        """The owner gives his grant, or takes it back; what the Executor must keep anybody gives."""
        if self.seat.permit is None:
            self.grant("WETH", GRANT if allowed else 0)
            if allowed:
                self.cushion("WETH", self.market.roles.lender)
            return
        call = self.seat.permit.given(self.executor, allowed)
        self.chain.send(self.owner, call.target, call.data)

    def cushion(self, symbol: str, giver: str) -> None:
        """What the venue says that the Executor must keep of an aToken, which most lines of Aave do not ask for."""
        if not isinstance(self.reader.venue, Cushioned):
            return
        for found in self.reader.venue.cushions(self.executor):
            if found.token.symbol == symbol:
                self.chain.send(giver, found.gives.target, found.gives.data)

    def now(self) -> Position:
        """The position as the venue reads it."""
        return self.reader.position(self.account)

    def health(self) -> int:
        """By the venue's own reading, which the states' tests hold against the contracts' verdicts."""
        return self.now().health_wad or 0

    def desk(self, router: str | None = None) -> Desk:
        """The Executor's desk as the daemon would load it."""
        venue = self.reader.venue
        wanted = Wanted(
            label="mine",
            id=venue.position_id(self.account),
            executor=self.executor,
            market=venue.spender,
            tokens=venue.tokens,
            seat=self.seat,
        )
        deployment = self.ground.deployment
        place = Place(
            bot=self.bot,
            multicall=deployment.multicall,
            quoter=deployment.uniswap.quoter,
            router=router,
            via=(),
        )
        desk, wrong = asyncio.run(load([wanted], place, self.reader.read(self.chain.block())))
        assert wrong == ()
        return desk

    def snapshot(self, desk: Desk, accounts: Sequence[str] = ()) -> Snapshot:
        """The newest block with the Executor's facts and prices."""
        block = self.chain.block()
        request = GatherRequest(
            chain_id=block.chain_id,
            block=block,
            venues=((self.reader.venue, (self.account, *accounts)),),
            multicall=self.ground.deployment.multicall,
            read=self.reader.read(block),
            wallet=self.bot,
            supplement=desk,
        )
        return asyncio.run(gather(request))[0]

    def sends(self, call: Call) -> dict[str, Any]:
        """The bot's transaction. Raises Reverted."""
        return self.chain.send(self.bot, call.target, call.data)
