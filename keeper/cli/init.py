"""``keeper init``: write a commented keeper.toml, filled from a scan when an address is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.cli.template import Guard
    from keeper.config import VenueSettings
    from keeper.daemon.wiring import View
    from keeper.model import Policy, Position, PositionId


def command(
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="ADDRESS", help="Fill in this account's positions by a scan."),
    ] = None,
    rpc: Annotated[str | None, typer.Option("--rpc", help="The http(s) endpoint for --from.")] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", help="PoolAddressesProvider of a market that is not known.")
    ] = None,
    market: Annotated[
        str | None,
        typer.Option("--market", help="Id of a Morpho Blue market; --provider is then its contract."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where to write.")] = arguments.CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented keeper.toml.

    It is in dry-run mode, and filled in by a scan with --from. No file is overwritten without --force.

    Example: keeper init --from 0xYourAddress --rpc https://your-endpoint --out keeper.toml
    """
    from keeper.cli.endings import usage

    if out.exists() and not force:
        raise usage("--out", f"{out} exists; choose another name, or --force to overwrite it")
    if not out.absolute().parent.is_dir():
        raise usage("--out", f"the folder {out.absolute().parent} does not exist")
    # each file its own folder: two daemons over one journal would account for each other's transactions
    state_dir = out.name.removesuffix(".toml") + "-state"
    where = (provider, market)
    text = _scanned(source, rpc, where, state_dir) if source is not None else _blank(rpc, state_dir)
    _write(out, text)
    print(f"wrote {out}; next: keeper check --config {out}")


def _blank(rpc: str | None, state_dir: str) -> str:
    """A file to be filled in by hand: the endpoint and the position are left to the user."""
    from keeper.cli import template

    url = "https://your-endpoint.example" if rpc is None else arguments.http_url("--rpc", rpc)
    chain = template.chain_table("ethereum", 1, url)
    venue = template.venue_table("aave", "ethereum", "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e")
    return template.file_text(chain, [venue], state_dir=state_dir)


def _scanned(source: str, rpc: str | None, where: tuple[str | None, str | None], state_dir: str) -> str:
    """A file for every position that the scan finds, each under thresholds that suit it."""
    from keeper.cli import template
    from keeper.cli.endings import usage
    from keeper.cli.scan import look
    from keeper.errors import ConfigError

    if rpc is None:
        raise usage("--rpc", "is required with --from: the endpoint to scan with")
    url = arguments.http_url("--rpc", rpc)
    account = arguments.address("--from", source)
    view, policies = look(account, url, *where)
    guards = [_guard(view, p, *policies[p.id]) for p in view.snapshot.positions]
    guards += [
        template.Guard(id=u.id, policy=None, market=_market(view, u.id)) for u in view.snapshot.unreadable
    ]
    if not guards:
        raise ConfigError((f"--from: no position of {account} on the venues known for this chain",))
    return template.from_guards(view.chain.name, view.chain.chain_id, url, guards, state_dir)


def _guard(view: View, position: Position, policy: Policy, why: str) -> Guard:
    """What is written down of a position; a loan is offered the cheaper levels besides."""
    from keeper.cli.template import Guard
    from keeper.decision.defaults import thrifty

    cheap = thrifty(position, policy) if position.debt and position.perp is None else None
    return Guard(id=position.id, policy=policy, why=why, thrifty=cheap, market=_market(view, position.id))


def _market(view: View, id: PositionId) -> VenueSettings | None:
    return view.markets.get((id.venue, id.key))


def _write(out: Path, text: str) -> None:
    """The file is the user's alone from its first byte: its endpoint may carry a token."""
    import os

    draft = out.with_name(out.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as f:
        f.write(text)
    draft.replace(out)
