"""``keeper capacity``: what the night could do for each position after a fall, and what limits it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.capacity import Reach
    from keeper.config import Settings

HEADERS = ("position", "stress", "health", "wanted", "reached", "verdict", "binding", "why")


def command(
    position: Annotated[
        str | None, typer.Argument(metavar="[POSITION]", help="The label of one position; all by default.")
    ] = None,
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Show how far each position could be rescued after a fall.

    Falls of 20, 35 and 50 per cent and a lost peg, each with every cap, allowance, the Executor's epoch caps, the
    wallet, what the venue can pay out, the depth of the real pools at the fallen price, and gas at the storm's price
    (1,000 gwei) against the gas tank. Where the target cannot be reached, the limit that binds is named: relaxing it
    raises what is reached. Each position as if the others needed nothing. Exits with 1 when one falls short, or
    could not be read.

    Example: keeper capacity vault --json
    """
    from keeper.cli import table
    from keeper.cli.endings import drive
    from keeper.config import load
    from keeper.errors import EXIT_FINDINGS, EXIT_OK

    settings = load(config)  # before the slow imports: a wrong file is told at once
    from keeper.cli import kernels

    kernels.prepare()
    rows, unread = drive(measured(settings, position))
    if json:
        body = {"capacity": [_document(label, r) for label, r in rows], "unreadable": unread}
        print(table.document(body))
    elif rows:
        table.show(HEADERS, [_row(label, r) for label, r in rows])
    else:
        print("no position with debt could be read" if unread else "no position has debt: nothing is needed")
    for label, why in unread.items():
        typer.echo(f"{label}: UNKNOWN: {why}", err=True)
    raise typer.Exit(EXIT_FINDINGS if unread or any(r.short for _, r in rows) else EXIT_OK)


async def measured(settings: Settings, label: str | None) -> tuple[list[tuple[str, Reach]], dict[str, str]]:
    """(label, capacity) of each position and stress; label -> why of those unread. Raises ConfigError, Transient."""
    from keeper.daemon import capacity
    from keeper.daemon.wiring import opened
    from keeper.errors import ConfigError

    known = [p.label for p in settings.positions]
    if label is not None and label not in known:
        raise ConfigError(
            (f"POSITION {label}: no position has this label; those that there are: {', '.join(known)}",)
        )
    rows: list[tuple[str, Reach]] = []
    unread: dict[str, str] = {}
    for chain in settings.chains:
        async with opened(settings, chain) as site:
            guarded = [g for g in site.guarded if label in (None, g.label)]
            snapshot = (await site.view()).snapshot
            labels = {g.id: g.label for g in guarded}
            unread |= {labels[u.id]: u.why for u in snapshot.unreadable if u.id in labels}
            found = await capacity.look((chain, site.camera, site.venues), guarded, snapshot)
            rows += [(labels[r.id], r) for r in found]
    return rows, unread


def _verdict(found: Reach) -> str:
    if not found.needs_wad:
        return "not needed"
    return "SHORT" if found.short else "reached"


def _row(label: str, r: Reach) -> tuple[str, ...]:
    from keeper.phrases import health_text

    wanted = health_text(r.needs_wad) if r.needs_wad else "-"
    why = r.why if r.short else " then ".join(r.ways)
    return (
        label,
        r.stress,
        health_text(r.before_wad),
        wanted,
        health_text(r.reached_wad),
        _verdict(r),
        " and ".join(r.binding) or "-",
        why,
    )


def _document(label: str, r: Reach) -> dict[str, object]:
    return {
        "id": str(r.id),
        "label": label,
        "stress": r.stress,
        "health_wad": str(r.before_wad),
        "needs_wad": str(r.needs_wad) if r.needs_wad else None,
        "reached_wad": str(r.reached_wad),
        "short": r.short,
        "ways": list(r.ways),
        "binding": list(r.binding),
        "why": r.why,
    }
