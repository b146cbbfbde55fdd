"""Add margin to a perpetual position from the keeper's own wallet, by an order of its owner's subaccount."""

from __future__ import annotations

from keeper.model import AddMargin as Step
from keeper.model import Amount, Block, Means, Outlook, Policy, Position, Proposal, Refusal
from keeper.phrases import amount_text, health_text
from keeper.seams import Venue
from keeper.sizing import units_down
from keeper.triggers import kept, spend_cap_usd
from strategies.drawn import Need
from strategies.perp import Case, in_need, least, proposed, said


class AddMargin:
    """The least margin that brings health to target, else as much as there is."""

    name = "add_margin"

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """One order that reaches target, else the partial that helps most, else why none."""
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        at = in_need(need, self.name)
        if not isinstance(at, Case):
            return at
        most = _most(at)
        if isinstance(most, Refusal):
            return most
        units = least(most[0], lambda n: at.after_wad(_step(at, n)) >= policy.target_wad)
        step = _step(at, units)
        after_wad = at.after_wad(step)
        short = (
            ""
            if after_wad >= policy.target_wad
            else f"{amount_text(step.amount)} is all that the {most[1]} allows"
        )
        refused = venue.can(step, position, means)
        if refused is not None:
            return at.refused("venue_refuses", f"{refused.code}: {refused.why}")
        broken = kept(need.before_wad, after_wad, policy)
        if broken is not None:
            return at.refused("insufficient_means" if short else broken.code, f"{broken.why}; {short}")
        return proposed(at, step, said(at, step, after_wad, short), 0.0)


def _step(at: Case, units: int) -> Step:
    return Step(amount=Amount(token=at.perp.collateral, units=units), fee_wei=at.fee_wei(increases=True))


def _most(at: Case) -> tuple[int, str] | Refusal:
    """(collateral units that may be spent, which limit binds), or why none."""
    need, token = at.need, at.perp.collateral
    price_base = at.perp.collateral_price * 10**token.decimals
    cap_usd = spend_cap_usd(need.policy, 0.0)
    limits = {
        "wallet": need.means.balance(token),
        "allowance": need.means.allowance(token, need.venue.spender),
        "cap": units_down(cap_usd * 10**need.position.base_decimals, price_base, token.decimals),
    }
    if (bounds := at.perp.acting.bounds) is not None:
        limits["Executor's cap"] = bounds.margin_left
    binding = min(limits, key=lambda name: limits[name])
    if limits[binding] > 0:
        return limits[binding], binding
    code = {"wallet": "insufficient_means", "allowance": "no_allowance"}.get(binding, "caps")
    health = health_text(need.before_wad)
    return at.refused(code, f"the {binding} allows no {token.symbol} for a position at health {health}")
