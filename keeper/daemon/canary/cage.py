"""The canary's keeper: begins a rescue for practice when it is due and all is calm, follows it, tells its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil
from typing import Protocol

import structlog

from keeper.config.canary import CanarySettings
from keeper.daemon.canary import calm
from keeper.daemon.canary.occasion import practised, withdrawn
from keeper.daemon.canary.record import STAGES, Run, Stage, State, from_text, plain, to_text
from keeper.daemon.canary.sighting import Sighted, sighted
from keeper.daemon.canary.telling import ended_lines, failed_why, notice, standing_lines
from keeper.daemon.control import ACK, Watched
from keeper.daemon.facts import Guarded
from keeper.daemon.loop import ChainLoop
from keeper.daemon.protecting import Wish, protect
from keeper.journal.write import Journal
from keeper.model import Entry, Policy, Refusal
from keeper.notify.alarm import Alarms
from keeper.notify.metrics import CanaryFigures
from keeper.schedule import SlowJobs
from keeper.seams import Clock, Severity

JOB = "canary"
CODE = "canary_failed"
LAST, SUNG, FELL = "canary", "canary:success", "canary:failure"
"""Control keys: the last run as text; the wall time of the last success; the failed run that still stands."""
LOOK_S = 30.0
"""How often is looked whether one is due."""
POLL_S = 0.2
AGAIN_S = 3_600.0
"""What was put off is due again so much later."""
OVERDUE_S = 86_400.0
"""One that has waited so long is told."""
BLOCKS, SOON_S = 30, 120.0
"""Where the configuration does not say how soon it must be settled: whichever is more."""
WISH_S = 3_600.0
"""No run lasts longer, whatever the chain does."""
ALARM_S = 120.0
"""So soon every target must have taken the notice."""
REFUSED_MAX = 5
"""What so many blocks in a row refuse, the next one refuses too."""


class Chain(Watched, Protocol):
    """One chain's daemon."""

    alarms: Alarms


class Voice(Protocol):
    """Who carries the notice to people."""

    @property
    def clock(self) -> Clock: ...

    @property
    def quiet(self) -> bool:
        """Whether people want to hear only what cannot wait."""
        ...

    def prove(self, subject: str, why: str) -> float:
        """Tell it to every target; the wall time under which it goes."""
        ...

    def unproven(self, at_s: float) -> tuple[str, ...]:
        """Targets that have not taken what was told then."""
        ...


class Cage:
    """One canary of one daemon."""

    def __init__(
        self,
        settings: CanarySettings,
        journal: Journal,
        voice: Voice,
        chains: Callable[[], Sequence[Chain]],
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._clock = voice.clock
        self._voice = voice
        self._chains = chains
        self._jobs = SlowJobs({JOB: LOOK_S})
        self._asked = ""
        """Who wants one now."""
        self.waiting = ""
        """Why the one that is due has not begun."""
        self._due_since_s: float | None = None
        kept = journal.control(LAST)
        self.last = from_text(kept.value) if kept is not None and kept.value else None
        self._log = structlog.get_logger("keeper.canary")

    async def run(self, looked: Callable[[], None]) -> None:
        """For ever; ``looked`` is told each time that a look went through without a fault of our own."""
        # a scheduler that was shut down keeps no jobs
        self._jobs = SlowJobs({JOB: LOOK_S})
        self._jobs.start()
        try:
            while True:
                await self.look()
                looked()
                await self._jobs.next()
        finally:
            self._jobs.stop()

    async def look(self) -> None:
        """Begin one if one is due, or was asked for, and nothing is in its way; go on with one under way."""
        if self.last is not None and self.last.state is State.RUNNING:
            await self._resumed(self.last)
            return
        self._remind()
        asked, self._asked = self._asked, ""
        if not asked and not self._due():
            return
        # a success of the schedule wakes nobody
        quiet = "quiet hours" if not asked and self._voice.quiet else ""
        self.waiting = quiet or self._hindered()
        if self.waiting:
            self._say_waiting()
            return
        await self._sing(asked or "schedule")

    async def answer(self, request: dict[str, object]) -> dict[str, object]:
        """``now``: begin one, or why not; else how things stand."""
        if request.get("now") is not True:
            return self._status()
        if self.last is not None and self.last.state is State.RUNNING:
            return {"ok": False, "why": "one is under way: keeper canary --status"}
        if why := self._hindered():
            return {"ok": False, "why": f"not now: {why}"}
        actor, why = str(request.get("actor") or "unknown"), str(request.get("why") or "")
        self._journal.set_control(f"{LAST}:now", str(self._clock.now_s()), actor, why)
        self._asked = actor
        self._jobs.ask(JOB)
        return {**self._status(), "lines": [f"{self._settings.position}: it begins with the next block"]}

    def figures(self) -> CanaryFigures:
        """What Prometheus is told."""
        return CanaryFigures(
            every_s=self._settings.every_s or 0.0,
            success_s=self._success_s(),
            failed=self._failure() is not None,
        )

    def _status(self) -> dict[str, object]:
        last, every_s = self.last, self._settings.every_s
        next_s = None if every_s is None else self._clock.now_s() if last is None else last.begun_s + every_s
        return {
            "ok": True,
            "schema": 1,
            "position": self._settings.position,
            "every_s": every_s,
            "next_s": next_s,
            "success_s": self._success_s() or None,
            "hindered": self._hindered() or None,
            "asked": bool(self._asked),
            "waiting": self.waiting or None,
            "run": None if last is None else {**plain(last), "said": " ".join(ended_lines(last)[:1])},
            "lines": standing_lines(self._settings, last, self._hindered(), self._clock.now_s()),
        }

    def _success_s(self) -> float:
        control = self._journal.control(SUNG)
        return float(control.value) if control is not None and control.value else 0.0

    def _due(self) -> bool:
        every_s, last, now_s = self._settings.every_s, self.last, self._clock.now_s()
        if every_s is None:
            return False
        if last is None:
            return True
        rest_s = min(every_s, AGAIN_S) if last.state is State.PUT_OFF else every_s
        # a clock set back must not end the practice
        return not 0 <= now_s - last.begun_s < rest_s

    def _hindered(self) -> str:
        """Why none may begin now: its last failure, what it would stand in the way of, or itself."""
        fell = self._failure()
        if fell is not None and not self._acknowledged(fell):
            return f"the last one failed at {fell.at}: look into it, then keeper ack"
        return self._unfit() or calm.waits(self._chains(), self._settings)

    def _unfit(self) -> str:
        """Why the position that was named is none to practise on."""
        place = calm.found(self._chains(), self._settings.position)
        if place is None or place[1].last is None:
            return ""
        return calm.unfit(place[1].last.snapshot.position(place[2].id), self._settings)

    def _failure(self) -> Run | None:
        """The failure that stands, across restarts and what was put off, until one succeeds."""
        control = self._journal.control(FELL)
        return from_text(control.value) if control is not None and control.value else None

    def _acknowledged(self, run: Run) -> bool:
        control = self._journal.control(ACK)
        known_s = float(control.value) if control is not None and control.value else 0.0
        return known_s > (run.ended_s or run.begun_s)

    def _remind(self) -> None:
        """Say a failure again for as long as it stands."""
        if (fell := self._failure()) is not None:
            self._raise(Severity.CRITICAL, CODE, failed_why(fell))

    def _say_waiting(self) -> None:
        now_s = self._clock.now_s()
        sung_s, every_s = self._success_s(), self._settings.every_s
        first_s = sung_s + every_s if sung_s and every_s else now_s
        since_s = self._due_since_s = self._due_since_s or first_s
        if (why := self._unfit()) != "":
            # no hour of waiting mends that
            self._raise(Severity.WARNING, "canary_waits", f"{self._settings.position} is no canary: {why}")
        elif now_s - since_s >= OVERDUE_S:
            hours = (now_s - since_s) / 3_600
            self._raise(Severity.WARNING, "canary_waits", f"due for {hours:.0f} h, and waits: {self.waiting}")

    async def _sing(self, by: str) -> None:
        place = calm.found(self._chains(), self._settings.position)
        assert place is not None  # nothing was in its way
        _, loop, mine = place
        position = loop.last.snapshot.position(mine.id) if loop.last is not None else None
        assert position is not None
        seq = self._journal.last_seqs().get(mine.id, 0)
        mandate = loop.last.snapshot.means.mandate(mine.id) if loop.last is not None else None
        to_wad = calm.goal_wad(position, mandate, mine.policy, self._settings)
        run = Run(
            state=State.RUNNING,
            position=mine.label,
            begun_s=self._clock.now_s(),
            to_wad=to_wad,
            seq=seq,
            by=by,
        )
        self._keep(run, "begun")
        policy = practised(mine.policy, self._settings)
        told = protect(loop, Wish(guarded=mine, to_wad=to_wad, for_s=WISH_S, policy=policy))
        if isinstance(told, Refusal):
            self._end(replace(run, why=told.why), State.FAILED)
            return
        occasion = loop.policies[mine.id]
        loop.yielding[mine.id] = mine.policy
        try:
            await self._follow(run, (loop, mine), occasion)
        finally:
            withdrawn(loop, mine, occasion)
            loop.yielding.pop(mine.id, None)

    async def _resumed(self, run: Run) -> None:
        """One that was under way when the daemon ended: followed on if anything was signed, else put off."""
        place = calm.found(self._chains(), run.position)
        if place is None and all(w.loop is not None for w in self._chains()):
            # under way for ever it would be silent, and the last of its kind
            why = "the daemon ended in the middle, and no position of that name is guarded any more"
            self._end(replace(run, why=why), State.FAILED)
        if place is None or place[1].last is None:
            return
        _, loop, mine = place
        seen = sighted(run, loop, mine.id)
        if seen.standing.signed:
            await self._follow(run, (loop, mine), None)
        else:
            self._end(replace(run, why="the daemon ended before anything was signed"), State.PUT_OFF)

    async def _follow(self, run: Run, place: tuple[ChainLoop, Guarded], occasion: Policy | None) -> None:
        """Stage by stage until its end; the wish is withdrawn as soon as it is signed, or others come first."""
        loop, mine = place
        first = number = loop.last.block.number if loop.last is not None else 0
        refusals, until_s = 0, self._clock.monotonic_s() + WISH_S
        within = self._settings.within_blocks or max(BLOCKS, ceil(SOON_S / loop.parts.chain.block_time_s))
        while True:
            seen = sighted(run, self._now(loop, run), mine.id)
            at = seen.standing
            run = self._passed(replace(run, why=at.why), seen)
            if at.signed:
                withdrawn(loop, mine, occasion)
            if at.at is Stage.ALARM:
                await self._tell(run, dry=seen.dry)
                return
            if not at.signed and (why := self._disturbs(loop, mine)):
                withdrawn(loop, mine, occasion)
                # what waits on the lane is refused there, or was signed a moment ago
                if mine.id not in loop.lane.waiting:
                    self._end(replace(run, why=why), State.PUT_OFF)
                    return
            last = self._now(loop, run).last
            if last is not None and last.block.number != number:
                number, refusals = last.block.number, refusals + 1 if at.refused else 0
            late = number - first > within or self._clock.monotonic_s() > until_s
            if at.failed or late or refusals > REFUSED_MAX:
                after = "" if at.failed else f"; given up after {number - first} blocks"
                self._end(replace(run, why=at.why + after), State.FAILED)
                return
            await self._clock.sleep(POLL_S)

    def _now(self, loop: ChainLoop, run: Run) -> ChainLoop:
        """The loop that watches the position now; a reload makes it anew."""
        place = calm.found(self._chains(), run.position)
        return loop if place is None else place[1]

    def _disturbs(self, loop: ChainLoop, mine: Guarded) -> str:
        """Why it must stand back before anything of it is signed."""
        if all(w.loop is not loop for w in self._chains()):
            return "its chain's daemon was made anew"
        if not loop.armed:
            return "the daemon was disarmed, paused or stopped meanwhile"
        return calm.in_the_way(self._chains(), mine)

    async def _tell(self, run: Run, *, dry: bool) -> None:
        """The last stage: a person is told by every target, as of the big ones."""
        at_s = self._voice.prove(run.position, notice(run, dry=dry))
        until_s = self._clock.monotonic_s() + ALARM_S
        while missing := self._voice.unproven(at_s):
            if self._clock.monotonic_s() > until_s:
                why = f"not taken within {ALARM_S:.0f} s by {', '.join(missing)}"
                self._end(replace(run, why=why), State.FAILED)
                return
            await self._clock.sleep(POLL_S)
        run = replace(run, passed=(*run.passed, (Stage.ALARM, self._clock.now_s())), why="")
        self._end(run, State.REHEARSED if dry else State.SUCCEEDED)

    def _end(self, run: Run, state: State) -> None:
        run = replace(run, state=state, ended_s=self._clock.now_s())
        if state in (State.SUCCEEDED, State.REHEARSED):
            # one that was begun and put off again is as overdue as before
            self._due_since_s = None
            self._clear("canary_waits")
        if state is State.SUCCEEDED:
            self._journal.set_control(SUNG, repr(run.ended_s), run.by, "settled, and told")
        self._keep(run, " ".join(ended_lines(run)))
        if state is State.FAILED:
            self._journal.set_control(FELL, to_text(run), run.by, run.why)
            self._raise(Severity.CRITICAL, CODE, failed_why(run))
        elif state is not State.PUT_OFF:
            if self._failure() is not None:
                self._journal.set_control(FELL, None, run.by, "one has succeeded since")
            self._clear(CODE)

    def _passed(self, run: Run, seen: Sighted) -> Run:
        """The run with the stages that are behind it now, each told once."""
        known = {stage for stage, _ in run.passed}
        behind = [s for s in STAGES[: STAGES.index(seen.standing.at)] if s not in known]
        if seen.dry:
            behind = [s for s in behind if s in (Stage.PLAN, Stage.SIMULATION)]
        now_s = self._clock.now_s()
        told = replace(
            run,
            at=seen.standing.at,
            passed=(*run.passed, *((s, now_s) for s in behind)),
            gas_usd=run.gas_usd if seen.gas_usd is None else seen.gas_usd,
            moved_usd=run.moved_usd if seen.moved_usd is None else seen.moved_usd,
            health_wad=run.health_wad if seen.health_wad is None else seen.health_wad,
            tx_hash=seen.tx_hash or run.tx_hash,
        )
        if behind:
            self._keep(told, f"{', '.join(behind)} passed")
        self.last = told
        return told

    def _keep(self, run: Run, why: str) -> None:
        """Into the journal and the log; a restart goes on from here."""
        self.last = run
        entry = Entry(
            kind="canary", chain_id=0, block_number=0, subject=run.position, why=why, data=plain(run)
        )
        with self._journal.batch():
            self._journal.set_control(LAST, to_text(run), run.by, why)
            self._journal.record(entry)
        self._log.info("canary", position=run.position, state=run.state.value, at=run.at.value, why=why)

    def _raise(self, severity: Severity, code: str, why: str) -> None:
        if (alarms := self._alarms()) is not None:
            alarms.raise_alarm(severity, code, self._settings.position, why)

    def _clear(self, code: str) -> None:
        if (alarms := self._alarms()) is not None:
            alarms.clear(code, self._settings.position)

    def _alarms(self) -> Alarms | None:
        """Those of the chain on which the position is; of the first one before that is known."""
        chains = self._chains()
        place = calm.found(chains, self._settings.position)
        return next((c.alarms for c in chains if place is None or c is place[0]), None)
