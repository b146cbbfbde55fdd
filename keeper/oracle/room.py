"""One chain's feeds together: what is asked each time, and what follows from it. Pure but for what it remembers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.model import Block, Call, Policy, PositionId, Snapshot, Token
from keeper.oracle import ahead, bases, caps, exchanges, faults, feeds, market, sequencer, updates
from keeper.oracle.ahead import Next
from keeper.oracle.exchanges import Heard
from keeper.oracle.faults import Fault
from keeper.oracle.feeds import Answer, Feed
from keeper.oracle.market import Pool
from keeper.oracle.sequencer import Grace
from keeper.oracle.steps import PHASE
from keeper.oracle.updates import Rounds, Update
from keeper.seams import Severity
from keeper.sockets import Named
from keeper.words import Words

Read = bases.Read
"""One multicall at one block: words in call order. Raises Transient."""
FACTORY = keccak(text="factory()")[:4]
GET_POOL = keccak(text="getPool(address,address,uint24)")[:4]
FEES = (100, 500, 3_000)
DOLLARS = ("USDC", "USDT", "DAI", "USDS", "GHO", "USDbC", "USDC.e")
"""Symbols of tokens that may stand for a dollar in a pool; the one that a feed prices is never its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a room is made for."""

    chain: str
    chain_id: int
    block_time_s: float
    named: tuple[Named, ...]
    """Feeds as the venues name them."""
    tokens: Mapping[str, Token]
    """Feed id -> the token that it prices."""
    quoter: str | None = None
    """Uniswap's QuoterV2, which knows the factory; None: the market is not asked."""
    uptime: str | None = None
    """The sequencer's feed; None: the one known of the chain, if any."""
    graces: tuple[Grace, ...] = ()
    """Of its markets, after the chain's sequencer stood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one look found."""

    faults: tuple[Fault, ...]
    ahead: tuple[Next, ...]
    """What the feeds will say next, where it differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one source of the market says of a feed's token, dollars."""

    feed: str
    source: str
    price: float
    at_s: int
    """Unix seconds of the oldest that it is made of, by the chain's clock at the latest; 0 where nobody knows."""


class Room:
    """The feeds of one chain; remembers each one's last answer, so that a jump is seen."""

    def __init__(
        self,
        site: Site,
        known: Sequence[Feed],
        capped: Sequence[Feed],
        pools: Mapping[str, Pool],
        lidded: Sequence[Feed] = (),
    ) -> None:
        self.site = site
        self.feeds = tuple(known)
        self.bases = _bases(self.feeds)
        """Behind adapters, and asked beside them: an adapter has no time of its own."""
        self.capped, self.lidded = tuple(capped), tuple(lidded)
        self.pools = dict(pools)
        """Feed id -> the pool that says what the market says."""
        self.assets = {f.id: a for f in self.feeds if (a := exchanges.asset_of(f)) is not None}
        """Feed id -> what exchanges call the asset."""
        self.heard: Mapping[str, Heard] = {}
        """Asset -> what exchanges say of it now, where they are asked; told before each look."""
        self.rounds = Rounds()
        self.answered: tuple[Update, ...] = ()
        """Answers since the last look, by their logs; set before each look."""
        self.moved = False
        """An aggregator was replaced: the room must be made anew."""
        self._phases: dict[str, int] = {}
        self.told: tuple[Told, ...] = ()
        """What each source of the market said at the last look."""
        self._before: dict[str, Answer] = {}
        self._market: dict[str, float] = {}
        self._block: Block | None = None
        self._stalled: tuple[tuple[Fault, ...], int] = ((), 0)
        """What was said of a chain that stood still, and until when it stands."""

    def calls(self) -> tuple[Call, ...]:
        """Everything that one look asks, in one batch."""
        return (
            *feeds.calls(self.feeds),
            *feeds.calls(self.bases),
            *caps.calls(self.capped),
            *caps.lid_calls(self.lidded),
            *market.calls(tuple(self.pools.values())),
            *sequencer.calls(self.site.chain_id, self.site.uptime),
        )

    def look(
        self, block: Block, words: Words, snapshot: Snapshot, policies: Mapping[PositionId, Policy]
    ) -> Findings:
        """Faults of every feed and of what they price; what they will say next. From the words of ``calls``."""
        now_s = block.timestamp_s
        at, n = 0, 2 * len(self.feeds)
        answers = feeds.answers(self.feeds, words.part(0, n))
        at, n = n, n + 2 * len(self.bases)
        behind = feeds.answers(self.bases, words.part(at, n))
        at, n = n, len(caps.QUESTIONS) * len(self.capped)
        capped = caps.caps(self.capped, words.part(at, at + n), now_s)
        at, n = at + n, len(caps.LID_QUESTIONS) * len(self.lidded)
        lids = caps.lids(self.lidded, words.part(at, at + n))
        tops = {lid.feed.id: lid.price for lid in lids}
        at, n = at + n, 3 * len(self.pools)
        seen = market.seen(tuple(self.pools.values()), words.part(at, at + n))
        pools = {id: s.price for id, s in zip(self.pools, seen, strict=True) if s.price is not None}
        found = [faults.unseen(id, s.why) for id, s in zip(self.pools, seen, strict=True) if s.price is None]
        prices, doubted = self._market_now(pools)
        self.told = self._each(pools, now_s)
        found += doubted
        coming: list[Next] = []
        fresh = self.rounds.add(self.answered)
        for answer in (self._known(a) for a in answers):
            id = answer.feed.id
            before, price = self._before.get(id), prices.get(id)
            # the logs of one base tell nothing of what another did
            alone = len(answer.feed.bases) <= 1
            steps = fresh.get(answer.feed.source.lower(), ()) if alone else ()
            found += faults.of_answer(answer, before, now_s, updates.largest(steps))
            found += faults.apart(answer, price)
            found += faults.moved_alone(before, answer, self._market.get(id), price)
            following = ahead.next_answer(answer, price, now_s, tops.get(id))
            if following is not None:
                seen_at = snapshot.prices.get(id)
                absolute = None if seen_at is None else following.move * seen_at
                coming.append(replace(following, price=absolute))
            if not answer.why and (before is None or before.round != answer.round):
                self._before[id] = answer
                self._market.update({id: price} if price is not None else {})
        for base in behind:
            # its moves are told by what they move
            found += faults.of_answer(self._known(base), None, now_s)
        for cap in capped:
            found += caps.faults(cap)
        for lid in lids:
            found += caps.lid_faults(lid)
        found += self._sequencer(block, words.part(at + n, len(words)))
        svr = frozenset(f.id for f in self.feeds if f.svr)
        found += ahead.faults(snapshot, policies, coming, svr)
        self._block = block
        return Findings(faults=tuple(found), ahead=tuple(coming))

    def _each(self, pools: Mapping[str, float], now_s: int) -> tuple[Told, ...]:
        """What pool and exchanges say of each feed, apart: two sources, each believed by its own rule and as
        old as it is: a pool's price is the block's, an exchange's may be minutes old.
        """
        told = [Told(feed=id, source="pool", price=price, at_s=now_s) for id, price in pools.items()]
        for feed in self.feeds:
            heard = self.heard.get(self.assets.get(feed.id, ""))
            if heard is not None and heard.price is not None:
                at_s = min(int(heard.at_s or 0), now_s)
                told.append(Told(feed=feed.id, source="exchanges", price=heard.price, at_s=at_s))
        return tuple(told)

    def _known(self, answer: Answer) -> Answer:
        """With the habits that its feed has shown; takes notice of an aggregator that was replaced."""
        if answer.updated_s:
            phase = answer.round >> PHASE
            self.moved = self.moved or self._phases.setdefault(answer.feed.id, phase) != phase
        return replace(answer, feed=updates.learned(answer.feed, self.rounds.of(answer.feed)))

    def _market_now(self, pools: Mapping[str, float]) -> tuple[dict[str, float], list[Fault]]:
        """Feed id -> the market's price, from pools and exchanges; what is not believed of them."""
        found = [
            faults.refused(asset, r)
            for asset, heard in self.heard.items()
            for r in heard.refused
            if r.code != exchanges.UNLISTED
        ]
        prices: dict[str, float] = {}
        for feed in self.feeds:
            heard = self.heard.get(self.assets.get(feed.id, ""))
            price, why = exchanges.together(pools.get(feed.id), heard.price if heard is not None else None)
            if heard is not None and heard.price is None:
                why = why or heard.why
            if price is not None:
                prices[feed.id] = price
            elif heard is not None and heard.price is None and _unlisted(heard):
                found.append(faults.unseen(feed.id, "too few exchanges list it", Severity.INFO))
            elif why:
                found.append(faults.unseen(feed.id, why))
        return prices, found

    def asked(self, guarded: Iterable[str]) -> tuple[str, ...]:
        """What exchanges are asked for: of a market's listing only what the ``guarded`` positions' feeds price."""
        mine = set(guarded)
        return tuple(
            dict.fromkeys(a for id, a in self.assets.items() if id in mine or id not in self.site.tokens)
        )

    def _sequencer(self, block: Block, words: Words) -> tuple[Fault, ...]:
        now_s, chain = block.timestamp_s, self.site.chain
        said = sequencer.faults(chain, sequencer.state(words), now_s, self.site.graces) if len(words) else ()
        before = self._block
        if said or before is None or block.number <= before.number:
            return said
        gap_s = sequencer.gap_s(
            now_s - before.timestamp_s, block.number - before.number, self.site.block_time_s
        )
        if stalled := sequencer.stalled(chain, gap_s, self.site.block_time_s):
            self._stalled = stalled, now_s + sequencer.STALL_TOLD_S
        return self._stalled[0] if now_s < self._stalled[1] else ()


def _bases(known: Sequence[Feed]) -> tuple[Feed, ...]:
    """What is behind ``known``, each once and named by what it prices; what is listed itself is asked anyway."""
    listed = {f.address.lower() for f in known}
    priced: dict[str, list[str]] = {}
    for f in known:
        for b in f.bases:
            priced.setdefault(b.address, []).append(f.symbol)
    every = {b.address: b for f in known for b in f.bases if b.address.lower() not in listed}
    return tuple(
        replace(b, symbol=f"{b.symbol} (behind {', '.join(dict.fromkeys(priced[a]))})")
        for a, b in every.items()
    )


def _unlisted(heard: Heard) -> bool:
    """Whether nothing is wrong with anybody: the asset is traded in too few places."""
    return all(r.code == exchanges.UNLISTED for r in heard.refused)


async def load(site: Site, read: Read) -> Room:
    """A room with each feed looked at once: decimals, source, bounds, caps, pools. Raises Transient."""
    if not site.named:
        return Room(site, (), (), {})
    known = feeds.probed(site.chain_id, site.named, await read(feeds.probes(site.named)))
    known = await bases.behind(site.chain_id, await bases.looked(known, read), read)
    told = await read(caps.probes(known))
    capped, lidded = caps.capped(known, told), caps.lidded(known, told)
    room = Room(site, known, capped, await _pools(site, read), lidded)
    await _seed(room, read)
    return room


async def _seed(room: Room, read: Read) -> None:
    """What the feeds still keep of their own past, of those of which nothing else is known."""
    unknown = tuple(f for f in (*room.feeds, *room.bases) if f.assumed and f.description)
    if not unknown:
        return
    asked = [updates.seed_calls(a) for a in feeds.answers(unknown, await read(feeds.calls(unknown)))]
    calls = [c for some in asked for c in some]
    if not calls:
        return
    words, at = await read(calls), 0
    for feed, some in zip(unknown, asked, strict=True):
        room.rounds.add(updates.seeded(feed, words.part(at, at + len(some))))
        at += len(some)


async def _pools(site: Site, read: Read) -> dict[str, Pool]:
    """For each token the deepest Uniswap v3 pool against a dollar token of the same venues."""
    if site.quoter is None:
        return {}
    words = await read((Call(target=site.quoter, data=FACTORY),))
    if not words.ok[0] or not words.count[0]:
        return {}
    factory = _address(words.uint(0))
    dollars = {t.address: t for t in site.tokens.values() if t.symbol in DOLLARS}
    wanted = [
        (id, token, dollar, fee)
        for id, token in site.tokens.items()
        for dollar in dollars.values()
        if dollar != token
        for fee in FEES
    ]
    if not wanted:
        return {}
    words = await read(
        tuple(
            Call(target=factory, data=GET_POOL + _word(a.address) + _word(b.address) + fee.to_bytes(32))
            for _, a, b, fee in wanted
        )
    )
    pools = [
        (id, Pool(address=_address(words.uint(i)), base=token, quote=dollar))
        for i, (id, token, dollar, _) in enumerate(wanted)
        if words.ok[i] and words.count[i] and words.uint(i)
    ]
    if not pools:
        return {}
    held = await read(
        tuple(Call(target=p.quote.address, data=BALANCE_OF + _word(p.address)) for _, p in pools)
    )
    deepest: dict[str, tuple[float, Pool]] = {}
    for i, (id, pool) in enumerate(pools):
        depth = held.uint(i) / 10.0**pool.quote.decimals if held.ok[i] and held.count[i] else 0.0
        if depth >= DEPTH_USD_MIN and depth > deepest.get(id, (0.0, pool))[0]:
            deepest[id] = depth, pool
    return {id: pool for id, (_, pool) in deepest.items()}


BALANCE_OF = keccak(text="balanceOf(address)")[:4]
DEPTH_USD_MIN = 100_000.0
"""A pool that holds fewer dollars is moved too cheaply to be believed."""


def _address(value: int) -> str:
    return str(to_checksum_address((value & (2**160 - 1)).to_bytes(20)))


def _word(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\0")
