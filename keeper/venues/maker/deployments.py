"""Known collateral types by chain, from the data file beside this module (its head names source and date)."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from keeper.config import VenueSettings


def known(chain_id: int) -> tuple[VenueSettings, ...]:
    """Collateral types known on that chain, e.g. ``maker_eth_a``."""
    return tuple(market for chain, market in _markets() if chain == chain_id)


def ilk(name: str) -> str:
    """A collateral type's name as the 32 bytes that the contracts know it by, 0x-hex."""
    return "0x" + name.encode("ascii").ljust(32, b"\0").hex()


@cache
def _markets() -> tuple[tuple[int, VenueSettings], ...]:
    """(chain id, market) of every entry."""
    data = tomllib.loads(files(__package__).joinpath("deployments.toml").read_text(encoding="utf-8"))
    return tuple(
        (
            int(entry["chain_id"]),
            VenueSettings(
                name=f"maker_{str(entry['market']).lower().replace('-', '_')}",
                kind="maker",
                chain=str(entry["chain"]),
                provider=str(entry["provider"]),
                market=ilk(str(entry["market"])),
            ),
        )
        for entry in data["market"]
    )
