"""One seed: a chain and a disk that survive, and daemon after daemon that lives on them and is killed.

The daemon is the real ``ChainDaemon`` with the real endpoints, heads, loop, lane, confirmation, recovery and
journal (SQLite on a memory file system). Only its sockets, its clock and its key are simulated. A crash is an
exception that nothing may survive: from then on the dead process can neither write nor send.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
import shutil
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy import create_engine

from keeper.chain.endpoints import Endpoints
from keeper.config import ChainSettings, EndpointSettings, Settings, WalletSettings
from keeper.daemon import senders
from keeper.daemon import service as daemons
from keeper.daemon.camera import Camera
from keeper.daemon.facts import Guarded
from keeper.daemon.service import ChainDaemon
from keeper.daemon.wiring import Site
from keeper.errors import Unwritable
from keeper.journal import codec, opening
from keeper.journal.files import Place
from keeper.journal.read import Inclusion
from keeper.journal.write import Journal
from keeper.model import Attempt, Block, Intent, PlanKey
from keeper.risk import shocks as library
from keeper.seams import Signer, TxFields
from keeper.watchdog import Notifier
from tests.build import ALICE, CHAIN_ID, USDC, VENUE, WALLET, WETH, units
from tests.chaos.sim.chain import BLOCK_S, FIRST, START_S, Held, SimChain, State, Weather, read_tx
from tests.chaos.sim.market import ACCOUNTS, SimSigner, SimVenue, outside_policy, policy
from tests.chaos.sim.node import HEALTHY, MULTICALL, Faults, Node
from tests.chaos.sim.prompt import Promptness
from tests.chaos.sim.verdict import Double, judge
from tests.chaos.sim.virtual import Deadlock, VirtualClock, VirtualLoop

DIGEST = "simulated configuration"
ENDPOINTS = 3
STORM_BLOCKS = 16
QUIET_BLOCKS = 20
"""After the storm: no fault, no crash; what is needed must be done and what was done must become final."""
SERVED_BLOCKS = 8
"""A need that the storm left must be served within this many quiet blocks, restart included."""
PROMPT_BLOCKS = 4
"""A need that arises in the quiet must be served within this many blocks."""
LAST_FALL = 9
"""In this block of the quiet the price falls once more."""
BLIND_S = 55.0
REOPENED_EVERY = 4
"""So many crashes, and the journal's file is closed and opened anew as a start does it."""
PROBES = ("planned", "signed", "journaled", "broadcast", "sent")


class Crash(BaseException):
    """The process dies here; no handler of ordinary errors may stop it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Which faults this seed has, and how many: every seed is unpleasant in its own way."""

    weather: Weather
    faults: tuple[Faults, ...]
    crash_at_probe: float
    crash_at_write: float
    crash_at_call: float
    life_s: float
    disk_full: float
    outage: float
    """Chance, per block, that every endpoint dies for a while."""

    @classmethod
    def draw(cls, rng: random.Random) -> Mix:
        """Swarm testing: most kinds of fault are absent from most seeds, so that none hides another."""

        def some(share: float, most: float) -> float:
            return rng.uniform(most / 4, most) if rng.random() < share else 0.0

        weather = Weather(
            reorg=some(0.5, 0.2),
            deep=rng.random() < 0.5,
            drop=some(0.4, 0.6),
            lost_in_reorg=rng.choice((0.0, 0.5, 1.0)),
            full_blocks=some(0.4, 0.6),
            rise=rng.choice((0.1, 0.3, 1.0)),
            revive=some(0.3, 1.0),
        )
        deaf = some(0.3, 0.9)
        faults = tuple(
            Faults(
                error=some(0.5, 0.25),
                silent=some(0.4, 0.1),
                limited=some(0.2, 0.1),
                garbled=some(0.3, 0.1),
                swallow=some(0.4, 0.5),
                deaf=deaf,
                lag=some(0.5, 0.5),
                slow_s=rng.choice((0.05, 0.3, 1.5)),
            )
            for _ in range(ENDPOINTS)
        )
        return cls(
            weather=weather,
            faults=faults,
            crash_at_probe=some(0.8, 0.25),
            crash_at_write=some(0.5, 0.02),
            crash_at_call=some(0.5, 0.004),
            life_s=rng.choice((15.0, 30.0, 80.0, 200.0)),
            disk_full=some(0.1, 0.02),
            outage=some(0.3, 0.1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one seed showed."""

    seed: int
    violations: tuple[str, ...]
    crashes: int
    blocks: int
    reorgs: int
    actions: int
    trace_hash: str
    revived: int = 0
    """Transactions that a reorganisation brought back though no pool held them."""
    doubles: tuple[Double, ...] = ()
    prompt_s: float = 0.0
    """The longest that a need waited for bytes on the wire while every endpoint was healthy."""
    prompt_n: int = 0


@dataclass(slots=True)
class Ledger:
    """What the invariants remember across lives."""

    durable: set[str] = field(default_factory=set)
    """Hashes of attempts whose commit has returned."""
    wired: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    unserved_since: dict[str, int] = field(default_factory=dict)
    blind_since_s: float | None = None
    last_block_told: str = ""


class World:
    """Chain, disk and time of one seed."""

    def __init__(
        self,
        seed: int,
        *,
        mix: Mix | None = None,
        storm_blocks: int = STORM_BLOCKS,
        verbose: bool = False,
    ) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.mix = mix or Mix.draw(self.rng)
        self.verbose = verbose
        self.now_s = self.block_at_s = START_S
        self.storm_blocks = storm_blocks
        self.end_s = START_S + BLOCK_S * (storm_blocks + QUIET_BLOCKS)
        self.storm_until_s = START_S + BLOCK_S * storm_blocks
        self.next_block_s = START_S + BLOCK_S
        self.chain = SimChain(
            rng=self.rng, prices=self.prices(self.rng), genesis=_genesis(self.rng), weather=self.mix.weather
        )
        self.chain.stall = _stall(seed, storm_blocks)
        self.nodes: list[Node] = []
        self.book = Ledger()
        self.crashes = 0
        self.dead = False
        self.disk_failed = False
        self.daemon: ChainDaemon | None = None
        self.journal: Journal | None = None
        self.loop: VirtualLoop | None = None
        self.outage_until_s = 0.0
        self.doubles: tuple[Double, ...] = ()
        self.prompt = Promptness(self, self.storm_until_s)
        self.late_kill_s = _late_kill_s(self.rng, self.storm_until_s)
        self.shelf = Shelf()
        self.quick = True
        """Whether the journal's file stays open between most lives; closed and opened, it is slower and the same."""
        self._trace = hashlib.sha256()
        self.lines: list[str] = []

    @property
    def stormy(self) -> bool:
        """Whether faults may still happen."""
        return self.now_s < self.storm_until_s

    def say(self, text: str) -> None:
        """One line of the trace; its hash tells whether two runs of a seed were the same."""
        at = self.loop.now_s if self.loop is not None else self.now_s
        line = f"{at - START_S:8.2f} {text}"
        self._trace.update(line.encode())
        if self.verbose:
            self.lines.append(line)

    def violated(self, what: str) -> None:
        """An invariant does not hold."""
        self.say(f"VIOLATION {what}")
        self.book.violations.append(what)

    def point(self, name: str, chance: float) -> None:
        """A place where the process may die; where it is dead already it stays dead."""
        if self.dead:
            raise Crash
        if self.stormy_now and chance and self.rng.random() < chance:
            self.die(f"at {name}")
            raise Crash

    @property
    def stormy_now(self) -> bool:
        """The same on the running loop's clock."""
        return (self.loop.now_s if self.loop else self.now_s) < self.storm_until_s

    def die(self, why: str) -> None:
        """SIGKILL."""
        self.dead = True
        self.crashes += 1
        self.say(f"CRASH {why}")
        assert self.loop is not None
        self.loop.stop()

    def on_call(self, name: str) -> None:
        self.point(name, self.mix.crash_at_call)

    def on_simulation(self) -> None:
        """A plan is simulated: it was decided, and nothing of it is journaled yet."""

    def on_probe(self, name: str) -> None:
        self.say(f"  {name}")
        self.point(name, self.mix.crash_at_probe)

    def on_signed(self, tx: TxFields) -> None:
        self.say(f"  sign nonce={tx.nonce} max_fee={tx.max_fee_wei} to={tx.to[:6]}")
        why = outside_policy(tx)
        if why is not None:
            self.violated(f"signed outside the policy: {why}")

    def weather(self) -> Weather:
        """How unpleasant the next block may be."""
        return self.mix.weather if self.stormy_now else Weather(rise=self.mix.weather.rise)

    def prices(self, rng: random.Random) -> tuple[tuple[int, int], ...]:
        """The price from block to block."""
        return _prices(rng)

    def advance_chain(self) -> None:
        """One block, and what replicas hear of it."""
        self.chain.weather = self.weather()
        before, reorgs = self.chain.head.number, self.chain.reorgs
        self.chain.step()
        self.block_at_s = self.next_block_s
        self.next_block_s += BLOCK_S
        self._weather_of_nodes()
        head = self.chain.head
        reorged = f" after a reorganisation of {before - 0}" if self.chain.reorgs > reorgs else ""
        mined = [f"{m.tx.nonce}:{m.hash[2:8]}{'' if m.ok else '!'}" for m in head.txs]
        if self.verbose:
            healths = [self.chain.health_wad(a) / 1e18 for a in ACCOUNTS]
            self.say(
                f"block {head.number} base {head.header.base_fee_wei / 1e9:.1f} price "
                f"{self.chain.price_base(head.number) / 1e8:.0f} mined {mined} pool "
                f"{ {n: h[2:8] for n, (_, h) in self.chain.pool.items()} } health "
                f"{[f'{h:.3f}' for h in healths]}{reorged}"
            )
        else:
            self.say(f"block {head.number} {head.header.hash} {mined}")
        self.check_served()

    def _weather_of_nodes(self) -> None:
        now_s = self.loop.now_s if self.loop else self.now_s
        over = now_s >= self.outage_until_s
        if self.stormy_now and over and self.rng.random() < self.mix.outage:
            self.outage_until_s = now_s + self.rng.uniform(20, 250)
            self.say(f"outage for {self.outage_until_s - now_s:.0f} s")
        for node, faults in zip(self.nodes, self.mix.faults, strict=True):
            node.dead = self.stormy_now and now_s < self.outage_until_s
            node.faults = faults if self.stormy_now else HEALTHY
            node.new_block()

    def check_served(self) -> None:
        """In the quiet every crossed trigger is answered within so many blocks."""
        number = self.chain.head.number
        quiet_from = FIRST + self.storm_blocks
        for account in ACCOUNTS:
            if self.chain.health_wad(account) >= policy().trigger_wad:
                self.book.unserved_since.pop(account, None)
                continue
            since = self.book.unserved_since.setdefault(account, number)
            most = SERVED_BLOCKS if since <= quiet_from else PROMPT_BLOCKS
            if number - max(since, quiet_from) > most:
                self.violated(f"need of {account[:6]} unserved since block {since}, now {number}")
                self.book.unserved_since[account] = number

    def check_awake(self) -> None:
        """Every second of a life: a blind daemon must say so, and a tick must not call danger healthy."""
        daemon, loop = self.daemon, self.loop
        assert loop is not None
        self.prompt.check(loop.now_s)
        if daemon is None:
            return
        unseen = bool(self.nodes) and all(n.dead for n in self.nodes)
        if not unseen:
            self.book.blind_since_s = None
        elif self.book.blind_since_s is None:
            self.book.blind_since_s = loop.now_s
        elif loop.now_s - self.book.blind_since_s > BLIND_S and not any(
            s.code == "blind" for s in daemon.alarms.standing
        ):
            self.violated("blind without an alarm")
            self.book.blind_since_s = None
        if daemon.loop is None:
            return
        if daemon.loop.broken:
            self.violated(f"stopped acting without cause: {daemon.loop.broken}")
        tick = daemon.loop.last
        if tick is None or f"{tick.block.hash}{tick.snapshot.digest}" == self.book.last_block_told:
            return
        self.book.last_block_told = f"{tick.block.hash}{tick.snapshot.digest}"
        block = self.chain.by_hash[tick.block.hash]
        for outlook in tick.outlooks:
            truth = self.chain.health_wad(outlook.id.account, block)
            if truth < policy().trigger_wad and outlook.level.value in ("SAFE", "WATCH"):
                self.violated(f"{outlook.level} at health {truth / 1e18:.4f} in block {block.number}")

    def check_fee(self, attempt: Attempt, opened: tuple[Intent, ...]) -> None:
        """No attempt may burn more than its plan allows, or than an urgent plan that waits behind it does."""
        caps = [
            i.plan.bounds.fee_wei_max
            for i in opened
            if i.key == attempt.key or (i.plan.urgent and i.attempts and i.attempts[-1].nonce > attempt.nonce)
        ]
        fee_wei = attempt.fee.gas_limit * attempt.fee.max_fee_wei
        if fee_wei > max(caps, default=0):
            self.violated(f"{attempt.key} attempt {attempt.n}: {fee_wei} wei is above every cap {caps}")

    def check_final(self, key: PlanKey, place: Inclusion | None) -> None:
        """Nothing is called final that the chain does not say is."""
        if why := not_final(self.chain, place):
            self.violated(f"{key} is called final at {place}, {why}")

    def on_wire(self, tx: TxFields, hash: str) -> None:
        """Bytes arrive at a node: they must be on the disk already."""
        assert self.loop is not None
        self.prompt.on_wire(tx, self.loop.now_s)
        if hash not in self.book.durable and hash not in self.book.wired:
            self.violated(f"broadcast before the journal held it: {hash[:10]}")
        self.book.wired.add(hash)


class SimJournal(Journal):
    """The real journal, which can be killed between and inside its commits, and whose disk may be full."""

    world: World
    pending: set[str]

    @classmethod
    def of(cls, journal: Journal, world: World) -> SimJournal:
        """An opened journal, from now on in this world."""
        journal.__class__ = cls
        assert isinstance(journal, cls)
        journal.world, journal.pending = world, set()
        if world.quick:
            journal._place = _Unmoved(journal.path)
        return journal

    @contextmanager
    def _transaction(self) -> Generator[Any]:
        if self.world.dead:
            raise Crash
        outermost = not self._connection.in_transaction()
        try:
            with super()._transaction() as connection:
                yield connection
        except BaseException:
            if outermost:
                self.pending.clear()
            raise
        if outermost and self.pending:
            self.world.book.durable |= self.pending
            self.pending.clear()
            self.world.point("attempt committed", self.world.mix.crash_at_write)

    @contextmanager
    def _reading(self) -> Generator[Any]:
        if self.world.dead:
            raise Crash
        with super()._reading() as connection:
            yield connection

    def _ask(self, key: Any, question: Any) -> Any:
        if self.world.dead:
            raise Crash
        return super()._ask(key, question)

    def _insert(self, name: str, values: Any) -> int:
        self._write_point(name)
        if name == "attempt":
            # what nobody wrote is not durable, whatever was asked for
            self.pending.add(values["hash"])
        return super()._insert(name, values)

    def _update_intent(self, intent_id: int, values: Any) -> None:
        self._write_point("intent")
        super()._update_intent(intent_id, values)

    def _write_point(self, name: str) -> None:
        world = self.world
        if world.stormy_now and world.mix.disk_full and world.rng.random() < world.mix.disk_full:
            world.say(f"disk full at {name}")
            world.disk_failed = True
            raise Unwritable(f"journal {name} failed: OperationalError: database or disk is full")
        world.point(f"write {name}", world.mix.crash_at_write)

    def seal(self, key: PlanKey, block_number: int) -> None:
        self.world.check_final(key, self.inclusion(key))
        super().seal(key, block_number)

    def add_attempt(self, attempt: Attempt, signer: str) -> None:
        super().add_attempt(attempt, signer)
        self.world.check_fee(attempt, self.open_intents(CHAIN_ID))


class _Unmoved(Place):
    """Nobody moves this file: that is looked for where somebody does (``tests/chaos/disk.py``)."""

    def refuse_replaced(self) -> None:
        pass


class SimNode(Node):
    """A node that tells the world what reached it."""

    world: World

    async def call(self, method: str, params: Sequence[object], *, timeout_s: float) -> object:
        """As any node."""
        if method == "eth_call" and isinstance(params[0], dict) and params[0]["to"] != MULTICALL:
            self.world.on_simulation()
        return await super().call(method, params, timeout_s=timeout_s)

    def _send(self, raw: bytes) -> str:
        self.world.on_wire(*read_tx(raw))
        return super()._send(raw)


class _NoJobs:
    """The scheduler of slow jobs is left out: it keeps wall-clock time."""

    def __init__(self, every_s: object) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def ask(self, *names: str) -> None:
        pass

    async def next(self) -> str:
        await asyncio.get_running_loop().create_future()
        return ""


def run(seed: int, *, verbose: bool = False) -> tuple[Result, list[str]]:
    """One seed from genesis to the end of the quiet, and every invariant."""
    return play(World(seed, verbose=verbose))


def play(world: World) -> tuple[Result, list[str]]:
    """A world to its end, and every invariant."""
    shm = Path("/dev/shm")
    _set_aside()
    # a seed leaves little garbage, and what was there before the first one is walked no more
    if world.seed % 16 == 0:
        gc.collect()
    gc.disable()
    folder = Path(tempfile.mkdtemp(prefix="keeper-sim-", dir=shm if shm.is_dir() else None))
    try:
        with _patched(world):
            (folder / "journal.sqlite").write_bytes(_new_journal(world.chain.genesis.nonce))
            while world.now_s < world.end_s and not world.book.violations:
                _live(world, folder / "journal.sqlite")
            world.shelf.clear()
            if not world.book.violations:
                _check_journal(world, folder / "journal.sqlite")
    finally:
        world.shelf.clear()
        shutil.rmtree(folder, ignore_errors=True)
        gc.enable()
    actions = sum(1 for _, m in world.chain.mined() if m.tx.data and m.ok)
    return (
        Result(
            seed=world.seed,
            violations=tuple(world.book.violations),
            crashes=world.crashes,
            blocks=world.chain.head.number - FIRST,
            reorgs=world.chain.reorgs,
            actions=actions,
            trace_hash=world._trace.hexdigest()[:16],
            revived=len(world.chain.revived),
            doubles=world.doubles,
            prompt_s=world.prompt.slowest_s,
            prompt_n=world.prompt.served,
        ),
        world.lines,
    )


def _live(world: World, path: Path) -> None:
    """One process, from start to kill; then the machine is off for a while."""
    loop = VirtualLoop(world.now_s)
    world.loop, world.dead, world.disk_failed = loop, False, False
    world.book.blind_since_s = None
    asyncio.set_event_loop(loop)
    until_s = world.end_s
    world.prompt.started_s = world.now_s
    if not world.stormy and world.now_s < world.late_kill_s:
        until_s = world.late_kill_s
    if world.stormy:
        until_s = min(world.storm_until_s, world.now_s + 1 + world.rng.expovariate(1 / world.mix.life_s))
    world.say(f"START until {until_s - START_S:.0f}")
    journal = world.shelf.take(path) or Journal.open(path, VirtualClock())
    world.journal, world.daemon = SimJournal.of(journal, world), None
    try:
        loop.create_task(_process(world, journal))
        loop.call_at(
            until_s, lambda: world.dead or world.die("by the clock") if until_s < world.end_s else loop.stop()
        )
        _schedule_block(world, loop)
        _schedule_watch(world, loop)
        with suppress(Deadlock):
            loop.run_forever()
    finally:
        world.now_s = loop.now_s
        world.dead = True
        _bury(loop)
        world.shelf.put(journal, keep=world.quick and world.crashes % REOPENED_EVERY != 0)
        world.loop = None
    _off(world)


def _off(world: World) -> None:
    """Between two lives the chain goes on."""
    if world.now_s >= world.end_s:
        return
    longest_s = world.rng.choice((0.5, 5.0, 30.0)) if world.stormy else 1.0
    world.now_s += longest_s * world.rng.random() + 0.1
    while world.next_block_s <= world.now_s:
        world.advance_chain()


class Shelf:
    """The journal's file between two lives. Its connection mostly stays: what a kill leaves is what was committed,
    so opening the file again finds the same; every few lives, and at the end, it is opened as a start opens it.
    """

    def __init__(self) -> None:
        self._kept: Journal | None = None

    def take(self, path: Path) -> Journal | None:
        """The journal as the next process finds it, which remembers nothing; None when the file was closed."""
        kept, self._kept = self._kept, None
        if kept is None:
            return None
        return Journal(path, kept._direct.opened, kept._lock, VirtualClock())

    def put(self, journal: Journal, *, keep: bool) -> None:
        """A process is gone, and what it had not committed with it."""
        if not keep:
            Journal.close(journal)
            return
        journal._direct.rollback()
        self._kept = journal

    def clear(self) -> None:
        """Close the file."""
        if self._kept is not None:
            Journal.close(self._kept)
            self._kept = None


@lru_cache(maxsize=8)
def _new_journal(nonce: int) -> bytes:
    """A journal's file as a first start leaves it, armed and adopted; the same for every seed."""
    with tempfile.TemporaryDirectory(prefix="keeper-sim-") as folder:
        path, loop = Path(folder) / "journal.sqlite", VirtualLoop(START_S)

        async def make() -> None:
            with Journal.open(path, VirtualClock()) as journal:
                journal.set_control("armed", DIGEST, "simulation", "armed from the start")
                journal.adopt_nonce(CHAIN_ID, WALLET, nonce, "simulation: nobody else uses this key")

        loop.run_until_complete(make())
        loop.close()
        return path.read_bytes()


def _schedule_block(world: World, loop: VirtualLoop) -> None:
    def mine() -> None:
        if world.dead:
            return
        world.advance_chain()
        loop.call_at(world.next_block_s, mine)

    loop.call_at(world.next_block_s, mine)


def _schedule_watch(world: World, loop: VirtualLoop) -> None:
    def watch() -> None:
        if world.dead:
            return
        world.check_awake()
        if world.book.violations:
            loop.stop()
        loop.call_later(1.0, watch)

    loop.call_later(1.0, watch)


async def _process(world: World, journal: Journal) -> None:
    """``keeper run``: everything in it is the real thing, but for the sockets."""
    try:
        daemon = ChainDaemon(SETTINGS, CHAIN, journal, world.on_probe)
        world.daemon = daemon
        await daemon.run(Notifier(None))
    except (Crash, asyncio.CancelledError):
        raise
    except BaseException as error:
        if world.dead:
            return
        causes = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
        if any(isinstance(c, Crash) for c in causes):
            return
        if world.disk_failed:
            # the unit's Restart= brings it back
            world.die(f"ended on a failing disk: {type(error).__name__}")
            return
        world.violated(f"the daemon ended: {causes!r}")
        assert world.loop is not None
        world.loop.stop()


def _bury(loop: VirtualLoop) -> None:
    """Unwind a dead process: whatever its handlers try, disk and network are gone."""
    for _ in range(20):
        tasks = loop.undone()
        if not tasks:
            break
        for task in tasks:
            task.cancel()
        with suppress(Deadlock):
            loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
    # results nobody asked for are not worth a message
    loop.set_exception_handler(lambda *_: None)
    loop.close()
    asyncio.set_event_loop(None)


SETTINGS = Settings(
    path=Path("keeper.toml"),
    mode="live",
    state_dir=Path("."),
    chains=(),
    venues=(),
    positions=(),
    policies=(),
    wallet=WalletSettings(address=WALLET, keystore=None, password_file=None),
    shocks_pct=(),
    digest=DIGEST,
)
CHAIN = ChainSettings(
    name="sim",
    chain_id=CHAIN_ID,
    block_time_s=float(BLOCK_S),
    multicall=MULTICALL,
    native_token=WETH.address,
    endpoints=tuple(
        EndpointSettings(name=n, url="http://unused", ws_url=None, rate_per_s=1e9, concurrency=64)
        for n in "abc"
    ),
)


@lru_cache(maxsize=1024)
def _plan_from_json(text: str) -> Any:
    """The journal's own decoder, asked once for each text: it is pure."""
    return _DECODE(text)


_DECODE = codec.plan_from_json


@lru_cache(maxsize=1)
def _compiled() -> tuple[Any, Any]:
    """A dialect and the statements that it has compiled, kept from life to life: compiling is no I/O."""
    engine = create_engine("sqlite://")
    with engine.connect():
        return engine.dialect, engine._compiled_cache


def _warm_engine(*args: Any, **options: Any) -> Any:
    engine = create_engine(*args, **options)
    engine.dialect, engine._compiled_cache = _compiled()
    return engine


@lru_cache(maxsize=1)
def _set_aside() -> None:
    """The modules of this process are large and stay: no collection shall walk them again."""
    gc.collect()
    gc.freeze()


@contextmanager
def _patched(world: World) -> Iterator[None]:
    """The daemon's doors to the outside, opened onto the simulation; closed again afterwards."""

    class Doors(Endpoints):
        @classmethod
        async def open(cls, chain: ChainSettings, clock: Any, on_event: Any) -> Endpoints:
            world.nodes = [SimNode(world.chain, world.rng, world.on_call) for _ in chain.endpoints]
            for node in world.nodes:
                node.world = world
            world._weather_of_nodes()
            for node in world.nodes:
                node.tip = world.chain.head
            made = cls(chain, world.nodes, clock, on_event, seed=world.seed)
            await made.probe()
            made._probing = asyncio.create_task(made._probe_forever())
            return made

    async def site(
        settings: Settings, chain: ChainSettings, endpoints: Endpoints, block: Block, *, served: bool = False
    ) -> Site:
        venue = SimVenue()
        return Site(
            chain=chain,
            endpoints=endpoints,
            block=block,
            venues={venue.id: venue},
            settings={},
            camera=Camera(chain, endpoints, WALLET),
            guarded=tuple(
                Guarded(label=a[:6], policy=policy(), venue_id=venue.id, id=venue.position_id(a))
                for a in ACCOUNTS
            ),
        )

    async def signer(*_: object) -> Signer:
        return SimSigner(world.on_call, world.on_signed)

    with ExitStack() as undo:
        for module, name, value in (
            (daemons, "Endpoints", Doors),
            (daemons, "site", site),
            (daemons, "SystemClock", VirtualClock),
            (daemons, "SlowJobs", _NoJobs),
            (daemons, "LIBRARY", ()),
            # a process freezes its heap once; this one is many processes
            (daemons, "gc", SimpleNamespace(freeze=lambda: None)),
            (library, "LIBRARY", ()),
            (senders, "live_signer", signer),
            (opening, "create_engine", _warm_engine),
            (codec, "plan_from_json", _plan_from_json),
        ):
            undo.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, value)
        yield


def _late_kill_s(rng: random.Random, quiet_from_s: float) -> float:
    """One kill in the quiet, with every endpoint healthy, around the time of the last fall; or none."""
    if rng.random() < 0.25:
        return 0.0
    # as often as not just while it acts
    after_s = rng.choice((rng.uniform(-BLOCK_S, 2 * BLOCK_S), rng.uniform(0.5, 3.0)))
    return quiet_from_s + BLOCK_S * LAST_FALL + after_s


def _prices(rng: random.Random) -> tuple[tuple[int, int], ...]:
    """A price that falls in steps: some in the storm, one or two in the quiet."""
    price, steps = 2000, [(FIRST, 2000 * 10**8)]
    falls = sorted(rng.sample(range(FIRST + 2, FIRST + STORM_BLOCKS), 3))
    falls.append(FIRST + STORM_BLOCKS + LAST_FALL)
    for number in falls:
        # the last one, in the quiet, crosses every trigger whatever was done before
        fall = rng.uniform(0.15, 0.2) if number == falls[-1] else rng.uniform(0.05, 0.16)
        price = int(price * (1 - fall))
        steps.append((number, price * 10**8))
    return tuple(steps)


def not_final(chain: SimChain, place: Inclusion | None) -> str:
    """Why what lies there is not final; empty where it is."""
    if place is None or place.block_number > chain.finalized:
        return f"the chain is final up to {chain.finalized}"
    there = chain.blocks[place.block_number - FIRST].header.hash
    return "which is not on the chain" if place.block_hash and there != place.block_hash else ""


def _stall(seed: int, storm_blocks: int) -> range:
    """In three seeds of ten finality stands still for most of the storm. By dice of its own: the others' nights
    stay as they were."""
    rng = random.Random(f"finality {seed}")
    first = FIRST + rng.randint(1, max(1, storm_blocks // 4))
    return range(first, FIRST + storm_blocks + 2) if rng.random() < 0.3 else range(0)


def _genesis(rng: random.Random) -> State:
    return State(
        accounts={
            a: Held(units(WETH, "10"), int(10 * 2000 * 0.83 / rng.uniform(1.27, 1.5)) * 10**6)
            for a in ACCOUNTS
        },
        weth=units(WETH, "500"),
        usdc=units(USDC, "1000000"),
        native_wei=20 * 10**18,
        nonce=rng.choice((0, 7)),
    )


def _check_journal(world: World, path: Path) -> None:
    """What the journal tells when all is over, against the chain."""
    loop = VirtualLoop(world.now_s)
    asyncio.set_event_loop(loop)
    with Journal.open(path, VirtualClock()) as journal:
        world.doubles = judge(world, journal)
    loop.close()
    asyncio.set_event_loop(None)


__all__ = ["ALICE", "VENUE", "Crash", "Mix", "Result", "World", "replace", "run"]
