"""``keeper protect``: brings one position to a health now, within its policy's caps."""

from __future__ import annotations

from typing import Annotated

import typer

from keeper.cli import arguments
from keeper.cli.arm import tell
from keeper.cli.pause import seconds


def command(
    label: Annotated[str, typer.Argument(help="A guarded position by its label.")],
    to: Annotated[str, typer.Option("--to", help="The health factor to bring it to, such as 1.8.")],
    time: Annotated[str, typer.Option("--for", help="Give up after this time, at most 1h.")] = "10m",
    why: Annotated[str, typer.Option("--why", help="A reason for the journal.")] = "",
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Bring a position to a health now.

    The running daemon plans it from the next block on, once, as if the position's trigger had been crossed and
    its target were the health given. Strategies, caps, gas limits and every check hold as always; what cannot
    be done is refused and told by keeper explain. A restart of the daemon forgets the wish.

    Example: keeper protect vault-1 --to 1.8 --why "before the upgrade"
    """
    request = {"do": "protect", "label": label, "to": to, "for_s": seconds(time), "why": why}
    raise typer.Exit(tell(config, request, json=json))
