"""The ``keeper`` command: one file per subcommand, each importing what it needs only when it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import keeper
from keeper.cli import (
    ack,
    adopt,
    arm,
    canary,
    capacity,
    cascade,
    check,
    completion,
    demo,
    disarm,
    distance,
    drill,
    executor,
    explain,
    grant,
    init,
    install_service,
    journal,
    keystore,
    leverage,
    pause,
    policy,
    positions,
    protect,
    reload,
    renew,
    replay,
    resume,
    revoke,
    risk,
    run,
    scan,
    shock,
    verify,
    watch,
)
from keeper.cli.endings import exit_code_of

EPILOG = (
    "Exit codes: 0 done, 1 findings (a check failed, a position in danger), 2 usage, 69 nothing reachable, "
    "70 an invariant broke, 78 the configuration cannot be used."
)
COMPLETE = "_KEEPER_COMPLETE"
"""Set by a completion script; see ``keeper completion``."""

app = typer.Typer(
    name="keeper",
    help="Watches your DeFi positions every block and protects them from liquidation. UNAUDITED.",
    epilog=EPILOG,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would double the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    init,
    keystore,
    scan,
    verify,
    check,
    positions,
    shock,
    distance,
    risk,
    cascade,
    leverage,
    replay,
    capacity,
    run,
    watch,
    arm,
    disarm,
    protect,
    pause,
    resume,
    reload,
    ack,
    explain,
    journal,
    grant,
    revoke,
    renew,
    executor,
    adopt,
    policy,
    install_service,
    completion,
    drill,
    canary,
    demo,
):
    app.command(name=module.__name__.rsplit(".", 1)[1].replace("_", "-"))(module.command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"keeper {keeper.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")
    ] = False,
) -> None:
    """Options of every command; ``--debug`` is taken out of the line before typer sees it."""


def main() -> None:
    """Entry point of the ``keeper`` command."""
    if COMPLETE in os.environ:
        # a shell asks for completions: typer knows its shells only once it was told to
        from typer._completion_classes import completion_init

        completion_init()
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line to its exit code; no error leaves as a traceback unless ``--debug`` is given."""
    debug = "--debug" in arguments
    try:
        app(args=[a for a in arguments if a != "--debug"], prog_name="keeper")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception as error:
        if debug:
            raise
        return exit_code_of(error)
    return 0
