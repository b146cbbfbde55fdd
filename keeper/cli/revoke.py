"""``keeper revoke``: take back whatever was granted, the wallet's approvals or an owner's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.config import Settings


def command(
    executor: Annotated[
        str | None,
        typer.Option(
            "--executor", metavar="LABEL", help="What the owner of that position signs, to take it all back."
        ),
    ] = None,
    safe: Annotated[
        bool,
        typer.Option(
            "--safe",
            help="With --executor: the file for Safe's Transaction Builder, and the hashes that signers see.",
        ),
    ] = False,
    module: Annotated[
        bool,
        typer.Option("--module", help="With --executor, of a Safe: only the module, and what it renews."),
    ] = False,
    send: Annotated[
        bool, typer.Option("--send", help="Sign and send the wallet's own; needs the wallet's key.")
    ] = False,
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Print or send what takes every grant back.

    Without --executor: an approval of nothing for each allowance that the keeper's wallet still gives a venue;
    --send sends them. With it, what the position's owner signs: a Safe's module off, which could bring back the rest;
    allowances of the Executor to nothing, the bot and the position off, routers off; and what remains. The keeper has
    no key for that, and sends nothing. Afterwards the daemon refuses every sale by name. Running it again shows what
    is still left, and in the end nothing. With --module only the module, and the allowances that it renews.

    Example: keeper revoke --executor vault
    """
    from keeper.cli.endings import drive, usage
    from keeper.config import load

    settings = load(config)  # before the slow imports: a wrong file is told at once
    from keeper.cli import kernels

    kernels.prepare()
    if executor is not None:
        if send:
            raise usage("--send", "is for the keeper's own wallet; the owner signs what --executor prints")
        from keeper.cli import owner_grant, owner_module

        if module:
            owner_grant.show(drive(owner_module.revoked(settings, executor)), json=json)
        else:
            owner_grant.show(drive(owner_grant.revoked(settings, executor, safe=safe)), json=json)
        return
    if safe or module:
        raise usage("--safe" if safe else "--module", "goes with --executor LABEL")
    _approvals(settings, send, json=json)


def _approvals(settings: Settings, send: bool, *, json: bool) -> None:
    """The wallet's own."""
    from keeper.cli import table
    from keeper.cli.endings import drive
    from keeper.cli.grant import HEADERS
    from keeper.granting import take_back

    rows = drive(take_back(settings, send))
    if json:
        print(table.document({"approvals": [dict(r) for r in rows]}))
    elif rows:
        table.show(HEADERS, [tuple(str(r.get(h, "-")) for h in HEADERS) for r in rows])
    else:
        print("nothing to revoke: the wallet allows no venue anything")
