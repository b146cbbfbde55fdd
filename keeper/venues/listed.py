"""Markets of a venue's own data file ``deployments.toml`` (its head names source and date), by chain."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from keeper.config import VenueSettings


def markets(package: str, chain_id: int) -> tuple[VenueSettings, ...]:
    """Markets on that chain in the data file beside ``package``, whose last part is their kind."""
    return tuple(market for chain, market in _markets(package) if chain == chain_id)


@cache
def _markets(package: str) -> tuple[tuple[int, VenueSettings], ...]:
    """(chain id, market) of every entry."""
    kind = package.rpartition(".")[2]
    data = tomllib.loads(files(package).joinpath("deployments.toml").read_text(encoding="utf-8"))
    return tuple(
        (
            int(entry["chain_id"]),
            VenueSettings(
                name=f"{kind}_{entry['chain']}_{entry['market']}",
                kind=kind,
                chain=str(entry["chain"]),
                provider=str(entry["provider"]),
            ),
        )
        for entry in data["market"]
    )
