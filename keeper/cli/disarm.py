"""``keeper disarm``: the running daemon goes on watching and stops acting."""

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
    """Stop the running daemon from acting.

    It goes on watching, deciding and alarming, and sends nothing new.

    Example: keeper disarm --why "moving collateral by hand"
    """
    raise typer.Exit(tell(config, {"do": "disarm", "why": why}, json=json))
