"""Repay debt from the keeper's own wallet, on behalf of the owner, who need not permit it."""

from __future__ import annotations

from dataclasses import replace

from keeper.model import Amount, Block, Holding, Means, Outlook, Policy, Position, Proposal, Refusal, Repay
from keeper.seams import Venue
from keeper.sizing import owed_up, repay_units_up, value_base_up
from strategies.drawn import Line, Need
from strategies.offer import Offer, best, borrow_rate_ray, offer, open_need


class RepayFromWallet:
    """R = D - W/T of one debt asset that the wallet holds; a rest below the venue's dust limit is repaid
    too.
    """

    name = "repay"

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """The cheapest single repayment that reaches target, else the partial that helps most, else why
        none.
        """
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        refused = open_need(need, self.name)
        if refused is not None:
            return refused
        return repaid(need, Line(who=self.name, size=repay_units_up, step=_repay))


def repaid(need: Need, line: Line) -> Proposal | Refusal:
    """The best repayment of one debt by whoever pays on that line."""
    rate_ray = borrow_rate_ray(need)

    def size(position: Position, holding: Holding, aim_wad: int) -> int:
        units = repay_units_up(position, holding, aim_wad)
        return owed_up(units, rate_ray) if units >= holding.amount.units else units

    line = replace(line, size=size)
    return best(need, line, [_offer(need, h, line) for h in need.position.debt])


def _repay(amount: Amount) -> Repay:
    return Repay(amount=amount)


def _offer(need: Need, holding: Holding, line: Line) -> Offer | Refusal:
    """A repayment of one debt; it becomes a full close where it would leave dust and the means allow
    closing.
    """
    usual = offer(need, holding, line)
    if isinstance(usual, Refusal) or not _leaves_dust(need, holding, usual):
        return usual
    whole = owed_up(holding.amount.units, borrow_rate_ray(need))
    close = offer(need, holding, replace(line, size=lambda position, holding, aim_wad: whole))
    closes = isinstance(close, Offer) and close.step.amount.units >= holding.amount.units
    return close if closes else usual


def _leaves_dust(need: Need, holding: Holding, found: Offer) -> bool:
    left = holding.amount.units - found.step.amount.units
    worth = value_base_up(left, holding.price_base, holding.amount.token.decimals) if left > 0 else 0
    return 0 < worth < need.venue.rules.dust_base
