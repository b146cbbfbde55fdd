"""A floor under equity: what is at risk beyond a multiple of the cushion above the floor is sold."""

from __future__ import annotations

from keeper.model import Block, Means, Outlook, Policy, Position, Proposal, Refusal
from keeper.seams import Venue
from strategies.drawn import Need
from strategies.smaller import smaller


class Floor:
    """``floor_usd``, ``floor_times``, and ``floor_ratchet_pct`` for one that follows gains (``decision.floor``)."""

    name = "floor"

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """The sale that brings what is at risk back to what the cushion allows; else why none."""
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        return smaller(need, self.name, "what is at risk is within floor_times the equity above the floor")
