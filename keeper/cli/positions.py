"""``keeper positions``: the guarded positions as they stand now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from keeper.cli import arguments
from keeper.errors import EXIT_UNREACHABLE

if TYPE_CHECKING:
    from keeper.cli.render import Photograph
    from keeper.daemon.wiring import Silent


def command(config: arguments.Config = arguments.CONFIG, json: arguments.Json = False) -> None:
    """Show the guarded positions as they are.

    One block a chain: level, health, distance, liquidation prices. Exits with 1 when one of them is in
    danger, cannot be read or was read at a block that is old, and with 69 when a chain does not answer.

    Example: keeper positions --config keeper.toml --json
    """
    from keeper.cli import kernels
    from keeper.cli.endings import drive
    from keeper.config import load

    settings = load(config)  # before the slow imports: a wrong file is told at once
    kernels.prepare()
    from keeper.daemon.wiring import photographs

    views, silent = drive(photographs(settings))
    raise typer.Exit(show_positions(views, silent, json=json))


def show_positions(views: Sequence[Photograph], silent: Sequence[Silent] = (), *, json: bool) -> int:
    """Print the views on stdout; returns the exit code."""
    from keeper.cli import render, table

    if json:
        print(
            table.document({**render.positions_document(views), "unreachable": [asdict(s) for s in silent]})
        )
    else:
        for view in views:
            block = view.snapshot.block
            print(f"chain {block.chain_id}, block {block.number}{f', OLD: {view.old}' if view.old else ''}")
        for lost in silent:
            print(f"chain {lost.chain} does not answer, UNKNOWN: {', '.join(lost.labels)} ({lost.why})")
        if rows := render.positions_rows(views):
            table.show(render.POSITION_HEADERS, rows)
    return EXIT_UNREACHABLE if silent else render.positions_exit(views)
