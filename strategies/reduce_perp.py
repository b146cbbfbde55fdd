"""Close a part of a perpetual position: no money of the keeper but fees, and less of the market that hurts."""

from __future__ import annotations

from keeper.model import Block, Means, Outlook, Policy, Position, Proposal, Refusal
from keeper.phrases import usd_text
from keeper.seams import Venue
from keeper.triggers import emergency, kept
from strategies.drawn import Need
from strategies.perp import Case, closing_usd, in_need, least, proposed, said


class ReducePerp:
    """The least size whose closing brings health to target.

    Where a venue refuses reductions below maintenance this fires first, while it still may: above emergency before
    every other way, below emergency not at all, because then only margin helps.
    """

    name = "reduce_perp"

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """One order that reaches target, or why none."""
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        at = in_need(need, self.name)
        if not isinstance(at, Case):
            return at
        if (no := margin_only(at)) is not None:
            return no
        size_usd = least(at.perp.size_usd, lambda n: at.after_wad(at.reduction(n)) >= policy.target_wad)
        most_usd = at.most_usd(size_usd)
        if not most_usd:
            return at.refused("caps", "the owner's Executor lets nothing more be closed in this epoch")
        return reduced(at, most_usd, first=not venue.rules.reduces_below)


def margin_only(at: Case) -> Refusal | None:
    """Why nothing is closed: below emergency, where the venue may refuse it."""
    if at.need.venue.rules.reduces_below or not emergency(at.need.before_wad, at.need.policy):
        return None
    return at.refused(
        "margin_only", "below emergency this venue may refuse a reduction: only margin is offered"
    )


def reduced(at: Case, size_usd: int, *, first: bool) -> Proposal | Refusal:
    """The order that closes so much, judged by the venue and by the table of triggers."""
    need, step = at.need, at.reduction(size_usd)
    after_wad = at.after_wad(step)
    refused = need.venue.can(step, need.position, need.means)
    if refused is not None:
        return at.refused("venue_refuses", f"{refused.code}: {refused.why}")
    whole = "all of it is not enough" if size_usd >= at.perp.size_usd else "the Executor's cap allows no more"
    short = "" if after_wad >= need.policy.target_wad else whole
    broken = kept(need.before_wad, after_wad, need.policy, selling=True)
    if broken is not None:
        return at.refused(broken.code, broken.why)
    cost_usd = closing_usd(at, size_usd)
    why = f"{said(at, step, after_wad, short)}; fee and impact {usd_text(cost_usd)}"
    return proposed(at, step, why, cost_usd, first=first)
