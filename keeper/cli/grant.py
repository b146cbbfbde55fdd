"""``keeper grant``: the finite approvals from the keeper's wallet to the venues."""

from __future__ import annotations

from typing import Annotated

import typer

from keeper.cli import arguments

HEADERS = ("token", "amount", "now allowed", "signs", "transaction")


def command(
    amount: Annotated[
        list[str] | None,
        typer.Option(
            "--amount", metavar="TOKEN=NUMBER", help="Whole tokens, by symbol; repeat it; 0 revokes."
        ),
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="Sign and send; needs the wallet's key.")] = False,
    executor: Annotated[
        str | None,
        typer.Option(
            "--executor",
            metavar="LABEL",
            help="What the owner of that position signs, so that it may be sold.",
        ),
    ] = None,
    safe: Annotated[
        bool, typer.Option("--safe", help="With --executor: a Safe's file, and the hashes its signers see.")
    ] = False,
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Print or send the wallet's approvals.

    Shows the ERC-20 approvals that rescues need, exactly as they would be signed; --send sends them.
    Amounts are finite on purpose: an approval is the most a broken venue could take.

    With --executor, what the position's owner signs instead: the Executor's terms, and a finite allowance of the
    collateral named by --amount. The keeper has no key for that, and sends nothing.

    Example: keeper grant --amount USDC=5000 --amount WETH=2.5
    """
    from keeper.cli import table
    from keeper.cli.endings import drive, usage
    from keeper.config import load

    wanted = amounts(amount or [])
    settings = load(config)  # before the slow imports: a wrong file is told at once
    from keeper.cli import kernels

    kernels.prepare()
    if executor is not None:
        if send:
            raise usage("--send", "is for the keeper's own wallet; the owner signs what --executor prints")
        from keeper.cli import owner_grant

        owner_grant.show(drive(owner_grant.wanted(settings, executor, wanted, safe=safe)), json=json)
        return
    if safe:
        raise usage("--safe", "goes with --executor LABEL")
    from keeper.granting import grant

    granted = drive(grant(settings, wanted, send))
    if json:
        print(table.document({"approvals": [dict(g) for g in granted]}))
    else:
        table.show(HEADERS, [tuple(str(g.get(h, "-")) for h in HEADERS) for g in granted])


def amounts(given: list[str]) -> dict[str, str]:
    """``["USDC=5000"]`` as ``{"USDC": "5000"}``; finite, not negative (0 revokes), each once. Exit 2."""
    from decimal import Decimal, InvalidOperation

    from keeper.cli.endings import usage

    if not given:
        raise usage("--amount", "is required, e.g. --amount USDC=5000")
    out: dict[str, str] = {}
    for text in given:
        token, _, number = text.partition("=")
        try:
            value = Decimal(number)
        except InvalidOperation:
            value = Decimal("NaN")
        if not token or not value.is_finite() or value < 0:
            raise usage(
                "--amount", f'"{text}" is not TOKEN=NUMBER with a number of whole tokens, e.g. USDC=5000'
            )
        if token in out:
            raise usage("--amount", f'"{text}" names {token} a second time')
        out[token] = number
    return out
