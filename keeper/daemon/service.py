"""One chain's daemon on one screen: heads -> ticks -> act-lane; slow jobs and the watchdog's pulse beside."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import structlog

from keeper.chain.endpoint import EndpointEvent, EndpointStatus, State
from keeper.chain.endpoints import Endpoints
from keeper.chain.head import Heads, Mailbox, latest
from keeper.chain.line import HeadEvent
from keeper.clock import SystemClock
from keeper.config import ChainSettings, Settings
from keeper.daemon import safe, starts
from keeper.daemon.agreement import with_agreed
from keeper.daemon.bargain import with_offers
from keeper.daemon.chores import EVERY_S, FIRST, Chores
from keeper.daemon.control import Blind
from keeper.daemon.events import tell_endpoint, tell_head
from keeper.daemon.facts import Facts, LiveFacts, unheard
from keeper.daemon.head_time import HeadTime
from keeper.daemon.hedges import Hedges
from keeper.daemon.lined import recalled
from keeper.daemon.loop import ChainLoop
from keeper.daemon.orders import with_orders
from keeper.daemon.pairs import links_of
from keeper.daemon.parts import Parts
from keeper.daemon.recovering import Recovery
from keeper.daemon.senders import Sending, sending
from keeper.daemon.slow import Slow
from keeper.daemon.tick import Tick
from keeper.daemon.wiring import Site, site
from keeper.errors import Broken, Transient, Unwritable
from keeper.journal.write import Journal
from keeper.model import Block, Level
from keeper.notify.alarm import Alarms
from keeper.risk.shocks import LIBRARY
from keeper.schedule import SlowJobs
from keeper.seams import Severity
from keeper.watchdog import Listener, Pulse
from strategies.registry import resolve

Probe = Callable[[str], None]
TICK_TIMEOUT_S = 10.0
"""A tick older than this would act on a photograph that no longer holds."""
RETRY_S = 1.0
PULSE_S = 1.0
DRAIN_S = 30.0
PATIENCE_S = 2.0
"""So long a slow job lets a block be read and acted on before it asks its own questions."""


class ChainDaemon:
    """One chain, from endpoints to lane."""

    def __init__(
        self,
        settings: Settings,
        chain: ChainSettings,
        journal: Journal,
        probe: Probe,
        alarms: Alarms | None = None,
    ) -> None:
        """``alarms``: of the daemon of this chain that failed and that this one follows."""
        self.settings = settings
        self.chain = chain
        self.journal = journal
        self.clock = SystemClock()
        self.alarms = alarms or Alarms(journal.record, self.clock, chain.chain_id)
        self.judged = False
        """Whether a block was read and judged to its end."""
        self.loop: ChainLoop | None = None
        self.heads: Heads | None = None
        self.blind: Blind | None = None
        self._blind_old = False
        """Whether it is so because the heads that come are old."""
        self._time = HeadTime(chain, self.alarms)
        self.jobs = SlowJobs({j: s for j, s in EVERY_S.items() if not settings.safe_mode or j in safe.JOBS})
        self._endpoints: Endpoints | None = None
        self._here: Site | None = None
        self._begun_s = self._stirred_s = self._judged_s = self.clock.monotonic_s()
        """When a start was last attempted, a block last judged to its end; at first the beginning."""
        self._acting: Sending | None = None
        self._following: Facts | None = None
        """Who follows what was sent, without what stands around it."""
        self._hedges = Hedges(settings, journal, self.alarms, self.clock, probe)
        self._recovery = Recovery(chain, journal, self.clock)
        self._looked = False
        """Whether discovery was asked for once; it needs a first tick."""
        self._probe = probe
        self._log = structlog.get_logger("keeper")

    async def start(self) -> tuple[Endpoints, Site]:
        """Endpoints, venues and recovery; waits, BLIND and saying so, while nobody answers."""
        endpoints = self._endpoints = await Endpoints.open(self.chain, self.clock, self._on_endpoint)
        while True:
            self._stirred_s = self.clock.monotonic_s()
            try:
                served = starts.known(self.journal, self.settings.digest)
                block = await latest(endpoints)
                here = await site(self.settings, self.chain, endpoints, block, served=served)
                here = await recalled(here, self.journal) if served else here
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
            await self._dated(here.block, endpoints)
            self.loop = self._looped(await self._parts(here), here)
            tick = await self.loop.tick(here.block)
            for plan in self.loop.hand(tick):
                await self.loop.act(plan, tick.snapshot)
            if self._recovery.failed is not None:
                raise self._recovery.failed
            if self.loop.broken:
                raise Broken(self.loop.broken)
            if self._time.old:
                return Level.UNKNOWN
            return max((o.level for o in tick.outlooks), key=list(Level).index, default=Level.SAFE)
        finally:
            await self._close(endpoints)

    async def run(self, listener: Listener) -> None:
        """For ever; cancelled at shutdown, after the lane has drained."""
        pulse = asyncio.create_task(self._pulse(listener))
        try:
            endpoints, here = await self.start()
            try:
                await self._watch(endpoints, here)
            finally:
                await self._close(endpoints)
        finally:
            pulse.cancel()

    async def _watch(self, endpoints: Endpoints, here: Site) -> None:
        assert self.loop is not None
        self._judged_s = self.clock.monotonic_s()
        mailbox = Mailbox()
        self.heads = Heads(self.chain, endpoints, self.clock, self._on_head)
        self.jobs.start()
        if self._acting is not None:
            self._acting.pace.newer = mailbox.waits
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.heads.run(mailbox))
                group.create_task(self._lane(self.loop))
                group.create_task(self._slow(here))
                group.create_task(self._ticks(mailbox))
                group.create_task(self._hedges.run(here))
        finally:
            self.jobs.stop()

    async def _close(self, endpoints: Endpoints) -> None:
        await self._hang_up()
        await endpoints.close()

    async def _hang_up(self) -> None:
        if self._acting is not None:
            self._acting.pace.drop()
            await self._acting.outgoing.close()

    def endpoint_status(self) -> tuple[EndpointStatus, ...]:
        """Each endpoint as it stands; none before the start."""
        return () if self._endpoints is None else self._endpoints.status()

    async def drain(self) -> None:
        """Wait until no plan is on the lane: a transaction between signature and journal is not abandoned."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                if self.loop is not None:
                    self.loop.permit.closing = True
                    await self.loop.drained()

    async def _parts(self, here: Site) -> Parts:
        await self._hang_up()
        acting = await sending(self.settings, here, self.journal, self.alarms, self._probe)
        self._following, acting = acting.facts, with_offers(acting, here, self.alarms)
        facts = with_orders(acting.facts, here.endpoints, self.journal, here.guarded, self.alarms)
        parts = Parts(
            chain=self.chain,
            facts=with_agreed(facts, here.endpoints, acting.outgoing.stage, here.guarded, self._time.told),
            guarded=here.guarded,
            journal=self.journal,
            sender=acting.sender,
            dry=self.settings.mode != "live",
            alarms=self.alarms,
            clock=self.clock,
            strategies=resolve(tuple(sorted({n for g in here.guarded for n in g.policy.strategies}))),
            shocks=LIBRARY,
            armed_digest=self.settings.digest,
            safe_mode=self.settings.safe_mode,
            standby=self.settings.standby,
            pairs=links_of(self.settings, here.guarded),
            live_endpoints=partial(_live, here.endpoints),
            old_head=self._time.told,
            address=acting.signer_address,
        )
        self._acting = acting
        await self._recovery.run(acting, here.block.number)
        return parts

    def _looped(self, parts: Parts, here: Site) -> ChainLoop:
        """The loop, which only watches when recovery found journal and chain apart."""
        loop = ChainLoop(parts, here.venues)
        if isinstance(self._following, LiveFacts):
            self._following.on_full = loop.stop_acting
            self._following.think = loop.foresee
            self._following.shown = unheard if self._acting is None else self._acting.follow
        if self._acting is not None and self._acting.live is not None:
            self._acting.live.may_send = loop.may_send
            self._acting.live.practises = loop.practises
            self._acting.live.beside = loop.tell_first
        if self._acting is not None:
            self._acting.outgoing.follow(loop.level_of, loop.venue_of)
        self._recovery.tell(loop)
        return loop

    async def _ticks(self, mailbox: Mailbox) -> None:
        """Own pace: always the newest head, never a backlog."""
        while True:
            await self._tick(await mailbox.get())

    async def _tick(self, block: Block) -> None:
        assert self.loop is not None
        try:
            await self._dated(block, self._endpoints)
            async with asyncio.timeout(TICK_TIMEOUT_S):
                tick = await self.loop.tick(block)
            self._handed(self.loop, tick)
            await self._recovery.again(self.loop, block.number)
        except (Transient, TimeoutError) as e:
            self._unseen(self.loop, block, str(e) or f"the tick took longer than {TICK_TIMEOUT_S:.0f} s")
            return
        except Broken as e:
            self.loop.stop_acting(e)
            return
        except Exception as e:  # the supervisor: whatever it was, watching goes on and acting stops
            self._log.exception("tick failed", chain=self.chain.name, block=block.number)
            self.loop.stop_acting(f"{type(e).__name__}: {e}")
            return
        self._judged_s, self.judged = self.clock.monotonic_s(), True
        self._hedges.see(self.loop)
        self.alarms.clear("chain_failed", self.chain.name)
        if not self._time.old:
            self.blind = None
            # also what the daemon said that this one follows
            self.alarms.clear("blind", self.chain.name)
        if self._here is not None and self._here.camera.stale:
            # its positions are UNKNOWN until the market is loaded anew: that cannot wait for the hour
            self.jobs.ask("refresh")
        if not self._looked:
            self._looked = True
            # what stands after a first tick stands for good; to walk it in the middle of a tick costs 0.2 s
            gc.freeze()
            self.jobs.ask(*(job for job in FIRST if not self.settings.safe_mode))
            if self._here is not None and self._here.unproven:
                self.jobs.ask("executors")

    async def _dated(self, block: Block, endpoints: Endpoints | None) -> None:
        """Say BLIND of a newest head that is old, before anything of it is judged or told."""
        newest, behind_s = block, self.clock.now_s() - block.timestamp_s
        if self.heads is not None and self.heads.last is not None:
            newest, behind_s = self.heads.last, self.heads.behind_s
        await self._time.see(newest, behind_s, endpoints)
        if self._time.old:
            self._go_blind(self._time.old, old=True)

    def _handed(self, loop: ChainLoop, tick: Tick) -> None:
        """Its plans to the lane, or on paper; a journal that takes no note of that stops signing, and no watching."""
        try:
            # one commit: in a crash a thousand plans may stay on paper at once
            with self.journal.batch():
                loop.hand(tick)
        except Broken as e:
            loop.stop_acting(e)

    def _unseen(self, loop: ChainLoop, block: Block, why: str) -> None:
        """A block that could not be read, journaled if that is possible; watching goes on either way."""
        try:
            loop.unseen(block, why)
        except Unwritable as e:
            loop.stop_acting(e)
        except Exception as e:  # the supervisor
            self._log.exception("unread block not judged", chain=self.chain.name, block=block.number)
            loop.stop_acting(f"{type(e).__name__}: {e}")

    async def _lane(self, loop: ChainLoop) -> None:
        """The act-lane, for ever: whatever goes wrong in it, watching goes on and acting stops."""
        while True:
            try:
                await loop.serve_lane()
            except Unwritable as e:
                loop.stop_acting(e)
            except Exception as e:  # the supervisor
                self._log.exception("act failed", chain=self.chain.name)
                loop.stop_acting(f"{type(e).__name__}: {e}")

    async def _pulse(self, listener: Listener) -> None:
        """Feed the watchdog while blocks are judged, or BLIND is written down; say BLIND by age."""
        ready = False
        while True:
            await asyncio.sleep(PULSE_S)
            pulse = self._felt()
            if not pulse.fresh:
                self._go_blind(f"no new head for {pulse.head_age_s:.0f} s from any endpoint")
            elif self._time.old:
                self._go_blind(self._time.old, old=True)
            elif not pulse.judging:
                self._go_blind(f"blocks come, and none could be judged for {pulse.judged_age_s:.0f} s")
            pulse = replace(pulse, blind_journaled=self.blind is not None)
            status = "watching" if self.judged else "starting"
            if self.blind is not None:
                status = f"BLIND: {self.chain.name}: {self.blind.why}"
            if not ready and (self.judged or self.blind is not None):
                listener.ready(status)
                ready = True
            if pulse.deserved:
                listener.ping(status)

    def _felt(self) -> Pulse:
        """What the watchdog is to judge; ages count from the start where nothing has happened yet."""
        now_s, endpoints = self.clock.monotonic_s(), self._endpoints
        head_age_s = running_s = now_s - self._begun_s
        stuck_s, missed, dead = now_s - self._stirred_s, 0, False
        if self.heads is not None and endpoints is not None:
            told = [s.head_number for s in endpoints.status() if s.state is State.UP]
            last = self.heads.last
            head_age_s = min(self.heads.fresh_age_s(self.clock), running_s)
            stuck_s, dead = now_s - endpoints.probed_s, not told
            missed = max([n - last.number for n in told if n is not None], default=0) if last else 0
        return Pulse(
            head_age_s=head_age_s,
            judged_age_s=now_s - self._judged_s,
            block_time_s=self.chain.block_time_s,
            blind_journaled=self.blind is not None,
            endpoints_dead=dead,
            missed_blocks=max(0, missed),
            stuck_s=stuck_s,
        )

    async def _slow(self, here: Site) -> None:
        """What the scheduler, or a tick, asked for, done between ticks; a failure costs that job only."""
        chores = Chores(self.settings, here, self.journal, self.alarms)

        async def do(job: str) -> None:
            assert self.loop is not None
            await self.loop.rest(PATIENCE_S)
            await chores.do(job, self.loop, self._acting)

        await Slow(self.chain.name, self.jobs, self.clock, self.alarms).run(do)

    def _go_blind(self, why: str, *, old: bool = False) -> None:
        """Say BLIND, and say it again by age for as long as this is called.

        ``old``: heads come and are old, each by its own age; of what else blinds, the first why stands.
        """
        if self.blind is None or old or self._blind_old:
            since_s = self.clock.now_s() if self.blind is None else self.blind.since_s
            number = self.loop.last.block.number if self.loop and self.loop.last else 0
            shown = f"{why}; last known state is of block {number}" if number and not old else why
            self.blind, self._blind_old = Blind(why=shown, since_s=since_s), old
        self.alarms.raise_alarm(Severity.CRITICAL, "blind", self.chain.name, self.blind.why)

    def _on_endpoint(self, event: EndpointEvent) -> None:
        tell_endpoint(event, self.chain.name, self.alarms)

    def _on_head(self, event: HeadEvent) -> None:
        if self._acting is not None:
            self._acting.pace.told(event.kind)
        tell_head(event, self.chain, self.journal)


def _live(endpoints: Endpoints) -> tuple[int, int]:
    """(endpoints that can be used now, all that are configured)."""
    told = endpoints.status()
    return sum(s.state is State.UP for s in told), len(told)
