"""Stop-loss: repay the whole debt out of the collateral at a level of health or price that the owner set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keeper.executor import judge
from keeper.exits import stopped
from keeper.model import Amount, Block, Deleverage, Means, Outlook, Policy, Position, Proposal, Refusal
from keeper.phrases import health_text
from keeper.seams import Venue
from keeper.triggers import emergency
from keeper.units import UINT256_MAX
from strategies.deleverage import best_of, none_of, sales
from strategies.drawn import Need
from strategies.offer import open_need
from strategies.order import TOLERANCES_BPS, step_of
from strategies.room import sellable
from strategies.sale import Sold, judged
from strategies.selling import Sale

WHO = "close_position"
DEBT = "debt"


class ClosePosition:
    """``close_to = collateral`` sells just enough for the whole debt; ``debt`` sells all of it by a router, and what
    is left over is the owner's, in the debt's asset.
    """

    name = WHO

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """The cheapest sale that leaves no debt, before any other way; else why none."""
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        nothing = open_need(need, WHO)
        if nothing is not None:
            return nothing
        level = reached(position, policy)
        if not level:
            return _no("level_not_reached", "neither close_at nor a price of close_prices is reached")
        return sold_out(need, WHO, f"STOP-LOSS, {level}")


def sold_out(need: Need, who: str, why: str) -> Proposal | Refusal:
    """The cheapest sale of a loan's collateral that leaves no debt, first of all ways, the why in front."""
    if len(need.position.debt) > 1:
        return _no("several_debts", "one sale closes one debt, and several are owed", who)
    mandate = need.means.mandate(need.position.id)
    if mandate is None:
        return _no("no_executor", "no Executor of the owner is configured, or it could not be read", who)
    not_ready = judge.ready(mandate, need.before_wad)
    if not_ready is not None:
        return _no(not_ready.code, not_ready.why, who)
    answers = [closed(sale) for sale in sales(need, mandate)]
    best = best_of(need, [a for a in answers if isinstance(a, Sold)], who)
    if best is None:
        no = none_of(mandate, answers)
        return _no(no.code, no.why, who)
    return replace(best, first=True, why=f"{why}: {best.why}")


def reached(position: Position, policy: Policy) -> str:
    """Which level of the stop-loss is reached, in words; "" where none is.

    Health below ``close_at``; or collateral at or below its price, debt at or above it (the venue's own prices).
    """
    health = position.health_wad
    if health is not None and health < policy.close_at_wad:
        return f"health {health_text(health)} < close_at {health_text(policy.close_at_wad)}"
    return stopped(position, policy)


def closed(sale: Sale) -> Sold | Refusal:
    """The sale that leaves no debt, with the narrowest of the usual tolerances that the Executor takes."""
    answer: Sold | Refusal = _no("no_quote", "nothing was quoted")
    for width in _widths(sale):
        step = step_of(sale, sale.debt.amount.units, width)
        if isinstance(step, Refusal):
            answer = step
            continue
        step = _all(sale, step) if sale.need.policy.close_to == DEBT else step
        answer = step if isinstance(step, Refusal) else _within(sale, step)
        if isinstance(answer, Sold):
            return answer
    return answer


def _widths(sale: Sale) -> Iterator[int]:
    if emergency(sale.need.before_wad, sale.need.policy):
        yield max(0, sale.mandate.terms.slippage_bps)
    yield from TOLERANCES_BPS


def _all(sale: Sale, step: Deleverage) -> Deleverage | Refusal:
    """The same, selling all of the collateral: only a router is told how much to sell."""
    if not step.router or step.sells or not step.fees:
        return _no(
            "router_not_allowed",
            "closing to debt sells an exact amount: it needs an allowed router and a loan",
        )
    every = Amount(token=step.sell_max.token, units=sale.collateral.amount.units)
    return replace(step, sell_max=every, sold=every.units, sell_all=True)


def _within(sale: Sale, step: Deleverage) -> Sold | Refusal:
    most, binding = sellable(sale)
    if step.sell_max.units > most:
        return _no(binding.code, binding.why)
    found = judged(sale, step, "")
    if isinstance(found, Sold) and found.after_wad != UINT256_MAX:
        return _no("infeasible", f"the sale would leave debt, at health {health_text(found.after_wad)}")
    return found


def _no(code: str, why: str, who: str = WHO) -> Refusal:
    return Refusal(who=who, code=code, why=why)
