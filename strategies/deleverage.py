"""Sell some of the owner's collateral and repay debt with it, in one transaction through the owner's Executor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from keeper.executor import judge
from keeper.model import (
    Block,
    Lender,
    Mandate,
    Means,
    Outlook,
    Policy,
    Position,
    Proposal,
    Refusal,
    Route,
)
from keeper.phrases import amount_text, health_text, usd_text
from keeper.seams import Venue
from strategies.offer import Need, gas_usd, open_need
from strategies.order import WHO, Sale, refused
from strategies.sale import Sold, sized

NEAREST = (
    "above_max",
    "cap",
    "caps",
    "grant_too_small",
    "no_grant",
    "partial_too_small",
    "slippage",
    "flash_fee",
    "venue_refuses",
    "no_source",
    "selling_harms",
    "infeasible",
    "unknown_asset",
    "no_quote",
)
"""Which refusal speaks for several sales: the one nearest to a rescue first."""


class Deleverage:
    """X = (T (D + g) - W) / (T (1 - phi) - lambda) of the collateral whose sale costs least, quotes included."""

    name = WHO

    def propose(
        self, position: Position, outlook: Outlook, policy: Policy, means: Means, venue: Venue, block: Block
    ) -> Proposal | Refusal:
        """The cheapest sale that reaches target, else in an emergency the partial that helps most, else why
        none.
        """
        need = Need(position=position, policy=policy, means=means, venue=venue, block=block)
        nothing = open_need(need, WHO)
        if nothing is not None:
            return nothing
        mandate = means.mandate(position.id)
        if mandate is None:
            return refused("no_executor", "no Executor of the owner is configured, or it could not be read")
        not_ready = judge.ready(mandate, need.before_wad)
        if not_ready is not None:
            return refused(not_ready.code, not_ready.why)
        answers = [sized(sale) for sale in _sales(need, mandate)]
        return _best(need, [a for a in answers if isinstance(a, Sold)]) or _refused(need, mandate, answers)


def _sales(need: Need, mandate: Mandate) -> Iterator[Sale]:
    """Every pair of collateral that counts and debt, by every way that was quoted, with every loan there is."""
    pairs = product((h for h in need.position.collateral if h.threshold_wad), need.position.debt)
    for collateral, debt in pairs:
        for route in need.means.routes:
            if (route.executor, route.sell, route.buy) != (
                mandate.executor,
                collateral.amount.token,
                debt.amount.token,
            ):
                continue
            for lender in _lenders(need.means, route):
                yield Sale(
                    need=need,
                    mandate=mandate,
                    route=route,
                    lender=lender,
                    collateral=collateral,
                    debt=debt,
                )


def _lenders(means: Means, route: Route) -> tuple[Lender | None, ...]:
    """Whose money the sale begins with; the direct pool pays first itself, and for nothing. None: nobody's."""
    if not route.router:
        return (None,)
    # a pool that lends is locked while it does: it cannot be swapped through
    lenders = tuple(
        x
        for x in means.lenders
        if x.executor == route.executor and x.token == route.buy.address and x.pool not in route.pools
    )
    return (*lenders, None)


def _best(need: Need, made: Sequence[Sold]) -> Proposal | None:
    full = [s for s in made if not s.short]
    if full:
        return min((_proposal(need, s) for s in full), key=lambda p: p.cost_usd)
    return _proposal(need, max(made, key=lambda s: s.after_wad)) if made else None


def _refused(need: Need, mandate: Mandate, answers: Sequence[Sold | Refusal]) -> Refusal:
    """One refusal for all: the nearest to a rescue gives the code, each different reason is told."""
    refusals = [a for a in answers if isinstance(a, Refusal)]
    if refusals:
        nearest = min(refusals, key=lambda r: NEAREST.index(r.code) if r.code in NEAREST else len(NEAREST))
        return refused(nearest.code, "; ".join(dict.fromkeys(r.why for r in (nearest, *refusals))))
    if mandate.routers_refused:
        routers = ", ".join(mandate.routers_refused)
        return refused("router_not_allowed", f"no pool swaps directly, and the owner did not allow {routers}")
    return refused("no_quote", "no swap of the collateral into the debt could be quoted")


def _proposal(need: Need, found: Sold) -> Proposal:
    step = found.step
    swap = found.swap_base / 10**need.position.base_decimals
    gas, note = gas_usd(need, step)
    why = (
        f"{WHO} sells at most {amount_text(step.sell_max)} to repay {amount_text(step.repay)} "
        f"({step.source.name.lower()}) for {usd_text(gas + swap)} brings it to {health_text(found.after_wad)}{note}"
    )
    if found.short:
        why += f" - PARTIAL, below target: {found.short}"
    return Proposal(
        ids=(need.position.id,),
        strategy=WHO,
        steps=(step,),
        health_after_wad=found.after_wad,
        spend_usd=0.0,
        gas_usd=gas,
        idle_usd=0.0,
        cost_usd=gas + swap,
        why=why,
        swap_usd=swap,
    )
