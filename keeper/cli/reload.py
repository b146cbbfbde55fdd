"""``keeper reload``: the running daemon takes over changed policies."""

from __future__ import annotations

from typing import Annotated

import typer

from keeper.cli import arguments
from keeper.cli.arm import tell


def command(
    apply: Annotated[
        bool, typer.Option("--apply", help="Take it over; without this the difference is shown.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="A reason for the journal.")] = "",
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Show what keeper.toml would change of the running daemon, and take it over.

    Policies, and which policy a position follows, without a restart. A file with any problem changes nothing;
    what only a restart takes over is named, and then nothing is taken over. Moving money differently disarms.

    Example: keeper reload --apply --why "calmer trigger"
    """
    raise typer.Exit(tell(config, {"do": "reload", "apply": apply, "why": why}, json=json))
