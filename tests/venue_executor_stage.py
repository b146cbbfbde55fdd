"""Morpho Blue (real) and Compound v3 (a double) beside Aave's tokens and Uniswap's pools, each with an Executor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anvil.client import Chain
from anvil.compile import own_artifact
from anvil.deploy_compound_v3 import CometMarket, supply
from anvil.deploy_executor import ChainVenues
from anvil.deploy_morpho import MorphoMarket, MorphoSite, open_loan, set_price
from anvil.deployment import Deployment
from anvil.shock import set_prices
from keeper.config import VenueSettings
from keeper.executor.desk import Desk
from keeper.executor.load import Place, Wanted, load
from keeper.executor.seat import Seat, Seated
from keeper.model import Call, Snapshot
from keeper.snapshot import GatherRequest, gather
from tests.executor_stage import ExecutorStage
from tests.morpho_stage import settings as morpho_settings
from tests.venue_stage import VenueReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What stands on the chain."""

    chain: Chain
    deployment: Deployment
    morpho: MorphoSite
    comet: CometMarket

    @property
    def ether(self) -> MorphoMarket:
        """The Morpho market of WETH against USDC."""
        return self.morpho.market("WETH", "USDC")

    def settings(self, kind: str) -> VenueSettings:
        """The venue as a configuration names it."""
        if kind == "morpho_blue":
            return morpho_settings(self.deployment, self.morpho, self.ether)
        return VenueSettings(name="comet", kind=kind, chain="local", provider=self.comet.comet)

    def oracles(self, usd: float) -> None:
        """WETH at so many dollars for both protocols; the pools stay where they are."""
        set_prices(self.chain, self.deployment, {"WETH": int(usd * 10**8)})
        set_price(self.chain, self.ether, int(usd * 10**6) * 10**36 // 10**18)


class VenueExecutor(ExecutorStage):
    """The owner of one position in one of both protocols, and his Executor there."""

    def __init__(self, ground: Ground, kind: str, owner: str) -> None:
        self.ground, self.kind = ground, kind
        artifact = {"morpho_blue": "MorphoBlueExecutor", "compound_v3": "CompoundV3Executor"}[kind]
        uniswap = ground.deployment.uniswap.factory
        super().__init__(
            ground.chain,
            ground.deployment,
            owner=owner,
            venues=ChainVenues(morpho_blue=ground.morpho.morpho, uniswap_v3_factory=uniswap),
            artifact=own_artifact(artifact),
        )
        self.reader = VenueReader(ground.chain, ground.settings(kind), ground.deployment.multicall)
        assert isinstance(self.reader.venue, Seated)
        self.seat: Seat = self.reader.venue.seat(owner)
        self.position = bytes.fromhex(self.seat.key[2:])

    def borrow(self, weth: int, usdc: int) -> None:
        """Open the position and spend what was borrowed: the wallet is empty."""
        ground = self.ground
        if self.kind == "morpho_blue":
            loan = (self.owner, weth, usdc)
            open_loan(ground.chain, ground.deployment, ground.morpho, ground.ether, loan)
        else:
            supply(ground.chain, ground.comet, self.owner, "WETH", weth)
            withdraw = "withdraw(address,uint256)"
            ground.chain.send(self.owner, ground.comet.comet, withdraw, self.token("USDC"), usdc)
        self.chain.send(self.owner, self.token("USDC"), "transfer(address,uint256)", self.stranger, usdc)

    def authorise(self, allowed: bool = True) -> None:
        """The owner gives his whole grant, or takes it back."""
        assert self.seat.permit is not None
        call = self.seat.permit.given(self.executor, allowed)
        self.chain.send(self.owner, call.target, call.data)

    def health(self) -> int:
        """By the venue's own reading, which the states' tests hold against the contracts' verdicts."""
        return self.reader.position(self.owner).health_wad or 0

    def desk(self, router: str | None = None) -> Desk:
        """The Executor's desk as the daemon would load it."""
        venue = self.reader.venue
        wanted = Wanted(
            label="mine",
            id=venue.position_id(self.owner),
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
        return asyncio.run(load([wanted], place, self.reader.read(self.chain.block())))

    def snapshot(self, desk: Desk, accounts: Sequence[str] = ()) -> Snapshot:
        """The newest block with the Executor's facts and prices."""
        block = self.chain.block()
        request = GatherRequest(
            chain_id=block.chain_id,
            block=block,
            venues=((self.reader.venue, (self.owner, *accounts)),),
            multicall=self.ground.deployment.multicall,
            read=self.reader.read(block),
            wallet=self.bot,
            supplement=desk,
        )
        return asyncio.run(gather(request))[0]

    def sends(self, call: Call) -> dict[str, Any]:
        """The bot's transaction. Raises Reverted."""
        return self.chain.send(self.bot, call.target, call.data)
