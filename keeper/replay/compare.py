"""The keepers of one comparison, by name, and what is said of their voyages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keeper.model import Policy
from keeper.replay import levels, paper
from keeper.replay.market import Market
from keeper.replay.ours import Ours, in_paper
from keeper.replay.policies import CdpKeeper, Keeper, Ladder, Nobody, Threshold
from keeper.replay.purse import Purse
from keeper.replay.run import Make, Voyage
from keeper.replay.vessel import Vessel
from keeper.risk.assets import CALM, asset
from keeper.units import wad_float
from strategies.registry import resolve

NAMES = ("nobody", "threshold", "cdp_keeper", "ladder", "ours")
WALLET_SHARE = 0.1
"""Of its debt, what a cdp_keeper's wallet holds in debt tokens and again in collateral."""


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
    """The default policy's habits at other levels."""
    return levels.plain(trigger, target)


def makes(
    names: Sequence[str],
    policy: levels.Rule,
    assets: Sequence[str],
    market: Market,
    wallet: Mapping[str, float] | None = None,
) -> Mapping[str, Make]:
    """How each of ``names`` is made for one account, all of them at the trigger and target of ``policy``, or of the
    one that it names for the account; without one, at the account's own (``levels.thrifty``). ``wallet``: tokens that
    ours has beside each account, by asset."""
    # a token of a thousand dollars is no stable to the rooms, and their stress moves the peg of stables alone
    dollars = frozenset(a for a in assets if asset(a).kind in CALM)
    venue = paper.PaperVenue(assets, round(market.gas_units), dollars)

    def of(vessel: Vessel) -> Policy:
        return levels.held(policy, vessel.account)

    def at(vessel: Vessel) -> tuple[float, float]:
        found = of(vessel)
        return wad_float(found.trigger_wad), wad_float(found.target_wad)

    def ours(vessel: Vessel) -> Keeper:
        return _ours(of(vessel), vessel, venue, (wallet or {}, "ours"))

    every: dict[str, Make] = {
        "nobody": lambda _: Nobody(),
        "threshold": lambda v: Threshold(trigger=at(v)[0], target=at(v)[1]),
        "cdp_keeper": lambda v: CdpKeeper(*at(v), purse=WALLET_SHARE * v.debt_usd()),
        "ladder": lambda _: Ladder(),
        "ours": ours,
    }
    return {name: every[name] for name in names}


def under(policy: Policy, assets: Sequence[str], market: Market, wallet: Mapping[str, float]) -> Make:
    """Ours under a policy of its own, called by its name: to be seen beside ``ours``."""
    dollars = frozenset(a for a in assets if asset(a).kind in CALM)
    venue = paper.PaperVenue(assets, round(market.gas_units), dollars)
    return lambda vessel: _ours(policy, vessel, venue, (wallet, policy.name))


def _ours(
    policy: Policy, vessel: Vessel, venue: paper.PaperVenue, more: tuple[Mapping[str, float], str]
) -> Keeper:
    wallet, name = more
    held = Purse(wallet, vessel.paths, venue) if wallet else None
    return Ours(in_paper(policy, vessel.paths, venue), resolve(policy.strategies), venue, name, held)


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
