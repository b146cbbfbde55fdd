"""Known markets by chain, from the data file beside this module."""

from __future__ import annotations

from keeper.config import VenueSettings
from keeper.venues import listed


def known(chain_id: int) -> tuple[VenueSettings, ...]:
    """Compound v3 markets known on that chain, e.g. ``compound_v3_ethereum_usdc``."""
    return listed.markets(__package__, chain_id)
