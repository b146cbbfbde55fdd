"""Add collateral from the keeper's own wallet, on behalf of the owner, who need not permit it."""

from __future__ import annotations

from keeper.model import Amount, Block, Means, Outlook, Policy, Position, Proposal, Refusal, Supply
from keeper.seams import Venue
from keeper.sizing import topup_units_up
from strategies.offer import Line, Need, best, offer, open_need


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
        # a first supply of another asset may not be switched on as collateral: only what counts already is
        # added to
        counted = [h for h in position.collateral if h.threshold_wad > 0]
        if not counted:
            return Refusal(
                who=self.name, code="no_collateral", why="nothing counts as collateral of this position"
            )
        line = Line(who=self.name, size=topup_units_up, step=_supply, capped=True)
        return best(need, line, [offer(need, h, line) for h in counted])


def _supply(amount: Amount) -> Supply:
    return Supply(amount=amount)
