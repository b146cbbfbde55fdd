"""``keeper demo``: a crash on a local chain, protected and unprotected borrowers side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from keeper.cli import arguments


def command(
    scenario: Annotated[str, typer.Option("--scenario", help="A file name of anvil/scenarios.")] = "crash",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide and plan, send nothing.")] = False,
    page: Annotated[bool, typer.Option("--page", help="Serve the status page, slower, until Enter.")] = False,
    json: arguments.Json = False,
) -> None:
    """Run the demo on a local chain.

    Real Aave v3.6 contracts, a price crash, and what the keeper does about it. Needs a checkout and node;
    ``make demo`` sets everything up. ``--scenario perp``: a long and a short on our own double of GMX v2.

    Example: keeper demo --page
    """
    proving_ground("demo")
    from keeper.cli import kernels

    kernels.prepare()
    from anvil.demo import run

    raise typer.Exit(run(scenario, json, dry_run, page))


def proving_ground(what: str, *, packages: bool = True) -> None:
    """Make ``anvil/`` of the checkout importable. Exit 69 where there is none, or none of its npm packages."""
    import sys
    from pathlib import Path

    import keeper
    from keeper.cli.endings import say
    from keeper.errors import EXIT_UNREACHABLE

    root = Path(keeper.__file__).resolve().parents[1]
    if not (root / "anvil" / "demo.py").is_file():
        say(
            f"the {what} needs a checkout of the repository: clone it and run "
            f"`make {what if packages else 'setup'}` there"
        )
        raise typer.Exit(EXIT_UNREACHABLE)
    if packages and not (root / "anvil" / "node_modules").is_dir():
        say(f"the {what}'s packages are not installed: run `make {what}` in the checkout, it installs them")
        raise typer.Exit(EXIT_UNREACHABLE)
    sys.path.insert(0, str(root))
