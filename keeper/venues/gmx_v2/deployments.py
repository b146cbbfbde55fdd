"""Known contracts by chain, from the data file beside this module (its head names source and date)."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from eth_utils.address import to_checksum_address

from keeper.config import VenueSettings
from keeper.seams import LogFilter
from keeper.venues.gmx_v2 import events


def contracts(chain_id: int) -> tuple[VenueSettings, ...]:
    """GMX on that chain, without a slot."""
    return tuple(
        VenueSettings(
            name="gmx_v2",
            kind="gmx_v2",
            chain=row["chain"],
            provider=str(to_checksum_address(row["provider"])),
            reader=str(to_checksum_address(row["reader"])),
        )
        for id, row in _rows()
        if id == chain_id
    )


def reader(chain_id: int) -> str | None:
    """The Reader that is known there."""
    return next((str(to_checksum_address(row["reader"])) for id, row in _rows() if id == chain_id), None)


def exchange(chain_id: int) -> str | None:
    """The ExchangeRouter that is known there: the provider of a keeper that runs with the owner's own key."""
    return next((str(to_checksum_address(row["exchange"])) for id, row in _rows() if id == chain_id), None)


def openings(contract: str, account: str) -> LogFilter:
    """The logs of what an account opened at a known contract."""
    emitter = next((row["emitter"] for _, row in _rows() if contract.lower() in _routers(row)), contract)
    return events.increases(emitter, account)


def _routers(row: dict[str, str]) -> tuple[str, str]:
    return row["provider"].lower(), row["exchange"].lower()


@cache
def _rows() -> tuple[tuple[int, dict[str, str]], ...]:
    data = tomllib.loads(files(__package__).joinpath("deployments.toml").read_text(encoding="utf-8"))
    return tuple(
        (
            int(row["chain_id"]),
            {k: str(row[k]) for k in ("chain", "provider", "exchange", "reader", "emitter")},
        )
        for row in data["contracts"]
    )
