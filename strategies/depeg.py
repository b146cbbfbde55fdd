"""Depeg playbook: debt in a stable that markets see fall is bought back, then what is held of it is sold."""

from __future__ import annotations

from keeper.model import Block, Means, Outlook, Policy, Position, Proposal, Refusal
from keeper.seams import Venue
from strategies.drawn import Need
from strategies.smaller import smaller


class DepegPlaybook:
    """``depeg_pct = 2``: two sources see it so far below one dollar while the venue's oracle does not."""

    name = "depeg_playbook"

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """The first step of the playbook that can be done; else why none."""
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        return smaller(need, self.name, "no stable of the position is seen off its peg by two sources")
