"""``keeper arm``: allow the running daemon to act, after showing what it would do at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keeper.cli import arguments


def command(
    accept_immediate: Annotated[
        bool, typer.Option("--accept-immediate", help="Arm although an action would follow at once.")
    ] = False,
    hedge: Annotated[
        bool, typer.Option("--hedge", help="Arm the hedges that have a key of their own, beside rescues.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="A reason for the journal.")] = "",
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Allow the running daemon to act.

    Prints what it would do now, and refuses an immediate action unless --accept-immediate is given. Names what never
    passed `keeper drill` with this configuration. A hedge with a key of its own is shown, and armed by --hedge alone.

    Example: keeper arm --why "first night"
    """
    from keeper import drilled
    from keeper.cli.endings import say
    from keeper.config import load

    undrilled = drilled.warning(load(config))
    if undrilled is not None:
        say(undrilled)
    request: dict[str, object] = {"do": "arm", "accept_immediate": accept_immediate, "why": why}
    if hedge:
        request["hedge"] = True
    raise typer.Exit(tell(config, request, json=json))


def tell(config: Path, request: dict[str, object], *, json: bool) -> int:
    """Send one request to the daemon of ``config`` and print its answer; 1 when it says no."""
    from keeper.cli import table
    from keeper.cli.endings import drive, say
    from keeper.errors import EXIT_FINDINGS, EXIT_OK
    from keeper.notify.control import ask

    answer = drive(ask(socket(config), {**request, "actor": actor()}))
    lines = answer.get("lines")
    if json:
        print(table.document(answer))
    else:
        for line in lines if isinstance(lines, list) else ():
            print(line)
        if answer.get("why"):
            say(str(answer["why"]))
    return EXIT_OK if answer.get("ok") is True else EXIT_FINDINGS


def socket(config: Path) -> Path:
    """Where the daemon of ``config`` listens. Raises ConfigError."""
    from keeper.cli.endings import say
    from keeper.config import load
    from keeper.config.anyhow import control_path
    from keeper.errors import ConfigError

    try:
        return load(config).control_path
    except ConfigError as error:
        path = control_path(config) if config.exists() else None
        if path is None or not path.is_socket():
            raise
        n = len(error.problems)
        say(
            f"{config} cannot be used ({n} problem{'s' * (n > 1)}); the daemon that it started is asked all the same"
        )
        return path


def actor() -> str:
    """Who asks, for the journal: the login name, else the user id."""
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
