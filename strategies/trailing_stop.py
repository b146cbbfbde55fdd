"""Trailing stop: out of the whole position once a price has come so far from the best one seen."""

from __future__ import annotations

from keeper import exits
from keeper.model import Block, Means, Outlook, Policy, Position, Proposal, Refusal
from keeper.seams import Venue
from strategies.drawn import Need
from strategies.way_out import leave


class TrailingStop:
    """``trail_pct = { WETH = "15" }``: at 15 % below the highest price of WETH since it is guarded (a short, or a
    debt in it: above the lowest). The best price is decision's memory, given in ``policy.trail_marks``.
    """

    name = exits.TRAIL

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """The exit, first of all ways; else why none."""
        why = exits.trailed(position, policy)
        if not why:
            told = "no price of trail_pct has come so far from its best"
            return Refusal(who=self.name, code="level_not_reached", why=told)
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        return leave(need, self.name, f"TRAILING STOP, {why}")
