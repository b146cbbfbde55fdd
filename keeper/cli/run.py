"""``keeper run``: the daemon."""

from __future__ import annotations

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

    from keeper.cli.endings import drive
    from keeper.config import load

    settings = load(config)  # before the slow imports: a wrong file is told at once
    from keeper.cli import kernels

    kernels.prepare()
    from keeper.daemon import running as daemon
    from keeper.notify import log

    dry = dry_run or settings.mode != "live"
    log.configure(json_lines=not sys.stderr.isatty())
    log.last_words()
    # replaced, not only told: the dry-run's journal must never be the live one
    settings = replace(settings, mode="dry-run" if dry else "live")
    raise typer.Exit(drive(daemon.run(settings, once=once, dry_run=dry)))
