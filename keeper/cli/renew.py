"""``keeper renew``: ask a Safe's module to renew what the Executor may take; with a key that is nobody else's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.cli.renew_rows import Due
    from keeper.cli.renewing import Purse
    from keeper.config import Settings

HEADERS = ("token", "renews", "now allowed", "from", "module", "transaction")


def command(
    executor: Annotated[
        str, typer.Option("--executor", metavar="LABEL", help="The position whose Executor it is.")
    ],
    keystore: Annotated[
        Path | None,
        typer.Option("--keystore", help="Sign and send with this key: any with gas but the keeper's own."),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", help="A file of mode 0600 with its password, instead of asking."),
    ] = None,
    fee_max: Annotated[
        float | None,
        typer.Option(
            "--fee-max",
            metavar="NATIVE",
            help="What one transaction may cost at the most, in the chain's own token; unless named, its gas at the "
            "chain's storm_gwei.",
        ),
    ] = None,
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Renew the allowances that a Safe's module may renew now.

    Shows each token that a module of the owner's Safe renews, and whether it can be renewed; with --keystore, sends
    what can. Anybody may: it needs gas and no right. The keeper's own wallet is refused by name, because its nonces
    belong to the daemon, which does not renew by itself; so is a bot, the guardian, and an owner of the Safe. A
    renewal of that key that is stuck is replaced at higher fees, up to --fee-max: keep the key for this alone.
    Exit 1 when a module is not proven or does not tell its terms, and with --keystore when something was due and is
    not renewed, a term is over, there is no module, or not every module was read: a timer must not go on in silence.

    Example: keeper renew --executor vault --keystore renewer.json
    """
    from keeper.cli import kernels, table
    from keeper.cli.endings import drive, say, usage
    from keeper.config import load
    from keeper.errors import EXIT_FINDINGS

    if keystore is None and password_file is not None:
        raise usage("--password-file", "goes with --keystore")
    if fee_max is not None and (keystore is None or not 0 < fee_max < float("inf")):
        raise usage("--fee-max", "goes with --keystore, and is a number above 0 of the chain's own token")
    settings = load(config)
    kernels.prepare()
    from keeper.cli.renewing import renewals

    found = drive(renewals(settings, executor, _purse(settings, keystore, password_file, fee_max)))
    shown = [_row(due) for due in found.rows]
    if json:
        print(table.document({"renewals": shown, "problems": list(found.problems)}))
    elif shown:
        table.show(HEADERS, [tuple(row.values()) for row in shown])
    elif not found.problems:
        print(f"{executor}: its owner has no module that renews allowances to its Executor")
    for why in found.problems:
        say(why)
    if found.wrong or (keystore is not None and found.failed):
        raise typer.Exit(EXIT_FINDINGS)


def _row(due: Due) -> dict[str, str]:
    """What is shown of one token, by its header."""
    from keeper.executor.grants import day

    ready = "-" if due.ready_s is None else day(due.ready_s)
    standing = "-" if due.standing is None else due.shown(due.standing)
    cells = (due.symbol, due.shown(due.units), standing, ready, due.module, due.transaction)
    return dict(zip(HEADERS, cells, strict=True))


def _purse(
    settings: Settings, keystore: Path | None, password_file: Path | None, fee_max: float | None
) -> Purse | None:
    """The caller's own key and what it may spend; None without one. Raises ConfigError for the daemon's."""
    from decimal import Decimal

    from keeper.cli.keystore import asked_once
    from keeper.cli.renewing import Purse, opened
    from keeper.units import WAD

    if keystore is None:
        return None
    key = opened(settings, keystore, lambda: asked_once(password_file))
    return Purse(key=key, fee_wei_max=None if fee_max is None else int(Decimal(str(fee_max)) * WAD))
