"""What an owner may opt into, and what is done about one position with and without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from keeper.decision import Memory, Options, PositionMemory, decide
from keeper.decision.problem import Problem
from keeper.decision.standing import standing_all
from keeper.model import (
    Decision,
    Means,
    Omen,
    Outlook,
    Plan,
    Policy,
    Position,
    Proposal,
    Pulse,
    Quoted,
    Refusal,
    Side,
    Snapshot,
)
from keeper.plan import Case, compile_plan
from keeper.seams import Venue
from keeper.units import WAD
from strategies.registry import SHIPPED
from tests import build, mandates

RULES = ("exposure_limits", "depeg_playbook", "floor")
AT_S = build.block().timestamp_s
OMEN = Omen(stands=True, score=2.0, line=1.5, at_s=AT_S - 60, source="a measure")
WILD = tuple(
    Pulse(feed=feed, price_base=build.base(build.PRICES[feed]), at_s=AT_S - 60, variance_h=4e-4, samples=48)
    for feed in ("WETH", "WBTC")
)
"""Two per cent an hour, for two days."""


def off_peg(feed: str, price: str) -> tuple[Quoted, ...]:
    """Two fresh sources see it so far down."""
    wad = int(float(price) * WAD)
    return tuple(Quoted(feed=feed, price_wad=wad, source=s, at_s=AT_S - 12) for s in ("pool", "exchanges"))


def plain_of(policy: Policy) -> Policy:
    """The same policy of an owner who opted into nothing."""
    return replace(
        policy,
        strategies=tuple(s for s in policy.strategies if s not in RULES),
        exposure_max_usd=(),
        depeg_ppm=0,
        floor_usd=0,
        floor_ratchet_ppm=0,
        warning_target_wad=0,
        warning_trigger_wad=0,
        storm_times_max=1.0,
        leverage_max_wad=0,
        leverage_target_wad=0,
        reduce_above_trigger=False,
    )


def sellable(
    found: Position, *, granted: Mapping[str, int] | None = None, impact_ppm: int = 500, most: str = "60000"
) -> Means:
    """Any collateral may be sold for any debt directly, as far as it is granted (by symbol; else all of it)."""
    allowed = granted or {}
    terms = mandates.terms(trigger_wad=4 * WAD, target_wad=11 * WAD // 10, max_wad=7 * WAD)
    assets = [
        mandates.asset(
            h.amount.token, Side.COLLATERAL, granted=allowed.get(h.amount.token.symbol, h.amount.units)
        )
        for h in found.collateral
    ]
    assets += [mandates.asset(h.amount.token, Side.DEBT) for h in found.debt]
    routes = [
        mandates.route(sell=c.amount.token, buy=d.amount.token, impact_ppm=impact_ppm, most=most)
        for c in found.collateral
        for d in found.debt
    ]
    block = build.block()
    mine = mandates.mandate(
        terms=terms, assets=tuple(assets), block_number=block.number, timestamp_s=block.timestamp_s
    )
    return mandates.means(mine, tuple(routes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What is done about one position at one block."""

    stands: Policy
    said: Decision | None
    plan: Plan | None

    @property
    def best(self) -> Proposal | None:
        """What was chosen."""
        return self.said.chosen[0] if self.said is not None and self.said.chosen else None

    @property
    def reached_wad(self) -> int:
        """Health after it; 0 where nothing is done, or the guard lets it not pass."""
        return self.best.health_after_wad if self.best is not None and self.plan is not None else 0


def alone(_: Problem) -> Refusal:
    """No way is combined with another."""
    return Refusal(who="solver", code="off", why="one step each")


def done(policy: Policy, snapshot: Snapshot, venue: Venue, outlook: Outlook | None = None) -> Done:
    """Through the pure rooms, to a plan where the guard lets it pass."""
    (found,) = snapshot.positions
    kept = {found.id: PositionMemory(id=found.id, pulses=WILD)}
    policies = standing_all({found.id: policy}, kept, snapshot, (found.id,))
    options = Options(venues={venue.id: venue}, strategies=SHIPPED, solver=alone)
    said, _ = decide(snapshot, [outlook or build.outlook(found)], policies, Memory(by_id=kept), options)
    stands = policies[found.id]
    made = Done(stands=stands, said=said[0] if said else None, plan=None)
    if made.best is None:
        return made
    case = Case(position=found, venue=venue, policy=stands, snapshot=snapshot, seq=1)
    plan = compile_plan(made.best, case)
    return replace(made, plan=plan if isinstance(plan, Plan) else None)


def seen(found: Position, means: Means) -> Snapshot:
    """One loan at one block."""
    return build.snapshot([found], wallet=means, at=build.block())
