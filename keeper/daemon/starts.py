"""Starts at which nobody is there: what the disk or the chain says then must not end protection.

Exit 78, after which systemd tries no more, is kept for what the configuration alone proves wrong, and for the first
start of a configuration, which a person makes. Whoever can be told is told before it. Where only another process is
in the way of one that has served, it is 70, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog

from keeper.config import Settings
from keeper.daemon.stops import PAUSE, PAUSE_S_MAX
from keeper.errors import Broken, ConfigError, Held, KeeperError, Unwritable, unopened
from keeper.journal import adrift as memory
from keeper.journal.read import Queries, Reader
from keeper.journal.whole import refuse_damaged
from keeper.journal.write import Journal
from keeper.model import Entry
from keeper.notify.courier import Post, Undelivered
from keeper.notify.log import redact_text
from keeper.notify.post import posts_for
from keeper.notify.targets import targets_from
from keeper.seams import Alarm, Clock, Severity

if TYPE_CHECKING:
    from keeper.daemon.reloading import Current

JUDGED = "judged"
"""Control key: digest of the configuration under which a block was judged last."""
ARMED = "armed"
REFUSED = "refused"
AGAIN_S = 10.0
"""Between two tries of a journal that cannot be opened."""
LOOK_S = 1.0
FAREWELL_S = 12.0
HELD_S = 300.0
"""Between two words of starts that another process is in the way of, which are tried every few seconds."""
FOR_GOOD = "keeper does not start, and is not started again"
FOR_NOW = "keeper does not start and protects nothing; it is tried again every few seconds"


class Judging(Protocol):
    """A chain's daemon, as far as this room asks."""

    judged: bool


def under_systemd() -> bool:
    """Whether a unit started this process; then nobody reads its standard error."""
    return "NOTIFY_SOCKET" in os.environ


def opened(settings: Settings, clock: Clock) -> Journal:
    """The journal, in which this start is kept: a crash from here on is counted.

    Raises ConfigError, Unwritable (the disk takes nothing) or Broken (a row of it that a start reads is none).
    """
    try:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as e:
        raise unopened(e, f"state_dir {settings.state_dir}: cannot be made: {e.strerror}") from e
    journal = Journal.open(settings.journal_path, clock)
    kept = False
    try:
        refuse_damaged(journal)
        _keep(journal, "start", "", f"{settings.mode} start")
        kept = True
    finally:
        if not kept:
            journal.close()
    return journal


def ended(journal: Journal, why: str) -> None:
    """Keep that this end was meant, so that it counts as no crash."""
    with contextlib.suppress(Broken):  # what cannot be kept is a crash at worst
        _keep(journal, "stop", "", why)


def waits(error: Broken) -> bool:
    """Whether the chains are watched until the journal can be used: the disk may get over it; of a damaged file a
    person is told by alarm where nobody reads the terminal."""
    return isinstance(error, Unwritable) or under_systemd()


def code_of(lacked: Broken) -> str:
    """The alarm of a journal that cannot be used."""
    return "unwritable" if isinstance(lacked, Unwritable) else "broken"


def adrift(settings: Settings, why: str, clock: Clock) -> Journal:
    """A journal in memory under which nothing is signed: everything is paused, nothing is armed."""
    journal = memory.adrift(settings.journal_path, why, clock)
    memory.hold(journal, PAUSE, repr(clock.now_s() + PAUSE_S_MAX), why)
    # this start is nobody's first
    memory.hold(journal, JUDGED, settings.digest, why)
    return journal


async def relieved(settings: Settings, journal: Journal, lacked: Broken, alarms: Alarm, clock: Clock) -> None:
    """Until the journal on the disk can be used; says that it cannot for as long as it cannot."""
    why = str(lacked)
    while True:
        told = f"{why}; everything is watched, nothing is signed until it can be used: it is tried again"
        alarms.raise_alarm(Severity.CRITICAL, code_of(lacked), "", told)
        await clock.sleep(AGAIN_S)
        memory.hold(journal, PAUSE, repr(clock.now_s() + PAUSE_S_MAX), why)
        try:
            # a disk that fails may take long to say so
            await asyncio.to_thread(_tried, settings, clock)
        except (KeeperError, OSError) as e:
            why = str(e)
        else:
            return


def _tried(settings: Settings, clock: Clock) -> None:
    """One row, which with its subject counts as no start."""
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Journal.open(settings.journal_path, clock) as journal:
        refuse_damaged(journal)
        _keep(journal, "start", "journal", "the disk takes it again")


def again(settings: Settings, refused: ConfigError) -> bool:
    """Whether the unit is to try it again: only another process is in its way, which may end without being looked at,
    and this configuration has served before."""
    if not (isinstance(refused, Held) and under_systemd()):
        return False
    try:
        with Reader.open(settings.journal_path) as journal:
            return known(journal, settings.digest)
    except KeeperError:
        # damaged, or of an older keeper: that somebody served is all that can be told
        return settings.journal_path.exists()


def due(settings: Settings, clock: Clock) -> bool:
    """Whether the alarm targets are told of it by this start: the first one, and every HELD_S; remembered beside the
    journal, which another holds."""
    stamp, now_s = settings.state_dir / "held", clock.now_s()
    try:
        if 0 <= now_s - float(stamp.read_text(encoding="ascii")) < HELD_S:
            return False
    except (OSError, ValueError):  # never told, or nothing that tells when
        pass
    with contextlib.suppress(OSError):
        stamp.write_text(repr(now_s), encoding="ascii")
    return True


def known(journal: Queries, digest: str) -> bool:
    """Whether this configuration has served before: then what speaks against it is the world's, and nobody may be
    there to mend it."""
    try:
        found = [journal.control(key) for key in (JUDGED, ARMED)]
    except Broken:
        return True
    return any(c is not None and c.value == digest for c in found)


async def witness(
    current: Current, journal: Journal, chains: Callable[[], Sequence[Judging]], clock: Clock
) -> None:
    """Keep, for the next start, by which configuration a block was judged."""
    while True:
        await clock.sleep(LOOK_S)
        with contextlib.suppress(Broken):  # it is tried again
            digest, found = current.settings.digest, journal.control(JUDGED)
            if any(c.judged for c in chains()) and (found is None or found.value != digest):
                journal.set_control(JUDGED, digest, "keeper", "a block was judged")


async def farewell(targets_file: Path | None, why: str, how: str = FOR_GOOD) -> None:
    """Tell every alarm target that the daemon goes, and ``how``; as well as that can be done."""
    targets, _ = targets_from(_text(targets_file))
    routes, _ = posts_for(targets)
    told = f"{how}: {redact_text(why)}"
    sending = [asyncio.create_task(_told(post, told)) for _, post in routes]
    if sending:
        await asyncio.wait(sending, timeout=FAREWELL_S)
    for task in sending:
        task.cancel()
    await asyncio.gather(*sending, return_exceptions=True)


def _text(path: Path | None) -> str:
    try:
        return "" if path is None else path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


async def _told(post: Post, body: str) -> None:
    try:
        await post.send(f"{Severity.CRITICAL.value} {REFUSED}", body, Severity.CRITICAL)
    except Undelivered as e:
        structlog.get_logger("keeper").warning("not told", why=str(e))


def _keep(journal: Journal, kind: str, subject: str, why: str) -> None:
    journal.record(Entry(kind=kind, chain_id=0, block_number=0, subject=subject, why=why))
