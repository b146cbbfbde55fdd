"""The keepers that are compared. Each is asked where its line is crossed and answers with moves, or why none.

nobody      the venue's liquidators alone
threshold   trigger -> target by selling the largest collateral into the largest debt, with the service fees that
            DeFi Saver publishes for its automation, gas taken from the position
cdp_keeper  the wallet's debt tokens first, then its collateral up to target; one fixed gas price (Maker's cdp-keeper)
ladder      pre-liquidators repay a share that grows with the loan-to-value, for an incentive (Morpho's)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from keeper.replay.market import Market
from keeper.replay.vessel import Vessel
from keeper.risk.assets import CALM, asset

SIZE_ROUNDS = 12
LEAST_USD = 1.0
GAS_SHARE_MAX = 0.2
"""DeFi Saver's GasFeeTaker: gas is charged to the position, at most a fifth of the amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Fees on what is sold, as published (help.defisaver.com, automation fees): of a swap by how its assets are
    related, and of each automated action."""

    apart: float = 0.0025
    alike: float = 0.0010
    stables: float = 0.0001
    action: float = 0.0005

    def of(self, sold: str, bought: str) -> float:
        """Of one sale."""
        one, other = asset(sold), asset(bought)
        if one.kind in CALM and other.kind in CALM:
            return self.stables + self.action
        return (self.alike if one.base == other.base else self.apart) + self.action


DEFI_SAVER = Service()
FREE = Service(apart=0.0, alike=0.0, stables=0.0, action=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What was done at one moment, USD: ``cost`` is what it took from the owner, gas apart."""

    sold: float = 0.0
    repaid: float = 0.0
    paid_in: float = 0.0
    cost: float = 0.0
    gas: float = 0.0
    why: str = ""
    """Not empty: nothing was done, and this is why."""
    calm: bool = False
    """Nothing was to be done: it was asked because its policy follows prices."""
    pair: tuple[str, str] = ("", "")
    """What was sold, and the debt that was repaid."""


class Keeper(Protocol):
    """One way of guarding."""

    @property
    def name(self) -> str: ...

    @property
    def line(self) -> float:
        """Health below which it is asked; 0 never."""
        ...

    def act(self, vessel: Vessel, market: Market) -> Act:
        """Act on the vessel at its present moment."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Nobody:
    """No keeper."""

    name: str = "nobody"
    line: float = 0.0

    def act(self, vessel: Vessel, market: Market) -> Act:
        """Never asked."""
        return Act(why="nobody acts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Sells to ``target`` when health is below ``trigger``, at ``service`` fees."""

    trigger: float
    target: float
    service: Service = DEFI_SAVER
    name: str = "threshold"

    @property
    def line(self) -> float:
        """The trigger."""
        return self.trigger

    def act(self, vessel: Vessel, market: Market) -> Act:
        """The largest collateral into the largest debt."""
        gas = market.gas_usd(vessel.paths, vessel.at)
        return sell(vessel, market, target=self.target, service=self.service, gas=gas)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Morpho's PreLiquidation: ``pre`` is preLLTV / LLTV, close factors and incentives at both ends."""

    pre: float = 0.95
    close: tuple[float, float] = (0.05, 0.35)
    incentive: tuple[float, float] = (1.01, 1.03)
    name: str = "ladder"

    @property
    def line(self) -> float:
        """Health at preLLTV."""
        return 1.0 / self.pre

    def act(self, vessel: Vessel, market: Market) -> Act:
        """q = (ltv - preLLTV) / (LLTV - preLLTV) decides how much is repaid and for what incentive."""
        i, j = vessel.largest_collateral(), vessel.largest_debt()
        if i is None or j is None:
            return Act(why="nothing to sell")
        q = min(max((1.0 / vessel.health() - self.pre) / (1.0 - self.pre), 0.0), 1.0)
        share = self.close[0] + q * (self.close[1] - self.close[0])
        incentive = self.incentive[0] + q * (self.incentive[1] - self.incentive[0])
        taken = min(share * vessel.owed_usd(j) * incentive, vessel.held_usd(i))
        repaid = taken / incentive
        if (taken - repaid) < market.gas_usd(vessel.paths, vessel.at):
            return Act(why="the incentive does not pay a pre-liquidator's gas")
        vessel.take(i, taken)
        vessel.repay(j, repaid)
        return Act(sold=taken, repaid=repaid, cost=taken - repaid)


class CdpKeeper:
    """Pays from a wallet: ``purse`` USD of debt tokens and as much of collateral; one fixed gas price."""

    name = "cdp_keeper"

    def __init__(self, trigger: float, target: float, purse: float, gwei: float = 50.0) -> None:
        self.trigger, self.target, self.gwei = trigger, target, gwei
        self.debt_tokens = self.collateral_tokens = purse

    @property
    def line(self) -> float:
        """The trigger."""
        return self.trigger

    def act(self, vessel: Vessel, market: Market) -> Act:
        """Wipes, then locks collateral up to target: x = target x debt - weighted, over the threshold."""
        if market.gwei(vessel.paths, vessel.at) > self.gwei:
            return Act(why="its gas price is below the market's: the transaction waits")
        i, j = vessel.largest_collateral(), vessel.largest_debt()
        if i is None or j is None:
            return Act(why="nothing to guard")
        repaid = min(self.debt_tokens, vessel.owed_usd(j))
        self.debt_tokens -= repaid
        vessel.repay(j, repaid)
        short = self.target * vessel.debt_usd() - vessel.weighted_usd()
        added = min(max(0.0, short / vessel.collateral[i].threshold), self.collateral_tokens)
        self.collateral_tokens -= added
        vessel.add(i, added)
        if repaid + added < LEAST_USD:
            return Act(why="the wallet is empty")
        eth = market.gas_usd(vessel.paths, vessel.at) / market.gwei(vessel.paths, vessel.at)
        return Act(repaid=repaid, paid_in=repaid + added, gas=eth * self.gwei)


def sell(vessel: Vessel, market: Market, *, target: float, service: Service, gas: float) -> Act:
    """Sell the largest collateral into the largest debt until health is ``target``, or all of it.

    X = (T D - W) / (T (1 - phi) - lambda), phi fitted to the size; feasible while T (1 - phi) > lambda. What it costs
    is reckoned at the market's prices: a feed that lags is neither loss nor gain.
    """
    i, j = vessel.largest_collateral(), vessel.largest_debt()
    if i is None or j is None:
        return Act(why="nothing to sell")
    lot, owed, most = vessel.collateral[i], vessel.debt[j], vessel.held_usd(i)
    fee = service.of(lot.asset, owed.asset)
    short = target * vessel.debt_usd() - vessel.weighted_usd()
    sold = min(max(short / max(target - lot.threshold, 1e-9), 0.0), most)
    for _ in range(SIZE_ROUNDS):
        brought = brings(vessel, market, (i, j), sold) * (1.0 - fee)
        room = target * brought / sold - lot.threshold if sold > 0.0 else 0.0
        if room <= 0.0:
            return Act(why=f"selling {lot.asset} at this loss lowers health")
        sold = min(short / room, most)
    back = brings(vessel, market, (i, j), sold) * (1.0 - fee)
    if back > vessel.owed_usd(j):
        # no more than the debt takes; what is still short is sold into another one a moment later
        sold *= vessel.owed_usd(j) / back
        back = vessel.owed_usd(j)
    if sold < LEAST_USD:
        return Act(why="nothing worth selling")
    cost = sold * vessel.ahead(lot.asset) - back * vessel.ahead(owed.asset)
    vessel.take(i, sold)
    vessel.repay(j, back)
    gas = min(gas, GAS_SHARE_MAX * sold)
    return Act(sold=sold, repaid=back, cost=cost, gas=gas, pair=(lot.asset, owed.asset))


def brings(vessel: Vessel, market: Market, pair: tuple[int, int], sold: float) -> float:
    """What collateral worth ``sold`` by its feed pays of a debt, by the debt's feed; ``pair``: which of each."""
    name, other = vessel.collateral[pair[0]].asset, vessel.debt[pair[1]].asset
    return market.brings(name, sold * vessel.ahead(name), vessel.level(name)) / vessel.ahead(other)
