"""Makes smaller what a rule of the owner's found too large: one sale of named tokens, or a part of a perpetual."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from keeper.executor import judge
from keeper.model import Mandate, Policy, Proposal, Reduce, Refusal
from keeper.units import UINT256_MAX
from strategies.close_position import closed
from strategies.deleverage import best_of, none_of, sales
from strategies.drawn import Need
from strategies.offer import open_need
from strategies.perp import Case, in_need, least
from strategies.reduce_perp import margin_only, reduced
from strategies.sale import Sold, sized
from strategies.selling import Sale

NOT_WANTED = "level_not_reached"
CANNOT = "cannot_reduce"
"""Over a limit, and no step of the keeper makes it less."""


def wanted(policy: Policy, who: str) -> tuple[Reduce, ...]:
    """What the strategy is asked for at this block."""
    return tuple(r for r in policy.reduces if r.by == who)


def smaller(need: Need, who: str, calm: str) -> Proposal | Refusal:
    """The first of what is wanted that can be done, before every other way; else why none. ``calm``: the words where
    nothing is wanted.
    """
    reduces = wanted(need.policy, who)
    if not reduces:
        return Refusal(who=who, code=NOT_WANTED, why=calm)
    doable = [r for r in reduces if r.targets]
    if not doable:
        why = "; ".join(r.why for r in reduces)
        return Refusal(who=who, code=CANNOT, why=f"{why}: no step of the keeper makes it less")
    if need.position.perp is not None:
        return _of_perp(need, who, doable[0])
    nothing = open_need(need, who)
    if nothing is not None:
        return nothing
    mandate = need.means.mandate(need.position.id)
    if mandate is None:
        return Refusal(
            who=who, code="no_executor", why="no Executor of the owner is configured, or it could not be read"
        )
    not_ready = judge.ready(mandate, need.before_wad)
    if not_ready is not None:
        return Refusal(who=who, code=not_ready.code, why=not_ready.why)
    return _of_loan(need, who, mandate, doable)


def _of_perp(need: Need, who: str, wanted: Reduce) -> Proposal | Refusal:
    at = in_need(need, who)
    if not isinstance(at, Case):
        return at
    if (no := margin_only(at)) is not None:
        return no
    all_of_it = at.perp.size_usd
    # an order bars the next one until it ended: one that leaves the position in need would keep the rescue waiting
    rescue = least(all_of_it, lambda n: at.after_wad(at.reduction(n)) >= need.policy.target_wad)
    size_usd = _bounded(at, max(min(wanted.size_usd or all_of_it, all_of_it), rescue), rescue)
    found = reduced(at, size_usd, first=True)
    return _said(found, wanted, need.policy) if isinstance(found, Proposal) else found


def _bounded(at: Case, size_usd: int, least_usd: int) -> int:
    """No more than max_health allows, and no less than the rescue; to close all is always allowed."""
    most = at.need.policy.max_health_wad
    if not most < at.after_wad(at.reduction(size_usd)) < UINT256_MAX:
        return size_usd
    return max(least_usd, least(size_usd, lambda n: at.after_wad(at.reduction(n)) > most) - 1)


def _said(found: Proposal, wanted: Reduce, policy: Policy) -> Proposal:
    """With the reason in front; before every other way only where it is a whole rescue by itself."""
    return replace(
        found,
        first=found.health_after_wad >= policy.target_wad,
        why=f"{wanted.why}: {found.why}",
    )


def _of_loan(need: Need, who: str, mandate: Mandate, reduces: Sequence[Reduce]) -> Proposal | Refusal:
    answers, partial = list[Sold | Refusal](), list[Proposal]()
    for reduce in reduces:
        for target_wad in reduce.targets:
            tried = _tried(need, mandate, reduce, target_wad)
            made = [a for a in tried if isinstance(a, Sold)]
            best = best_of(need, made, who)
            if best is not None and not all(s.short for s in made):
                return _said(best, reduce, need.policy)
            # in an emergency less than was wanted: a way like any other, and the one that helps most
            partial += [] if best is None else [_said(best, reduce, need.policy)]
            answers += tried
    if partial:
        return max(partial, key=lambda p: p.health_after_wad)
    no = none_of(mandate, answers)
    return Refusal(who=who, code=no.code, why=no.why)


def _tried(need: Need, mandate: Mandate, reduce: Reduce, target_wad: int) -> list[Sold | Refusal]:
    """Every sale that the reduction allows, at one of its targets."""
    if target_wad == UINT256_MAX:
        if len(need.position.debt) > 1:
            why = "one sale closes one debt, and several are owed"
            return [Refusal(who=reduce.by, code="several_debts", why=why)]
        return [closed(sale) for sale in _allowed(need, mandate, reduce)]
    # below trigger a sale restores target, whatever else it is for
    aim = max(target_wad, need.policy.target_wad)
    aimed = replace(need, policy=replace(need.policy, target_wad=aim))
    return [sized(sale) for sale in _allowed(aimed, mandate, reduce)]


def _allowed(need: Need, mandate: Mandate, reduce: Reduce) -> Iterator[Sale]:
    for sale in sales(need, mandate):
        sold, repaid = sale.collateral.amount.token.address, sale.debt.amount.token.address
        if (not reduce.sell or sold in reduce.sell) and (not reduce.repay or repaid in reduce.repay):
            yield sale
