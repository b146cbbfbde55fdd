"""The keeper's own wallet in a replay: what it holds beside the loan, and a payment of it under way.

On a chain a repayment or a supply on behalf of an owner asks nothing but that the wallet has it: neither health nor
price is looked at where it lands. What is paid in stays the owner's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keeper.model import Allowance, Amount, Repay, Supply
from keeper.replay import paper
from keeper.replay.market import Market
from keeper.replay.paths import Paths
from keeper.replay.policies import Act
from keeper.replay.vessel import Vessel


class Purse:
    """Units of the paper's tokens by asset; only what lands takes from it."""

    def __init__(self, tokens: Mapping[str, float], paths: Paths, venue: paper.PaperVenue) -> None:
        """``tokens``: how many of each asset; one without a price in the run is a dollar."""
        self._units = {
            name: paper.units_of(count * (paths.usd_of(name) or 1.0), venue.unit_usd(name))
            for name, count in tokens.items()
        }
        self._venue = venue

    @property
    def balances(self) -> tuple[Amount, ...]:
        """What it holds."""
        return tuple(
            Amount(token=t, units=self._units[t.symbol])
            for t in self._venue.tokens
            if self._units.get(t.symbol)
        )

    @property
    def allowances(self) -> tuple[Allowance, ...]:
        """All of it to the pool, as ``keeper grant`` asks for."""
        return tuple(Allowance(token=a.token, spender=paper.POOL, units=a.units) for a in self.balances)

    def take(self, amount: Amount) -> bool:
        """``amount`` is spent, where there is so much."""
        left = self._units.get(amount.token.symbol, 0) - amount.units
        if left < 0:
            return False
        self._units[amount.token.symbol] = left
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One repayment or top-up from the purse; ``ended`` hears what came of it."""

    step: Repay | Supply
    gas_usd_max: float
    venue: paper.PaperVenue
    purse: Purse
    ended: Callable[[Act, Vessel], None]

    def land(self, vessel: Vessel, market: Market) -> Act:
        """So much is paid; of a debt no more than is owed."""
        done = self._landed(vessel, market)
        self.ended(done, vessel)
        return done

    def _landed(self, vessel: Vessel, market: Market) -> Act:
        gas, name = market.gas_usd(vessel.paths, vessel.at), self.step.amount.token.symbol
        if gas > self.gas_usd_max:
            return Act(why="gas is dearer where it lands than it may pay: it is not included")
        if not self.purse.take(self.step.amount):
            return Act(why=f"the wallet has not so much {name} any more", gas=gas)
        usd = self.step.amount.units / 10**paper.DECIMALS * self.venue.unit_usd(name) * vessel.said(name)
        if isinstance(self.step, Supply):
            vessel.add(next(n for n, x in enumerate(vessel.collateral) if x.asset == name), usd)
            return Act(paid_in=usd, gas=gas)
        j = next(n for n, x in enumerate(vessel.debt) if x.asset == name)
        back = min(usd, vessel.owed_usd(j))
        vessel.repay(j, back)
        return Act(repaid=back, paid_in=back, gas=gas)
