"""A sale of ours under way: fixed at the moment it was decided, judged where it lands by the Executor's own rules.

The rules are ``executor.rules.verdict``, held against the contract state for state elsewhere: trigger and deadline,
``sell_max``, slippage against the oracle of the landing, grant and caps, health strictly up and at target (below
emergency: a thousandth), at most max. What they refuse reverts, and the gas that it burnt is paid. A transaction that
its money for gas does not pay for is not included, and costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from keeper.executor import judge, rules
from keeper.executor.abi import order_of
from keeper.executor.rules import Deal, Halt, Moment
from keeper.model import Amount, Deleverage, Holding, Mandate, Policy, Position
from keeper.phrases import amount_text
from keeper.replay import paper
from keeper.replay.market import Market
from keeper.replay.policies import ROUNDING, Act
from keeper.replay.vessel import Vessel

REVERT_SHARE = {"NotTriggered": 0.28, "SellLimit": 0.49, "SlippageExceeded": 0.49, "SwapShort": 0.49}
"""Of an action's gas, what a revert burns that ends so early: 136,000 and 241,000 of 494,000 were measured on Aave
v3.6. The others come at the end and burn all of it."""
UNBOUND_WAD = 2**120
"""A trigger that does not bind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """One transaction: its step, the Executor asked, what its gas may cost; ``ended`` hears what came of it."""

    step: Deleverage
    mandate: Mandate
    included_s: int
    """When it is included by the market's delay: a moment of coarse bars is longer than that."""
    gas_usd_max: float
    venue: paper.PaperVenue
    ended: Callable[[Act, Vessel], None]

    def land(self, vessel: Vessel, market: Market) -> Act:
        """Exactly the step at this moment's prices, or why not."""
        done = self._landed(vessel, market)
        self.ended(done, vessel)
        return done

    def _landed(self, vessel: Vessel, market: Market) -> Act:
        gas = market.gas_usd(vessel.paths, vessel.at)
        if gas > self.gas_usd_max:
            return Act(why="gas is dearer where it lands than it may pay: it is not included")
        position = paper.position_of(vessel, self.venue, 1)
        moment = Moment(
            block_number=self.mandate.block_number + 1,
            timestamp_s=self.included_s,
            health_wad=position.health_wad or 0,
        )
        found = deal(self.step, position, vessel, (market, self.venue))
        fault = rules.verdict(self.mandate, order_of(self.step), moment, found)
        if fault is not None:
            burnt = gas * REVERT_SHARE.get(fault.name, 1.0)
            return Act(why=f"it reverts where it lands: {judge.told(fault).why}", gas=burnt)
        return done(self.step, vessel, (market, self.venue), gas)


def on_chain(mandate: Mandate, policy: Policy, *, moves: bool) -> Mandate:
    """The Executor as its owner set it for ``policy`` as written. One that follows prices (``moves``) acts above its
    own trigger, so that does not bind; its most is the one that the policy stood at when it decided."""
    terms = mandate.terms
    return replace(
        mandate,
        terms=replace(
            terms,
            trigger_wad=UNBOUND_WAD if moves else policy.trigger_wad,
            target_wad=policy.target_wad,
            max_wad=max(terms.max_wad, policy.max_health_wad),
            emergency_wad=policy.emergency_wad,
        ),
    )


def deal(
    step: Deleverage, position: Position, vessel: Vessel, around: tuple[Market, paper.PaperVenue]
) -> Deal:
    """What protocol and pool answer to the step at the vessel's present moment."""
    market, venue = around
    held, owed = _held(position.collateral, step.sell_max), _held(position.debt, step.repay)
    debt = owed.amount.units if owed is not None else 0
    amount = debt if step.whole else step.repay.units
    name, other = step.sell_max.token.symbol, step.repay.token.symbol
    wanted = amount / 10**paper.DECIMALS * venue.unit_usd(other) * vessel.said(other)
    takes = market.takes(name, wanted * vessel.ahead(other), vessel.level(name)) / vessel.ahead(name)
    there = math.isfinite(takes)
    sold = paper.units_of(takes / vessel.said(name), venue.unit_usd(name)) if there else 0
    sale = replace(
        step,
        sell_max=Amount(token=step.sell_max.token, units=sold),
        repay=Amount(token=step.repay.token, units=amount),
    )
    have = held.amount.units if held is not None else 0
    lacks = f"the owner holds less than {amount_text(sale.sell_max)}"
    return Deal(
        owed=debt,
        price_collateral=held.price_base if held is not None else 0,
        price_debt=owed.price_base if owed is not None else 0,
        swap_there=True,
        lender_there=False,
        fee=0,
        bought=amount if there else 0,
        sold=sold,
        health_after_wad=venue.after((sale,), position).health_wad or 0,
        halt=Halt(code="no_collateral", why=lacks) if have < sold else None,
    )


def done(step: Deleverage, vessel: Vessel, around: tuple[Market, paper.PaperVenue], gas: float) -> Act:
    """The step carried out: so much is repaid, and sold what the pool takes for it."""
    market, venue = around
    i = next(n for n, x in enumerate(vessel.collateral) if x.asset == step.sell_max.token.symbol)
    j = next(n for n, x in enumerate(vessel.debt) if x.asset == step.repay.token.symbol)
    name, other = vessel.collateral[i].asset, vessel.debt[j].asset
    back = min(
        step.repay.units / 10**paper.DECIMALS * venue.unit_usd(other) * vessel.said(other), vessel.owed_usd(j)
    )
    takes = market.takes(name, back * vessel.ahead(other), vessel.level(name)) / vessel.ahead(name)
    most = step.sell_max.units / 10**paper.DECIMALS * venue.unit_usd(name) * vessel.said(name)
    if takes > most * (1.0 + ROUNDING):
        return Act(why=f"the pool takes more {name} than the plan allows", gas=gas)
    out = min(takes, vessel.held_usd(i))
    vessel.take(i, out)
    vessel.repay(j, back)
    cost = out * vessel.ahead(name) - back * vessel.ahead(other)
    return Act(sold=out, repaid=back, cost=cost, gas=gas, pair=(name, other))


def _held(side: tuple[Holding, ...], amount: Amount) -> Holding | None:
    return next((h for h in side if h.amount.token == amount.token), None)
