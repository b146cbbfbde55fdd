"""Who speaks for the daemon: alarms to people, a dead man's switch, a daily summary, figures over HTTP.

Nothing here may hold up or end protection: each part runs for itself, and what it lacks is an alarm of its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from keeper.config import Settings
from keeper.daemon import showing, touching
from keeper.daemon.control import ACK, Watched
from keeper.daemon.isolation import kept
from keeper.daemon.tick import Tick
from keeper.daemon.unarmed import Unarmed
from keeper.errors import Broken
from keeper.journal.write import Journal
from keeper.notify.alarm import Alarms, Told
from keeper.notify.courier import Courier, Escalation, Post, Undelivered
from keeper.notify.metrics import CanaryFigures, Counts, Exposition, Figures
from keeper.notify.outbox import Quiet
from keeper.notify.post import FED_S_MAX, DeadManSwitch, is_url, posts_for
from keeper.notify.targets import Target, targets_from
from keeper.notify.web import Answers, served
from keeper.schedule import SlowJobs
from keeper.seams import Clock, Severity
from keeper.watchdog import Listener

LOOK_S = 0.25
"""How often the loops are looked at for a new tick."""
ESCALATE_S = 5.0
AGAIN_S = 60.0
"""Between two tries of what could not be started, and two reminders of what is missing."""
MENDED_S = 300.0
"""A part that has not broken for so long is well again."""


class Announcer:
    """Hears every alarm and the watchdog's pulse of one daemon, and tells the world outside."""

    def __init__(self, settings: Settings, journal: Journal, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self._journal = journal
        self.alarms = Alarms(journal.record, clock, 0, self.tell)
        self.counts = Counts()
        self._since_summary: Counter[tuple[str, str]] = Counter()
        self._problems: dict[str, str] = {}
        """What is missing, by subject; repeated as a CRITICAL for as long as it is."""
        told = settings.alarms
        quiet = None if told.quiet_minutes is None else Quiet(minutes=told.quiet_minutes, zone=told.zone)
        self.courier = Courier(self._routes(), clock, journal.record, quiet)
        self.courier.own = self.alarms
        self.escalation = Escalation(told.escalate_after_s, self._acknowledged_s)
        self._unarmed = Unarmed(self.alarms, clock, self._acknowledged_s)
        self.canary: Callable[[], CanaryFigures | None] = _no_canary
        self._switch = self._dead_man()
        self._begun_s = self._fed_s = clock.monotonic_s()
        self._judged_s: dict[str, float] = {}
        self._seen: dict[str, Tick] = {}
        self._broken_s: dict[str, float] = {}
        """Parts that broke, and when last."""
        self._log = structlog.get_logger("keeper.announcer")

    def tell(self, told: Told) -> None:
        """One alarm; to everybody whom it concerns."""
        self.counts.heard(told)
        if not told.cleared and not told.again:
            self._since_summary[told.severity.value, told.code] += 1
        if self.escalation.hear(told):
            self.courier.tell(told)

    def listening(self, listener: Listener) -> Listener:
        """``listener``, whose pulse is also felt here and by the dead man's switch."""
        return _Fed(listener, self)

    def feed(self) -> None:
        """The watchdog was fed."""
        self._fed_s = self.clock.monotonic_s()
        if self._switch is not None:
            self._switch.feed()

    async def run(self, chains: Callable[[], Sequence[Watched]]) -> None:
        """For ever, each part beside the others: one that breaks begins anew, and takes none of them with it."""
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            f"target {route.target.name}": partial(self.courier.carry, route) for route in self.courier.routes
        }
        parts |= {"watch": partial(self._watch, chains), "escalation": partial(self._escalate, chains)}
        if self._switch is not None:
            parts["dead man's switch"] = partial(self._ping, self._switch)
        if (minute := self.settings.alarms.summary_minute) is not None:
            parts["summary"] = partial(self._summaries, chains, minute)
        if self.settings.metrics.host:
            parts["metrics"] = partial(self._serve, chains)
        async with asyncio.TaskGroup() as group:
            for name, part in parts.items():
                group.create_task(kept(part, partial(self._broke, name)))

    async def _broke(self, name: str, why: str) -> None:
        told = f"{name}: alarms or figures may not reach anybody: {why}; tried again after {AGAIN_S:.0f} s"
        self._broken_s[name] = self.clock.monotonic_s()
        self.alarms.raise_alarm(Severity.CRITICAL, "announcer", name, told)
        await self.clock.sleep(AGAIN_S)

    def _mended(self) -> None:
        """Clear what was said of parts that have not broken for a while."""
        now_s = self.clock.monotonic_s()
        for name in [n for n, at_s in self._broken_s.items() if now_s - at_s > MENDED_S]:
            del self._broken_s[name]
            self.alarms.clear("announcer", name)

    def look(self, chains: Sequence[Watched]) -> None:
        """Take notice of each chain's newest tick."""
        for watched in chains:
            tick = watched.loop.last if watched.loop is not None else None
            name = watched.chain.name
            if tick is None or self._seen.get(name) is tick:
                continue
            self._seen[name] = tick
            showing.observe(self.counts, name, tick)
            if showing.judged(tick):
                self._judged_s[name] = self.clock.monotonic_s()

    def judged_age_s(self, chains: Sequence[Watched]) -> dict[str, float]:
        """Chain -> seconds since its last judged block; since the start where there was none."""
        now_s = self.clock.monotonic_s()
        return {w.chain.name: now_s - self._judged_s.get(w.chain.name, self._begun_s) for w in chains}

    def figures(self, chains: Sequence[Watched]) -> Figures:
        """One reading of everything."""
        self.look(chains)
        shown = showing.figures(self.settings, chains, self.judged_age_s(chains), self.courier)
        return replace(shown, unacknowledged=len(self.escalation.unacknowledged), canary=self.canary())

    def escalate(self) -> None:
        """Tell louder what nobody has acknowledged in time, and again what is missing."""
        for told in self.escalation.due(self.clock.now_s()):
            self.courier.tell(told, escalated=True)
        for subject, why in self._problems.items():
            self.alarms.raise_alarm(Severity.CRITICAL, "alarm_setup", subject, why)

    def remind(self, chains: Sequence[Watched]) -> None:
        """Say of a live daemon that is not armed, or is paused, that it is, for as long as that lasts."""
        self._unarmed.look(chains)

    def summarise(self, chains: Sequence[Watched]) -> None:
        """Put the day's summary before everybody."""
        text = showing.summary(self.figures(chains), self._since_summary, 24)
        self._since_summary.clear()
        told = Told(
            severity=Severity.INFO,
            code="summary",
            subject="",
            why=text,
            chain_id=0,
            block=0,
            at_s=self.clock.now_s(),
        )
        self.courier.tell(told)

    @property
    def quiet(self) -> bool:
        """Whether it is the quiet hours."""
        return self.courier.quiet

    def prove(self, subject: str, why: str) -> float:
        """Tell every target of a canary's rescue, whatever it wants to hear; the wall time under which it goes."""
        at_s = self.clock.now_s()
        told = Told(
            severity=Severity.INFO,
            code="canary",
            subject=subject,
            why=why,
            chain_id=0,
            block=0,
            at_s=at_s,
            proof=True,
        )
        self.courier.tell(told)
        return at_s

    def unproven(self, at_s: float) -> tuple[str, ...]:
        """Targets that have not taken what was told then; those kept for escalation are not asked."""
        heard = [r for r in self.courier.routes if not r.target.escalation]
        late = tuple(r.target.name for r in heard if r.proven_s < at_s)
        return late if heard else ("any target: none can be used",)

    def _acknowledged_s(self) -> float:
        try:
            control = self._journal.control(ACK)
        except Broken:  # a journal that cannot be read alarms by itself; nothing in it keeps an alarm back
            return 0.0
        return float(control.value) if control is not None and control.value else 0.0

    async def _watch(self, chains: Callable[[], Sequence[Watched]]) -> None:
        while True:
            self.look(chains())
            self._mended()
            await self.clock.sleep(LOOK_S)

    async def _escalate(self, chains: Callable[[], Sequence[Watched]]) -> None:
        while True:
            self.escalate()
            self.remind(chains())
            await self.clock.sleep(ESCALATE_S)

    async def _ping(self, switch: DeadManSwitch) -> None:
        while True:
            try:
                await switch.ping()
            except Undelivered as e:
                why = f"the dead man's switch cannot be reached: {e}"
                self.alarms.raise_alarm(Severity.WARNING, "dead_man", "", why)
            else:
                self.alarms.clear("dead_man", "")
            await self.clock.sleep(switch.every_s)

    async def _summaries(self, chains: Callable[[], Sequence[Watched]], minute: int) -> None:
        jobs = SlowJobs({}, {"summary": minute}, self.settings.alarms.zone)
        jobs.start()
        try:
            while True:
                await jobs.next()
                self.summarise(chains())
        finally:
            jobs.stop()

    async def _serve(self, chains: Callable[[], Sequence[Watched]]) -> None:
        """The HTTP side, tried again for as long as its address is taken."""
        host, port = self.settings.metrics.host, self.settings.metrics.port
        while True:
            try:
                async with served(host, port, self.answers(chains)):
                    self.alarms.clear("metrics", "")
                    await asyncio.Event().wait()
            except OSError as e:
                why = f"{host}:{port} cannot be served: {e.strerror or type(e).__name__}"
                self.alarms.raise_alarm(Severity.WARNING, "metrics", "", why)
            await self.clock.sleep(AGAIN_S)

    def answers(self, chains: Callable[[], Sequence[Watched]]) -> Answers:
        """What HTTP may ask."""
        try:
            exposition = Exposition()
        except ImportError:
            exposition = None

        def ready() -> dict[str, object]:
            self.look(chains())
            return showing.readiness(chains(), self.judged_age_s(chains()))

        def alive() -> dict[str, object]:
            # a chain that stands still is no fault of the process: what counts is what the watchdog counts
            fed_age_s = self.clock.monotonic_s() - self._fed_s
            return {**ready(), "ok": fed_age_s <= FED_S_MAX, "fed_age_s": round(fed_age_s, 1)}

        def metrics(written: Exposition) -> Callable[[], bytes]:
            shown, counts = self.figures(chains()), self.counts.copy()
            # in safe mode nothing is compiled that a rescue does not need
            chances = touching.asked(() if self.settings.safe_mode else chains())
            return lambda: written.text(chances(shown), counts)

        asked = None if exposition is None else partial(metrics, exposition)
        return Answers(metrics=asked, alive=alive, ready=ready)

    def _routes(self) -> tuple[tuple[Target, Post], ...]:
        """Every target that can be used; what cannot is a problem of its own."""
        path = self.settings.alarms.targets_file
        text = None if path is None else self._read("targets_file", path)
        if path is None or text is None:
            return ()
        targets, wrong = targets_from(text)
        routes, unusable = posts_for(targets)
        problems = [*wrong, *unusable, *([] if routes else ["no target in it can be used"])]
        if (mode := path.stat().st_mode) & 0o007:
            # said, and used all the same: an alarm that is not sent costs more than a token that leaks
            problems.append(f"mode {mode & 0o777:04o} lets others read its tokens; chmod 600 {path}")
        if problems:
            self._problems["targets_file"] = f"targets_file: {'; '.join(problems)}"
        return routes

    def _dead_man(self) -> DeadManSwitch | None:
        told = self.settings.alarms
        if told.dead_man_file is None:
            return None
        url = self._read("dead_man_file", told.dead_man_file)
        if url is None:
            return None
        if not is_url(url.strip()):
            self._problems["dead_man_file"] = "dead_man_file: holds no URL beginning with http:// or https://"
            return None
        return DeadManSwitch(url.strip(), told.dead_man_every_s, self.clock)

    def _read(self, field: str, path: Path) -> str | None:
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as e:
            why = e.strerror if isinstance(e, OSError) else "is not UTF-8 text"
            self._problems[field] = f"{field}: {path}: {why}; nobody is told until it can be read at a start"
            return None


def _no_canary() -> CanaryFigures | None:
    return None


class _Fed:
    """A listener whose pulse the announcer feels."""

    def __init__(self, listener: Listener, announcer: Announcer) -> None:
        self._listener = listener
        self._announcer = announcer

    def ready(self, status: str) -> None:
        self._listener.ready(status)

    def ping(self, status: str) -> None:
        self._announcer.feed()
        self._listener.ping(status)
