"""``keeper scan``: an address's positions on the venues known for a chain; no config, no key, no node."""

from __future__ import annotations

from typing import Annotated

import typer

from keeper.cli import arguments


def command(
    address: Annotated[str, typer.Argument(help="The account to look at.")],
    rpc: Annotated[str, typer.Option("--rpc", help="An http(s) JSON-RPC endpoint; it decides the chain.")],
    provider: Annotated[
        str | None, typer.Option("--provider", help="PoolAddressesProvider of a market that is not known.")
    ] = None,
    json: arguments.Json = False,
) -> None:
    """Show an address's positions, without a config.

    Prints health, distance and liquidation prices on every market known for the endpoint's chain. Needs no
    configuration, no key and no node of your own. Exits with 1 when a position is in danger or unreadable.

    Example: keeper scan 0xYourAddress --rpc https://your-endpoint
    """
    account = arguments.address("ADDRESS", address)
    url = arguments.http_url("--rpc", rpc)
    market = None if provider is None else arguments.address("--provider", provider)
    from keeper.cli.endings import drive, say
    from keeper.cli.positions import show_positions
    from keeper.wiring import scan

    view = drive(scan(account, url, market))
    if not (view.snapshot.positions or view.snapshot.unreadable):
        say(f"no position of {account} on the venues known for chain {view.chain.chain_id}")
    raise typer.Exit(show_positions((view,), json=json))
