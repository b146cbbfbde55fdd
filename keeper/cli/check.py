"""``keeper check``: is everything in place for the night?"""

from __future__ import annotations

import typer

from keeper.cli import arguments


def command(config: arguments.Config = arguments.CONFIG, json: arguments.Json = False) -> None:
    """Check that everything is in place.

    Looks at the configuration, endpoints, contracts, wallet, allowances, keystore (its password opens it) and
    journal; live also at transactions that the journal does not know, and plans left open. Refuses an emergency
    level that one update of a feed may jump over. Exits with 1 when anything is found that nobody accepted.

    Example: keeper check --config keeper.toml
    """
    from keeper.cli import table
    from keeper.cli.endings import drive
    from keeper.config import load
    from keeper.errors import EXIT_FINDINGS, EXIT_OK

    settings = load(config)  # before the slow imports: a wrong file is told at once
    from keeper.cli import kernels

    kernels.prepare()
    from keeper.inspection import inspect
    from keeper.seams import Severity

    findings = drive(inspect(settings))
    rows = [(str(f.severity), f.code, f.subject, f.why) for f in findings]
    if json:
        keys = ("severity", "code", "subject", "why")
        print(table.document({"findings": [dict(zip(keys, row, strict=True)) for row in rows]}))
    elif rows:
        table.show(("severity", "code", "subject", "why"), rows)
    else:
        print("nothing found: configuration, endpoints, contracts, wallet and journal are in place")
    raise typer.Exit(EXIT_FINDINGS if any(f.severity is not Severity.INFO for f in findings) else EXIT_OK)
