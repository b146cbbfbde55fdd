"""The oracle room's joint with one chain: who prices its venues, a look at them, and what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from keeper.chain.endpoints import Endpoints
from keeper.clock import SystemClock
from keeper.config import ChainSettings
from keeper.daemon.camera import Camera
from keeper.daemon.thresholds import Diary, Thresholds
from keeper.daemon.wiring import Finding, Site
from keeper.errors import Transient
from keeper.model import Block, Call, Policy, PositionId, Snapshot, Token
from keeper.oracle import composed, drift, osm, room, sequencer, updates
from keeper.oracle.ahead import Next
from keeper.oracle.faults import Fault
from keeper.oracle.feeds import selector
from keeper.oracle.room import Room, Told
from keeper.oracle.room import Site as Feeds
from keeper.oracle.sequencer import Grace
from keeper.oracle.tickers import Tickers, places
from keeper.seams import Alarm, Clock, Priority, Severity, Venue
from keeper.sockets import Composes, Delays, Fed, Named, Pair, Waits
from keeper.words import Words

EVENTS = ("threshold_cut", "mode_changed", "feed_jump", "oracle_moved_alone")
"""Seen in one look only: the next one compares with what is so now."""
EVENT_S = 3_600.0
"""So long they stand: to clear one with the next block would say that it is over."""
SENTINEL, WAIT = selector("getPriceOracleSentinel()"), selector("getGracePeriod()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What an oracle look needs of its chain."""

    chain: ChainSettings
    endpoints: Endpoints
    camera: Camera


class Oracles:
    """Looks at the feeds of one chain between ticks; says what is wrong, and tells what comes."""

    def __init__(self, around: Around, alarms: Alarm, diary: Diary | None = None) -> None:
        """``diary``: where what positions were is kept across restarts; None: nothing of before is known."""
        self._around = around
        self._alarms = alarms
        self._venues: Mapping[str, Venue] = {}
        self._room: Room | None = None
        self._hash = ""
        """Of the last block looked at."""
        self._thresholds = Thresholds(around.chain.chain_id, diary)
        self._feeds: dict[PositionId, tuple[str, ...]] = {}
        """What prices each position, as when it was read last."""
        self._ahead: tuple[Next, ...] = ()
        self._standing: frozenset[tuple[str, str]] = frozenset()
        self._events: dict[tuple[str, str], float] = {}
        """What was over in the moment in which it was seen -> until when it stands all the same."""
        self._logged: int | None = None
        """Up to which block the feeds' logs are known."""
        self.clock: Clock = SystemClock()
        self._tickers = Tickers(places(around.chain.tickers), self.clock)
        self._unlooked: tuple[Fault, ...] = ()
        """What is wrong with oracles as they were built, and which are not looked into."""

    async def look(
        self, snapshot: Snapshot, venues: Mapping[str, Venue], policies: Mapping[PositionId, Policy]
    ) -> tuple[Next, ...]:
        """What the feeds will say next; faults become alarms, and those that are over are cleared.

        Raises Transient when the feeds could not be asked at all.
        """
        if self._hash == snapshot.block.hash:
            return self._ahead
        faults, self._ahead = await self.find(snapshot, venues, policies)
        self._hash = snapshot.block.hash
        self.say(faults)
        self._thresholds.keep(snapshot)
        return self._ahead

    @property
    def told(self) -> tuple[Told, ...]:
        """What markets said at the last look, source by source."""
        return self._room.told if self._room is not None else ()

    @property
    def sources(self) -> dict[str, str]:
        """What venues ask -> the aggregator behind it, whose logs are read."""
        return {f.address: f.source for f in self._room.feeds} if self._room is not None else {}

    async def find(
        self, snapshot: Snapshot, venues: Mapping[str, Venue], policies: Mapping[PositionId, Policy]
    ) -> tuple[list[Fault], tuple[Next, ...]]:
        """What is wrong now, and what the feeds will say next. Raises Transient."""
        block = snapshot.block
        # a tick may put a market loaded anew in its place meanwhile
        venues = dict(venues)
        self._feeds |= {p.id: p.row.feeds for p in snapshot.positions}
        mine = {feed for id, feeds in self._feeds.items() if id in policies for feed in feeds}
        here = await self._opened(venues, block)
        asked = here.calls()
        # one round trip: exchanges and logs are asked while the batch is under way
        beside = asyncio.gather(self._tickers.prices(here.asked(mine)), self._updates(here, block))
        try:
            words = await self._around.camera.reader(block)(asked) if asked else Words((), ())
            here.heard, unheard = await beside
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
        found = here.look(block, words, snapshot, policies)
        drifted = drift.since(snapshot, self._thresholds.of(snapshot))
        delayed = await self._delayed(venues, block)
        return [*found.faults, *unheard, *self._unlooked, *drifted, *delayed], found.ahead

    def say(self, faults: list[Fault]) -> None:
        """Raise what was found, clear what stood and was not found again; an event stands for ``EVENT_S``."""
        at_s = self.clock.monotonic_s()
        self._events |= {(f.code, f.subject): at_s + EVENT_S for f in faults if f.code in EVENTS}
        self._events = {key: until_s for key, until_s in self._events.items() if at_s < until_s}
        now = frozenset((f.code, f.subject) for f in faults) | self._events.keys()
        for code, subject in sorted(self._standing - now):
            self._alarms.clear(code, subject)
        for f in faults:
            self._alarms.raise_alarm(f.severity, f.code, f.subject, f.why)
        self._standing = now

    async def _opened(self, venues: Mapping[str, Venue], block: Block) -> Room:
        """The room of these venues; found anew when they were."""
        same = self._venues.keys() == venues.keys() and all(self._venues[i] is v for i, v in venues.items())
        if self._room is None or not same or self._room.moved:
            read = self._around.camera.reader(block)
            named, tokens = await named_feeds(venues, read)
            parts, unlooked = await composed_feeds(venues, read)
            chain = self._around.chain
            rollup = bool(sequencer.calls(chain.chain_id, chain.uptime_feed))
            site = Feeds(
                chain=chain.name,
                chain_id=chain.chain_id,
                block_time_s=chain.block_time_s,
                named=(*named, *parts),
                tokens=tokens,
                quoter=chain.uniswap_quoter,
                uptime=chain.uptime_feed,
                graces=await graces(venues, read) if rollup else (),
            )
            self._room, self._venues = await room.load(site, read), dict(venues)
            self._unlooked = (*unlooked, *untold(venues, named))
        return self._room

    async def _updates(self, here: Room, block: Block) -> tuple[Fault, ...]:
        """Every answer since the last look, told to the room; without logs the answer of the block must do."""
        here.answered = ()
        if not here.feeds:
            return ()
        # the same block again, or another of its number: its logs are asked once more, and counted once
        first = block.number if self._logged is None else min(block.number, self._logged + 1)
        try:
            logs = await self._around.endpoints.request(
                "eth_getLogs", [updates.query(here.feeds, first, block.number)], priority=Priority.PAGE
            )
            here.answered = updates.parsed(logs if isinstance(logs, list) else ())
        except (Transient, ValueError, KeyError, IndexError) as error:
            why = f"the feeds' own logs cannot be read ({type(error).__name__}): what came between looks is unseen"
            name = self._around.chain.name
            return (Fault(severity=Severity.INFO, code="feed_updates_unread", subject=name, why=why),)
        self._logged = block.number
        return ()

    async def _delayed(self, venues: Mapping[str, Venue], block: Block) -> list[Fault]:
        """Delayed prices: the venue is told the lowest that counts within the hour."""
        found: list[Fault] = []
        for venue in venues.values():
            if not isinstance(venue, Delays):
                continue
            subject, source = venue.delayed
            try:
                state = await osm.read(self._around.endpoints, source, block.hash)
            except Transient as error:
                why = f"{error}: the next price is not known"
                found.append(Fault(severity=Severity.WARNING, code="osm_unread", subject=subject, why=why))
                continue
            venue.foreseen_wad = state.lowest
            found += osm.faults(subject, state, block.timestamp_s)
        return found


async def graces(venues: Mapping[str, Venue], read: room.Read) -> tuple[Grace, ...]:
    """How long each market waits after its sequencer stood, where it does at all. Raises Transient."""
    sentinels: dict[str, str] = {}
    found = {v.id: 0 for v in venues.values()}
    asked = {v.id: v.sentinel_of for v in venues.values() if isinstance(v, Waits) and v.sentinel_of}
    if asked:
        words = await read([Call(target=provider, data=SENTINEL) for provider in asked.values()])
        known = {id: words.uint(i) for i, id in enumerate(asked) if words.ok[i] and words.count[i]}
        found |= {id: -1 for id in asked if id not in known}
        sentinels = {id: _address(value) for id, value in known.items() if value}
    if sentinels:
        words = await read([Call(target=target, data=WAIT) for target in sentinels.values()])
        for i, id in enumerate(sentinels):
            found[id] = words.uint(i) if words.ok[i] and words.count[i] else -1
    return tuple(Grace(market=id, wait_s=None if s < 0 else s) for id, s in found.items())


async def named_feeds(
    venues: Mapping[str, Venue], read: room.Read
) -> tuple[tuple[Named, ...], Mapping[str, Token]]:
    """Every feed as its venue names it, and the token it prices. Raises Transient."""
    named: list[Named] = []
    tokens: dict[str, Token] = {}
    for venue in venues.values():
        if isinstance(venue, Fed):
            calls = venue.feed_calls()
            named += venue.feeds(await read(calls) if calls else Words((), ()))
            tokens |= venue.priced
    return tuple(named), tokens


def untold(venues: Mapping[str, Venue], named: Iterable[Named]) -> tuple[Fault, ...]:
    """Prices of which no feed is known: they are read, and nobody looks at what tells them."""
    known = {n.id for n in named}
    found = []
    for venue in venues.values():
        gone = (
            [t.symbol for id, t in venue.priced.items() if id not in known] if isinstance(venue, Fed) else []
        )
        if gone:
            why = (
                f"no feed in dollars is known of {', '.join(gone)}: age, bounds and market are not looked at"
            )
            found.append(Fault(severity=Severity.INFO, code="feed_unlooked", subject=venue.id, why=why))
    return tuple(found)


async def composed_feeds(
    venues: Mapping[str, Venue], read: room.Read
) -> tuple[tuple[Named, ...], tuple[Fault, ...]]:
    """Feeds behind oracles that are made of several, and what is wrong or not looked at there. Raises Transient."""
    subjects: dict[str, Pair] = {}
    for venue in venues.values():
        if isinstance(venue, Composes):
            subjects |= {pair.id: pair for pair in venue.oracles}
    if not subjects:
        return (), ()
    oracles = tuple(subjects.values())
    made = composed.parsed(oracles, await read(composed.probes(oracles)))
    asked = composed.decimal_probes(made)
    return composed.looked(made, await read(asked) if asked else Words((), ()))


def _address(value: int) -> str:
    """The EIP-55 address in the low 20 bytes of a word."""
    return str(to_checksum_address((value & (2**160 - 1)).to_bytes(20)))


async def findings(site: Site, snapshot: Snapshot) -> list[Finding]:
    """What ``keeper check`` says of the feeds; a look that fails is a finding itself."""
    around = Around(chain=site.chain, endpoints=site.endpoints, camera=site.camera)
    policies = {g.id: g.policy for g in site.guarded}
    try:
        faults, _ = await Oracles(around, Unheard()).find(snapshot, site.venues, policies)
    except Transient as error:
        why = f"the feeds could not be asked: {error}"
        return [Finding(severity=Severity.WARNING, code="feed_unread", subject=site.chain.name, why=why)]
    return [Finding(severity=f.severity, code=f.code, subject=f.subject, why=f.why) for f in faults]


class Unheard:
    """An alarm for a look whose findings are told otherwise."""

    def raise_alarm(self, severity: Severity, code: str, subject: str, why: str) -> None:
        """Nobody."""

    def clear(self, code: str, subject: str) -> None:
        """Nobody."""
