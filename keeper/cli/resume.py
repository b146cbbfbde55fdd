"""``keeper resume``: ends a pause before its time."""

from __future__ import annotations

from typing import Annotated

import typer

from keeper.cli import arguments
from keeper.cli.arm import tell


def command(
    label: Annotated[
        str | None, typer.Argument(help="A guarded position by its label; the pause of all without.")
    ] = None,
    why: Annotated[str, typer.Option("--why", help="A reason for the journal.")] = "",
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """End a pause before its time.

    The same as pause --end. A position that was paused by itself is resumed by itself.

    Example: keeper resume --why "collateral moved"
    """
    raise typer.Exit(tell(config, {"do": "resume", "label": label, "why": why}, json=json))
