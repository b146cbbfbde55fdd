"""``keeper run``: the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.config import Settings
    from keeper.errors import ConfigError


def command(
    config: arguments.Config = arguments.CONFIG,
    once: Annotated[bool, typer.Option("--once", help="One tick of every chain, then stop.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing and load no key, whatever the configuration says.")
    ] = False,
) -> None:
    """Watch every block and protect.

    Sends nothing (dry-run) unless the configuration says mode = "live" and the daemon is armed.

    Example: keeper run --config keeper.toml --dry-run
    """
    import sys
    from dataclasses import replace

    from keeper.cli.endings import drive, say
    from keeper.config import load
    from keeper.errors import EXIT_BROKEN, ConfigError

    try:
        settings = load(config)  # before the slow imports: a wrong file is told at once
    except ConfigError as e:
        _farewell(config, str(e))
        raise
    dry = dry_run or settings.mode != "live"
    # replaced, not only told: the dry-run's journal must never be the live one
    settings = replace(settings, mode="dry-run" if dry else "live")
    if not once and (why := _crashed(settings.journal_path)):
        say(f"SAFE MODE: {why}")
        settings = replace(settings, safe_mode=True)
    from keeper.cli import kernels

    kernels.prepare(compiled=not settings.safe_mode)
    from keeper import eventloop
    from keeper.daemon import running as daemon
    from keeper.notify import log

    log.configure(json_lines=not sys.stderr.isatty())
    log.last_words()
    try:
        ended = drive(daemon.run(settings, once=once, dry_run=dry), eventloop.run)
    except ConfigError as e:
        if _again(config, settings, e):
            raise typer.Exit(EXIT_BROKEN) from None
        _farewell(config, str(e))
        raise
    raise typer.Exit(ended)


def _again(config: Path, settings: Settings, refused: ConfigError) -> bool:
    """Whether systemd is to try it again, as after any failure; then that is said, and told now and then."""
    from keeper.cli.endings import say
    from keeper.clock import SystemClock
    from keeper.daemon import starts

    if not starts.again(settings, refused):
        return False
    say(f"{refused}; it is tried again")
    if starts.due(settings, SystemClock()):
        _farewell(config, str(refused), starts.FOR_NOW)
    return True


def _farewell(config: Path, why: str, how: str = "") -> None:
    """Under systemd nobody reads what is said next, and exit 78 is for good: the alarm targets are told before."""
    import asyncio
    import os

    if "NOTIFY_SOCKET" not in os.environ:
        return
    from keeper.config.anyhow import targets_file
    from keeper.daemon.starts import FOR_GOOD, farewell

    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    targets = targets_file(config, Path(credentials) if credentials else None)
    asyncio.run(farewell(targets, why, how or FOR_GOOD))


def _crashed(journal: Path) -> str:
    """Why this start should be safe; asked before anything is imported that a crash may lie in."""
    try:
        if not journal.exists():
            return ""
    except OSError:  # a disk that fails is met, and said, by what opens it
        return ""
    from keeper.clock import SystemClock
    from keeper.journal.starts import why_safe

    return why_safe(journal, SystemClock().now_s())
