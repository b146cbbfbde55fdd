"""``keeper capacity``: what the night could do for each position after a fall, and what limits it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.capacity import Reach
    from keeper.config import Settings
    from keeper.model import PositionId

HEADERS = ("position", "stress", "health", "wanted", "reached", "verdict", "binding", "why")
UNSPENT = "no journal of this mode yet: the cap of the day is counted as unspent"


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
    (1,000 gwei) against the gas tank; what the journal says was moved in the last 24 hours is gone from the cap of
    the day. Where the target cannot be reached, the limit that binds is named: relaxing it raises what is reached.
    Each position as if the others needed nothing. Exits with 1 when one falls short, or could not be read.

    Example: keeper capacity vault --json
    """
    from keeper.cli import table
    from keeper.cli.endings import drive
    from keeper.config import load
    from keeper.errors import EXIT_FINDINGS, EXIT_OK

    settings = load(config)  # before the slow imports: a wrong file is told at once
    from keeper.cli import kernels

    kernels.prepare()
    spent = day_spent(settings)
    rows, unread = drive(measured(settings, position, spent or {}))
    if json:
        used = None if spent is None else {label: spent.get(r.id, 0) for label, r in rows}
        found = [_document(label, r) for label, r in rows]
        body = {"capacity": found, "unreadable": unread, "spent_usd": used}
        print(table.document(body))
    elif rows:
        table.show(HEADERS, [_row(label, r) for label, r in rows])
    else:
        print("no position with debt could be read" if unread else "no position has debt: nothing is needed")
    if spent is None:
        typer.echo(UNSPENT, err=True)
    for label, why in unread.items():
        typer.echo(f"{label}: UNKNOWN: {why}", err=True)
    raise typer.Exit(EXIT_FINDINGS if unread or any(r.short for _, r in rows) else EXIT_OK)


def day_spent(settings: Settings) -> Mapping[PositionId, int] | None:
    """USD moved for each position in the last 24 hours; None where no journal says. Raises ConfigError, Broken."""
    from keeper.clock import SystemClock
    from keeper.daemon import capacity
    from keeper.journal.read import Reader

    if not settings.journal_path.exists():
        return None
    with Reader.open(settings.journal_path) as journal:
        return capacity.spent_usd(journal, SystemClock().now_s())


async def measured(
    settings: Settings, label: str | None, spent: Mapping[PositionId, int]
) -> tuple[list[tuple[str, Reach]], dict[str, str]]:
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
            found = await capacity.look((chain, site.camera, site.venues), guarded, snapshot, spent)
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
