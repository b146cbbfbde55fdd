"""One seed: two machines with two keys guard one position on one chain; the first one is killed, and may come back.

Each machine is the real ``ChainDaemon`` with its own journal file, endpoints, key and signing policy; the second one
is a standby. Both live on one virtual loop. A kill is an exception at a door of one machine: from then on its tasks
can neither write nor send, whatever they try, and the other machine lives on.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from eth_utils.crypto import keccak

from keeper.chain.endpoints import Endpoints
from keeper.config import ChainSettings, Settings, WalletSettings
from keeper.config.records import StandbySettings
from keeper.daemon import senders
from keeper.daemon import service as daemons
from keeper.daemon.camera import Camera
from keeper.daemon.facts import Guarded
from keeper.daemon.service import ChainDaemon
from keeper.daemon.wiring import Site
from keeper.errors import Unsigned
from keeper.executor.desk import Desk
from keeper.executor.read import Listed, Post
from keeper.journal import codec, opening
from keeper.journal.read import Inclusion
from keeper.journal.write import Journal
from keeper.model import Attempt, Intent, PlanKey, Policy, Side
from keeper.risk import shocks as library
from keeper.seams import Signed, Signer, TxFields
from keeper.signer.orders import AllowedOrder
from keeper.signer.policy import SigningPolicy
from keeper.units import WAD
from keeper.watchdog import Notifier
from strategies.order import DEADLINE_S
from tests import build
from tests.build import ALICE, CHAIN_ID, USDC, WALLET, WETH
from tests.chaos.sim import world as one
from tests.chaos.sim.chain import BLOCK_S, FIRST, START_S, Mined, SimBlock, Weather, health_wad
from tests.chaos.sim.market import FEE_WEI_MAX, SimVenue
from tests.chaos.sim.node import HEALTHY, MULTICALL, Faults
from tests.chaos.sim.owned import (
    BOTS,
    COOLDOWN_BLOCKS,
    RECEIPTS,
    SECOND,
    TRIGGER_WAD,
    OwnedChain,
    OwnedNode,
    genesis,
    read_signed,
    wanted,
)
from tests.chaos.sim.virtual import VirtualClock, VirtualLoop
from tests.chaos.sim.world import DIGEST, Crash, Ledger, Shelf, SimJournal, not_final
from tests.mandates import EXECUTOR, KEY

WAITS = StandbySettings(blocks=3, margin_wad=WAD // 100)
LOW_WAD = TRIGGER_WAD - WAITS.margin_wad
RESCUED_BLOCKS = 6
"""Low with one of the two alive, a position is rescued within so many blocks: three of waiting, one to be mined in,
one that may be full, one that a replica hears late of."""
QUIET_BLOCKS = 10
PRICE = 2_000
AFTER_S = 40.0
"""A death that waits for something which does not come happens this long after the fall."""
POINTS = (
    "planned", "signed", "journaled", "broadcast", "sent", "attempt committed", "write intent", "write attempt",
    "> sign", "> eth_sendRawTransaction", "< eth_sendRawTransaction", "> eth_call", "< eth_call",
    "> eth_getTransactionReceipt", "< eth_getTransactionReceipt",
)  # fmt: skip
"""Doors of the first machine at which it may die."""
HOST: ContextVar[Host | None] = ContextVar("HOST", default=None)
"""Whose task runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """When the first machine dies, and when it comes back."""

    fall: int
    """Counted from this fall."""
    point: str = ""
    """At this door; empty: by the clock."""
    times: int = 1
    after_s: float = 0.0
    back_s: float | None = None
    """None: never."""

    @classmethod
    def draw(cls, rng: random.Random, falls: int) -> Death:
        """As often in the middle of something as between two things."""
        back = rng.choice((None, None, 1.0, 6.0, 25.0, 70.0, 200.0))
        back_s = None if back is None else back * rng.uniform(0.2, 1.0)
        fall = rng.randrange(falls)
        if rng.random() < 0.7:
            return cls(fall=fall, point=rng.choice(POINTS), times=rng.choice((1, 1, 2, 3)), back_s=back_s)
        return cls(fall=fall, after_s=rng.uniform(-20.0, AFTER_S), back_s=back_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What one seed showed."""

    seed: int
    violations: tuple[str, ...]
    deaths: int
    crossings: int
    acts: int
    acts_second: int
    missed: int
    doubled: int
    reverted: dict[str, int]
    """Duplicates that the Executor refused on the chain, by its word."""
    slowest_blocks: int
    returned: bool
    trace_hash: str


class Host:
    """One machine: a disk and a key that survive, and process after process. What a ``SimJournal`` asks of its
    world is asked of it.
    """

    def __init__(self, pair: Pair, name: str, wallet: str, standby: StandbySettings | None) -> None:
        self.pair, self.name, self.wallet = pair, name, wallet
        self.path = pair.folder / f"{name}.sqlite"
        self.path.write_bytes(_new_journal(wallet))
        self.settings = replace(
            one.SETTINGS,
            wallet=WalletSettings(address=wallet, keystore=None, password_file=None),
            standby=standby,
        )
        self.chain: ChainSettings = one.CHAIN
        self.book = Ledger()
        self.shelf = Shelf()
        self.quick, self.stormy_now, self.disk_failed = True, False, False
        self.rng = pair.rng
        self.mix = SimpleNamespace(crash_at_write=0.0, disk_full=0.0)
        self.dead, self.since_block = True, 0
        self.tasks: list[asyncio.Task[Any]] = []
        self.nodes: list[OwnedNode] = []
        self.daemon: ChainDaemon | None = None
        self.journal: Journal | None = None

    def say(self, text: str) -> None:
        """One line of the trace."""
        self.pair.say(f"{self.name}: {text}")

    def point(self, name: str, chance: float) -> None:
        """A door; whoever is dead gets no further, and the first machine may die here."""
        if not self.dead and self.pair.dies_at(self, name):
            self.pair.kill(self, f"at {name}")
        if self.dead:
            raise Crash

    def on_call(self, name: str) -> None:
        """An endpoint is asked, or has answered."""
        self.point(name, 0.0)

    def on_probe(self, name: str) -> None:
        """The sender came to a station."""
        self.say(f"  {name}")
        self.point(name, 0.0)

    def check_fee(self, attempt: Attempt, opened: tuple[Intent, ...]) -> None:
        """Looked for where a fee is what a seed is about."""

    def check_final(self, key: PlanKey, place: Inclusion | None) -> None:
        """Nothing is called final that the chain does not say is."""
        if why := not_final(self.pair.chain, place):
            self.pair.violated(f"{self.name}: {key} is called final at {place}, {why}")

    def start(self) -> None:
        """A new process on the old disk."""
        self.dead, self.since_block = False, self.pair.chain.head.number
        self.say("START")
        journal = self.shelf.take(self.path) or Journal.open(self.path, VirtualClock())
        self.journal = SimJournal.of(journal, self)  # type: ignore[arg-type]
        self.tasks = []
        context = Context()
        context.run(HOST.set, self)
        self.pair.loop.create_task(self._process(journal), context=context)

    async def _process(self, journal: Journal) -> None:
        try:
            self.daemon = ChainDaemon(self.settings, self.chain, journal, self.on_probe)
            await self.daemon.run(Notifier(None))
        except (Crash, asyncio.CancelledError):
            raise
        except BaseException as error:
            if not self.dead:
                self.pair.violated(f"{self.name} ended: {error!r}")

    async def buried(self) -> None:
        """Unwind the dead process; then its file lies as the kill left it."""
        for _ in range(20):
            left = [t for t in self.tasks if not t.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.01)
        if self.journal is not None:
            self.shelf.put(self.journal, keep=self.pair.seed % 4 != 0)
        self.daemon = self.journal = None


class HostLoop(VirtualLoop):
    """The virtual loop, which knows whose task is whose."""

    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """As asyncio does, and remembered by the machine."""
        made = super().create_task(coro, name=name, context=context)
        host = (context or copy_context()).get(HOST)
        if host is not None:
            host.tasks = [t for t in host.tasks if not t.done()] if len(host.tasks) > 256 else host.tasks
            host.tasks.append(made)
        return made


class Pair:
    """Chain and time of one seed, and the two machines."""

    def __init__(self, seed: int, folder: Path, *, lenient: bool = False, verbose: bool = False) -> None:
        self.seed, self.folder, self.verbose = seed, folder, verbose
        self.rng = rng = random.Random(seed)
        self.falls = _falls(rng)
        self.death = Death.draw(rng, len(self.falls))
        some = [rng.random() < share for share in (0.3, 0.4, 0.2, 0.5)]
        self.weather = Weather(
            reorg=0.08 if some[0] else 0.0,
            lost_in_reorg=0.5,
            full_blocks=0.25 if some[1] else 0.0,
            drop=0.3 if some[2] else 0.0,
        )
        self.faults = (
            Faults(lag=0.15, error=0.05, slow_s=rng.choice((0.05, 0.4, 1.5))) if some[3] else HEALTHY
        )
        begin = genesis(rng)
        self.chain = OwnedChain(
            rng=rng,
            prices=_prices(rng, self.falls, health_wad(begin.held, PRICE * 10**8)),
            genesis=begin,  # type: ignore[arg-type]
            weather=self.weather,
            lenient=lenient,
        )
        if rng.random() < 0.3:
            # what the first machine sent lies in the pool longer than the second one waits
            fell = self.falls[self.death.fall]
            self.chain.held = (WALLET, range(fell, fell + rng.randint(3, 8)))
        self.loop = HostLoop(START_S)
        self.lines: list[str] = []
        self.violations: list[str] = []
        self.deaths = self.missed = self.slowest_blocks = 0
        self.returned = False
        self._seen = 0
        self._low: tuple[int, int] | None = None
        """(the Executor's number, since which block), while low."""
        self._trace = hashlib.sha256()
        self.first = Host(self, "first", WALLET, None)
        self.second = Host(self, "second", SECOND, WAITS)

    @property
    def hosts(self) -> tuple[Host, Host]:
        return self.first, self.second

    @property
    def end_s(self) -> float:
        """Some blocks after the last fall."""
        return START_S + BLOCK_S * (self.falls[-1] - FIRST + QUIET_BLOCKS)

    def say(self, text: str) -> None:
        """One line of the trace; its hash tells whether two runs of a seed were the same."""
        line = f"{self.loop.now_s - START_S:8.2f} {text}"
        self._trace.update(line.encode())
        if self.verbose:
            self.lines.append(line)

    def violated(self, what: str) -> None:
        """An invariant does not hold."""
        self.say(f"VIOLATION {what}")
        self.violations.append(what)

    def run(self) -> Night:
        """From before the first fall to the end of the quiet, and every invariant."""
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(lambda *_: None)
        try:
            for host in self.hosts:
                self.loop.call_at(START_S + self.rng.uniform(0.1, 9.0), host.start, context=Context())
            self.loop.call_at(START_S + BLOCK_S, self._block, context=Context())
            at_s = START_S + BLOCK_S * (self.falls[self.death.fall] - FIRST)
            late_s = AFTER_S if self.death.point else self.death.after_s
            self.loop.call_at(max(at_s + late_s, START_S + 10.0), self._by_clock, context=Context())
            self.loop.call_at(self.end_s, self.loop.stop, context=Context())
            self.loop.run_forever()
            for host in self.hosts:
                host.dead = True
                if host.journal is not None:
                    self.loop.run_until_complete(self.loop.create_task(host.buried(), context=Context()))
                host.shelf.clear()
            return self._judged()
        finally:
            for host in self.hosts:
                host.shelf.clear()
            self.loop.close()
            asyncio.set_event_loop(None)

    def dies_at(self, host: Host, name: str) -> bool:
        """Whether this door is where the first machine dies."""
        d = self.death
        fell = self.chain.head.number >= self.falls[d.fall]
        if host is not self.first or self.deaths or not fell or name != d.point:
            return False
        self._seen += 1
        return self._seen >= d.times

    def _by_clock(self) -> None:
        if not self.deaths and not self.first.dead:
            self.kill(self.first, "by the clock")

    def kill(self, host: Host, why: str) -> None:
        """SIGKILL, and perhaps a start later on."""
        host.dead = True
        self.deaths += 1
        host.say(f"DIES {why}")
        self.loop.call_soon(self._bury, host, context=Context())

    def _bury(self, host: Host) -> None:
        self.loop.create_task(host.buried(), context=Context())
        if self.death.back_s is not None:
            # what unwinds takes no more than a moment
            self.loop.call_later(1.0 + self.death.back_s, self._back, host, context=Context())

    def _back(self, host: Host) -> None:
        self.returned = True
        host.start()

    def _block(self) -> None:
        self.chain.step()
        for host in self.hosts:
            for node in host.nodes:
                node.new_block()
        head = self.chain.head
        mined = [f"{self._whose(m).name}:{m.tx.nonce}{self.chain.whys[m.hash]}" for m in head.txs]
        self.say(f"block {head.number} {head.header.hash[:8]} health {self._health(head) / WAD:.4f} {mined}")
        self._check_rescued(head)
        for host in self.hosts:
            loop = host.daemon.loop if host.daemon is not None and not host.dead else None
            if loop is not None and loop.broken:
                self.violated(f"{host.name} stopped acting: {loop.broken}")
        if self.violations:
            self.loop.stop()
        self.loop.call_later(BLOCK_S, self._block, context=Context())

    def _check_rescued(self, head: SimBlock) -> None:
        """Low for too long, although one of the two lives: the Executor's number begins the counting anew."""
        seq, low = self.chain.books().seq, self._health(head) < LOW_WAD
        if self._low is not None and not (low and seq == self._low[0]):
            self.slowest_blocks = max(self.slowest_blocks, head.number - self._low[1])
            self._low = None
        if not low:
            return
        self._low = self._low or (seq, head.number)
        living = [h.since_block for h in self.hosts if not h.dead]
        if living and head.number - max(self._low[1], min(living)) > RESCUED_BLOCKS:
            self.missed += 1
            self.violated(f"low since block {self._low[1]}, now {head.number}, and nobody acted")

    def _health(self, at: SimBlock) -> int:
        return self.chain.health_wad(ALICE, at)

    def _whose(self, mined: Mined) -> Host:
        return self.first if self.chain.senders[mined.hash] == WALLET else self.second

    def on_wire(self, host: Host, raw: bytes) -> None:
        """Bytes arrive at a node: they are on the disk already, and a standby's are of its turn."""
        _, tx, hash = read_signed(raw)
        if hash not in host.book.durable and hash not in host.book.wired:
            self.violated(f"{host.name} broadcast before its journal held it: {hash[:10]}")
        host.book.wired.add(hash)
        asked = wanted(tx.data)
        if host is self.second and asked is not None and not self.weather.reorg:
            planned = FIRST + (asked.deadline_s - DEADLINE_S - int(START_S)) // BLOCK_S
            for number in range(planned - WAITS.blocks, planned + 1):
                block = self.chain.blocks[number - FIRST]
                if self._health(block) >= LOW_WAD or self.chain.books(block).seq != asked.seq:
                    self.violated(
                        f"the standby acts out of its turn: planned at {planned}, not low since {number}"
                    )
                    return

    def _judged(self) -> Night:
        """Every act by its crossing, and by the journal of whoever did it."""
        acts, reverted, doubled = list[tuple[SimBlock, Mined]](), dict[str, int](), 0
        hashes = {h.name: _hashes(h) for h in self.hosts}
        for block, mined in self.chain.mined():
            if mined.hash not in hashes[self._whose(mined).name]:
                self.violated(f"mined without a word in the journal of {self._whose(mined).name}")
            if mined.tx.data and mined.ok:
                acts.append((block, mined))
            elif mined.tx.data:
                why = self.chain.whys[mined.hash]
                reverted[why] = reverted.get(why, 0) + 1
        for i, (block, mined) in enumerate(acts):
            # two falls may be met by the second one's act; none by two
            crossed = sum(fall <= block.number for fall in self.falls)
            if i >= crossed or (mined.health_before_wad or 0) >= TRIGGER_WAD:
                doubled += 1
                health = (mined.health_before_wad or 0) / WAD
                self.violated(
                    f"act {i + 1} of {crossed} crossings in block {block.number}, at health {health:.4f}"
                )
        return Night(
            seed=self.seed,
            violations=tuple(self.violations),
            deaths=self.deaths,
            crossings=len(self.falls),
            acts=len(acts),
            acts_second=sum(self._whose(m) is self.second for _, m in acts),
            missed=self.missed,
            doubled=doubled,
            reverted=reverted,
            slowest_blocks=self.slowest_blocks,
            returned=self.returned,
            trace_hash=self._trace.hexdigest()[:16],
        )


def night(seed: int, *, lenient: bool = False, verbose: bool = False) -> tuple[Night, list[str]]:
    """One seed. ``lenient``: the Executor asks neither for number nor trigger, which a test plants."""
    one._set_aside()
    if seed % 16 == 0:
        gc.collect()
    gc.disable()
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="keeper-pair-", dir=shm if shm.is_dir() else None))
    try:
        with _patched():
            pair = Pair(seed, folder, lenient=lenient, verbose=verbose)
            return pair.run(), pair.lines
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        gc.enable()


class BotSigner:
    """The real policy in front of a signature that is only the fields and the name written down."""

    def __init__(self, host: Host) -> None:
        self._host = host
        order = AllowedOrder(
            target=EXECUTOR,
            position=KEY,
            collateral={WETH.address.lower(): None},
            debt=frozenset({USDC.address.lower()}),
            routers=frozenset(),
        )
        self._policy = SigningPolicy(
            chain_id=CHAIN_ID, address=host.wallet, calls=(), fee_wei_max=FEE_WEI_MAX, orders=(order,)
        )

    @property
    def address(self) -> str:
        return self._host.wallet

    async def sign(self, tx: TxFields) -> Signed:
        """Bytes that the simulated chain reads. Raises Unsigned outside the policy."""
        self._host.point("> sign", 0.0)
        if (why := self._policy.refuses(tx)) is not None:
            raise Unsigned(f"signer refuses: {why}")
        self._host.say(f"  sign nonce={tx.nonce} max_fee={tx.max_fee_wei}")
        raw = json.dumps({"from": self._host.wallet, **asdict(tx), "data": tx.data.hex()}).encode()
        return Signed(raw=raw, hash="0x" + keccak(raw).hex())


class HostNode(OwnedNode):
    """A replica as one machine reaches it."""

    host: Host

    def _send(self, raw: bytes) -> str:
        self.host.pair.on_wire(self.host, raw)
        return super()._send(raw)


def _hashes(host: Host) -> set[str]:
    """Of everything that its journal says it signed."""
    with Journal.open(host.path, VirtualClock()) as journal:
        return {a.hash for i in journal.intents(limit=10_000) for a in i.attempts}


def _falls(rng: random.Random) -> tuple[int, ...]:
    """Two falls, some so near that the second one meets the rescue of the first."""
    first = FIRST + rng.randint(4, 6)
    return first, first + (rng.choice((1, 2, 3)) if rng.random() < 0.2 else rng.randint(7, 9))


def _prices(rng: random.Random, falls: Sequence[int], begin_wad: int) -> tuple[tuple[int, int], ...]:
    """A price that falls in steps; now and then the first one stays within the standby's margin."""
    shares = [1 - rng.uniform(0.13, 0.22) for _ in falls]
    if rng.random() < 0.15:
        shares[0] = rng.uniform(LOW_WAD + WAD // 1_000, TRIGGER_WAD - WAD // 1_000) / begin_wad
        shares[1] = 1 - rng.uniform(0.04, 0.1)
    price, steps = float(PRICE), [(FIRST, PRICE * 10**8)]
    for number, share in zip(falls, shares, strict=True):
        price *= share
        steps.append((number, int(price) * 10**8))
    return tuple(steps)


@lru_cache(maxsize=2)
def _policy() -> Policy:
    return build.policy(
        cooldown_blocks=COOLDOWN_BLOCKS,
        strategies=("repay_from_reserve",),
        caps=build.limits(action=60_000, day=500_000, gas=30, gas_emergency=300),
    )


@lru_cache(maxsize=4)
def _new_journal(wallet: str) -> bytes:
    """A journal's file as a first start leaves it, armed and adopted."""
    with tempfile.TemporaryDirectory(prefix="keeper-pair-") as folder:
        path, loop = Path(folder) / "journal.sqlite", VirtualLoop(START_S)

        async def make() -> None:
            with Journal.open(path, VirtualClock()) as journal:
                journal.set_control("armed", DIGEST, "simulation", "armed from the start")
                journal.adopt_nonce(CHAIN_ID, wallet, 0, "simulation: nobody else uses this key")

        loop.run_until_complete(make())
        loop.close()
        return path.read_bytes()


def _running() -> Host:
    """The machine whose code asks."""
    host = HOST.get()
    assert host is not None
    return host


@contextmanager
def _patched() -> Iterator[None]:
    """The daemons' doors to the outside, opened onto the simulation; closed again afterwards."""

    class Doors(Endpoints):
        @classmethod
        async def open(cls, chain: ChainSettings, clock: Any, on_event: Any) -> Endpoints:
            host = _running()
            pair = host.pair
            host.nodes = [HostNode(pair.chain, pair.rng, host.on_call) for _ in chain.endpoints]
            for node in host.nodes:
                node.host, node.faults = host, pair.faults  # type: ignore[attr-defined]
            made = cls(chain, host.nodes, clock, on_event, seed=pair.seed)
            await made.probe()
            made._probing = asyncio.create_task(made._probe_forever())
            return made

    async def site(
        settings: Settings, chain: ChainSettings, endpoints: Endpoints, block: Any, *, served: bool = False
    ) -> Site:
        wallet, venue = _running().wallet, SimVenue()
        id = venue.position_id(ALICE)
        camera = Camera(chain, endpoints, wallet)
        listed = ((WETH, Side.COLLATERAL), (USDC, Side.DEBT))
        post = Post(
            id=id,
            executor=EXECUTOR,
            owner=ALICE,
            key=KEY,
            bot=wallet,
            multicall=MULTICALL,
            listed=tuple(Listed(token=t, side=s, receipt=RECEIPTS[t.address.lower()]) for t, s in listed),
        )
        camera.supplement = Desk([post])
        return Site(
            chain=chain,
            endpoints=endpoints,
            block=block,
            venues={venue.id: venue},
            settings={},
            camera=camera,
            guarded=(Guarded(label="vault", policy=_policy(), venue_id=venue.id, id=id),),
        )

    async def signer(*_: object) -> Signer:
        return BotSigner(_running())

    with ExitStack() as undo:
        for module, name, value in (
            (daemons, "Endpoints", Doors),
            (daemons, "site", site),
            (daemons, "SystemClock", VirtualClock),
            (daemons, "SlowJobs", one._NoJobs),
            (daemons, "LIBRARY", ()),
            (daemons, "gc", SimpleNamespace(freeze=lambda: None)),
            (library, "LIBRARY", ()),
            (senders, "live_signer", signer),
            (opening, "create_engine", one._warm_engine),
            (codec, "plan_from_json", one._plan_from_json),
        ):
            undo.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, value)
        yield


__all__ = ["BOTS", "Night", "Pair", "night"]
