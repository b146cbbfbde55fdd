"""Slow jobs of one chain, done between ticks: what may be minutes old without harm."""

from __future__ import annotations

import structlog

from keeper.clock import SystemClock
from keeper.config import Settings
from keeper.daemon import capacity, desks
from keeper.daemon.absent import Absent
from keeper.daemon.discovery import Discovery, reload_changed
from keeper.daemon.finality import Finalizing
from keeper.daemon.governing import Governing, Seat
from keeper.daemon.lined import Lines
from keeper.daemon.loop import ChainLoop
from keeper.daemon.oracles import Around, Oracles
from keeper.daemon.second_look import SecondLook
from keeper.daemon.senders import Sending
from keeper.daemon.wiring import Site
from keeper.journal.retention import KEEP_S
from keeper.journal.write import Journal
from keeper.seams import Alarm, Severity

EVERY_S = {
    "discover": 600.0,
    "refresh": 3600.0,
    "prune": 300.0,
    "executors": 600.0,
    "capacity": 600.0,
    "governance": 120.0,
    "finality": 120.0,
    "oracle": 2.0,  # a block is looked at once
    "second_look": 60.0,
}
FIRST = ("discover", "capacity", "oracle", "governance")
"""Asked for after the first tick as well."""
CHANGED = "executor_changed"
OUT = "nothing is sold through it"
DOUBTED = "where it is in use it stays so until the next look says it again"
_log = structlog.get_logger("keeper")


class Chores:
    """Does one job at a time by its name; remembers what an earlier round found."""

    def __init__(self, settings: Settings, here: Site, journal: Journal, alarms: Alarm) -> None:
        self._settings = settings
        self._here = here
        self._journal = journal
        self._alarms = alarms
        self._discovery = Discovery(here, alarms)
        around = Around(chain=here.chain, endpoints=here.endpoints, camera=here.camera)
        self._oracles = Oracles(around, alarms, journal)
        self._governing = Governing(Seat(around=around, guarded=here.guarded, settings=here.settings), alarms)
        self._finalizing = Finalizing(here.chain.name, here.endpoints, alarms)
        self._short: frozenset[str] = frozenset()
        self._unlisted = ""
        self._doubted = here.unproven
        if self._doubted:
            self._say_doubted(frozenset(self._doubted))
        self._lines = Lines(here, journal, alarms)
        self._second = SecondLook(here.endpoints, here.camera, here.guarded, alarms)

    async def do(self, job: str, loop: ChainLoop, acting: Sending | None) -> None:
        """The job of that name (``EVERY_S``). Raises Transient."""
        if job == "discover":
            try:
                if loop.last is not None:
                    await self._lines.look(loop.venues, loop.last.block)
            finally:
                await self._discovery.look(loop.last, loop.venues)
        elif job == "prune":
            self._journal.prune(SystemClock().now_s() - KEEP_S)
        elif job == "capacity":
            await self._capacity(loop)
        elif job == "oracle":
            if loop.last is not None:
                seen = loop.last.snapshot
                loop.foreseen = await self._oracles.look(seen, loop.venues, loop.policies)
                loop.beside.see(self._oracles.told)
                loop.beside.look(loop.policies, self._settings.state_dir)
        elif job == "finality":
            if loop.last is not None:
                await self._finalizing.look(loop.last.block)
        elif job == "governance":
            if loop.last is not None:
                await self._governing.look(loop.last.snapshot, loop.venues)
        elif job == "executors":
            await self._executors(loop)
        elif job == "second_look":
            if loop.last is not None:
                await self._second.look(loop.last.block, loop.venues)
        else:
            await reload_changed(loop, self._here.camera, self._lines.named)
            if acting is not None and loop.last is not None:
                acting.renew(loop.last.snapshot.means)

    async def _capacity(self, loop: ChainLoop) -> None:
        """Whether tonight's means would do after a fall, said by day."""
        if loop.last is None:
            return
        around = (self._here.chain, self._here.camera, loop.venues)
        spent = capacity.spent_usd(self._journal, SystemClock().now_s())
        found = await capacity.look(around, self._here.guarded, loop.last.snapshot, spent)
        self._short = capacity.say(found, self._short, self._alarms)

    async def _executors(self, loop: ChainLoop) -> None:
        """What owners listed or took off since the last look; an Executor that became another's is not used."""
        if loop.last is None:
            return
        here = self._here
        there = {id: venue for id, venue in loop.venues.items() if not isinstance(venue, Absent)}
        by_name = {here.settings[id].name: venue for id, venue in there.items()}
        around = (here.endpoints, here.camera, loop.last.block)
        found, wrong = await desks.proven(self._settings, here.chain, around, by_name)
        # code cannot change where it was proven: said once it may be one endpoint's lie, which must not disarm us
        before, self._doubted = frozenset(self._doubted), wrong
        if wrong:
            self._say_doubted(before)
            if not before.issuperset(wrong):
                return
        else:
            self._alarms.clear(CHANGED, here.chain.name)
        had = desks.listed(here.camera.supplement)
        here.camera.supplement = found
        if (now := desks.listed(found)) != had:
            _log.warning("executors loaded anew", chain=here.chain.name, listed=len(now), before=len(had))
            if not self._settings.safe_mode:
                # what may be sold has changed, and with it what a fall would need
                await self._capacity(loop)

    def _say_doubted(self, before: frozenset[str]) -> None:
        """``before``: what was said already when it was looked last, or at the start."""
        told = [f"{w}; {OUT if w in before else DOUBTED}" for w in self._doubted]
        self._alarms.raise_alarm(Severity.CRITICAL, CHANGED, self._here.chain.name, "; ".join(told))
