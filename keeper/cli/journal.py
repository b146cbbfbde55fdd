"""``keeper journal``: what the daemon did and why, oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.journal.read import Reader
    from keeper.model import Entry

FOLLOW_S = 1.0
HEADERS = ("id", "time", "kind", "block", "subject", "why")


def command(
    config: arguments.Config = arguments.CONFIG,
    kind: Annotated[
        str | None, typer.Option("--kind", help="tick, level, decision, plan, attempt, outcome, alarm, ...")
    ] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="A position or plan, as printed.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="The newest this many.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing until Ctrl-C.")] = False,
    dry_run: arguments.DryJournal = False,
    copy_to: Annotated[
        Path | None,
        typer.Option("--copy-to", help="Write a whole copy into this new file, and nothing else."),
    ] = None,
    json: arguments.Json = False,
) -> None:
    """Show the journal, or copy it.

    With --follow and --json each entry is one line of JSON. A copy (--copy-to) is consistent beside a running
    daemon, holds no secret, and is what to keep as a backup.

    Example: keeper journal --kind decision --limit 20
    """
    from keeper.cli import table
    from keeper.cli.endings import say
    from keeper.cli.explain import open_journal

    if copy_to is not None:
        _copy(config, copy_to, dry_run=dry_run)
        return
    with open_journal(config, dry_run=dry_run) as reader:
        entries = reader.entries(kind, subject, limit=limit, newest=True)
        if follow:
            _follow(reader, kind, subject, entries, json=json)
        elif json:
            print(table.document({"entries": [entry_json(e) for e in entries]}))
        elif entries:
            table.show(HEADERS, [entry_row(e) for e in entries])
        else:
            say("the journal holds no such entry; without --kind and --subject it shows all")


def _copy(config: Path, out: Path, *, dry_run: bool) -> None:
    from keeper.cli.explain import open_journal
    from keeper.journal.copying import copy_to

    with open_journal(config, dry_run=dry_run) as reader:
        size = copy_to(reader.path, out)
    typer.echo(f"{out}: {size:,} bytes, whole")


def _follow(
    reader: Reader, kind: str | None, subject: str | None, first: tuple[Entry, ...], *, json: bool
) -> None:
    import json as format
    import time

    from keeper.cli import table

    def stream() -> Iterator[Entry]:
        yield from first
        last = first[-1].id if first else 0
        while True:
            for entry in reader.entries(kind, subject, since_id=last):
                last = entry.id
                yield entry
            time.sleep(FOLLOW_S)

    try:
        for entry in stream():
            if json:
                line = format.dumps({"schema": table.SCHEMA, **entry_json(entry)}, ensure_ascii=False)
            else:
                line = "  ".join(entry_row(entry))
            print(line, flush=True)
    except KeyboardInterrupt:
        raise typer.Exit from None


def entry_json(entry: Entry) -> dict[str, object]:
    """One entry as JSON; its data is plain JSON already."""
    return {
        "id": entry.id,
        "at": utc_text(entry.at_s),
        "kind": entry.kind,
        "chain_id": entry.chain_id,
        "block_number": entry.block_number,
        "subject": entry.subject,
        "why": entry.why,
        "data": dict(entry.data),
    }


def entry_row(entry: Entry) -> tuple[str, ...]:
    """One entry under HEADERS."""
    block = str(entry.block_number) if entry.block_number else "-"
    return (str(entry.id), utc_text(entry.at_s), entry.kind, block, entry.subject or "-", entry.why)


def utc_text(at_s: float) -> str:
    """ISO 8601 in UTC with milliseconds."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
