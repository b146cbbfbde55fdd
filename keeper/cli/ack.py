"""``keeper ack``: somebody knows of the alarms that stand."""

from __future__ import annotations

from typing import Annotated

import typer

from keeper.cli import arguments
from keeper.cli.arm import tell


def command(
    why: Annotated[str, typer.Option("--why", help="A reason for the journal.")] = "",
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Acknowledge the alarms that stand.

    They are no longer repeated nor told louder. They stand all the same, and a new alarm, or a new cause of an
    old one, is told at once.

    Example: keeper ack --why "looking into it"
    """
    raise typer.Exit(tell(config, {"do": "ack", "why": why}, json=json))
