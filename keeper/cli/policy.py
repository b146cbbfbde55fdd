"""``keeper policy``: what a signer in a process of its own would sign for, as the file that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.config import Settings


def command(config: arguments.Config = arguments.CONFIG) -> None:
    """Print the signing policy of this configuration.

    Contracts, functions, accounts and amounts that the key may be used for, with today's prices in the
    limits. Read it before a signer is started with it.

    Example: keeper policy > policy.json
    """
    from keeper.cli.endings import drive
    from keeper.config import load

    settings = load(config)  # before the slow imports: a wrong file is told at once
    from keeper.cli import kernels

    kernels.prepare()
    typer.echo(drive(policy_text(settings)), nl=False)


async def policy_text(settings: Settings) -> str:
    """The policy file of a configuration with one chain. Raises ConfigError, Transient."""
    from keeper.daemon.senders import signing_policy
    from keeper.daemon.wiring import opened
    from keeper.errors import ConfigError
    from keeper.signer.policy_file import to_text

    address = settings.wallet.address
    if address is None:
        raise ConfigError(("wallet.address: is not set; a policy is about its key",))
    if len(settings.chains) != 1:
        raise ConfigError(("chains: a signer of its own serves one chain; split the configuration",))
    async with opened(settings, settings.chains[0]) as site:
        means = (await site.view()).snapshot.means
        return to_text(*signing_policy(site, means, address))
