"""The keepers of one comparison, by name, and what is said of their voyages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keeper.model import Caps, Policy
from keeper.replay import paper
from keeper.replay.market import Market
from keeper.replay.ours import Ours, wad
from keeper.replay.policies import CdpKeeper, Keeper, Ladder, Nobody, Threshold
from keeper.replay.run import Make, Voyage
from keeper.replay.vessel import Vessel
from keeper.units import wad_float
from strategies.registry import resolve

NAMES = ("nobody", "threshold", "cdp_keeper", "ladder", "ours")
WALLET_SHARE = 0.1
"""Of its debt, what a cdp_keeper's wallet holds in debt tokens and again in collateral."""
UNCAPPED_USD = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one keeper did for all accounts, USD."""

    keeper: str
    liquidated: int
    lost_usd: float
    cost_usd: float
    """Impact and fees of its acts."""
    gas_usd: float
    acts: int
    failed: int
    lowest: float
    equity_usd: float

    @property
    def whole_usd(self) -> float:
        """Everything the owners paid: to liquidators and for being guarded."""
        return self.lost_usd + self.cost_usd + self.gas_usd


def plain_policy(trigger: float, target: float) -> Policy:
    """The default policy's habits at other levels: emergency at two fifths of the way from 1 to trigger."""
    return Policy(
        name="replay",
        warn_wad=wad(trigger + 0.05),
        trigger_wad=wad(trigger),
        target_wad=wad(target),
        emergency_wad=wad(1.0 + 0.4 * (trigger - 1.0)),
        max_health_wad=wad(target + 1.0),
        hysteresis_wad=wad(0.01),
        cooldown_blocks=5,
        act="always",
        strategies=("deleverage",),
        caps=Caps(
            per_action_usd=UNCAPPED_USD,
            per_day_usd=UNCAPPED_USD,
            gas_usd_max=UNCAPPED_USD,
            gas_usd_emergency=UNCAPPED_USD,
        ),
        idle_rate=0.05,
        horizon_days=7.0,
    )


def makes(names: Sequence[str], policy: Policy, assets: Sequence[str], market: Market) -> Mapping[str, Make]:
    """How each of ``names`` is made for one account; all of them at ``policy``'s trigger and target."""
    trigger, target = wad_float(policy.trigger_wad), wad_float(policy.target_wad)
    strategies = resolve(policy.strategies)
    venue = paper.PaperVenue(assets, round(market.gas_units))

    def cdp(vessel: Vessel) -> Keeper:
        share = WALLET_SHARE * vessel.debt_usd()
        return CdpKeeper(trigger, target, purse=share)

    every: dict[str, Make] = {
        "nobody": lambda _: Nobody(),
        "threshold": lambda _: Threshold(trigger=trigger, target=target),
        "cdp_keeper": cdp,
        "ladder": lambda _: Ladder(),
        "ours": lambda _: Ours(policy, strategies, venue),
    }
    return {name: every[name] for name in names}


def row(voyage: Voyage) -> Row:
    """One keeper's line."""
    trips = voyage.trips
    return Row(
        keeper=voyage.keeper,
        liquidated=voyage.liquidated,
        lost_usd=voyage.lost_usd,
        cost_usd=sum(t.cost_usd for t in trips),
        gas_usd=sum(t.gas_usd for t in trips),
        acts=sum(t.acts for t in trips),
        failed=sum(e.what == "failed" for t in trips for e in t.events),
        lowest=min((t.lowest for t in trips), default=float("nan")),
        equity_usd=sum(t.equity_usd for t in trips),
    )
