"""``keeper pause``: the running daemon sends nothing for a while, and then goes on by itself."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from keeper.cli import arguments
from keeper.cli.arm import tell
from keeper.cli.endings import usage

_SECONDS = {"s": 1, "m": 60, "h": 3600}


def command(
    label: Annotated[
        str | None, typer.Argument(help="A guarded position by its label; all of them without.")
    ] = None,
    time: Annotated[str, typer.Option("--for", help="How long, at most a day: 90s, 30m, 2h.")] = "",
    end: Annotated[bool, typer.Option("--end", help="End a pause before its time.")] = False,
    why: Annotated[str, typer.Option("--why", help="A reason for the journal.")] = "",
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Send nothing for a while.

    Watching, deciding and alarming go on, a transaction under way is still tended, and the pause ends by
    itself: a pause that is forgotten must not cost a position.

    Example: keeper pause --for 30m --why "moving collateral by hand"
    """
    about = {"label": label, "why": why}
    if end:
        raise typer.Exit(tell(config, {"do": "resume", **about}, json=json))
    raise typer.Exit(tell(config, {"do": "pause", "for_s": seconds(time), **about}, json=json))


def seconds(text: str) -> int:
    """``30m`` as 1800. Exit 2."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smh])", text)
    if found is None:
        raise usage("--for", f'"{text}" is no time such as 90s, 30m or 2h (or give --end)')
    return int(found[1]) * _SECONDS[found[2]]
