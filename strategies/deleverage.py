"""Sell some of the owner's collateral and repay debt with it, in one transaction through the owner's Executor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
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
    Rejection,
    Route,
)
from keeper.model import Deleverage as Step
from keeper.phrases import amount_text, health_text, usd_text
from keeper.seams import Venue
from keeper.sizing import value_base_up
from strategies.drawn import Need
from strategies.offer import gas_usd, open_need
from strategies.sale import Sold, sized
from strategies.selling import WHO, Sale, refused

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
    "too_many_steps",
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
        if policy.deleverage_times and mandate.terms.seq >= policy.deleverage_times:
            why = f"the Executor has acted {mandate.terms.seq} times, deleverage_times = {policy.deleverage_times}"
            return refused("one_shot_done", why)
        answers = [sized(sale) for sale in sales(need, mandate)]
        made = [a for a in answers if isinstance(a, Sold)]
        return best_of(need, made, WHO) or none_of(mandate, answers)


def sales(need: Need, mandate: Mandate) -> Iterator[Sale]:
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
    # step by step only one way is gone at a time, and an offer has one size
    return lenders if route.legs or route.calldata else (*lenders, None)


def best_of(need: Need, made: Sequence[Sold], who: str) -> Proposal | None:
    """The cheapest that reaches the goal, else what lifts health most; with the other sales and their cost."""
    if not made:
        return None
    priced = [(s, proposed(need, s, who)) for s in made]
    full = [x for x in priced if not x[0].short]
    taken = min(full, key=lambda x: x[1].cost_usd) if full else max(priced, key=lambda x: x[0].after_wad)
    others = tuple(_other(s, p) for s, p in priced if s is not taken[0])
    return replace(taken[1], others=others)


def _other(sold: Sold, p: Proposal) -> Rejection:
    """A sale of the same strategy that was not taken."""
    step = sold.step
    way = f"{step.sell_max.token.symbol} for {step.repay.token.symbol} ({_way(step)})"
    why = f"{way} would cost {usd_text(p.cost_usd)}"
    why += f" and reach only {health_text(sold.after_wad)}" if sold.short else ""
    return Rejection(
        strategy=p.strategy, code="partial" if sold.short else "dearer", why=why, cost_usd=p.cost_usd
    )


def _way(step: Step) -> str:
    name = step.source.name.lower()
    return f"{name}, {len(step.sells)} steps" if step.sells else name


def none_of(mandate: Mandate, answers: Sequence[Sold | Refusal]) -> Refusal:
    """One refusal for all: the nearest to a rescue gives the code, each different reason is told."""
    refusals = [a for a in answers if isinstance(a, Refusal)]
    if refusals:
        nearest = min(refusals, key=lambda r: NEAREST.index(r.code) if r.code in NEAREST else len(NEAREST))
        return refused(nearest.code, "; ".join(dict.fromkeys(r.why for r in (nearest, *refusals))))
    if mandate.routers_refused:
        routers = ", ".join(mandate.routers_refused)
        return refused("router_not_allowed", f"no pool swaps directly, and the owner did not allow {routers}")
    return refused("no_quote", "no swap of the collateral into the debt could be quoted")


def proposed(need: Need, found: Sold, who: str) -> Proposal:
    """A sale with its price: gas, what the swap loses against the oracle, and of that the flash loan's fee."""
    step = found.step
    swap = found.swap_base / 10**need.position.base_decimals
    gas, note = gas_usd(need, step)
    most = "" if step.sell_all else "at most "
    why = (
        f"{who} sells {most}{amount_text(step.sell_max)} to repay {amount_text(step.repay)} "
        f"({_way(step)}) for {usd_text(gas + swap)} brings it to {health_text(found.after_wad)}{note}"
    )
    if found.short:
        why += f" - PARTIAL, below target: {found.short}"
    return Proposal(
        ids=(need.position.id,),
        strategy=who,
        steps=(step,),
        health_after_wad=found.after_wad,
        spend_usd=0.0,
        gas_usd=gas,
        idle_usd=0.0,
        cost_usd=gas + swap,
        why=why,
        swap_usd=swap,
        flash_usd=min(swap, _flash_usd(need, step)),
    )


def _flash_usd(need: Need, step: Step) -> float:
    debt = next((h for h in need.position.debt if h.amount.token == step.repay.token), None)
    if debt is None or not step.fee_units:
        return 0.0
    base = value_base_up(step.fee_units, debt.price_base, step.repay.token.decimals)
    return float(base) / 10.0**need.position.base_decimals
