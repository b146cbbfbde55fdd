"""Close a whole perpetual position at the owner's own stop: below a health, or at a price of its index."""

from __future__ import annotations

from keeper.exits import stopped
from keeper.model import Block, Means, Outlook, Policy, Position, Proposal, Refusal
from keeper.phrases import health_text
from keeper.seams import Venue
from strategies.drawn import Need
from strategies.perp import Case, in_need
from strategies.reduce_perp import reduced


class ClosePerp:
    """Everything, before any other way, once ``close_at`` or a price of ``close_prices`` is reached."""

    name = "close_perp"

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """The order that closes it, or why not."""
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        at = in_need(need, self.name)
        if not isinstance(at, Case):
            return at
        if not (_low(at) or stopped(position, policy)):
            return at.refused("level_not_reached", "neither close_at nor a price of close_prices is reached")
        return reduced(at, at.perp.size_usd, first=True)


def _low(at: Case) -> str:
    """Whether health is below the owner's stop, in words."""
    line = at.need.policy.close_at_wad
    if not line or at.need.before_wad >= line:
        return ""
    return f"health {health_text(at.need.before_wad)} < close_at {health_text(line)}"
