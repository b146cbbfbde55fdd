"""Take profit: out of the whole position at the price that the owner set on the winning side."""

from __future__ import annotations

from keeper import exits
from keeper.model import Block, Means, Outlook, Policy, Position, Proposal, Refusal
from keeper.seams import Venue
from strategies.drawn import Need
from strategies.way_out import leave


class TakeProfit:
    """``take_profit = { WETH = "4000" }``: held (a long) at or above it, owed (a short) at or below it."""

    name = exits.PROFIT

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """The exit, first of all ways; else why none."""
        why = exits.gained(position, policy)
        if not why:
            return Refusal(who=self.name, code="level_not_reached", why="no price of take_profit is reached")
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        return leave(need, self.name, f"TAKE PROFIT, {why}")
