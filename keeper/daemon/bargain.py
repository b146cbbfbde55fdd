"""An aggregator's offer beside the pools' own prices, for positions in need, and never later than its deadline.

Two questions a sale: what the pools' best sale would bring there, and then the size at which it brings just enough.
What comes is one more way among those that the strategy weighs; silence leaves the ways as they were, by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from keeper.clock import SystemClock
from keeper.daemon.facts import Facts, Guarded
from keeper.daemon.isolation import alone
from keeper.daemon.senders import Sending, credentials_dir
from keeper.daemon.triage import Glances
from keeper.daemon.wiring import Site
from keeper.decision import plain_outlook
from keeper.executor import judge, quotes
from keeper.executor.bids import Ask, Bid, no, route_of
from keeper.executor.desk import Desk
from keeper.model import (
    Block,
    Deleverage,
    Holding,
    IntentState,
    Mandate,
    MandateAsset,
    Outcome,
    Plan,
    PlanKey,
    Policy,
    Position,
    PositionId,
    Proposal,
    Refusal,
    Route,
    Side,
    Snapshot,
)
from keeper.oracle.aggregator import Aggregator, Where
from keeper.oracle.dialects import DIALECTS
from keeper.seams import Alarm, Clock, Severity, Venue
from keeper.signer.key import find_secret, read_secret
from keeper.units import BPS, mul_div_up
from strategies.deleverage import Deleverage as Sell

MARGIN_BPS = 10
"""What the second offer may be worse than the first promised: another size, a moment later."""
TOLERANCE_BPS = 50
"""As the offers are asked for: how much less they may pay when they are executed."""


DOUBT_S = 120.0
"""So long nobody is asked about a position after an offer for it was refused: who lies would else keep the pools from
it block after block."""
OURS = frozenset({"raced", "overtaken", "lane_full"})
"""Why a plan was not sent that says nothing about its offer."""
LOST = frozenset({IntentState.REVERTED})
DEADLINE_S = 1.0
"""Of a tick's ten seconds, what all offers of a block may take together."""
CODE = "aggregator"
BROKEN = frozenset({"limited", "failing", "slow", "unreachable", "garbled", "resting", "not_carried_out"})
"""What is the aggregator's fault, and worth a person's attention."""


class Quotes(Protocol):
    """Whoever offers a price for an exact amount sold; never raises, never later than it is told."""

    async def bid(self, ask: Ask, *, within_s: float) -> Bid | Refusal:
        """The offer, or why there is none."""
        ...

    async def close(self) -> None:
        """Hang up; the next question calls again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bargained:
    """A snapshot with the offers, and why positions in need have none."""

    snapshot: Snapshot
    refusals: Mapping[PositionId, Refusal]


class Bargain:
    """Asks for every position that would sell at a snapshot."""

    def __init__(self, offers: Quotes, clock: Clock, *, deadline_s: float, pools: Sequence[str] = ()) -> None:
        """``pools``: every pool that a loan may be taken from; an offer may pass through any of them."""
        self._offers = offers
        self._clock = clock
        self._deadline_s = deadline_s
        self._pools = tuple(pools)

        self._told: dict[PositionId, Route | Refusal] = {}
        self._doubts: dict[PositionId, tuple[float, str]] = {}
        self._block = ""

    async def struck(
        self, snapshot: Snapshot, guarded: Sequence[Guarded], venues: Mapping[str, Venue]
    ) -> Bargained:
        """The snapshot with one more way for each position that would sell, lowest health first.

        Nobody is asked twice about one position at one block.
        """
        if self._block != snapshot.block.hash:
            self._block, self._told = snapshot.block.hash, {}
        until_s = self._clock.monotonic_s() + self._deadline_s
        due = [c for c in _in_need(snapshot, guarded, venues) if c[0].id not in self._told]
        try:
            for position, mandate, policy, venue in due:
                case = (position, mandate, policy)
                doubt = self._doubted(position.id)
                self._told[position.id] = doubt or await self._for_one(snapshot, case, venue, until_s)
        finally:
            await self._offers.close()
        there = snapshot.by_id()
        told = {id: made for id, made in self._told.items() if id in there}
        found = [made for made in told.values() if isinstance(made, Route)]
        refusals = {id: made for id, made in told.items() if isinstance(made, Refusal)}
        if found:
            means = replace(snapshot.means, routes=(*snapshot.means.routes, *found))
            snapshot = replace(snapshot, means=means)
        return Bargained(snapshot=snapshot, refusals=refusals)

    def doubt(self, id: PositionId, why: str) -> None:
        """An offer for that position was refused: for a while the pools alone are sold to."""
        self._doubts[id] = (self._clock.monotonic_s() + DOUBT_S, why)
        self._told[id] = no("not_carried_out", why)

    def _doubted(self, id: PositionId) -> Refusal | None:
        until_s, why = self._doubts.get(id, (0.0, ""))
        left_s = until_s - self._clock.monotonic_s()
        if left_s > 0:
            return no("not_carried_out", f"its last offer was refused ({why}); asked again in {left_s:.0f} s")
        self._doubts.pop(id, None)
        return None

    async def _for_one(
        self, snapshot: Snapshot, case: tuple[Position, Mandate, Policy], venue: Venue, until_s: float
    ) -> Route | Refusal:
        position, mandate, policy = case
        outlook = plain_outlook(position, policy, "")
        # what breaks here must cost the offer, not the tick
        said, broke = alone(
            lambda: Sell().propose(position, outlook, policy, snapshot.means, venue, snapshot.block)
        )
        if not isinstance(said, Proposal):
            return no("nothing_to_sell", broke if said is None else said.why)
        step = next(s for s in said.steps if isinstance(s, Deleverage))
        lenders = [x for x in snapshot.means.lenders if x.token == step.repay.token.address]
        free = [x for x in lenders if x.pool not in self._pools and x.cash_units >= step.repay.units]
        lender = min(free, key=lambda x: x.fee_ppm, default=None)
        if lender is None:
            return no("no_source", "an offer needs a loan from elsewhere than the pools, and nobody lends")
        needed = step.repay.units + quotes.fee_up(lender, step.repay.units)
        first = await self._bid(_ask(position, mandate, step, step.sold), until_s)
        if isinstance(first, Refusal):
            return first
        wanted = mul_div_up(step.sold, needed * (BPS + MARGIN_BPS), first.bought_min * BPS)
        if wanted >= step.sold:
            return no("dearer", f"it would sell {wanted} units where the pools sell {step.sold}")
        ask = _ask(position, mandate, step, wanted)
        second = await self._bid(ask, until_s)
        if isinstance(ask, Refusal) or isinstance(second, Refusal):
            return second if isinstance(second, Refusal) else no("nothing_to_sell", "it is not listed")
        return route_of(ask, second, self._pools)

    async def _bid(self, ask: Ask | Refusal, until_s: float) -> Bid | Refusal:
        if isinstance(ask, Refusal):
            return ask
        left_s = until_s - self._clock.monotonic_s()
        if left_s <= 0:
            return no("slow", f"the {self._deadline_s:g} s of this block are over")
        return await self._offers.bid(ask, within_s=left_s)


def _in_need(
    snapshot: Snapshot, guarded: Sequence[Guarded], venues: Mapping[str, Venue]
) -> list[tuple[Position, Mandate, Policy, Venue]]:
    positions, found = snapshot.by_id(), list[tuple[Position, Mandate, Policy, Venue]]()
    for g in guarded:
        position, mandate = positions.get(g.id), snapshot.means.mandate(g.id)
        if position is None or mandate is None or g.venue_id not in venues:
            continue
        if position.health_wad is not None and position.health_wad < mandate.terms.trigger_wad:
            found.append((position, mandate, g.policy, venues[g.venue_id]))
    return sorted(found, key=lambda f: (f[0].health_wad or 0, f[0].id))


def _ask(position: Position, mandate: Mandate, step: Deleverage, units: int) -> Ask | Refusal:
    sell, buy = step.sell_max.token, step.repay.token
    collateral = judge.asset(mandate, sell, Side.COLLATERAL)
    debt = judge.asset(mandate, buy, Side.DEBT)
    if isinstance(collateral, Refusal):
        return collateral
    if isinstance(debt, Refusal):
        return debt
    held = next(h for h in position.collateral if h.amount.token == sell)
    owed = next(h for h in position.debt if h.amount.token == buy)
    return Ask(
        executor=mandate.executor,
        sell=sell,
        buy=buy,
        sell_units=units,
        least=_least_up(mandate, (collateral, debt), (held, owed), units),
        slippage_bps=min(TOLERANCE_BPS, mandate.terms.slippage_bps),
        routers=mandate.routers,
    )


def _least_up(
    mandate: Mandate, listed: tuple[MandateAsset, MandateAsset], held: tuple[Holding, Holding], sold: int
) -> int:
    """The contract's own bound: bought x weightBought >= sold x weightSold."""
    weight_sold = held[0].price_base * listed[1].unit * (BPS - mandate.terms.slippage_bps)
    weight_bought = held[1].price_base * listed[0].unit * BPS
    return -(-sold * weight_sold // weight_bought) if weight_bought else 2**255


class BargainedFacts:
    """Facts with the offers beside the pools' own prices; without an answer they are as they were."""

    def __init__(self, facts: Facts, bargain: Bargain, guarded: Sequence[Guarded], alarms: Alarm) -> None:
        self._facts = facts
        self._bargain = bargain
        self._guarded = tuple(guarded)
        self._alarms = alarms
        self._sent: set[PlanKey] = set()
        self._log = structlog.get_logger("keeper")

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        """As the facts within. Raises Transient."""
        snapshot, outcomes = await self._facts.take(block, venues)
        self._learn(outcomes)
        return await self._with_offers(snapshot, venues), outcomes

    async def glance(
        self, block: Block, venues: Mapping[str, Venue]
    ) -> tuple[Snapshot, tuple[Outcome, ...]] | None:
        """As the facts within, where they can show the few before the many. Raises Transient."""
        seen = await self._facts.glance(block, venues) if isinstance(self._facts, Glances) else None
        if seen is None:
            return None
        self._learn(seen[1])
        return await self._with_offers(seen[0], venues), seen[1]

    def acted(self, plan: Plan) -> None:
        """As the facts within."""
        if _on_offer(plan):
            self._sent.add(plan.key)
        self._facts.acted(plan)

    def refused(self, plan: Plan, why: Refusal) -> None:
        """A plan that was not sent: where it stood on an offer, the pools' turn comes."""
        if _on_offer(plan) and why.code not in OURS:
            self._bargain.doubt(plan.key.position, f"{why.code}: {why.why}")

    def _learn(self, outcomes: Sequence[Outcome]) -> None:
        """What was sent on an offer and failed on the chain."""
        for outcome in outcomes:
            if outcome.key in self._sent and outcome.state in LOST:
                self._sent.discard(outcome.key)
                self._bargain.doubt(outcome.key.position, outcome.surprise or "it reverted on the chain")

    async def _with_offers(self, snapshot: Snapshot, venues: Mapping[str, Venue]) -> Snapshot:
        found = await self._bargain.struck(snapshot, self._guarded, venues)
        for id, refusal in found.refusals.items():
            self._log.info("aggregator", subject=str(id), code=refusal.code, why=refusal.why)
        broken = next((r for r in found.refusals.values() if r.code in BROKEN), None)
        if broken is not None:
            why = f"{broken.code}: {broken.why}; the pools themselves are sold to meanwhile"
            self._alarms.raise_alarm(Severity.WARNING, CODE, "", why)
        elif found.snapshot is not snapshot or found.refusals:
            self._alarms.clear(CODE, "")
        return found.snapshot


def _on_offer(plan: Plan) -> bool:
    """Whether one of its sales goes the way that an aggregator composed."""
    return any(isinstance(s, Deleverage) and s.calldata for s in plan.steps)


def with_offers(acting: Sending, here: Site, alarms: Alarm) -> Sending:
    """The same with the offers of the chain's aggregator in its facts; unchanged where the chain names none.

    Raises ConfigError when its key cannot be read, or can be read by others.
    """
    named = here.chain.aggregator
    if named is None:
        return acting
    key = b""
    if named.key_file is not None:
        key = read_secret(find_secret(named.key_file, credentials_dir()), credentials_dir())
    where = Where(dialect=DIALECTS[named.name], url=named.url, key=key.decode("ascii", "ignore").strip())
    desk = here.camera.supplement
    pools = tuple(dict.fromkeys(p for w in desk.ways for p in w.pools)) if isinstance(desk, Desk) else ()
    clock = SystemClock()
    bargain = Bargain(Aggregator(where, clock), clock, deadline_s=DEADLINE_S, pools=pools)
    return replace(acting, facts=BargainedFacts(acting.facts, bargain, here.guarded, alarms))
