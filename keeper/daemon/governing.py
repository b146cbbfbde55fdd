"""The governance room's joint with one chain: what waits behind its timelocks, tried before it lands, and said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from keeper.config import ChainSettings, VenueSettings
from keeper.daemon.facts import Guarded
from keeper.daemon.oracles import Around
from keeper.daemon.queues import Queues
from keeper.daemon.trial import Read, Trial
from keeper.daemon.wiring import Finding, Site
from keeper.errors import Transient, Unread
from keeper.governance import deployments, effect
from keeper.governance.calldata import Change, Place, Where, change, selector
from keeper.governance.effect import Effect
from keeper.governance.timelocks import GOVERNED, Queued, Timelock
from keeper.model import Block, Call, Policy, Position, PositionId, Snapshot
from keeper.oracle.faults import Fault
from keeper.phrases import minute_text
from keeper.seams import Alarm, Severity, Venue
from keeper.venues import registry
from keeper.venues.aave_v2 import AaveV2
from keeper.venues.aave_v2 import known as v2_markets
from keeper.venues.aave_v3 import AaveV3
from keeper.venues.aave_v3.book import checksum
from keeper.venues.aave_v3.deployments import known as v3_markets

CHANGE, UNREAD, UNKNOWN = "pending_governance_change", "pending_governance_unread", "timelock_unknown"
WAYS = {
    "aave_v3": ((Where.CONFIGURATOR, "getPoolConfigurator()"), (Where.ROLES, "getACLManager()")),
    "aave_v2": ((Where.CONFIGURATOR, "getLendingPoolConfigurator()"),),
}
"""Asked of a market's addresses provider: through what it is changed."""
DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Who is asked for whom."""

    around: Around
    guarded: tuple[Guarded, ...]
    settings: Mapping[str, VenueSettings] = field(default_factory=dict)
    """By venue id: a market that a payload would change is loaded anew by them, to see it as it would be."""


class Governing:
    """Looks behind the timelocks of one chain; says what would change for a guarded position, and when."""

    def __init__(self, seat: Seat, alarms: Alarm) -> None:
        self._seat = seat
        self._alarms = alarms
        self._timelocks = chosen(seat.around.chain)
        self._queues = Queues(seat.around.chain, seat.around.endpoints)
        self._standing: frozenset[tuple[str, str]] = frozenset()

    async def look(self, snapshot: Snapshot, venues: Mapping[str, Venue]) -> None:
        """Raise what is found, clear what is over."""
        if not self._timelocks:
            return
        faults = await self.find(snapshot, venues)
        now = frozenset((f.code, f.subject) for f in faults)
        for code, subject in sorted(self._standing - now):
            self._alarms.clear(code, subject)
        for f in faults:
            self._alarms.raise_alarm(f.severity, f.code, f.subject, f.why)
        self._standing = now

    async def find(self, snapshot: Snapshot, venues: Mapping[str, Venue]) -> list[Fault]:
        """Everything that waits and matters to a guarded position, and what could not be read."""
        # a tick may put a market loaded anew in its place meanwhile
        venues = dict(venues)
        faults: list[Fault] = []
        queued: list[Queued] = []
        read = self._seat.around.camera.reader(snapshot.block)
        for timelock in self._timelocks:
            if not any(timelock.rules(v.kind) for v in venues.values()):
                continue
            try:
                queued += await self._queues.waiting(timelock, snapshot.block, read)
            except (Transient, ValueError) as error:
                why = f"what waits behind the {timelock.kind} timelock is not known: {error}"
                faults.append(_fault(Severity.WARNING, UNREAD, timelock.address, why))
                continue
            if (behind := self._queues.behind.get(timelock.address)) is not None:
                why = f"what the {timelock.kind} timelock was given before block {behind} is not searched yet"
                faults.append(_fault(Severity.INFO, UNREAD, timelock.address, why))
        if queued:
            faults += await self._judged(queued, snapshot, venues)
        return faults

    async def _judged(
        self, queued: Sequence[Queued], snapshot: Snapshot, venues: Mapping[str, Venue]
    ) -> list[Fault]:
        around, block = self._seat.around, snapshot.block
        places = await self._places(venues, block)
        trial = Trial(
            around.endpoints, around.chain.multicall, around.camera, self._accounts(venues), self._load
        )
        told: dict[PositionId, list[tuple[Queued, Effect, str]]] = {}
        faults: list[Fault] = []
        for q in queued:
            read, unread = _by_calldata(q, places)
            seen, untried = await trial.run(q, block, venues)
            blind = 0
            for position in snapshot.positions:
                found = self._one(position, read, seen)
                if found is None:
                    # what it does not rule over it need not be read for
                    blind += q.timelock.rules(position.id.venue)
                elif found[0].matters:
                    told.setdefault(position.id, []).append((q, *found))
            if blind:
                why = (
                    f"{_when(q, block)}: what it does to {blind} guarded positions is not known: "
                    f"{'; '.join(w for w in (untried, unread) if w) or 'they could not be read'}"
                )
                faults.append(_fault(Severity.WARNING, UNREAD, q.id, why))
        policies = {g.id: g.policy for g in self._seat.guarded}
        return [*faults, *(_told(id, some, policies.get(id), block) for id, some in told.items())]

    def _one(
        self,
        position: Position,
        read: Sequence[Change] | None,
        seen: Mapping[PositionId, Effect],
    ) -> tuple[Effect, str] | None:
        """The effect on one position, and how it is known; None where nothing tells."""
        tried, counted = seen.get(position.id), None
        if read is not None:
            mine = [c for c in read if c.venue == _venue_of(position.id)]
            modes = self._seat.around.camera.seen(_venue_of(position.id)).modes
            found = effect.computed(position, mine, modes) if mine else None
            counted = found if isinstance(found, Effect) else None
            if not mine and tried is None:
                # every call was read, and none is of this position's market
                return Effect(before_wad=position.health_wad or 0, after_wad=position.health_wad), "calldata"
        if tried is not None and counted is not None:
            return effect.worse(tried, counted), "calldata, and tried"
        if tried is not None:
            return tried, "tried"
        return None if counted is None else (counted, "calldata")

    async def _load(self, venue_id: str, read: Read) -> Venue:
        settings = self._seat.settings.get(venue_id)
        if settings is None:
            raise Unread(f"how {venue_id} is loaded is not known")
        return await registry.load(settings, self._seat.around.chain.chain_id, read)

    def _accounts(self, venues: Mapping[str, Venue]) -> dict[str, tuple[str, ...]]:
        guarded = self._seat.guarded
        return {v: tuple(g.id.account for g in guarded if g.venue_id == v) for v in venues}

    async def _places(self, venues: Mapping[str, Venue], block: Block) -> dict[str, Place]:
        """Contract -> which market it changes. Raises Transient."""
        markets = [v for v in venues.values() if isinstance(v, AaveV3 | AaveV2)]
        if not markets:
            return {}
        asked = [(v, where, selector(name)) for v in markets for where, name in WAYS[v.kind]]
        calls = [Call(target=v.market.provider, data=data) for v, _, data in asked]
        words = await self._seat.around.camera.reader(block)(calls)
        found = {v.market.oracle: Place(venue=v.id, where=Where.ORACLE) for v in markets}
        found |= {
            v.market.provider: Place(venue=v.id, where=Where.ROLES) for v in markets if v.kind == "aave_v2"
        }
        for i, (venue, where, _) in enumerate(asked):
            if words.ok[i] and words.count[i]:
                found[checksum(words.uint(i))] = Place(venue=venue.id, where=where)
        return found


def chosen(chain: ChainSettings) -> tuple[Timelock, ...]:
    """The timelocks that the configuration names, else those known of the chain."""
    if chain.timelocks is None:
        return deployments.known(chain.chain_id)
    return tuple(Timelock(kind=t.kind, address=t.address) for t in chain.timelocks)


def _by_calldata(queued: Queued, places: Mapping[str, Place]) -> tuple[list[Change] | None, str]:
    """Every change of a payload, or why one of its calls cannot be read."""
    found: list[Change] = []
    for action in queued.actions:
        if action.delegate:
            return None, f"its calls stand in the code of {action.target}, not in calldata"
        place = places.get(action.target)
        if place is None:
            return None, f"it calls {action.target}, which belongs to no guarded market"
        one = change(place, action.data)
        if isinstance(one, str):
            return None, f"it {one}"
        found.append(one)
    return found, ""


def _told(
    id: PositionId, some: Sequence[tuple[Queued, Effect, str]], policy: Policy | None, block: Block
) -> Fault:
    """One alarm for a position, whatever is queued for it; as loud as the worst of it."""
    severity = max((_severity(e, policy) for _, e, _ in some), key=list(Severity).index)
    why = " | ".join(f"{_when(q, block)}: {e.text()} ({how})" for q, e, how in some)
    return _fault(severity, CHANGE, str(id), why)


def _severity(found: Effect, policy: Policy | None) -> Severity:
    after = found.after_wad
    if after is None or (policy is not None and after < policy.emergency_wad):
        return Severity.CRITICAL
    if found.notes or policy is None or after < policy.trigger_wad:
        return Severity.WARNING
    return Severity.INFO


def _when(queued: Queued, block: Block) -> str:
    left_s = queued.eta_s - block.timestamp_s
    due = (
        "now"
        if left_s <= 0
        else f"in {left_s / DAY_S:.1f} days"
        if left_s >= DAY_S
        else f"in {left_s / 3600:.1f} h"
    )
    return f"{queued.id} may land from {minute_text(queued.eta_s)} ({due})"


def _venue_of(id: PositionId) -> str:
    return f"{id.venue}:{id.chain_id}:{id.key}"


def _fault(severity: Severity, code: str, subject: str, why: str) -> Fault:
    return Fault(severity=severity, code=code, subject=subject, why=why)


def _foreign(venue: Venue, looked: Sequence[Timelock]) -> bool:
    """A market of Aave's code that is not Aave's own (SparkLend): the known controllers do not rule over it."""
    if not isinstance(venue, AaveV3 | AaveV2) or any(not t.governs for t in looked):
        return False
    market = venue.market
    known = v3_markets if isinstance(venue, AaveV3) else v2_markets
    return all(m.provider.lower() != market.provider.lower() for m in known(market.chain_id))


async def findings(site: Site, snapshot: Snapshot) -> list[Finding]:
    """What ``keeper check`` says: changes that wait, and the markets of which no timelock is known."""
    around = Around(chain=site.chain, endpoints=site.endpoints, camera=site.camera)
    looked = chosen(site.chain)
    found = [
        Finding(
            severity=Severity.INFO,
            code=UNKNOWN,
            subject=venue.id,
            why="no timelock is known for it: a change that waits for it is not seen before it lands",
        )
        for venue in site.venues.values()
        if venue.kind in GOVERNED
        and (not any(t.rules(venue.kind) for t in looked) or _foreign(venue, looked))
    ]
    if not looked:
        return found
    from keeper.daemon.oracles import Unheard

    try:
        seat = Seat(around=around, guarded=site.guarded, settings=site.settings)
        faults = await Governing(seat, Unheard()).find(snapshot, site.venues)
    except Transient as error:
        why = f"what waits behind the timelocks is not known: {error}"
        faults = [_fault(Severity.WARNING, UNREAD, site.chain.name, why)]
    return [
        *found,
        *(Finding(severity=f.severity, code=f.code, subject=f.subject, why=f.why) for f in faults),
    ]
