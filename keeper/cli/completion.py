"""``keeper completion``: what a shell needs to complete commands and options."""

from __future__ import annotations

from typing import Annotated

import typer

SHELLS = ("bash", "zsh", "fish")
WHERE = {
    "bash": "~/.local/share/bash-completion/completions/keeper",
    "zsh": "a file _keeper in a folder of $fpath",
    "fish": "~/.config/fish/completions/keeper.fish",
}


def command(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish")],
) -> None:
    """Print the completion script for a shell.

    Example: keeper completion bash > ~/.local/share/bash-completion/completions/keeper
    """
    import sys

    from typer._completion_shared import get_completion_script

    from keeper.cli import COMPLETE
    from keeper.cli.endings import say, usage

    if shell not in SHELLS:
        raise usage("SHELL", f"{shell!r} is not known; one of {', '.join(SHELLS)}")
    typer.echo(get_completion_script(prog_name="keeper", complete_var=COMPLETE, shell=shell))
    if sys.stdout.isatty():
        say(f"put this into {WHERE[shell]} and open a new shell")
