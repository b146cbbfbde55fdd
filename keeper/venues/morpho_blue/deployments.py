"""Known contracts by chain, from the data file beside this module (its head names source and date)."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from keeper.config import VenueSettings
from keeper.venues.morpho_blue.book import KIND


def contracts(chain_id: int) -> tuple[VenueSettings, ...]:
    """Morpho Blue on that chain, without a market: an account's are found from its logs."""
    return tuple(found for chain, found in _contracts() if chain == chain_id)


@cache
def _contracts() -> tuple[tuple[int, VenueSettings], ...]:
    """(chain id, contract) of every entry."""
    data = tomllib.loads(files(__package__).joinpath("deployments.toml").read_text(encoding="utf-8"))
    return tuple(
        (
            int(entry["chain_id"]),
            VenueSettings(
                name=f"{KIND}_{entry['chain']}",
                kind=KIND,
                chain=str(entry["chain"]),
                provider=str(entry["morpho"]),
            ),
        )
        for entry in data["contract"]
    )
