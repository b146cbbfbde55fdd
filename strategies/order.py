"""A sale as the step that does it: how much is repaid, what that takes at the quotes, and at the most."""

from __future__ import annotations

from dataclasses import replace

from keeper.executor import judge, quotes, rules, splits
from keeper.model import Amount, Deleverage, Refusal, Side, Source
from keeper.phrases import amount_text
from keeper.sizing import owed_up, value_base_up
from keeper.units import BPS, mul_div_down, mul_div_up
from strategies.offer import borrow_rate_ray
from strategies.selling import Sale, refused
from strategies.unwind import in_steps

TOLERANCES_BPS = (50, 10)
"""How much dearer than quoted a sale may become: the usual, and a narrow one where the first could overshoot.
Below emergency, all that the owner allows against the oracle: speed goes before price."""
DEADLINE_S = 180
"""The Executor takes no order later than this after the block that it was planned at."""


def step_of(sale: Sale, repay: int, tolerance_bps: int) -> Deleverage | Refusal:
    """The step that repays so much (all, where that is more than is owed or would leave dust)."""
    debt = sale.debt
    left = debt.amount.units - repay
    worth = value_base_up(left, debt.price_base, debt.amount.token.decimals) if left > 0 else 0
    least = 1 if sale.leaves_dust else sale.need.venue.rules.dust_base
    whole = worth < least if left > 0 else True
    if whole:
        repay = owed_up(debt.amount.units, borrow_rate_ray(sale.need))
    fee = sale.fee_up(repay)
    if (no := _unlent(sale, repay, fee)) is not None:
        return no
    # what sells an exact amount brings less at a worse price; what buys one takes more
    margin_bps = tolerance_bps if sale.source is Source.STEPWISE else 0
    sold = quotes.sold_up(sale.route, mul_div_up(repay + fee, BPS + margin_bps, BPS))
    if sold is None:
        wanted = amount_text(Amount(token=debt.amount.token, units=repay))
        return refused("no_quote", f"no pool that was asked pays {wanted}")
    allowed = _allowed(sale, repay + fee)
    if allowed < sold:
        bps = sale.mandate.terms.slippage_bps
        return refused("slippage", f"the swap would cost more than the {bps} bps that the owner allows")
    widest = mul_div_down(sold, BPS + tolerance_bps - margin_bps, BPS)
    draft = _draft(sale, (repay, fee, sold, min(allowed, widest)), whole)
    return in_steps(sale, draft) if sale.source is Source.STEPWISE else draft


def _unlent(sale: Sale, repay: int, fee: int) -> Refusal | None:
    """Why the lender does not do: too little there, or dearer than the owner allows."""
    if sale.lender is None:
        return None
    name, most = sale.lender.source.name.lower(), repay * sale.mandate.terms.flash_fee_bps // BPS
    if sale.lender.cash_units < repay:
        return refused("no_source", f"{name} has less than {repay} units to lend")
    return refused("flash_fee", f"{name} costs {fee} units, the owner allows {most}") if fee > most else None


def _draft(sale: Sale, units: tuple[int, int, int, int], whole: bool) -> Deleverage:
    repay, fee, sold, sell_max = units
    lender, route, mandate = sale.lender, sale.route, sale.mandate
    return Deleverage(
        executor=mandate.executor,
        key=mandate.key,
        seq=mandate.terms.seq,
        deadline_s=sale.need.block.timestamp_s + DEADLINE_S,
        sell_max=Amount(token=sale.collateral.amount.token, units=sell_max),
        sold=sold,
        repay=Amount(token=sale.debt.amount.token, units=repay),
        whole=whole,
        source=sale.source,
        source_token=lender.other_token if lender is not None else "",
        source_fee=lender.pool_fee if lender is not None and lender.other_token else 0,
        fee_units=fee,
        router=route.router,
        fees=route.fees,
        via=route.via,
        shares=splits.shares(route, repay + fee),
        calldata=route.calldata,
    )


def at_quote(step: Deleverage) -> Deleverage:
    """The same if it sells no more than was quoted: where health ends highest."""
    if step.source is Source.STEPWISE:
        better = mul_div_up(step.repay.units, BPS + max(TOLERANCES_BPS), BPS)
        return replace(step, repay=replace(step.repay, units=better))
    return replace(step, sell_max=Amount(token=step.sell_max.token, units=step.sold))


def _allowed(sale: Sale, bought: int) -> int:
    """Most collateral that the Executor gives for so much, by the oracle's prices."""
    collateral = judge.asset(sale.mandate, sale.collateral.amount.token, Side.COLLATERAL)
    debt = judge.asset(sale.mandate, sale.debt.amount.token, Side.DEBT)
    if isinstance(collateral, Refusal) or isinstance(debt, Refusal):
        return 0
    prices = (sale.collateral.price_base, sale.debt.price_base)
    return rules.most_sold(sale.mandate.terms, (collateral.unit, debt.unit), prices, bought)
