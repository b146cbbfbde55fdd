"""One chain's rooms on one thread: photograph, settle, assess, decide, build; then hand plans to the lane."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from keeper.daemon import carried
from keeper.daemon import tick as ticks
from keeper.daemon.beside import Beside
from keeper.daemon.building import options_of
from keeper.daemon.canary.yielding import others_first, yielded
from keeper.daemon.isolation import without_culprits
from keeper.daemon.judging import Movers, World, overtaken, remembered, unseen_since
from keeper.daemon.lane import Lane
from keeper.daemon.pairs import Pairs
from keeper.daemon.parts import Parts
from keeper.daemon.permit import Permit
from keeper.daemon.rooms import Few, Rooms
from keeper.daemon.tank import say_tank
from keeper.daemon.tick import Tick, joined, raise_for, say_quorum
from keeper.daemon.triage import FIRST_S, Glances, beside, unswept
from keeper.daemon.watching import Watching
from keeper.decision import Options, PositionMemory
from keeper.decision.standing import Kept, marks_of, newly_marked, standing_all
from keeper.errors import Broken, Unwritable
from keeper.model import (
    Attempt,
    Block,
    Decision,
    IntentState,
    Level,
    Outcome,
    Outlook,
    Plan,
    Policy,
    PositionId,
    Refusal,
    Snapshot,
)
from keeper.oracle.ahead import Next
from keeper.seams import Venue
from keeper.snapshot import NO_MEANS

WITHOUT_EFFECT = frozenset({IntentState.REVERTED, IntentState.REPLACED, IntentState.CANCELLED})
REST_S = 0.01
"""How often whoever waits for the loop to rest looks."""


class ChainLoop:
    """Ticks of one chain. ``tick`` may be called by the daemon, a command or a test, one at a time."""

    def __init__(self, parts: Parts, venues: Mapping[str, Venue]) -> None:
        self.parts = parts
        self.venues = dict(venues)
        self.policies = {g.id: g.policy for g in parts.guarded}
        self.yielding: dict[PositionId, Policy] = {}
        """Positions rescued for practice, with the policies that hold for them while anybody else is in need."""
        self._homes = {g.id: g.venue_id for g in parts.guarded}
        self.last: Tick | None = None
        self.permit = Permit(parts)
        self.stops = self.permit.stops
        self.lane = Lane(parts, self.permit, self)
        self.pairs = Pairs(parts.pairs, parts.journal)
        self._rooms = Rooms(parts, self.pairs, self.venue_of)
        self._levels: dict[PositionId, Level] = {}
        self._watching = Watching(expected=len(parts.guarded))
        self._movers = Movers()
        self._memory = remembered(parts.journal)
        self._marks: dict[PositionId, Kept] = {}
        self._refused = carried.refusals(parts.alarms, parts.journal, self.policies)
        """Codes of the refusals that stand as alarms."""
        self.foreseen: tuple[Next, ...] = ()
        """What the feeds will say next, as the oracle room saw it last: levels are raised by it, never lowered."""
        self.beside = Beside()
        self._ticking = False
        self._first: Tick | None = None
        """Of the running tick: those in need, judged before the others."""
        self._told: frozenset[PositionId] = frozenset()
        """Those of them whom the diary knows already."""
        self._held_open: Options | None = None
        """As the journal told while the running tick's block was read; None before."""
        self._log = structlog.get_logger("keeper")

    @property
    def idle(self) -> bool:
        """No plan waits for the lane or is on it."""
        return not self.lane.waiting

    @property
    def armed(self) -> bool:
        """``Permit.armed``."""
        return self.permit.armed

    @property
    def broken(self) -> str:
        """``Permit.broken``."""
        return self.permit.broken

    async def tick(self, block: Block) -> Tick:
        """Everything that one block asks for, journaled; plans are returned, not yet handed over."""
        self._ticking = True
        try:
            return await self._tick(block)
        finally:
            self._ticking = False

    async def rest(self, within_s: float) -> None:
        """Returns when no block is read and no plan is on the lane, or after so long: slow jobs ask their
        questions then, and never in the middle of a rescue.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._ticking or not self.idle:  # noqa: ASYNC110 (two facts, neither of which tells)
                    await asyncio.sleep(REST_S)

    async def _tick(self, block: Block) -> Tick:
        start_s = self.parts.clock.monotonic_s()
        self.parts.alarms.at_block(block.number)
        self.permit.begin()
        if self.broken:
            self.stop_acting(self.broken)
        say_quorum(self.stops.quorum_lost, self.parts.chain.name, self.parts.alarms)
        self._first, self.lane.given, self._told = None, frozenset(), frozenset()
        with unswept():
            early = await self._the_few(block)
        snapshot, outcomes = await self.parts.facts.take(block, self.venues)
        say_tank(snapshot, self.venues.values(), self.parts.chain, self.parts.alarms)
        self._free_missed(outcomes)
        took_ms = {"read": (self.parts.clock.monotonic_s() - start_s) * 1e3 - early}
        return self._judge(snapshot, outcomes, took_ms)

    async def _the_few(self, block: Block) -> float:
        """Those in need judged and handed over before anybody else is looked at; how many ms they took."""
        facts = self.parts.facts
        # without a lane there is nobody to hand over to
        if not (self.lane.served and isinstance(facts, Glances)) or self.parts.dry:
            return 0.0
        self._held_open = None
        self._rooms.foresight.forget()
        # while the chain answers: what the journal holds open
        seen, ready = await beside(facts.glance(block, self.venues), self._asked_ahead)
        if seen is None:
            return 0.0
        if ready is None or ready.open_intents or seen[1]:
            # something was under way, and may have come to an end meanwhile
            ready = self._options()
        start_s = self.parts.clock.monotonic_s()
        self._free_missed(seen[1])
        self._first = self._judged(self.pairs.without_loans(seen[0]), seen[1], {}, few=ready)
        self.lane.given = frozenset(p.key for p in self.hand(self._first))
        if self.lane.given:
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_S):
                    await self.lane.drained()
            try:
                self.tell_first()
            except Unwritable as e:  # told with all the others, once the disk takes it
                self.stop_acting(e)
        return (self.parts.clock.monotonic_s() - start_s) * 1e3

    def foresee(self, snapshot: Snapshot) -> None:
        """The pure rooms are asked about those who may come first while everybody is still being read: where the
        whole block then shows the same, nothing is worked out twice. Nothing is decided, remembered or told by it.
        """
        if (options := self._held_open) is None:
            return
        shown = self.beside.on(self.pairs.without_loans(snapshot))
        # a copy: a command may change the owner's own in place before the whole block is seen
        policies, seen, memory = dict(self._standing(shown)), self.foreseen, self._memory
        self._rooms.think(
            Few(snapshot=shown, policies=policies, foreseen=seen, options=options, memory=memory)
        )

    def tell_first(self) -> None:
        """The diary and the memory of those who come first, once: in one commit with the first of their intents."""
        if self._first is None or self._told or not self.lane.given:
            return
        judged, memories = self._first.judged, self._memory.rows()
        with self.parts.journal.batch():
            self.parts.journal.record_all(ticks.wishes(self._first))
            self.parts.journal.set_memories({id: memories[id] for id in judged if id in memories})
            # with an intent that is refused, or a disk that is full, this is undone as well
            self.parts.journal.when_durable(partial(self._is_told, self._first))

    def _is_told(self, first: Tick) -> None:
        if first is self._first:
            self._told = first.judged

    def _free_missed(self, outcomes: Sequence[Outcome]) -> None:
        """What had no effect must not keep the next block from trying."""
        missed = {o.key.position for o in outcomes if o.state in WITHOUT_EFFECT}
        self.pairs.undone(missed)
        self._memory = self._memory.without_actions(missed)

    def unseen(self, block: Block, why: str) -> Tick:
        """A block that could not be read: every guarded position is UNKNOWN, and that is journaled."""
        lost = unseen_since(self.last.snapshot if self.last else None, self.policies, why, block)
        means = self.last.snapshot.means if self.last else NO_MEANS
        snapshot = Snapshot(
            block=block, positions=(), unreadable=lost, means=means, prices={}, digest=f"unseen: {why}"
        )
        return self._judge(snapshot, (), {})

    def hand(self, tick: Tick) -> tuple[Plan, ...]:
        """``Lane.hand``."""
        return self.lane.hand(tick)

    def undone(self, ids: Collection[PositionId]) -> None:
        """Nothing was done for these: no cooldown may keep the next block from trying."""
        self.pairs.undone(ids)
        self._memory = self._memory.without_actions(ids)

    def remembered(self, id: PositionId) -> PositionMemory:
        """The last judgement of a position, restarts included."""
        return self._memory.of(id)

    def remembered_all(self) -> dict[PositionId, PositionMemory]:
        """The same of every position at once."""
        return dict(self._memory.rows())

    async def serve_lane(self) -> None:
        """``Lane.serve``."""
        await self.lane.serve()

    async def drained(self) -> None:
        """``Lane.drained``."""
        await self.lane.drained()

    def may_send(self, plan: Plan) -> Refusal | None:
        """Why a plan that waited must not be sent now; asked before anything, and again before a signature.

        A disarm or a stop counts at once. A newer block judges the plan anew: its trigger, health
        bounds, caps and deadline must still hold there.
        """
        if why := self.permit.on_paper(plan, self.armed):
            return Refusal(who="lane", code="disarmed", why=why)
        id = plan.key.position
        if id in self.yielding and (why := self._others_first(id)):
            return Refusal(who="canary", code="overtaken", why=why)
        if self.last is None:
            return None
        now = self.last.snapshot
        policies = self._standing(now)
        relieves = self.pairs.relieves(id, plan.strategy, now, policies)
        return overtaken(plan, now, self.venue_of(id), policies[id], relieves)

    async def act(self, plan: Plan, snapshot: Snapshot) -> Attempt | None:
        """``Lane.act``."""
        return await self.lane.act(plan, snapshot)

    def stop_acting(self, why: str | Broken) -> None:
        """``Permit.stop_acting``."""
        self.permit.stop_acting(why)

    def _judge(self, snapshot: Snapshot, outcomes: tuple[Outcome, ...], took_ms: Mapping[str, float]) -> Tick:
        """The pure rooms over one snapshot, and their whys into the journal."""
        tick = self._judged(snapshot, outcomes, took_ms)
        self._write(tick)
        return tick

    def _judged(
        self,
        snapshot: Snapshot,
        outcomes: tuple[Outcome, ...],
        took_ms: Mapping[str, float],
        *,
        few: Options | None = None,
    ) -> Tick:
        """The pure rooms over one snapshot. Whoever was judged first at this block keeps that judgement.

        ``few``: the snapshot is of those who come first, to be decided with these options.
        """
        start_s, snapshot = self.parts.clock.monotonic_s(), self.beside.on(snapshot)
        policies, first, rooms = self._standing(snapshot), self._first, self._rooms
        watching = None if few else self._watching
        outlooks = rooms.outlooks(snapshot, policies, self.foreseen, watching)
        risk_s = self.parts.clock.monotonic_s()
        if few:
            policies = {o.id: policies[o.id] for o in outlooks}
        elif first is not None:
            policies = {id: p for id, p in policies.items() if id not in first.judged}
        options = few or self._options()
        if few is None:
            self._memory = self.pairs.see(snapshot, self.policies, self._memory)
            options = replace(options, reliefs=self.pairs.reliefs(snapshot, policies, self.stops))
        world = World(snapshot=snapshot, outlooks=outlooks, policies=policies, options=options)
        rooms.healths.see(snapshot)
        decisions, self._memory, broken = rooms.decided(world, self._memory, few=few is not None)
        plans, refusals = self._build(decisions, snapshot, options)
        decide_s = self.parts.clock.monotonic_s()
        known = self._memory.rows()
        tick = Tick(
            snapshot=snapshot,
            outlooks=tuple([_levelled(o, known.get(o.id)) for o in outlooks]),
            decisions=decisions,
            plans=plans,
            refusals=(*broken, *refusals),
            outcomes=outcomes,
            levels_before=self._levels,
            took_ms={**took_ms, "risk": (risk_s - start_s) * 1e3, "decide": (decide_s - risk_s) * 1e3},
            few=few is not None,
        )
        return tick if few or first is None else joined(first, tick)

    def _build(
        self, decisions: Sequence[Decision], snapshot: Snapshot, options: Options
    ) -> tuple[tuple[Plan, ...], tuple[tuple[PositionId, Refusal], ...]]:
        """A bounded plan for every chosen proposal, or why there is none."""
        policies = self._standing(snapshot)
        made = self._rooms.built(decisions, snapshot, policies, options)
        self.pairs.refused(decisions, {p.key.position for p in made.plans}, snapshot)
        self.undone({id for id, _ in made.refusals})
        return made.plans, made.refusals

    def _write(self, tick: Tick) -> None:
        """The tick into the journal; where that takes none it counts all the same, and nothing is signed."""
        try:
            self._keep(tick)
        except Broken as e:
            self.stop_acting(e)
        else:
            self.permit.kept()
        self._levels = {o.id: o.level for o in tick.outlooks}
        self.last = tick
        try:
            # a commit of their own, and one for all: in a crash a thousand alarms are raised at once
            with self.parts.journal.batch():
                self._refused = raise_for(tick, self.parts.alarms, self._refused, old=self.parts.old_head())
                self.pairs.tell(tick, self.policies, self.parts.alarms)
                self.beside.tell(self._moved(tick.snapshot), tick.block.timestamp_s, self.parts.alarms)
        except Broken as e:
            self.stop_acting(e)
        self._log.info("tick", **ticks.summary(tick))

    def _keep(self, tick: Tick) -> None:
        """One commit: the tick's rows, the memory that the next decision needs, the snapshot or a digest."""
        with self.parts.journal.batch():
            self.parts.journal.record_all((*ticks.entries(tick, self._told), *self.pairs.rows(tick)))
            self.parts.journal.save_snapshot(tick.snapshot, full=ticks.worth_keeping(tick))
            rows = self._memory.rows()
            keep = rows if ticks.worth_keeping(tick) else newly_marked(self._marks, rows)
            self.parts.journal.set_memories(keep)
        # only what was committed is written
        self._marks = marks_of(rows)

    def _standing(self, snapshot: Snapshot) -> Mapping[PositionId, Policy]:
        """The policies with what their owners allowed to move; as configured where that breaks."""
        policies = self.pairs.standing(yielded(self.policies, self.yielding, snapshot), snapshot)
        if not (moving := self._movers.among(policies)):
            return policies
        stand = partial(standing_all, policies, self._memory.rows(), snapshot)
        found, _ = without_culprits(stand, moving)
        return found

    def practises(self, id: PositionId) -> bool:
        """Whether the position is rescued for practice now."""
        return id in self.yielding

    def _moved(self, snapshot: Snapshot) -> Mapping[PositionId, Policy]:
        """Those policies that may move, as they stand; often none."""
        moving = self._movers.among(self.policies)
        found = self._standing(snapshot) if moving else {}
        return {id: found[id] for id in moving if id in found}

    def _others_first(self, id: PositionId) -> str:
        opened = self.parts.journal.open_intents(self.parts.chain.chain_id)
        under_way = {*self.lane.waiting, *(i.key.position for i in opened)}
        return others_first(id, ((at, self.level_of(at)) for at in self.policies), under_way)

    def _options(self) -> Options:
        return options_of(self.parts, self.venues, self.lane.waiting, armed=self.armed)

    def _asked_ahead(self) -> Options:
        """What the journal is asked on the way to a signature: its answers are kept until something is written."""
        self.parts.journal.followed_intents(self.parts.chain.chain_id)
        self.parts.journal.last_seqs()
        self._held_open = self._options()
        return self._held_open

    def venue_of(self, id: PositionId) -> Venue:
        """The venue of a guarded position."""
        return self.venues[self._homes[id]]

    def level_of(self, id: PositionId) -> Level | None:
        """The level of a guarded position as judged last, even if the others wait yet; None before the first."""
        return self._memory.of(id).level if self._first and id in self._first.judged else self._levels.get(id)


def _levelled(outlook: Outlook, kept: PositionMemory | None) -> Outlook:
    """The outlook at the level that hysteresis gave the position."""
    return outlook if kept is None or kept.level is outlook.level else replace(outlook, level=kept.level)


__all__ = ["NO_MEANS", "ChainLoop", "Parts"]
