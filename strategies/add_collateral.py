"""Add collateral from the keeper's own wallet, on behalf of the owner, who need not permit it."""

from __future__ import annotations

from keeper.model import Amount, Block, Means, Outlook, Policy, Position, Proposal, Refusal, Supply
from keeper.seams import Venue
from keeper.sizing import topup_units_up
from strategies.drawn import Line, Need
from strategies.offer import best, offer, open_need


class AddCollateral:
    """(T D - W) / lambda of one collateral asset that already counts for the position and that the wallet
    holds.
    """

    name = "add_collateral"

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """The cheapest single top-up that reaches target, else the partial that helps most, else why none."""
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        refused = open_need(need, self.name)
        if refused is not None:
            return refused
        return added(need, Line(who=self.name, size=topup_units_up, step=_supply, capped=True))


def added(need: Need, line: Line) -> Proposal | Refusal:
    """The best top-up of one collateral by whoever pays on that line.

    A first supply of another asset may not be switched on as collateral: only what counts already is added to.
    """
    counted = [h for h in need.position.collateral if h.threshold_wad > 0]
    if not counted:
        return Refusal(
            who=line.who, code="no_collateral", why="nothing counts as collateral of this position"
        )
    return best(need, line, [offer(need, h, line) for h in counted])


def _supply(amount: Amount) -> Supply:
    return Supply(amount=amount)
