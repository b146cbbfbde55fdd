"""The whole daemon of one configuration: its journal opened, its chains served, or each ticked once."""

from __future__ import annotations

from contextlib import suppress

import structlog

from keeper import decision
from keeper.clock import SystemClock
from keeper.config import ChainSettings, Settings
from keeper.daemon.announcing import Announcer
from keeper.daemon.reloading import Current
from keeper.daemon.service import ChainDaemon, Probe
from keeper.daemon.supervise import serve
from keeper.errors import EXIT_FINDINGS, EXIT_OK, EXIT_UNREACHABLE, KeeperError, Transient
from keeper.journal import warming
from keeper.journal.write import Journal
from keeper.model import Entry, Level
from keeper.notify.alarm import Alarms
from keeper.risk import cache
from keeper.transaction.nobody import silent


async def run(settings: Settings, *, once: bool, dry_run: bool, probe: Probe = silent) -> int:
    """The daemon, or one tick of it; returns an exit code. Raises ConfigError before anything is started."""
    current = Current(settings, dry_run=dry_run)
    settings = current.settings
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not settings.safe_mode:
        cache.warm()
        if not once:
            decision.warm()
    if not once:
        with suppress(OSError, KeeperError):  # the first rescue is then a little slower, and nothing else
            warming.warm(SystemClock())
    with Journal.open(settings.journal_path, SystemClock()) as journal:
        announcer = Announcer(settings, journal, SystemClock())

        def made(chain: ChainSettings, alarms: Alarms | None) -> ChainDaemon:
            alarms = alarms or Alarms(journal.record, SystemClock(), chain.chain_id, announcer.tell)
            return ChainDaemon(current.settings, chain, journal, probe, alarms)

        journal.record(
            Entry(kind="start", chain_id=0, block_number=0, subject="", why=f"{settings.mode} start")
        )
        try:
            return await (
                _once([made(c, None) for c in settings.chains])
                if once
                else serve(current, journal, made, announcer)
            )
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
