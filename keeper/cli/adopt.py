"""``keeper adopt``: accept, explicitly, what the key has sent and the journal does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.config import Settings
    from keeper.journal.recover import Standing
    from keeper.journal.write import Journal

HEADERS = ("chain", "wallet", "the journal's next nonce", "sent on the chain", "then")


def command(
    accept: Annotated[
        bool, typer.Option("--accept", help="Accept it; without this nothing is changed.")
    ] = False,
    give_up: Annotated[
        bool,
        typer.Option("--give-up", help="With --accept: open plans that another key signed count no more."),
    ] = False,
    why: Annotated[str, typer.Option("--why", help="A reason for the journal; required to accept.")] = "",
    config: arguments.Config = arguments.CONFIG,
    json: arguments.Json = False,
) -> None:
    """Accept transactions that the journal does not know.

    For a journal that is new, or an old copy, while the wallet has sent transactions: shows what would be
    accepted as sent by somebody else; --accept lets the journal answer from the next nonce on. The daemon
    must not be running.

    After a change of the key: plans that the old key signed and that are not mined are shown too. Their positions
    wait, until a transaction of the old key has used the nonce; --accept --give-up ends that at once. Nobody can
    take their bytes back: where they act all the same, the position is acted for twice.

    Example: keeper adopt --accept --why "moved to a new machine, journal lost"
    """
    from keeper.cli import table
    from keeper.cli.arm import actor
    from keeper.cli.endings import drive, say, usage
    from keeper.config import load
    from keeper.errors import EXIT_FINDINGS, EXIT_OK

    if give_up and not accept:
        raise usage("--give-up", "goes with --accept")
    if accept and not why.strip():
        raise usage("--why", "is required with --accept: the journal keeps the reason")
    found = drive(adopt(load(config), accept=accept, give_up=give_up, actor=actor(), why=why))
    if json:
        print(table.document({"chains": [row(s, accept=accept, give_up=give_up) for s in found]}))
    else:
        rows = [row(s, accept=accept, give_up=give_up) for s in found]
        table.show(HEADERS, [tuple(str(r[h]) for h in HEADERS) for r in rows])
    held = [s for s in found if s.left and not give_up]
    waiting = [s for s in found if not s.in_step and (s.refuses or not accept)] + held
    if waiting:
        say("nothing was changed" if not accept else "not everything could be accepted")
    raise typer.Exit(EXIT_FINDINGS if waiting else EXIT_OK)


async def adopt(
    settings: Settings, *, accept: bool, actor: str, why: str, give_up: bool = False
) -> tuple[Standing, ...]:
    """Where each chain stands; with ``accept`` the journal takes over what may be taken, and with ``give_up`` it
    lets go what another key signed.

    Raises ConfigError (no wallet, a daemon holds the journal), Broken (damaged journal), Transient.
    """
    from dataclasses import replace

    from keeper.chain.endpoints import Endpoints
    from keeper.clock import SystemClock
    from keeper.errors import ConfigError
    from keeper.journal.recover import give_up as let_go
    from keeper.journal.recover import standing
    from keeper.journal.write import Journal

    address = settings.wallet.address
    if address is None:
        raise ConfigError(("wallet.address: is not set; adopting is about the wallet's transactions",))
    path = replace(settings, mode="live").journal_path
    found = []
    with Journal.open(path, SystemClock()) as journal:
        for chain in settings.chains:
            endpoints = await Endpoints.open(chain, SystemClock(), lambda _: None)
            try:
                each = [
                    await standing(seen, endpoints, chain.chain_id, key)
                    for seen, key in ((journal, address), *_hedges(settings, journal, chain.name))
                ]
            finally:
                await endpoints.close()
            for stands in each:
                if accept and not stands.in_step and not stands.refuses:
                    journal.adopt_nonce(chain.chain_id, stands.address, stands.latest, why, actor)
                for intent in stands.left if accept and give_up else ():
                    let_go(journal, intent, why, actor)
            found += each
    return tuple(found)


def _hedges(settings: Settings, journal: Journal, chain: str) -> list[tuple[Journal, str]]:
    """The keys of the hedges on that chain, with the journal as each sees it."""
    from keeper.daemon.hedges import hedge_ids
    from keeper.journal.apart import of_hedges

    ids, here = hedge_ids(settings), next(c.chain_id for c in settings.chains if c.name == chain)
    return [
        (of_hedges(journal, id), k.address)
        for k in settings.hedge_keys
        if (id := ids.get(k.short)) is not None and id.chain_id == here
    ]


def row(stands: Standing, *, accept: bool, give_up: bool = False) -> dict[str, object]:
    """One chain's standing for the table and for JSON."""
    if stands.in_step:
        then = "in step: nothing to accept"
    elif stands.refuses:
        then = f"cannot be accepted: {stands.refuses}"
    else:
        first = stands.known or 0
        verb = "accepted" if accept else "to accept"
        sent = [f"nonce {stands.taken}, in the place of our own,"] if stands.taken is not None else []
        if stands.latest > first:
            sent.append(f"nonces {first} to {stands.latest - 1}")
        then = f"{verb}: {' and '.join(sent)} as sent by somebody else"
    if stands.passed:
        then += f"; open plans whose nonce was used: {', '.join(map(str, stands.passed))}"
    if stands.left:
        verb = "given up" if accept and give_up else "wait for the end of, or --give-up"
        signed = [f"{i.key} (nonce {i.attempts[-1].nonce} of {i.signer})" for i in stands.left]
        then += f"; {verb}: {', '.join(signed)}"
    return {
        "chain": stands.chain_id,
        "wallet": stands.address,
        "the journal's next nonce": "none" if stands.known is None else stands.known,
        "sent on the chain": stands.latest,
        "then": then,
    }
