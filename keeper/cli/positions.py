"""``keeper positions``: the guarded positions as they stand now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.cli.render import Photograph


def command(config: arguments.Config = arguments.CONFIG, json: arguments.Json = False) -> None:
    """Show the guarded positions as they are.

    One block a chain: level, health, distance, liquidation prices. Exits with 1 when one of them is in
    danger or cannot be read.

    Example: keeper positions --config keeper.toml --json
    """
    from keeper.cli import kernels
    from keeper.cli.endings import drive
    from keeper.config import load

    settings = load(config)  # before the slow imports: a wrong file is told at once
    kernels.prepare()
    from keeper.daemon.wiring import photograph

    raise typer.Exit(show_positions(drive(photograph(settings)), json=json))


def show_positions(views: Sequence[Photograph], *, json: bool) -> int:
    """Print the views on stdout; returns the exit code."""
    from keeper.cli import render, table

    if json:
        print(table.document(render.positions_document(views)))
    else:
        for view in views:
            block = view.snapshot.block
            print(f"chain {block.chain_id}, block {block.number}")
        if rows := render.positions_rows(views):
            table.show(render.POSITION_HEADERS, rows)
    return render.positions_exit(views)
