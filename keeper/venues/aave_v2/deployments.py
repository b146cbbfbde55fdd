"""Known markets by chain, from the data file beside this module."""

from __future__ import annotations

from keeper.config import VenueSettings
from keeper.venues import listed


def known(chain_id: int) -> tuple[VenueSettings, ...]:
    """Aave v2 markets known on that chain, e.g. ``aave_v2_ethereum_main``."""
    return listed.markets(__package__, chain_id)
