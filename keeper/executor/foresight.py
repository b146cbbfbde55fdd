"""What is known of a step before it is sent, at its worst end: what the Executor's rules are asked with."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.executor import quotes, rules
from keeper.executor.rules import Deal, Halt, Purse
from keeper.model import (
    Amount,
    Deleverage,
    Holding,
    Lender,
    Mandate,
    Means,
    Position,
    Refusal,
    Repay,
    Side,
    Source,
    Supply,
)
from keeper.phrases import amount_text
from keeper.units import mul_div_up

UNTOUCHED = ("vault_given_away",)
"""What a venue says in words that the Executor has too: told by its own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """A position and its means at the block read, and what the venue says of the step."""

    position: Position
    means: Means
    after_wad: int
    """Health at the end of the step by the venue's own arithmetic."""
    refused: Refusal | None
    """Why the protocol would not do its part."""


def deal(mandate: Mandate, step: Deleverage, ahead: Ahead) -> Deal:
    """All of ``sell_max`` sold, for no more than what the step needs; prices and loan as they were read."""
    sold_of, owed_of = _held(ahead.position.collateral, step.sell_max), _held(ahead.position.debt, step.repay)
    prices = (sold_of.price_base if sold_of else 0, owed_of.price_base if owed_of else 0)
    # all that is owed by then: an hour's interest is in it
    owed = step.repay.units if step.whole else owed_of.amount.units if owed_of else 0
    loan = _lender(step, ahead.means)
    fee = quotes.fee_up(loan, step.repay.units) if loan is not None else 0
    bought, sold = step.repay.units + (fee if loan is not None else step.fee_units), step.sell_max.units
    if (
        step.sell_all
    ):  # it brings what the price bound asks, or the Executor reverts: nothing less is promised
        bought = max(bought, _least(mandate, step, prices))
    return Deal(
        owed=owed,
        price_collateral=prices[0],
        price_debt=prices[1],
        swap_there=bool(step.router) or _pool_there(step, ahead.means),
        lender_there=loan is not None and loan.cash_units >= step.repay.units,
        fee=fee,
        bought=bought,
        sold=sold,
        health_after_wad=ahead.after_wad,
        steps=tuple((units, mul_div_up(step.repay.units, units, max(sold, 1))) for units in step.sells),
        halt=_halt(mandate, step, ahead.refused),
    )


def purse(mandate: Mandate, step: Supply | Repay, ahead: Ahead) -> Purse:
    """What a payment into the position meets."""
    repays = isinstance(step, Repay)
    listed = mandate.asset(step.amount.token, Side.DEBT if repays else Side.COLLATERAL)
    owed = _held(ahead.position.debt, step.amount) if repays else None
    return Purse(
        # a venue that is paid more than is owed takes what is owed; nothing owed is its own no
        owed=owed.amount.units if owed is not None else step.amount.units,
        reserve=listed.reserve if listed is not None else 0,
        wallet=listed.wallet if listed is not None else 0,
        granted=listed.allowed if listed is not None else 0,
        health_after_wad=ahead.after_wad,
        halt=_venue_halt(ahead.refused),
    )


def _halt(mandate: Mandate, step: Deleverage, refused: Refusal | None) -> Halt | None:
    listed = mandate.asset(step.sell_max.token, Side.COLLATERAL)
    if listed is not None and listed.held < step.sell_max.units:
        return Halt(code="no_collateral", why=f"the owner holds less than {amount_text(step.sell_max)}")
    return _venue_halt(refused)


def _venue_halt(refused: Refusal | None) -> Halt | None:
    if refused is None:
        return None
    code, why = named(refused)
    return Halt(code=code, why=why)


def named(refused: Refusal) -> tuple[str, str]:
    """(code, why) of a venue's no, among refusals of others."""
    if refused.code in UNTOUCHED:
        return refused.code, refused.why
    return "venue_refuses", f"{refused.code}: {refused.why}"


def _lender(step: Deleverage, means: Means) -> Lender | None:
    """The loan that the step names, as it was read at this block."""
    for loan in means.lenders:
        if (loan.executor, loan.source, loan.token) != (step.executor, step.source, step.repay.token.address):
            continue
        pool = (loan.other_token, loan.pool_fee)
        if step.source is not Source.UNISWAP_V3_FLASH or pool == (step.source_token, step.source_fee):
            return loan
    return None


def _pool_there(step: Deleverage, means: Means) -> bool:
    ends = (step.executor, step.sell_max.token, step.repay.token, step.fees, "")
    return any((r.executor, r.sell, r.buy, r.fees, r.router) == ends for r in means.routes)


def _least(mandate: Mandate, step: Deleverage, prices: tuple[int, int]) -> int:
    """Least debt units that the price bound takes for all of ``sell_max``."""
    sold, bought = (
        mandate.asset(step.sell_max.token, Side.COLLATERAL),
        mandate.asset(step.repay.token, Side.DEBT),
    )
    if sold is None or bought is None:
        return 0
    return rules.least_bought(mandate.terms, (sold.unit, bought.unit), prices, step.sell_max.units)


def _held(side: tuple[Holding, ...], amount: Amount) -> Holding | None:
    return next((h for h in side if h.amount.token == amount.token), None)
