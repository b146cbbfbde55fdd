"""Known markets by chain, from the data file beside this module (its head names source and date)."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from keeper.config import VenueSettings


def known(chain_id: int) -> tuple[VenueSettings, ...]:
    """Aave v2 markets known on that chain, e.g. ``aave_v2_ethereum_main``."""
    return tuple(market for chain, market in _markets() if chain == chain_id)


@cache
def _markets() -> tuple[tuple[int, VenueSettings], ...]:
    """(chain id, market) of every entry."""
    data = tomllib.loads(files(__package__).joinpath("deployments.toml").read_text(encoding="utf-8"))
    return tuple(
        (
            int(entry["chain_id"]),
            VenueSettings(
                name=f"aave_v2_{entry['chain']}_{entry['market']}",
                kind="aave_v2",
                chain=str(entry["chain"]),
                provider=str(entry["provider"]),
            ),
        )
        for entry in data["market"]
    )
