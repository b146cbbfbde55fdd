"""Exposure limits: what one owner holds above a limit of his is sold, or a perpetual made smaller by as much."""

from __future__ import annotations

from keeper.model import Block, Means, Outlook, Policy, Position, Proposal, Refusal
from keeper.seams import Venue
from strategies.drawn import Need
from strategies.smaller import smaller


class ExposureLimits:
    """``exposure_max_usd = { "asset:WETH" = 60000 }``: counted over all of the owner's positions."""

    name = "exposure_limits"

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """The sale that brings this position's part of the excess down; else why none."""
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        return smaller(need, self.name, "nothing is above a limit of exposure_max_usd")
