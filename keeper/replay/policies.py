"""The keepers that are compared. Each is asked where its line is crossed and answers with an order, or why none.

An order is fixed at the moment it is decided, and judged where it lands by what its contracts check there:

nobody      the venue's liquidators alone
threshold   trigger -> target by selling the largest collateral into the largest debt, with the service fees that
            DeFi Saver publishes for its automation, gas taken from the position. What is sold, and the least that it
            must bring, are computed off chain and passed; on chain the trigger is asked again, and the ratio must
            have risen, and not to more than ``OVER_TARGET`` above target. What fails is paid for by the service
cdp_keeper  the wallet's debt tokens first, then its collateral up to target; one fixed gas price (Maker's
            cdp-keeper). Both amounts are computed off chain; nothing is asked on chain
ladder      pre-liquidators repay a share that grows with the loan-to-value, for an incentive (Morpho's). What is
            repaid is computed off chain; its most, and the incentive, on chain at that moment's loan-to-value
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from keeper.replay.market import Market
from keeper.replay.vessel import Vessel
from keeper.risk.assets import CALM, asset

SIZE_ROUNDS = 12
FITTED = 1e-14
LEAST_USD = 1.0
ROUNDING = 1e-9
GAS_SHARE_MAX = 0.2
"""DeFi Saver's GasFeeTaker: gas is charged to the position, at most a fifth of the amount."""
SLIPPAGE = 0.03
"""Least price of a threshold keeper's sale below the one quoted: as much as ours may lose against the oracle."""
OVER_TARGET = 0.05
"""DeFi Saver's RATIO_OFFSET: a sale that lands further above target is undone."""


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


class Order(Protocol):
    """What one transaction asks, fixed when it was decided."""

    def land(self, vessel: Vessel, market: Market) -> Act:
        """What becomes of it at the vessel's present moment: done, or refused with the reason and its gas."""
        ...


class Keeper(Protocol):
    """One way of guarding."""

    @property
    def name(self) -> str: ...

    @property
    def line(self) -> float:
        """Health below which it is asked; 0 never."""
        ...

    def plan(self, vessel: Vessel, market: Market) -> Order | Act:
        """The order that it sends at what the vessel's present moment shows; an act without moves says why none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Nobody:
    """No keeper."""

    name: str = "nobody"
    line: float = 0.0

    def plan(self, vessel: Vessel, market: Market) -> Order | Act:
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

    def plan(self, vessel: Vessel, market: Market) -> Order | Act:
        """The largest collateral into the largest debt."""
        return sale(vessel, market, (self.trigger, self.target), self.service)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A threshold keeper's: ``lots`` of collateral ``i`` for ``dues`` of debt ``j`` at least, before fees."""

    i: int
    j: int
    lots: float
    least: float
    fee: float
    trigger: float
    target: float

    def land(self, vessel: Vessel, market: Market) -> Act:
        """So much is sold, and what it brings is repaid; the service pays for what fails."""
        before, name = vessel.health(), vessel.collateral[self.i].asset
        if before >= self.trigger:
            return Act(why="its trigger is not crossed any more where it lands")
        sold = vessel.lots_usd(self.i, self.lots)
        if sold > vessel.held_usd(self.i) * (1.0 + ROUNDING):
            return Act(why=f"less {name} is left than it sells")
        brought = brings(vessel, market, (self.i, self.j), sold)
        if brought < vessel.dues_usd(self.j, self.least):
            return Act(why=f"{name} brings less than its least price where it lands")
        brought *= 1.0 - self.fee
        back = min(brought, vessel.owed_usd(self.j))
        left = vessel.debt_usd() - back
        after = (vessel.weighted_usd() - vessel.collateral[self.i].threshold * sold) / max(left, 1e-9)
        if left > LEAST_USD and not before < after <= self.target + OVER_TARGET:
            return Act(why=f"it would go from {before:.3f} to {after:.3f}, which its check undoes")
        other = vessel.debt[self.j].asset
        vessel.take(self.i, sold)
        vessel.repay(self.j, back)
        return Act(
            sold=sold,
            repaid=back,
            cost=sold * vessel.ahead(name) - brought * vessel.ahead(other),
            gas=min(market.gas_usd(vessel.paths, vessel.at), GAS_SHARE_MAX * sold),
            pair=(name, other),
        )


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

    def terms(self, health: float) -> tuple[float, float]:
        """(share of the debt, incentive): q = (ltv - preLLTV) / (LLTV - preLLTV) of the way between both ends."""
        q = min(max((1.0 / health - self.pre) / (1.0 - self.pre), 0.0), 1.0)
        share = self.close[0] + q * (self.close[1] - self.close[0])
        return share, self.incentive[0] + q * (self.incentive[1] - self.incentive[0])

    def plan(self, vessel: Vessel, market: Market) -> Order | Act:
        """The most that may be repaid now, where its incentive pays the gas."""
        i, j = vessel.largest_collateral(), vessel.largest_debt()
        if i is None or j is None:
            return Act(why="nothing to sell")
        share, incentive = self.terms(vessel.health())
        taken = min(share * vessel.owed_usd(j) * incentive, vessel.held_usd(i))
        repaid = taken / incentive
        if (taken - repaid) < market.gas_usd(vessel.paths, vessel.at):
            return Act(why="the incentive does not pay a pre-liquidator's gas")
        return PreLiquidation(ladder=self, i=i, j=j, dues=vessel.dues(j, repaid))


@dataclass(frozen=True, slots=True, kw_only=True)
class PreLiquidation:
    """``dues`` of debt ``j`` repaid for collateral ``i``; a pre-liquidator pays the gas."""

    ladder: Ladder
    i: int
    j: int
    dues: float

    def land(self, vessel: Vessel, market: Market) -> Act:
        """Share and incentive are the contract's at this moment."""
        health = vessel.health()
        if health >= self.ladder.line:
            return Act(why="its loan-to-value is below the line where it lands")
        if health < 1.0:
            return Act(why="it is the venue's to liquidate where it lands")
        share, incentive = self.ladder.terms(health)
        repaid = vessel.dues_usd(self.j, self.dues)
        taken = repaid * incentive
        if repaid > share * vessel.owed_usd(self.j) * (1.0 + ROUNDING):
            return Act(why="more is repaid than may be where it lands")
        if taken > vessel.held_usd(self.i) * (1.0 + ROUNDING):
            return Act(why="less collateral is left than it takes")
        vessel.take(self.i, taken)
        vessel.repay(self.j, repaid)
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

    def outbid(self, vessel: Vessel, market: Market) -> Act | None:
        """Why its transaction is not included at this moment."""
        if market.gwei(vessel.paths, vessel.at) <= self.gwei:
            return None
        return Act(why="its gas price is below the market's: the transaction waits")

    def plan(self, vessel: Vessel, market: Market) -> Order | Act:
        """Wipes, then locks collateral up to target: x = target x debt - weighted, over the threshold."""
        if (waits := self.outbid(vessel, market)) is not None:
            return waits
        i, j = vessel.largest_collateral(), vessel.largest_debt()
        if i is None or j is None:
            return Act(why="nothing to guard")
        repaid = min(self.debt_tokens, vessel.owed_usd(j))
        short = self.target * (vessel.debt_usd() - repaid) - vessel.weighted_usd()
        added = min(max(0.0, short / vessel.collateral[i].threshold), self.collateral_tokens)
        if repaid + added < LEAST_USD:
            return Act(why="the wallet is empty")
        return TopUp(keeper=self, i=i, j=j, dues=vessel.dues(j, repaid), lots=vessel.lots(i, added))


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    """``dues`` of debt ``j`` wiped and ``lots`` of collateral ``i`` locked, from the wallet."""

    keeper: CdpKeeper
    i: int
    j: int
    dues: float
    lots: float

    def land(self, vessel: Vessel, market: Market) -> Act:
        """Nothing is asked but that so much is owed, and that its gas price is enough."""
        if (waits := self.keeper.outbid(vessel, market)) is not None:
            return waits
        eth = market.gas_usd(vessel.paths, vessel.at) / market.gwei(vessel.paths, vessel.at)
        gas = eth * self.keeper.gwei
        repaid, added = vessel.dues_usd(self.j, self.dues), vessel.lots_usd(self.i, self.lots)
        if repaid > vessel.owed_usd(self.j) * (1.0 + ROUNDING):
            return Act(why="less is owed than it wipes", gas=gas)
        self.keeper.debt_tokens = max(0.0, self.keeper.debt_tokens - repaid)
        self.keeper.collateral_tokens = max(0.0, self.keeper.collateral_tokens - added)
        vessel.repay(self.j, repaid)
        vessel.add(self.i, added)
        return Act(repaid=repaid, paid_in=repaid + added, gas=gas)


def sale(vessel: Vessel, market: Market, levels: tuple[float, float], service: Service) -> Sale | Act:
    """The largest collateral into the largest debt until health is ``levels[1]``, or all of it.

    X = (T D - W) / (T (1 - phi) - lambda), phi fitted to the size; feasible while T (1 - phi) > lambda.
    """
    i, j = vessel.largest_collateral(), vessel.largest_debt()
    if i is None or j is None:
        return Act(why="nothing to sell")
    lot, target, most = vessel.collateral[i], levels[1], vessel.held_usd(i)
    fee = service.of(lot.asset, vessel.debt[j].asset)
    short = target * vessel.debt_usd() - vessel.weighted_usd()
    sold = min(max(short / max(target - lot.threshold, 1e-9), 0.0), most)
    for _ in range(SIZE_ROUNDS):
        brought = brings(vessel, market, (i, j), sold) * (1.0 - fee)
        room = target * brought / sold - lot.threshold if sold > 0.0 else 0.0
        if room <= 0.0:
            return Act(why=f"selling {lot.asset} at this loss lowers health")
        last, sold = sold, min(short / room, most)
        if abs(sold - last) <= FITTED * sold:
            break
    back = brings(vessel, market, (i, j), sold) * (1.0 - fee)
    if back > vessel.owed_usd(j):
        # no more than the debt takes; what is still short is sold into another one a moment later
        sold *= vessel.owed_usd(j) / back
    if sold < LEAST_USD:
        return Act(why="nothing worth selling")
    least = vessel.dues(j, brings(vessel, market, (i, j), sold) * (1.0 - SLIPPAGE))
    return Sale(i=i, j=j, lots=vessel.lots(i, sold), least=least, fee=fee, trigger=levels[0], target=target)


def brings(vessel: Vessel, market: Market, pair: tuple[int, int], sold: float) -> float:
    """What collateral worth ``sold`` by its feed pays of a debt, by the debt's feed; ``pair``: which of each."""
    name, other = vessel.collateral[pair[0]].asset, vessel.debt[pair[1]].asset
    return market.brings(name, sold * vessel.ahead(name), vessel.level(name)) / vessel.ahead(other)
