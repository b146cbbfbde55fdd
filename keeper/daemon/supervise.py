"""All chains of one process: each lives by itself, and one that ends is started anew while the others go on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from keeper.clock import SystemClock
from keeper.config import ChainSettings
from keeper.config.telling import TelegramSettings
from keeper.daemon import absent, safe, starts
from keeper.daemon.announcing import Announcer
from keeper.daemon.canary.cage import Cage
from keeper.daemon.commanding import CODE, Answer, commander_for
from keeper.daemon.control import Controls
from keeper.daemon.paging.child import PageChild
from keeper.daemon.paging.sheet import Shown
from keeper.daemon.reloading import Current, Reloading
from keeper.errors import EXIT_OK, ConfigError, Unwritable
from keeper.journal.write import Journal
from keeper.notify import control
from keeper.notify.alarm import Alarms
from keeper.seams import Clock, Severity
from keeper.watchdog import Chorus, Listener, Notifier, Voice

BACK_OFF_S = 1.0
BACK_OFF_S_MAX = 60.0
SAY_S = 1.0
EAR_S = 15.0
NO_CANARY = "no canary is configured ([canary]), or the daemon is in safe mode"
DRAIN_S = 20.0
"""A chain that is made anew by a reload waits so long for its lane, less than the watchdog's patience."""


class Chain(Shown, Protocol):
    """One chain's daemon, as far as keeping it alive goes."""

    judged: bool

    async def run(self, listener: Listener) -> None: ...
    async def drain(self) -> None: ...


Make = Callable[[ChainSettings, Alarms | None], Chain]
"""A chain's daemon; the alarms are those of the one that it follows."""


class Fleet:
    """Every chain's daemon, whichever of them runs now."""

    def __init__(
        self, settings: Sequence[ChainSettings], make: Make, notifier: Listener, clock: Clock | None = None
    ) -> None:
        self.known: Callable[[], bool] = _never
        """Whether this configuration has served before: then nobody may be there to mend it."""
        self.chains: list[Chain] = [make(chain, None) for chain in settings]
        self._make = make
        self._clock = clock or SystemClock()
        self._chorus = Chorus(notifier, [chain.name for chain in settings])
        self._renewals = [asyncio.Event() for _ in settings]
        self._log = structlog.get_logger("keeper")

    async def keep(self, i: int) -> None:
        """Run the chain at ``i`` for ever, anew with growing pauses when it ends.

        What it had signed is in the journal: to be cancelled here is to it what a crash is. Raises ConfigError
        while no block of any chain was ever judged by this configuration: then a person is there to mend it. Later,
        and after a restart, the same fault is the world's: no reason to leave the other chains alone, nor to stay
        away from this one when it is over.
        """
        name = self.chains[i].chain.name
        voice, back_off_s, judged = self._chorus.voice(name), BACK_OFF_S, False
        while True:
            chain, since_s = self.chains[i], self._clock.monotonic_s()
            try:
                why = await self._lived(i, voice)
            except Exception as e:  # the supervisor: whatever it was, the other chains go on
                if (config := _config_error(e)) is not None and not (judged or self._served()):
                    raise config from e
                self._log.exception("chain failed", chain=name)
                why = _words(e)
            judged = judged or chain.judged
            if not why:
                self.chains[i] = self._make(chain.chain, chain.alarms)
                continue
            if chain.judged and self._clock.monotonic_s() - since_s > BACK_OFF_S_MAX:
                back_off_s = BACK_OFF_S
            await self._rest(voice, chain, why, back_off_s)
            back_off_s = min(2 * back_off_s, BACK_OFF_S_MAX)
            self.chains[i] = self._make(chain.chain, chain.alarms)

    def _served(self) -> bool:
        """Whether a block of any chain was ever judged by this configuration."""
        return any(c.judged for c in self.chains) or self.known()

    def renew(self) -> None:
        """Make every chain's daemon anew, each when its lane is empty."""
        for i in range(len(self._renewals)):
            self.renew_one(i)

    def renew_one(self, i: int) -> None:
        """The same of the chain at ``i``."""
        self._renewals[i].set()

    async def _lived(self, i: int, voice: Voice) -> str:
        """The chain's daemon at ``i`` for as long as it lives: why it ended; empty when it is to be made anew."""
        chain, asked = self.chains[i], self._renewals[i]
        asked.clear()
        run, renewed = asyncio.create_task(chain.run(voice)), asyncio.create_task(asked.wait())
        try:
            await asyncio.wait((run, renewed), return_when=asyncio.FIRST_COMPLETED)
            if not run.done():
                with contextlib.suppress(TimeoutError):
                    # what is between signature and journal is finished first; the rest is in the journal
                    await asyncio.wait_for(chain.drain(), DRAIN_S)
            if run.done():
                await run
                return "it ended by itself"
            return ""
        finally:
            for task in (run, renewed):
                task.cancel()
            await asyncio.gather(run, renewed, return_exceptions=True)

    async def drain(self) -> None:
        """Wait until no chain has a plan on its lane."""
        await asyncio.gather(*(chain.drain() for chain in self.chains))

    async def _rest(self, voice: Voice, chain: Chain, why: str, rest_s: float) -> None:
        """Say loudly that the chain is not watched, and go on saying it, until it is tried again."""
        until_s = self._clock.monotonic_s() + rest_s
        while (left_s := until_s - self._clock.monotonic_s()) > 0:
            told = f"this chain is not watched: {why}; started anew after {rest_s:.0f} s"
            chain.alarms.raise_alarm(Severity.CRITICAL, "chain_failed", chain.chain.name, told)
            voice.failed(f"FAILED: {chain.chain.name}: {why}")
            await self._clock.sleep(min(SAY_S, left_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What a daemon is served until."""

    stop: asyncio.Event
    """Somebody asked: lanes are drained, and it goes."""
    relief: asyncio.Task[None] | None = None
    """Another takes over in this very process."""


async def serve(current: Current, journal: Journal, make: Make, announcer: Announcer, ends: Ends) -> int:
    """Until it ``ends``: then drain the lanes, then go. Raises ConfigError."""
    settings, notifier = current.settings, Notifier.from_systemd()
    fleet = Fleet(settings.chains, make, announcer.listening(notifier))
    fleet.known = lambda: starts.known(journal, current.settings.digest)

    reloading = Reloading(current, journal, fleet.renew)
    cage = _caged(current, journal, announcer, fleet)

    async def decided(request: dict[str, object]) -> dict[str, object]:
        if request.get("do") == "reload":
            return await reloading.answer(request)
        if request.get("do") == "canary":
            return {"ok": False, "why": NO_CANARY} if cage is None else await cage.answer(request)
        controls = Controls(current.settings, journal, fleet.chains, own=announcer.alarms)
        return await controls.answer(request)

    async def answer(request: dict[str, object]) -> dict[str, object]:
        return await control.answered(request, decided)

    ear = Ear(settings.control_path, answer, announcer)
    await ear.open()
    running = [asyncio.create_task(fleet.keep(i)) for i in range(len(fleet.chains))]
    stopping = asyncio.create_task(ends.stop.wait())
    ending = [*running, stopping, *([ends.relief] if ends.relief is not None else [])]
    beside = [asyncio.create_task(speak(announcer, fleet)), asyncio.create_task(ear.keep())]
    beside.append(
        asyncio.create_task(starts.witness(current, journal, lambda: fleet.chains, announcer.clock))
    )
    beside.append(asyncio.create_task(seek(fleet, announcer)))
    if settings.safe_mode:
        why = "it ended again and again without being stopped"
        beside.append(asyncio.create_task(safe.remind(why, announcer.alarms, announcer.clock)))
    if cage is not None:
        beside.append(asyncio.create_task(practise(cage, announcer)))
    if settings.page.host:
        page = PageChild(settings, announcer, answer, announcer.clock)
        beside.append(asyncio.create_task(show(page, announcer, fleet)))
    if settings.telegram.token_file is not None:
        beside.append(asyncio.create_task(heed(settings.telegram, announcer, fleet, answer)))
    try:
        done, _ = await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        if done != {ends.relief}:
            notifier.stopping()
        await fleet.drain()
    finally:
        for task in (*ending, *beside):
            task.cancel()
        ended = await asyncio.gather(*ending, return_exceptions=True)
        await asyncio.gather(*beside, return_exceptions=True)
        ear.close()
    for failure in ended:
        if isinstance(failure, BaseException) and not isinstance(failure, asyncio.CancelledError):
            raise failure
    return EXIT_OK


class Ear:
    """The control socket: one that the disk does not take now is tried again, and protection waits for none."""

    def __init__(self, path: Path, answer: Answer, announcer: Announcer) -> None:
        self._path, self._answer, self._announcer = path, answer, announcer
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, or alarm. Raises ConfigError where no socket can ever be there."""
        alarms = self._announcer.alarms
        try:
            self._server = await control.serve(self._path, self._answer)
        except Unwritable as e:
            why = f"{e}; commands are not heard, protection goes on"
            alarms.raise_alarm(Severity.CRITICAL, "unwritable", "control socket", why)
        else:
            alarms.clear("unwritable", "control socket")

    async def keep(self) -> None:
        """Try until it listens."""
        while self._server is None:
            await self._announcer.clock.sleep(EAR_S)
            with contextlib.suppress(ConfigError):  # what stands there now may go
                await self.open()

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


async def speak(
    announcer: Announcer, fleet: Fleet, rest_s: float = BACK_OFF_S_MAX, well_s: float = BACK_OFF_S_MAX
) -> None:
    """Alarms, figures and summaries, for ever: a fault in them is alarmed until they have gone on for ``well_s``, and
    never ends protection."""
    while True:
        over = asyncio.get_running_loop().call_later(well_s, announcer.alarms.clear, "announcer", "")
        try:
            await announcer.run(lambda: fleet.chains)
        except Exception as e:  # the supervisor
            structlog.get_logger("keeper").exception("announcer failed")
            why = f"alarms may not reach anybody: {_words(e)}; tried again after {rest_s:.0f} s"
            announcer.alarms.raise_alarm(Severity.CRITICAL, "announcer", "", why)
        finally:
            over.cancel()
        await asyncio.sleep(rest_s)


def _caged(current: Current, journal: Journal, announcer: Announcer, fleet: Fleet) -> Cage | None:
    settings = current.settings.canary
    if settings is None:
        return None
    cage = Cage(settings, journal, announcer, lambda: fleet.chains)
    announcer.canary = cage.figures
    return cage


async def seek(fleet: Fleet, announcer: Announcer) -> None:
    """Venues that could not be loaded, for ever: a fault in it is told, and touches nothing else."""
    while True:
        try:
            await absent.look_for(lambda: fleet.chains, fleet.renew_one, announcer.clock)
        except Exception as e:  # the supervisor
            structlog.get_logger("keeper").exception("no look for absent venues")
            announcer.alarms.raise_alarm(Severity.CRITICAL, absent.CODE, "", f"not looked for: {_words(e)}")
        await announcer.clock.sleep(BACK_OFF_S_MAX)


async def practise(cage: Cage, announcer: Announcer) -> None:
    """Rescues for practice, for ever: a fault in them is alarmed until they go on, and touches nothing else."""
    while True:
        try:
            await cage.run(lambda: announcer.alarms.clear("canary_broken", ""))
        except Exception as e:  # the supervisor
            structlog.get_logger("keeper").exception("canary failed")
            why = f"rescues for practice broke off: {_words(e)}; tried again"
            announcer.alarms.raise_alarm(Severity.CRITICAL, "canary_broken", "", why)
        await announcer.clock.sleep(BACK_OFF_S_MAX)


async def show(page: PageChild, announcer: Announcer, fleet: Fleet) -> None:
    """The status page, for ever: whatever becomes of it is alarmed, and it is started anew."""
    back_off_s = BACK_OFF_S
    while True:
        since_s = announcer.clock.monotonic_s()
        try:
            await page.run(lambda: fleet.chains)
        except Exception as e:  # the supervisor
            why = f"the status page is not served: {_words(e)}"
            announcer.alarms.raise_alarm(Severity.WARNING, "page", "", why)
        if announcer.clock.monotonic_s() - since_s > BACK_OFF_S_MAX:
            back_off_s = BACK_OFF_S
        await announcer.clock.sleep(back_off_s)
        back_off_s = min(2 * back_off_s, BACK_OFF_S_MAX)


async def heed(told: TelegramSettings, announcer: Announcer, fleet: Fleet, answer: Answer) -> None:
    """Commands from a chat, for ever: what is wrong with them is alarmed and touches nothing else."""
    while True:
        try:
            commander, problems = commander_for(told, announcer.clock, announcer.alarms)
            if problems:
                announcer.alarms.raise_alarm(
                    Severity.WARNING, CODE, "setup", f"telegram: {'; '.join(problems)}"
                )
            else:
                announcer.alarms.clear(CODE, "setup")
            if commander is not None:
                await commander.run(answer, lambda: fleet.chains)
        except Exception as e:  # the supervisor
            why = f"commands from Telegram are not heard: {_words(e)}"
            announcer.alarms.raise_alarm(Severity.WARNING, CODE, "", why)
        # a file that was not there may come
        await announcer.clock.sleep(BACK_OFF_S_MAX)


def _never() -> bool:
    return False


def _config_error(error: BaseException) -> ConfigError | None:
    """The configuration error that ``error`` is, or holds (a task group wraps what its tasks raise)."""
    if isinstance(error, ConfigError):
        return error
    inside = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return next((found for e in inside if (found := _config_error(e)) is not None), None)


def _words(error: BaseException) -> str:
    """The first cause in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
