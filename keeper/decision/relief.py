"""A loan in need whose hedge has won: close a part of the short, and let its profit repay the loan.

Beside the loan's own way stands the joint one: an order on the short, whose profit the venue pays to the owner, and a
repayment by his Executor once it is there. It is taken where it brings to target what by itself stays below, or where
it costs clearly less; never below emergency, where nobody waits for a second step, and once in a danger.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from keeper.decision.acting import Needy, Pick, ask
from keeper.decision.joint import SAVES_SHARE, SAVES_USD
from keeper.decision.legs import HEDGE_PROFIT, Relief
from keeper.decision.pair import TAKE_PROFIT, Costs, LoanLeg, ShortLeg, Together, weigh
from keeper.decision.problem import Solution
from keeper.errors import Broken
from keeper.model import (
    Deleverage,
    Mandate,
    MandateAsset,
    Means,
    Perp,
    Policy,
    Position,
    Proposal,
    Refusal,
    Rejection,
    Side,
    Step,
)
from keeper.model.perp import USD_DECIMALS
from keeper.phrases import usd_text
from keeper.triggers import emergency, gas_cap_usd
from keeper.units import WAD

PAYS = "repay_from_reserve"
"""The way by which an owner's own money repays his loan."""
USD = 10**USD_DECIMALS
NO_SALE = 1.0
"""Where nothing can be sold, a sale brings nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relieved:
    """The joint plan: the order now, the repayment when its profit has arrived."""

    order: Proposal
    then: Proposal
    rejected: tuple[Rejection, ...]
    why: str


def relieved(need: Needy, pick: Pick, relief: Relief | None) -> Relieved | Rejection | None:
    """The joint plan where it is safer or cheaper; why it is not, where there was one to weigh; else None."""
    if relief is None or relief.tried or relief.wait or emergency(need.case.health_wad, need.policy):
        return None
    if relief.stopped:
        why = f"no part of the hedge is closed: the loan itself is stopped, {relief.stopped}"
        return Rejection(strategy=HEDGE_PROFIT, code="stopped", why=why)
    if pick.settled:
        return None  # the owner's stop-loss comes before every other way
    short = need.snapshot.position(relief.short)
    perp = short.perp if short is not None else None
    busy = relief.short in need.options.open_intents
    if short is None or perp is None or perp.pnl_usd <= 0 or perp.long or perp.pending is not None or busy:
        return None
    found = _realised(need, relief, short, perp)
    if isinstance(found, Refusal):
        return Rejection(strategy=HEDGE_PROFIT, code=found.code, why=found.why)
    order, then = found
    cost = order.cost_usd + then.cost_usd
    told = f"{usd_text(cost)} together instead of {usd_text(pick.cost_usd)}"
    reckoned = _reckoned(need, pick, (short, perp, relief.policy), found)
    if isinstance(reckoned, str):
        return Rejection(strategy=HEDGE_PROFIT, code="together", why=f"{reckoned}; {told}", cost_usd=cost)
    grade = need.grade((then,))
    safer = grade > pick.grade
    cheaper = pick.cost_usd - cost > max(SAVES_USD, SAVES_SHARE * pick.cost_usd)
    if pick.best is not None and not safer and (grade < pick.grade or not cheaper):
        return Rejection(strategy=HEDGE_PROFIT, code="together", why=f"would cost {told}", cost_usd=cost)
    own = () if pick.best is None else (_passed_over(pick.best, told),)
    why = f"{order.why}; its profit repays the loan: {then.why}"
    if pick.best is not None:
        why += f" ({'safer' if safer else 'cheaper'}: {told})"
    return Relieved(order=order, then=then, rejected=(*own, *pick.rejected), why=why)


def _realised(
    need: Needy, relief: Relief, short: Position, perp: Perp
) -> tuple[Proposal, Proposal] | Refusal:
    """(the order, the repayment), each sized by its strategy and judged by its venue's arithmetic."""
    mandate, venue = need.snapshot.means.mandate(need.id), need.options.venue(relief.short)
    listed = None if mandate is None else mandate.asset(perp.collateral, Side.DEBT)
    if mandate is None or listed is None or venue is None or not perp.stable:
        why = f"the profit is paid in {perp.collateral.symbol} to the owner, and no Executor of his repays with it"
        return _no("no_executor", why)
    paid = perp.pnl_usd // max(perp.collateral_price, 1)
    then = ask(need, PAYS, _with_profit(need.snapshot.means, mandate, listed, paid))
    if isinstance(then, Refusal):
        return _no(then.code, f"with all of the profit {PAYS}: {then.why}")
    if then[1] == 0:
        return _no("partial", f"all of the profit does not bring it to target: {then[0].why}")
    missing = sum(s.amount.units for s in then[0].steps) - listed.funds
    if missing <= 0:
        return _no("not_needed", "the owner's own money repays it without the hedge")
    order = relief.take(short, relief.policy, need.snapshot, venue, missing * perp.collateral_price)
    if isinstance(order, Refusal):
        return order
    cap_usd = gas_cap_usd(need.case.health_wad, need.policy)
    if max(order.gas_usd, then[0].gas_usd) > cap_usd:
        return _no("gas_cap", f"gas {usd_text(max(order.gas_usd, then[0].gas_usd))} > cap ${cap_usd}")
    return order, then[0]


def _with_profit(means: Means, mandate: Mandate, listed: MandateAsset, units: int) -> Means:
    """The means as they will be when so much has been paid to the owner."""
    wallet = listed.wallet + units
    richer = replace(listed, wallet=wallet, funds=listed.reserve + min(listed.allowed, wallet))
    assets = tuple(richer if a is listed else a for a in mandate.assets)
    changed = replace(mandate, assets=assets)
    return replace(means, mandates=tuple(changed if m is mandate else m for m in means.mandates))


def _reckoned(
    need: Needy, pick: Pick, leg: tuple[Position, Perp, Policy], found: tuple[Proposal, Proposal]
) -> Together | str:
    """Both legs weighed at once, and that the profit is part of the best plan; else why not."""
    loan, short = _loan_leg(need), _short_leg(leg[1], leg[2])
    if loan is None:
        return "the loan's weights cannot be told"
    sale = next((p for p in pick.offered if _sells(p.steps)), None)
    order, then = found
    costs = Costs(
        gas_usd=then.gas_usd,
        sale=NO_SALE if sale is None or sale.spend_usd <= 0 else min(sale.swap_usd / sale.spend_usd, NO_SALE),
        close=order.swap_usd / max(_closed_usd(order, leg[1]), 1e-9),
        order_usd=max(order.gas_usd - then.gas_usd, 0.0),
        idle=need.policy.idle_rate * need.policy.horizon_days / 365,
    )
    wallet = sum(p.spend_usd for p in pick.offered if p.strategy == "repay")
    try:
        both = weigh(loan, short, costs, wallet, need.options.solver)
    except Broken as error:
        return f"not weighed, the optimiser gave up: {error}"
    joint = both.joint
    if isinstance(joint, Solution) and any(t.way.name == TAKE_PROFIT for t in joint.taken):
        return both
    return "weighed together, the hedge is not part of the best plan"


def _loan_leg(need: Needy) -> LoanLeg | None:
    unit = 10**need.position.base_decimals
    held = sum(h.value_base for h in need.position.collateral if h.threshold_wad)
    weighted = sum(h.value_base * h.threshold_wad for h in need.position.collateral) / WAD
    debt = sum(h.value_base for h in need.position.debt)
    if not (held and weighted and debt):
        return None
    return LoanLeg(
        weighted_usd=weighted / unit,
        debt_usd=debt / unit,
        threshold=weighted / held,
        target=need.policy.target_wad / WAD,
    )


def _short_leg(perp: Perp, policy: Policy) -> ShortLeg:
    """In the venue's own dollars: what remains over what must; its policy's target is a distance, so 1 is asked."""
    return ShortLeg(
        notional_usd=perp.tokens * perp.index_price / USD,
        profit_usd=perp.pnl_usd / USD,
        equity_usd=perp.remaining_usd / USD,
        need_usd=perp.need_usd / USD,
        target=max(policy.emergency_wad / WAD, 1.0),
    )


def _closed_usd(order: Proposal, perp: Perp) -> float:
    return float(sum(s.amount.units for s in order.steps) * perp.index_price / USD)


def _sells(steps: tuple[Step, ...]) -> bool:
    return any(isinstance(s, Deleverage) for s in steps)


def _passed_over(best: Proposal, told: str) -> Rejection:
    why = f"would cost {usd_text(best.cost_usd)} by itself, but with the hedge it is {told}"
    return Rejection(strategy=best.strategy, code="together", why=why, cost_usd=best.cost_usd)


def _no(code: str, why: str) -> Refusal:
    return Refusal(who=HEDGE_PROFIT, code=code, why=why)
