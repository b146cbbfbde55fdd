"""The whole daemon of one configuration: its journal opened, its chains served, or each ticked once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from keeper import decision
from keeper.clock import SystemClock
from keeper.config import ChainSettings, Settings
from keeper.daemon import starts, touching
from keeper.daemon.announcing import Announcer
from keeper.daemon.reloading import Current
from keeper.daemon.service import ChainDaemon, Probe
from keeper.daemon.supervise import Ends, serve
from keeper.errors import (
    EXIT_FINDINGS,
    EXIT_OK,
    EXIT_UNREACHABLE,
    Broken,
    ConfigError,
    KeeperError,
    Transient,
)
from keeper.journal import warming
from keeper.journal.write import Journal
from keeper.model import Level
from keeper.notify.alarm import Alarms
from keeper.risk import cache
from keeper.seams import Severity
from keeper.transaction.nobody import silent


async def run(settings: Settings, *, once: bool, dry_run: bool, probe: Probe = silent) -> int:
    """The daemon, or one tick of it; returns an exit code.

    Raises ConfigError where the configuration is proven wrong, or the chain speaks against one that never served.
    A disk that takes no journal is waited for, with everything watched and nothing signed.
    """
    current = Current(settings, dry_run=dry_run)
    if once:
        return await _looked_once(current, probe)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    lacked: Broken | None = None
    while not stop.is_set():
        try:
            journal = starts.opened(current.settings, SystemClock())
        except Broken as e:
            if not starts.waits(e):
                raise
            lacked = e
            await _adrift(current.settings, e, probe, stop)
            continue
        with journal:
            return await _protected(current, journal, probe, stop, lacked)
    return EXIT_OK


async def _protected(
    current: Current, journal: Journal, probe: Probe, stop: asyncio.Event, lacked: Broken | None
) -> int:
    """Until it is stopped; only such an end is kept as one. ``lacked``: the journal was waited for."""
    _warm(current.settings)
    announcer = Announcer(current.settings, journal, SystemClock())
    if lacked is not None:
        # whoever heard of it from the watch hears its end, and the diary has both
        announcer.alarms.raise_alarm(Severity.CRITICAL, starts.code_of(lacked), "", str(lacked))
        announcer.alarms.clear(starts.code_of(lacked), "")
    try:
        code = await serve(
            current, journal, _maker(current, journal, probe, announcer), announcer, Ends(stop=stop)
        )
    except ConfigError as e:
        # whoever started it is told, and is no crash
        starts.ended(journal, f"refused: {e}")
        raise
    starts.ended(journal, "stopped")
    return code


async def _adrift(settings: Settings, lacked: Broken, probe: Probe, stop: asyncio.Event) -> None:
    """Watch and tell without a journal, until it can be used or the daemon is stopped."""
    clock = SystemClock()
    structlog.get_logger("keeper").error("no journal: watching only", why=str(lacked))
    # as a dry-run, which needs no key; paused, so that not even a shadow is acted on
    current = Current(replace(settings, mode="dry-run", canary=None))
    _warm(current.settings)
    with starts.adrift(current.settings, str(lacked), clock) as journal:
        announcer = Announcer(current.settings, journal, clock)
        until = starts.relieved(settings, journal, lacked, announcer.alarms, clock)
        ends = Ends(stop=stop, relief=asyncio.create_task(until))
        await serve(current, journal, _maker(current, journal, probe, announcer), announcer, ends)


def _maker(
    current: Current, journal: Journal, probe: Probe, announcer: Announcer
) -> Callable[[ChainSettings, Alarms | None], ChainDaemon]:
    def made(chain: ChainSettings, alarms: Alarms | None) -> ChainDaemon:
        alarms = alarms or Alarms(journal.record, SystemClock(), chain.chain_id, announcer.tell)
        return ChainDaemon(current.settings, chain, journal, probe, alarms)

    return made


def _warm(settings: Settings) -> None:
    """What would otherwise be compiled in the middle of the first rescue. A crash may hide in it: the start is
    kept before."""
    if not settings.safe_mode:
        cache.warm()
        decision.warm()
        if settings.metrics.host:
            touching.warm()
    with suppress(OSError, KeeperError):  # the first rescue is then a little slower, and nothing else
        warming.warm(SystemClock())


async def _looked_once(current: Current, probe: Probe) -> int:
    with starts.opened(current.settings, SystemClock()) as journal:
        announcer = Announcer(current.settings, journal, SystemClock())
        try:
            if not current.settings.safe_mode:
                cache.warm()
            made = _maker(current, journal, probe, announcer)
            return await _once([made(c, None) for c in current.settings.chains])
        finally:
            # nobody is protected by one tick: however it ended, that is no crash of the daemon
            starts.ended(journal, "stopped")


async def _once(chains: list[ChainDaemon]) -> int:
    try:
        levels = [await chain.once() for chain in chains]
    except Transient as e:
        structlog.get_logger("keeper").error("unreachable", why=str(e))
        return EXIT_UNREACHABLE
    worried = any(level in (Level.ACT, Level.URGENT, Level.UNKNOWN) for level in levels)
    return EXIT_FINDINGS if worried else EXIT_OK
