"""``keeper scan``: an address's positions on the venues known for a chain; no config, no key, no node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.daemon.wiring import View
    from keeper.model import Policy, PositionId


def command(
    address: Annotated[str, typer.Argument(help="The account to look at.")],
    rpc: Annotated[str, typer.Option("--rpc", help="An http(s) JSON-RPC endpoint; it decides the chain.")],
    provider: Annotated[
        str | None, typer.Option("--provider", help="PoolAddressesProvider of a market that is not known.")
    ] = None,
    market: Annotated[
        str | None,
        typer.Option("--market", help="Id of a Morpho Blue market; --provider is then its contract."),
    ] = None,
    json: arguments.Json = False,
) -> None:
    """Show an address's positions, without a config.

    Prints health, distance and liquidation prices on every market known for the endpoint's chain. Needs no
    configuration, no key and no node of your own. Levels are by thresholds that suit the position. Exits
    with 1 when a position is in danger or unreadable, with 78 on a chain without known markets and no
    --provider.

    Example: keeper scan 0xYourAddress --rpc https://your-endpoint
    """
    account = arguments.address("ADDRESS", address)
    url = arguments.http_url("--rpc", rpc)
    from keeper.cli.endings import say
    from keeper.cli.positions import show_positions

    view, _ = look(account, url, provider, market)
    for missed in view.missed:
        say(f"not looked at: {missed}")
    if not (view.snapshot.positions or view.snapshot.unreadable):
        say(f"no position of {account} on the venues known for chain {view.chain.chain_id}")
    raise typer.Exit(show_positions((view,), json=json))


def look(
    account: str, url: str, provider: str | None, market: str | None = None
) -> tuple[View, Mapping[PositionId, tuple[Policy, str]]]:
    """The scan, judged by thresholds that suit each position (nobody has chosen any yet), and those."""
    place = None if provider is None else arguments.address("--provider", provider)
    id = None if market is None else arguments.market_id("--market", market)
    from dataclasses import replace

    from keeper.cli import kernels
    from keeper.cli.endings import drive

    kernels.prepare()
    from keeper.daemon import bands
    from keeper.daemon.known import Wish
    from keeper.daemon.wiring import outlooks, scan
    from keeper.decision.defaults import suggest
    from keeper.oracle.steps import needed, worst

    view = drive(scan(Wish(account=account, provider=place, market=id), url))
    found = {o.id: o for o in view.outlooks}
    # as `keeper check` will ask: what init writes must pass it
    bounds = {p.id: worst(bands.exposures(p, {})) for p in view.snapshot.positions}
    least = {id: needed(bound) for id, bound in bounds.items() if bound is not None and bound.kept > 0.0}
    policies = {p.id: suggest(p, found[p.id], {}, {}, least.get(p.id, 0.0)) for p in view.snapshot.positions}
    judged = outlooks(view.snapshot, {id: policy for id, (policy, _) in policies.items()})
    return replace(view, outlooks=judged), policies
