"""The daemon on one screen: heads -> ticks -> act-lane; slow jobs, watchdog and control socket beside."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import structlog

from keeper.chain.endpoint import EndpointEvent, Kind, State
from keeper.chain.endpoints import Endpoints
from keeper.chain.head import Heads, Mailbox, latest
from keeper.chain.line import HeadEvent
from keeper.clock import SystemClock
from keeper.config import ChainSettings, Settings
from keeper.daemon.control import Blind, Controls
from keeper.daemon.discovery import Discovery, reload_changed
from keeper.daemon.loop import ChainLoop, Parts
from keeper.daemon.senders import Sending, sending
from keeper.daemon.wiring import Site, site
from keeper.errors import EXIT_BROKEN, EXIT_FINDINGS, EXIT_OK, EXIT_UNREACHABLE, Broken, Transient
from keeper.journal.recover import recover
from keeper.journal.retention import KEEP_S
from keeper.journal.write import Journal
from keeper.model import Block, Entry, Level
from keeper.notify import control
from keeper.notify.alarm import Alarms
from keeper.risk import cache
from keeper.risk.shocks import LIBRARY
from keeper.schedule import SlowJobs
from keeper.seams import Severity
from keeper.transaction.send import silent
from keeper.watchdog import Notifier, Pulse
from strategies.registry import resolve

Probe = Callable[[str], None]
TICK_TIMEOUT_S = 10.0
"""A tick older than this would act on a photograph that no longer holds."""
RETRY_S = 1.0
PULSE_S = 1.0
DRAIN_S = 30.0
EVERY_S = {"discover": 600.0, "refresh": 3600.0, "prune": 300.0}


class ChainDaemon:
    """One chain, from endpoints to lane."""

    def __init__(self, settings: Settings, chain: ChainSettings, journal: Journal, probe: Probe) -> None:
        self.settings = settings
        self.chain = chain
        self.journal = journal
        self.clock = SystemClock()
        self.alarms = Alarms(journal.record, self.clock, chain.chain_id)
        self.loop: ChainLoop | None = None
        self.heads: Heads | None = None
        self.blind: Blind | None = None
        self.jobs = SlowJobs(EVERY_S)
        self._here: Site | None = None
        self._acting: Sending | None = None
        self._foreign = ""
        """Why recovery found journal and chain apart; empty when they agree."""
        self._looked = False
        """Whether discovery was asked for once; it needs a first tick."""
        self._probe = probe
        self._log = structlog.get_logger("keeper")

    async def start(self) -> tuple[Endpoints, Site]:
        """Endpoints, venues and recovery; waits, BLIND and saying so, while nobody answers."""
        endpoints = await Endpoints.open(self.chain, self.clock, self._on_endpoint)
        while True:
            try:
                here = await site(self.settings, self.chain, endpoints, await latest(endpoints))
                parts = await self._parts(here)
                self.loop, self._here = self._looped(parts, here), here
                return endpoints, here
            except Transient as e:
                self._go_blind(f"no endpoint answers: {e}")
                await asyncio.sleep(RETRY_S)
            except BaseException:
                await endpoints.close()
                raise

    async def once(self) -> Level:
        """One tick on the newest block, acted on; the worst level found. Raises Transient."""
        endpoints = await Endpoints.open(self.chain, self.clock, self._on_endpoint)
        try:
            here = await site(self.settings, self.chain, endpoints, await latest(endpoints))
            self.loop = self._looped(await self._parts(here), here)
            tick = await self.loop.tick(here.block)
            for plan in self.loop.hand(tick):
                await self.loop.act(plan, tick.snapshot)
            if self.loop.broken:
                raise Broken(self.loop.broken)
            return max((o.level for o in tick.outlooks), key=list(Level).index, default=Level.SAFE)
        finally:
            await endpoints.close()

    async def run(self, notifier: Notifier) -> None:
        """For ever; cancelled at shutdown, after the lane has drained."""
        pulse = asyncio.create_task(self._pulse(notifier))
        endpoints, here = await self.start()
        assert self.loop is not None
        mailbox = Mailbox()
        self.heads = Heads(self.chain, endpoints, self.clock, self._on_head)
        self.jobs.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.heads.run(mailbox))
                group.create_task(self._lane(self.loop))
                group.create_task(self._slow(here))
                group.create_task(self._ticks(mailbox))
        finally:
            pulse.cancel()
            self.jobs.stop()
            await endpoints.close()

    async def drain(self) -> None:
        """Wait until no plan is on the lane: a transaction between signature and journal is not abandoned."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                if self.loop is not None:
                    self.loop.closing = True
                    await self.loop.drained()

    async def _parts(self, here: Site) -> Parts:
        acting = await sending(self.settings, here, self.journal, self.alarms, self._probe)
        parts = Parts(
            chain=self.chain,
            facts=acting.facts,
            guarded=here.guarded,
            journal=self.journal,
            sender=acting.sender,
            dry=self.settings.mode != "live",
            alarms=self.alarms,
            clock=self.clock,
            strategies=resolve(tuple(sorted({n for g in here.guarded for n in g.policy.strategies}))),
            shocks=LIBRARY,
            armed_digest=self.settings.digest,
            live_endpoints=partial(_live, here.endpoints),
        )
        self._acting = acting
        self._foreign = ""
        if acting.signer_address is not None:
            try:
                findings = await recover(
                    self.journal, here.endpoints, self.clock, self.chain.chain_id, acting.signer_address
                )
            except Broken as e:  # nothing may be signed; everything is watched all the same
                self._foreign, findings = str(e), ()
            for finding in findings:
                self._log.warning("recovered", chain=self.chain.name, finding=str(finding))
        return parts

    def _looped(self, parts: Parts, here: Site) -> ChainLoop:
        """The loop, which only watches when recovery found journal and chain apart."""
        loop = ChainLoop(parts, here.venues)
        if self._acting is not None and self._acting.live is not None:
            self._acting.live.may_send = loop.may_send
        if self._foreign:
            loop.stop_acting(self._foreign)
        return loop

    async def _ticks(self, mailbox: Mailbox) -> None:
        """Own pace: always the newest head, never a backlog."""
        while True:
            await self._tick(await mailbox.get())

    async def _tick(self, block: Block) -> None:
        assert self.loop is not None
        try:
            async with asyncio.timeout(TICK_TIMEOUT_S):
                tick = await self.loop.tick(block)
            # one commit: in a crash a thousand plans may stay on paper at once
            with self.journal.batch():
                self.loop.hand(tick)
        except (Transient, TimeoutError) as e:
            self._unseen(self.loop, block, str(e) or f"the tick took longer than {TICK_TIMEOUT_S:.0f} s")
            return
        except Broken as e:
            self.loop.stop_acting(str(e))
            return
        except Exception as e:  # the supervisor: whatever it was, watching goes on and acting stops
            self._log.exception("tick failed", chain=self.chain.name, block=block.number)
            self.loop.stop_acting(f"{type(e).__name__}: {e}")
            return
        if self.blind is not None:
            self.blind = None
            self.alarms.clear("blind", self.chain.name)
        if self._here is not None and self._here.camera.stale:
            # its positions are UNKNOWN until the market is loaded anew: that cannot wait for the hour
            self.jobs.ask("refresh")
        if not self._looked:
            self._looked = True
            # what stands after a first tick stands for good; to walk it in the middle of a tick costs 0.2 s
            gc.freeze()
            self.jobs.ask("discover")

    def _unseen(self, loop: ChainLoop, block: Block, why: str) -> None:
        """A block that could not be read, journaled if that is possible; watching goes on either way."""
        try:
            loop.unseen(block, why)
        except Exception as e:  # the supervisor
            self._log.exception("unread block not judged", chain=self.chain.name, block=block.number)
            loop.stop_acting(f"{type(e).__name__}: {e}")

    async def _lane(self, loop: ChainLoop) -> None:
        """The act-lane, for ever: whatever goes wrong in it, watching goes on and acting stops."""
        while True:
            try:
                await loop.serve_lane()
            except Exception as e:  # the supervisor
                self._log.exception("act failed", chain=self.chain.name)
                loop.stop_acting(f"{type(e).__name__}: {e}")

    async def _pulse(self, notifier: Notifier) -> None:
        """Feed systemd's watchdog while the loop turns and the head is fresh, or BLIND is written down."""
        ready = False
        started_s = self.clock.monotonic_s()
        while True:
            await asyncio.sleep(PULSE_S)
            age_s = self.heads.fresh_age_s(self.clock) if self.heads else float("inf")
            age_s = min(age_s, self.clock.monotonic_s() - started_s)
            known = self.blind is not None
            pulse = Pulse(head_age_s=age_s, block_time_s=self.chain.block_time_s, blind_journaled=known)
            if not pulse.fresh:
                self._go_blind(f"no new head for {age_s:.0f} s from any endpoint")
                pulse = replace(pulse, blind_journaled=True)
            ticked = self.loop is not None and self.loop.last is not None
            status = "watching" if ticked else "starting"
            if self.blind is not None:
                status = f"BLIND: {self.chain.name}: {self.blind.why}"
            if not ready and (ticked or self.blind is not None):
                notifier.ready(status)
                ready = True
            if pulse.deserved:
                notifier.ping(status)

    async def _slow(self, here: Site) -> None:
        """What the scheduler, or a tick, asked for, done between ticks; a failure costs that job only."""
        discovery = Discovery(here, self.alarms)
        while True:
            job = await self.jobs.next()
            assert self.loop is not None
            try:
                if job == "discover":
                    await discovery.look(self.loop.last, self.loop.venues)
                elif job == "prune":
                    self.journal.prune(self.clock.now_s() - KEEP_S)
                else:
                    await reload_changed(self.loop, here.camera, here.settings)
                    if self._acting is not None and self.loop.last is not None:
                        self._acting.renew(self.loop.last.snapshot.means)
            except Transient as e:
                self._log.warning("slow job failed", chain=self.chain.name, job=job, why=str(e))
            except Exception as e:  # the supervisor: a job beside the loop must not end the watch
                self._log.exception("slow job failed", chain=self.chain.name, job=job)
                why = f"{type(e).__name__}: {e}"
                self.alarms.raise_alarm(Severity.CRITICAL, "slow_job", f"{self.chain.name} {job}", why)
            else:
                self.alarms.clear("slow_job", f"{self.chain.name} {job}")

    def _go_blind(self, why: str) -> None:
        """Say BLIND, and say it again by age for as long as this is called."""
        if self.blind is None:
            number = self.loop.last.block.number if self.loop and self.loop.last else 0
            shown = f"{why}; last known state is of block {number}" if number else why
            self.blind = Blind(why=shown, since_s=self.clock.now_s())
        self.alarms.raise_alarm(Severity.CRITICAL, "blind", self.chain.name, self.blind.why)

    def _on_endpoint(self, event: EndpointEvent) -> None:
        self._log.warning("endpoint", chain=self.chain.name, name=event.name, kind=event.kind, why=event.why)
        if event.kind in (Kind.UP, Kind.RECOVERED):
            for over in (Kind.DOWN, Kind.LAGGING, Kind.RATE_LIMITED, Kind.WRONG_CHAIN):
                self.alarms.clear(f"endpoint_{over}", event.name)
            return
        loud = Severity.CRITICAL if event.kind is Kind.WRONG_CHAIN else Severity.WARNING
        self.alarms.raise_alarm(loud, f"endpoint_{event.kind}", event.name, event.why)

    def _on_head(self, event: HeadEvent) -> None:
        self._log.info("head", chain=self.chain.name, kind=event.kind, why=event.why, depth=event.depth)
        entry = Entry(
            kind="head",
            chain_id=self.chain.chain_id,
            block_number=event.block_number or 0,
            subject=self.chain.name,
            why=f"{event.kind}: {event.why}",
        )
        try:
            self.journal.record(entry)
        except Broken as e:
            # a journal that cannot be written stops acting, in the next tick; heads must go on coming
            self._log.error("head not journaled", chain=self.chain.name, why=str(e))


def _live(endpoints: Endpoints) -> tuple[int, int]:
    """(endpoints that can be used now, all that are configured)."""
    told = endpoints.status()
    return sum(s.state is State.UP for s in told), len(told)


async def run(settings: Settings, *, once: bool, dry_run: bool, probe: Probe = silent) -> int:
    """The daemon, or one tick of it; returns an exit code. Raises ConfigError before anything is started."""
    settings = replace(settings, mode="dry-run") if dry_run else settings
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    cache.warm()
    with Journal.open(settings.journal_path, SystemClock()) as journal:
        chains = [ChainDaemon(settings, chain, journal, probe) for chain in settings.chains]
        journal.record(
            Entry(kind="start", chain_id=0, block_number=0, subject="", why=f"{settings.mode} start")
        )
        try:
            return await (_once(chains) if once else _serve(settings, chains, journal))
        finally:
            journal.record(Entry(kind="stop", chain_id=0, block_number=0, subject="", why="stopped"))


async def _once(chains: list[ChainDaemon]) -> int:
    try:
        levels = [await chain.once() for chain in chains]
    except Transient as e:
        structlog.get_logger("keeper").error("unreachable", why=str(e))
        return EXIT_UNREACHABLE
    worried = any(level in (Level.ACT, Level.URGENT, Level.UNKNOWN) for level in levels)
    return EXIT_FINDINGS if worried else EXIT_OK


async def _serve(settings: Settings, chains: list[ChainDaemon], journal: Journal) -> int:
    """Until SIGTERM or SIGINT: then drain the lanes, then go."""
    notifier = Notifier.from_systemd()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)

    async def answer(request: dict[str, object]) -> dict[str, object]:
        return await Controls(settings, journal, chains).answer(request)

    server = await control.serve(settings.control_path, answer)
    running: list[asyncio.Task[None]] = [asyncio.create_task(c.run(notifier)) for c in chains]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
    notifier.stopping()
    await asyncio.gather(*(c.drain() for c in chains))
    for task in (*running, stopping):
        task.cancel()
    ended = await asyncio.gather(*running, return_exceptions=True)
    server.close()
    settings.control_path.unlink(missing_ok=True)
    for failure in ended:
        if isinstance(failure, BaseException) and not isinstance(failure, asyncio.CancelledError):
            raise failure
    return EXIT_OK if stop.is_set() else EXIT_BROKEN
