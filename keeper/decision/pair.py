"""The rescue of a loan and of the short that hedges it as one problem, beside what two tools would do by themselves.

A fall that endangers the loan has made the short win. Two separate plans pay the loan from the wallet or by a sale of
collateral, and leave the profit where it is. Together, a part of the short is closed, its profit repays the loan, and
the short needs less margin for it. USD and float64; amounts are rounded to units by whoever makes steps of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from keeper.decision.optimise import solve
from keeper.decision.problem import Form, Part, Problem, Solution, Way
from keeper.model import Refusal

LOAN, SHORT = 0, 1
REPAY, SELL, TAKE_PROFIT = "repay_from_wallet", "deleverage", "take_profit"
ADD_MARGIN, REDUCE = "add_margin", "reduce_perp"
WALLET, PROFIT = "wallet", "profit"
Solver = Callable[[Problem], Solution | Refusal]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoanLeg:
    """The loan: collateral times threshold, debt, the health it is to reach."""

    weighted_usd: float
    debt_usd: float
    threshold: float
    target: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortLeg:
    """The short: what it is worth to its owner (margin and profit), what it must keep, the ratio it is to reach."""

    notional_usd: float
    profit_usd: float
    equity_usd: float
    need_usd: float
    target: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Shares of what is moved, and dollars of doing it at all."""

    gas_usd: float
    sale: float
    """Swap and loan of a sale of collateral."""
    close: float
    """Fee and impact of closing a part of the short."""
    order_usd: float
    """What the venue's keeper is paid for an order."""
    idle: float
    """What capital would have earned while it is tied up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Both answers; a Refusal where nothing can be done."""

    joint: Solution | Refusal
    separate: tuple[Solution | Refusal, Solution | Refusal]
    """Loan, short: the loan draws on the wallet first, as lowest health does."""

    @property
    def saves_usd(self) -> float | None:
        """What the joint plan costs less; None where one of the three is no full rescue."""
        parts = (self.joint, *self.separate)
        if not all(isinstance(p, Solution) and all(p.reaches) for p in parts):
            return None
        joint, loan, short = (p.cost_usd for p in parts if isinstance(p, Solution))
        return loan + short - joint

    @property
    def safer(self) -> bool:
        """Whether together both reach their target where separately one does not."""
        reached = [isinstance(p, Solution) and all(p.reaches) for p in (self.joint, *self.separate)]
        return reached[0] and not all(reached[1:])


def weigh(
    loan: LoanLeg, short: ShortLeg, costs: Costs, wallet_usd: float, solver: Solver = solve
) -> Together:
    """The least that brings both to target, together and one by one."""
    alone = _loan_ways(loan, costs, wallet_usd)
    mine = _short_ways(short, costs, wallet_usd)
    both = (*alone, *_profit(short, costs), *(replace(w, position=SHORT) for w in mine))
    forms = (_form(loan.weighted_usd, loan.debt_usd, loan.target), _form(*_ratio(short)))
    resources = {WALLET: wallet_usd, PROFIT: max(short.profit_usd, 0.0)}
    joint = solver(Problem(forms=forms, ways=both, resources=resources))
    first = solver(Problem(forms=forms[:1], ways=alone, resources=resources))
    spent = 0.0
    if isinstance(first, Solution):
        spent = sum(t.usd for t in first.taken if t.way.name == REPAY)
    left = {WALLET: wallet_usd - spent}
    second = solver(Problem(forms=forms[1:], ways=mine, resources=left))
    return Together(joint=joint, separate=(first, second))


def _form(weighted: float, debt: float, floor: float) -> Form:
    return Form(weighted=(weighted,), debt=(debt,), floor=(floor,))


def _ratio(short: ShortLeg) -> tuple[float, float, float]:
    return short.equity_usd, short.need_usd, short.target


def _loan_ways(loan: LoanLeg, costs: Costs, wallet_usd: float) -> tuple[Way, ...]:
    repaid = Part(usd_max=wallet_usd, cost=costs.idle, weighted=(0.0,), debt=(-1.0,))
    sold = Part(
        usd_max=loan.weighted_usd / loan.threshold,
        cost=costs.sale,
        weighted=(-loan.threshold,),
        debt=(-(1.0 - costs.sale),),
    )
    return (
        Way(name=REPAY, position=LOAN, parts=(repaid,), fixed_usd=costs.gas_usd, uses={WALLET: 1.0}),
        Way(name=SELL, position=LOAN, parts=(sold,), fixed_usd=costs.gas_usd),
    )


def _profit(short: ShortLeg, costs: Costs) -> tuple[Way, ...]:
    """Profit paid out and used to repay: an order and a repayment. What is closed needs no margin any more, so the
    short's own ratio only rises."""
    if short.profit_usd <= 0.0:
        return ()
    closed_per_usd = short.notional_usd / short.profit_usd
    part = Part(usd_max=short.profit_usd, cost=closed_per_usd * costs.close, weighted=(0.0,), debt=(-1.0,))
    fixed = 2 * costs.gas_usd + costs.order_usd
    return (Way(name=TAKE_PROFIT, position=LOAN, parts=(part,), fixed_usd=fixed, uses={PROFIT: 1.0}),)


def _short_ways(short: ShortLeg, costs: Costs, wallet_usd: float) -> tuple[Way, ...]:
    added = Part(usd_max=wallet_usd, cost=costs.idle, weighted=(1.0,), debt=(0.0,))
    closed = Part(
        usd_max=short.notional_usd,
        cost=costs.close,
        weighted=(-costs.close,),
        debt=(-short.need_usd / short.notional_usd if short.notional_usd else 0.0,),
    )
    fixed = costs.gas_usd + costs.order_usd
    return (
        Way(name=ADD_MARGIN, position=0, parts=(added,), fixed_usd=fixed, uses={WALLET: 1.0}),
        Way(name=REDUCE, position=0, parts=(closed,), fixed_usd=fixed),
    )
