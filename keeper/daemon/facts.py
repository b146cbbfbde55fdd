"""What a tick decides on: the chain's own facts when live, the shadows' when dry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from keeper.confirmation import Confirmation
from keeper.daemon import carried
from keeper.daemon import shadow as shadows
from keeper.daemon.camera import Camera
from keeper.daemon.isolation import read_without_culprits
from keeper.daemon.nearest import Glimpse, Nearest, Ranks, Thinks, glimpsed, nothing
from keeper.daemon.pace import Pace
from keeper.daemon.shadow import ShadowBook, Shadowed
from keeper.daemon.triage import few_of, line_wad, lines_of
from keeper.errors import Broken, Transient
from keeper.journal.write import Journal
from keeper.model import (
    Block,
    IntentState,
    Means,
    Outcome,
    Plan,
    Policy,
    Position,
    PositionId,
    Snapshot,
    Unreadable,
)
from keeper.seams import Alarm, Screens, Severity, Venue

TEND_S = 4.0
"""Of a tick's ten seconds, what the following of sent transactions may take at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A configured position with its policy."""

    label: str
    policy: Policy
    venue_id: str
    id: PositionId


class Facts(Protocol):
    """Where a tick's snapshot comes from."""

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        """The snapshot to decide on, and what became of earlier plans. Raises Transient."""
        ...

    def acted(self, plan: Plan) -> None:
        """The sender carried this plan as far as it goes."""
        ...


class Lens:
    """The camera pointed at the guarded accounts; remembers since when each has been unreadable."""

    def __init__(self, camera: Camera, guarded: Sequence[Guarded]) -> None:
        self.camera = camera
        self.guarded = tuple(guarded)
        self._accounts: dict[str, tuple[str, ...]] = {}
        """Of every guarded position, by venue: the same in every block."""
        self._since: dict[PositionId, int] = {}
        homes = dict.fromkeys(g.venue_id for g in guarded)
        self._lines = {v: lines_of([g.policy for g in guarded if g.venue_id == v]) for v in homes}
        self._ranks = Ranks({g.id: line_wad(g.policy) for g in guarded}, {g.id: g.venue_id for g in guarded})

    async def look(self, block: Block, venues: Mapping[str, Venue], book: ShadowBook) -> Snapshot:
        """One photograph with ``book``'s shadows in place of the positions that they shadow."""

        async def take(chosen: Sequence[Guarded]) -> Snapshot:
            return await self.camera.photograph(venues, _accounts(chosen, venues), block, book, self._since)

        snapshot, broken = await read_without_culprits(take, self.guarded)
        if broken:
            lost = tuple(
                Unreadable(id=g.id, why=why, since_block=self._since.get(g.id, block.number))
                for g, why in broken.items()
            )
            snapshot = replace(snapshot, unreadable=(*snapshot.unreadable, *lost))
        self._since = {u.id: u.since_block for u in snapshot.unreadable}
        self._ranks.see(snapshot)
        return snapshot

    async def few(
        self,
        block: Block,
        venues: Mapping[str, Venue],
        pending: Callable[[int], frozenset[PositionId]],
        think: Thinks = nothing,
    ) -> Snapshot | None:
        """``few_of`` the guarded accounts; ``think`` is told of them ahead, where that can be. Raises Transient."""
        if not self._lines.keys() >= venues.keys():
            return None
        if self._accounts.keys() != venues.keys():
            self._accounts = _accounts(self.guarded, venues)
        near = self._ranks.nearest
        tell = all(isinstance(v, Screens) for v in venues.values())
        if near is None or not tell or near.accounts.keys() != venues.keys():
            film = await self.camera.expose(venues, self._accounts, block, self._since)
            return await few_of(film, self._lines, pending)
        looking: list[asyncio.Future[Glimpse | None]] = []

        def look() -> None:
            looking.append(asyncio.ensure_future(self._glimpse(near, block, venues, think)))

        try:
            film = await self.camera.expose(venues, self._accounts, block, self._since, look)
        finally:
            # never waited for
            seen = await _so_far(looking)
        return await few_of(film, self._lines, pending, seen)

    async def _glimpse(
        self, near: Nearest, block: Block, venues: Mapping[str, Venue], think: Thinks
    ) -> Glimpse | None:
        """The nearest alone, by a small reading of the same block."""
        film = await self.camera.glimpse(venues, near.accounts, block, self._since)
        return None if film is None else await glimpsed(film, near, think)


def _accounts(chosen: Sequence[Guarded], venues: Mapping[str, Venue]) -> dict[str, tuple[str, ...]]:
    return {venue: tuple([g.id.account for g in chosen if g.venue_id == venue]) for venue in venues}


async def _so_far(looking: Sequence[asyncio.Future[Glimpse | None]]) -> Glimpse | None:
    """What was found by now. Nothing is left running; what went wrong with it, the whole block will tell."""
    for one in looking:
        if not one.done():
            one.cancel()
            await asyncio.gather(one, return_exceptions=True)
        if not one.cancelled() and one.exception() is None:
            return one.result()
    return None


def _raised(error: Broken) -> None:
    raise error


def unheard(_: Means) -> None:
    """Nobody listens."""


class LiveFacts:
    """The chain, and the confirmation of what was sent."""

    def __init__(
        self, lens: Lens, confirmation: Confirmation, alarms: Alarm, pace: Pace | None = None
    ) -> None:
        """``pace``: told of each block before it is tended."""
        self._pace = pace or Pace()
        self._lens = lens
        self._confirmation = confirmation
        self._alarms = alarms
        self._stuck = carried.subjects(alarms, "stuck")
        self._slow = bool(carried.subjects(alarms, "tending_slow"))
        self._tended = ""
        """Hash of the block whose few were shown with what was sent tended already; empty after ``take``."""
        self.on_full: Callable[[Broken], None] = _raised
        """Told where the disk takes no note of what became of a transaction, or the journal is gone or damaged: the
        photograph is true all the same."""
        self.think: Thinks = nothing
        """Told of those in need before everybody is seen, where nothing is to be tended first."""
        self.shown: Callable[[Means], None] = unheard
        """Told of the means of each photograph, those in need alone or everybody, before anything is signed by it."""

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        """The chain at ``block``; every open transaction is tended before anything more is planned."""
        self._pace.learn_beside(self._lens.camera.transport)
        snapshot = await self._lens.look(block, venues, ShadowBook())
        self.shown(snapshot.means)
        if self._tended == block.hash:
            self._tended = ""
            return snapshot, ()
        if self._pace.newer is None:
            return snapshot, await self._tend(block, snapshot)
        self._pace.begin(block, snapshot.means.nonce)
        if self._waiting(block, snapshot.means.nonce):
            before = await self._pace.quiet()
            return snapshot, (*before, *await self._tend(block, snapshot))
        # no tending of these could find one of ours missing: no plan waits for it, and no newer block
        before = await self._pace.caught_up()
        if self._pace.late:
            return snapshot, before
        return snapshot, (*before, *await self._pace.unless_newer(self._tend(block, snapshot)))

    async def glance(
        self, block: Block, venues: Mapping[str, Venue]
    ) -> tuple[Snapshot, tuple[Outcome, ...]] | None:
        """The few that may be in need; what is sent is tended before them where that could matter to a plan."""
        self._pace.learn_beside(self._lens.camera.transport)
        waiting = frozenset[PositionId]()

        def pending(nonce: int) -> frozenset[PositionId]:
            nonlocal waiting
            # what is due at this block must be known first, and is then the same for whoever asks
            self._pace.begin(block, nonce)
            waiting = self._waiting(block, nonce)
            return waiting

        def ahead(snapshot: Snapshot) -> None:
            if not self._waiting(block, snapshot.means.nonce):
                self.think(snapshot)

        few = await self._lens.few(block, venues, pending, ahead)
        if few is None:
            return None
        self.shown(few.means)
        if not waiting:
            return few, ()
        self._tended = block.hash
        before = await self._pace.quiet()
        return few, (*before, *await self._tend(block, few))

    def _waiting(self, block: Block, nonce: int) -> frozenset[PositionId]:
        return self._confirmation.pending(block.chain_id, nonce, moved=self._pace.moved)

    async def _tend(self, block: Block, snapshot: Snapshot) -> tuple[Outcome, ...]:
        if self._pace.newer is None:
            self._pace.begin(block, snapshot.means.nonce)
        # a newer block may be begun while this waits
        begun = self._pace.begun
        await self._pace.learned()
        outcomes: tuple[Outcome, ...] = ()
        try:
            async with asyncio.timeout(TEND_S):
                outcomes = await self._confirmation.tend(block, snapshot)
        except TimeoutError:
            # what was concluded is journaled; the photograph is true, and must not be lost with the rest
            why = f"following what was sent took longer than {TEND_S:.0f} s; the next block goes on"
            self._alarms.raise_alarm(Severity.WARNING, "tending_slow", "", why)
            # whom the time did not suffice for is asked in the next block
            self._pace.reset()
            self._slow = True
        except Transient as e:
            # no node's answer may cost the photograph, of which everybody's rescue is decided
            why = f"following what was sent failed: {e}; the next block goes on"
            self._alarms.raise_alarm(Severity.WARNING, "tending_slow", "", why)
            self._pace.reset()
            self._slow = True
        except Broken as e:
            # what a full disk kept from the journal is asked about again, and nothing new may be signed meanwhile
            self._pace.reset()
            self.on_full(e)
        else:
            if self._slow:
                self._alarms.clear("tending_slow", "")
            self._slow = False
        self._pace.tended(begun)
        self._say_stuck({str(key): why for key, why in self._confirmation.troubles.items()})
        return outcomes

    def _say_stuck(self, troubles: Mapping[str, str]) -> None:
        """A plan that was sent and can be pushed no further is as bad as one that was not sent."""
        for plan, why in troubles.items():
            self._alarms.raise_alarm(Severity.CRITICAL, "stuck", plan, why)
        for plan in self._stuck - troubles.keys():
            self._alarms.clear("stuck", plan)
        self._stuck = frozenset(troubles)

    def acted(self, plan: Plan) -> None:
        """Confirmation finds the intent in the journal."""


class DryFacts:
    """The chain with this dry-run's own fills, so that the second decision is as true as the first."""

    def __init__(self, lens: Lens, journal: Journal, alarms: Alarm, chain_id: int) -> None:
        self._lens = lens
        self._journal = journal
        self._alarms = alarms
        self._to_fill: list[Plan] = []
        self._last_block = 0
        self._kept = {id: s for id, s in journal.shadows().items() if id.chain_id == chain_id}
        self._book = ShadowBook(wallet=journal.wallet_deltas(chain_id))

    def apart(self, id: PositionId) -> bool:
        """True once the shadow is no longer the chain's position, which a node then cannot simulate."""
        return id in self._book.positions

    def acted(self, plan: Plan) -> None:
        """Fill the plan at the next block, where a live transaction would be mined at the earliest."""
        self._to_fill.append(plan)

    async def take(self, block: Block, venues: Mapping[str, Venue]) -> tuple[Snapshot, tuple[Outcome, ...]]:
        """Follow the chain, fill what the last tick planned, and look again at the shadows."""
        real = await self._lens.look(block, venues, ShadowBook())
        self._restore(real)
        for id, shadowed in tuple(self._book.positions.items()):
            position = real.position(id)
            if position is not None and shadows.moved(shadowed, position):
                await self._follow(position, shadowed, venues)
        self._last_block = block.number
        # a transaction is included whether or not we can read: its fill waits until we can
        due = [(plan, p) for plan in self._to_fill if (p := real.position(plan.key.position)) is not None]
        self._to_fill = [plan for plan in self._to_fill if real.position(plan.key.position) is None]
        outcomes = tuple(self._fill(plan, position, real, venues) for plan, position in due)
        if not self._book.positions:
            return real, outcomes
        seen = await self._lens.look(block, venues, self._book)
        return seen, tuple(self._settled(o, seen) for o in outcomes)

    def _restore(self, real: Snapshot) -> None:
        """After a restart: shadows from the journal; what the chain did meanwhile is not attributed."""
        for id, shadow in tuple(self._kept.items()):
            position = real.position(id)
            if position is not None:
                fresh = replace(shadows.begin(position), shadow=shadow)
                self._book = replace(self._book, positions={**self._book.positions, id: fresh})
                del self._kept[id]

    async def _follow(self, position: Position, shadowed: Shadowed, venues: Mapping[str, Venue]) -> None:
        first = self._last_block + 1 if self._last_block else position.block_number
        venue = self._venue(position.id, venues)
        liquidated = await self._lens.camera.liquidated(
            venue, position.id.account, first, position.block_number
        )
        self._book = shadows.follow(self._book, position, liquidated=liquidated)
        if liquidated and shadowed.liquidated_block is None:
            why = "the real position was liquidated here; its shadow, guarded by this dry-run, was not"
            self._alarms.raise_alarm(Severity.WARNING, "liquidated_unguarded", str(position.id), why)

    def _fill(self, plan: Plan, position: Position, real: Snapshot, venues: Mapping[str, Venue]) -> Outcome:
        """A planned action as if it had been included in this block."""
        id = plan.key.position
        shadowed = self._book.positions.get(id) or shadows.begin(position)
        after = self._venue(id, venues).fill(plan.steps, real.block, real, shadowed.shadow)
        self._book = shadows.filled(self._book, position, after, plan.steps)
        self._journal.set_shadow(after, self._book.wallet)
        return _outcome(plan, real.block)

    def _settled(self, outcome: Outcome, seen: Snapshot) -> Outcome:
        """The outcome with the health that the shadow now shows, journaled."""
        position = seen.position(outcome.key.position)
        health_wad = position.health_wad if position else None
        kept = health_wad is not None and health_wad >= outcome.promised_min_wad
        surprise = "" if kept else "the health found is below the health promised"
        settled = replace(outcome, health_after_wad=health_wad, surprise=surprise)
        self._journal.record_outcome(settled)
        return settled

    def _venue(self, id: PositionId, venues: Mapping[str, Venue]) -> Venue:
        return next(venues[g.venue_id] for g in self._lens.guarded if g.id == id)


def _outcome(plan: Plan, block: Block) -> Outcome:
    """A dry fill: no transaction, no gas; its health is filled in when the shadow has been read."""
    return Outcome(
        key=plan.key,
        state=IntentState.DRY,
        block_number=block.number,
        tx_hash=None,
        gas_used=0,
        gas_price_wei=block.base_fee_wei,
        health_after_wad=None,
        promised_min_wad=plan.bounds.health_after_min_wad,
        surprise="",
    )
