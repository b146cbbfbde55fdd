"""``keeper run``: the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keeper.cli import arguments


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

    settings = load(config)  # before the slow imports: a wrong file is told at once
    dry = dry_run or settings.mode != "live"
    # replaced, not only told: the dry-run's journal must never be the live one
    settings = replace(settings, mode="dry-run" if dry else "live")
    if not once and (why := _crashed(settings.journal_path)):
        say(f"SAFE MODE: {why}")
        settings = replace(settings, safe_mode=True)
    from keeper.cli import kernels

    kernels.prepare(compiled=not settings.safe_mode)
    from keeper.daemon import running as daemon
    from keeper.notify import log

    log.configure(json_lines=not sys.stderr.isatty())
    log.last_words()
    raise typer.Exit(drive(daemon.run(settings, once=once, dry_run=dry)))


def _crashed(journal: Path) -> str:
    """Why this start should be safe; asked before anything is imported that a crash may lie in."""
    if not journal.exists():
        return ""
    from keeper.clock import SystemClock
    from keeper.journal.starts import why_safe

    return why_safe(journal, SystemClock().now_s())
