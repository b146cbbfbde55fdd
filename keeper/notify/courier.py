"""Carries alarms to people: a task a target, tried again for ever; a dead target delays nobody but itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from keeper.errors import Broken
from keeper.model import Entry
from keeper.notify.alarm import Told
from keeper.notify.log import redact_text
from keeper.notify.outbox import Outbox, Quiet
from keeper.notify.targets import Target
from keeper.seams import Alarm, Clock, Severity

POLL_S = 0.5
BETWEEN_S = 1.0
"""Between two messages to one target; what comes meanwhile is one message."""
BACK_OFF_S = 5.0
BACK_OFF_S_MAX = 300.0
DOUBLINGS_MAX = 10
"""Beyond these the longest pause stands anyway; a target that is gone for days fails thousands of times."""
DOWN_TRIES = 3
"""So many failures in a row are told: to the other targets, the log and the journal."""
ESCALATED = "nobody acknowledged this for {minutes:.0f} min (keeper ack): "


class Undelivered(Exception):
    """A target took nothing; says why, without what the target's URL holds."""


class Post(Protocol):
    """One way to a person."""

    async def send(self, title: str, body: str, severity: Severity) -> None:
        """Raises Undelivered within its own deadline."""
        ...


class Route:
    """One target, what waits for it, and how it does."""

    def __init__(self, target: Target, post: Post) -> None:
        self.target = target
        self.post = post
        self.outbox = Outbox()
        self.failures = 0
        """In a row."""
        self.delivered = self.failed = 0
        self.heard: set[tuple[int, str, str]] = set()
        """Alarms that it was told: it hears as well that they are less severe now, or over."""
        self.proven_s = 0.0
        """Of the newest proof that arrived: when it was told, by wall time."""

    @property
    def down(self) -> bool:
        """Whether it failed often enough to be told."""
        return self.failures >= DOWN_TRIES


class Courier:
    """Every target's route; ``tell`` never waits and never raises."""

    def __init__(
        self,
        routes: Sequence[tuple[Target, Post]],
        clock: Clock,
        record: Callable[[Entry], object],
        quiet: Quiet | None = None,
    ) -> None:
        self.routes = tuple(Route(target, post) for target, post in routes)
        self.own: Alarm | None = None
        """Where a dead target is told; it leads back here, to the other targets."""
        self._clock = clock
        self._record = record
        self._quiet = quiet
        self._log = structlog.get_logger("keeper.delivery")

    @property
    def quiet(self) -> bool:
        """Whether it is the hours in which only CRITICAL is told."""
        return self._quiet is not None and self._quiet.holds(self._clock.now_s())

    def tell(self, told: Told, *, escalated: bool = False) -> None:
        """Put it before every target that wants it; escalated ones also before those kept for that."""
        for route in self.routes:
            wanted = told.proof or route.target.wants(told.severity)
            wanted = wanted and (escalated or not route.target.escalation)
            if wanted or told.key in route.heard:
                route.outbox.put(told)
            if wanted and not told.cleared:
                route.heard.add(told.key)
            else:
                route.heard.discard(told.key)

    async def carry(self, route: Route) -> None:
        """One route, for ever."""
        while True:
            await self._clock.sleep(await self.step(route))

    async def step(self, route: Route) -> float:
        """Deliver what is due, if anything is; seconds to wait before the next time."""
        now_s = self._clock.now_s()
        due = route.outbox.due(quiet=self.quiet)
        if not due:
            return POLL_S
        title, body = route.outbox.message(due, now_s)
        try:
            await route.post.send(redact_text(title), redact_text(body), due[0].severity)
        except Undelivered as e:
            return self._failed(route, due, str(e))
        route.outbox.delivered(due)
        self._arrived(route, due, title)
        return BETWEEN_S

    def _arrived(self, route: Route, due: tuple[Told, ...], title: str) -> None:
        again = f" after {route.failures} failed tries" if route.failures else ""
        route.failures, route.delivered = 0, route.delivered + len(due)
        route.proven_s = max([route.proven_s, *(t.at_s for t in due if t.proof)])
        self._journal(route, f"delivered{again}: {title}", {"delivered": len(due)})
        if self.own is not None:
            self.own.clear("alarm_target", route.target.name)

    def _failed(self, route: Route, due: tuple[Told, ...], why: str) -> float:
        route.failures, route.failed = route.failures + 1, route.failed + 1
        why = redact_text(why)
        if route.failures in (1, DOWN_TRIES):  # each single try is in the log
            self._journal(route, f"not delivered: {why}; {len(due)} wait", {"failures": route.failures})
        self._log.warning("not delivered", target=route.target.name, why=why, tries=route.failures)
        if self.own is not None and route.down:
            # with no other way to a person left, the log and the dead man's switch are what remains
            alone = all(r.down for r in self.routes)
            severity = Severity.CRITICAL if alone else Severity.WARNING
            told = f"unreachable: {why}; alarms wait for it, protection goes on"
            self.own.raise_alarm(severity, "alarm_target", route.target.name, told)
        return float(min(BACK_OFF_S * 2.0 ** min(route.failures - 1, DOUBLINGS_MAX), BACK_OFF_S_MAX))

    def _journal(self, route: Route, why: str, data: dict[str, object]) -> None:
        entry = Entry(
            kind="delivery", chain_id=0, block_number=0, subject=route.target.name, why=why, data=data
        )
        try:
            self._record(entry)
        except Broken as e:
            self._log.error("delivery not journaled", target=route.target.name, why=str(e))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """A CRITICAL alarm that stands."""

    told: Told
    """As first told for its cause."""
    said_s: float
    """When it was told louder, or first."""
    before_s: float
    """The acknowledgement that stood when it was first told: none of this alarm, though the wall clock, where it
    was set back, calls it the later one."""

    def known(self, until_s: float) -> bool:
        """Whether everything that is acknowledged up to ``until_s`` includes it."""
        return until_s >= self.told.at_s and until_s != self.before_s


class Escalation:
    """CRITICAL alarms that stand and that nobody has acknowledged: told louder after a while, again and again."""

    def __init__(self, after_s: float, acknowledged_s: Callable[[], float]) -> None:
        """``acknowledged_s``: wall time up to which everything is acknowledged."""
        self._after_s = after_s
        self._acknowledged_s = acknowledged_s
        self._open: dict[tuple[int, str, str], _Open] = {}

    def hear(self, told: Told) -> bool:
        """Whether it is to be delivered: all but the repetition of what somebody has acknowledged."""
        if told.cleared:
            self._open.pop(told.key, None)
            return True
        if told.severity is not Severity.CRITICAL:
            self._open.pop(told.key, None)
            return True
        until_s = self._acknowledged_s()
        if told.again and told.key in self._open:
            return not self._open[told.key].known(until_s)
        self._open[told.key] = _Open(told=told, said_s=told.at_s, before_s=until_s)
        return True

    @property
    def unacknowledged(self) -> tuple[Told, ...]:
        """CRITICAL alarms that stand and that nobody has acknowledged."""
        until_s = self._acknowledged_s()
        return tuple(o.told for o in self._open.values() if not o.known(until_s))

    def due(self, now_s: float) -> tuple[Told, ...]:
        """What is to be told louder now, with how long it has waited."""
        found = []
        for told in self.unacknowledged:
            stands = self._open[told.key]
            if now_s - stands.said_s >= self._after_s:
                self._open[told.key] = replace(stands, said_s=now_s)
                minutes = (now_s - told.at_s) / 60
                found.append(replace(told, why=ESCALATED.format(minutes=minutes) + told.why))
        return tuple(found)
