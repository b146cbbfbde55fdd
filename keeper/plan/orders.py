"""The guard's word on orders for perpetual positions: means, fee, and that the calldata is the step's and no more."""

from __future__ import annotations

from keeper.executor import perp as calldata
from keeper.executor import perp_bounded
from keeper.executor.perp import DECREASE, INCREASE, STOP_LOSS, PerpOrderCall
from keeper.model import (
    AddMargin,
    CancelOrder,
    PerpStep,
    PlaceStop,
    Plan,
    Position,
    ReducePerp,
    Refusal,
    Snapshot,
)
from keeper.phrases import amount_text
from keeper.seams import OneOfMany, Venue
from keeper.units import WAD, mul_div_down, mul_div_up

SLIP_MOST_BPS = 1_500
"""No order may be filled so much worse than the price it is judged at, or than its own trigger."""
BPS = 10_000
_KINDS = {AddMargin: INCREASE, ReducePerp: DECREASE, PlaceStop: STOP_LOSS}


def means(plan: Plan, step: PerpStep, position: Position, venue: Venue, snapshot: Snapshot) -> Refusal | None:
    """Whether wallet and venue would carry the step: margin, fee of the execution, and what the venue says."""
    have = snapshot.means
    if isinstance(step, AddMargin):
        if have.balance(step.amount.token) < step.amount.units:
            return _no("insufficient_means", f"the wallet holds less than {amount_text(step.amount)}")
        if have.allowance(step.amount.token, venue.spender) < step.amount.units:
            return _no("no_allowance", f"less than {amount_text(step.amount)} is granted to {venue.spender}")
    perp = position.perp
    if perp is not None and not isinstance(step, CancelOrder):
        gas = perp.increase_gas if isinstance(step, AddMargin) else perp.decrease_gas
        # the venue measures by what the creating transaction pays, which bids twice the tip when it is urgent
        least = gas * (snapshot.block.base_fee_wei + 2 * have.tip_wei)
        if step.fee_wei < least:
            return _no(
                "fee_short", f"the execution fee of {step.fee_wei} wei is below the {least} of this block"
            )
        gas_wei = plan.bounds.gas_limit * (snapshot.block.base_fee_wei + have.tip_wei)
        if step.fee_wei + gas_wei > have.native_wei:
            return _no(
                "gas_tank", f"the wallet holds {have.native_wei / WAD:.6f} native, fee and gas need more"
            )
        if perp.acting.until_s < snapshot.block.timestamp_s:
            return _no(
                "grant_expired",
                f"the owner's grant to {perp.acting.subaccount} ended at {perp.acting.until_s}",
            )
    refused = venue.can(step, position, have)
    return None if refused is None else _no("venue_refuses", f"{refused.code}: {refused.why}")


def ordered(plan: Plan, step: PerpStep, position: Position, venue: Venue) -> Refusal | None:
    """The call goes to the venue's router, is worth the step's fee, and says what the step says."""
    if not isinstance(venue, OneOfMany):
        return _no("allow_list", "the venue does not name what an order goes through")
    target, vault, market, collateral, long, _, *through = venue.terms
    if plan.call.target != target:
        return _no("allow_list", f"the call goes to {plan.call.target}, not to the router {target}")
    if through == [1]:
        key = perp_bounded.position_key(position.id.account, str(market), str(collateral), bool(long))
        return _through(plan, step, position, key)
    if isinstance(step, CancelOrder):
        same = calldata.cancelled_from(plan.call.data) == step.order and not plan.call.value_wei
        return None if same else _no("calldata", "the call is not the cancellation of that order")
    order = calldata.order_from(plan.call.data)
    if isinstance(order, str):
        return _no("calldata", order)
    wanted = tuple(str(w).lower() for w in (position.id.account, market, collateral, bool(long), vault))
    said = tuple(
        str(w).lower() for w in (order.account, order.market, order.collateral, order.long, order.vault)
    )
    if said != wanted:
        return _no("calldata", f"the order names {said}, not {wanted}")
    if (order.own, through) != ((True, [position.id.account]) if through else (False, [])):
        whose = "as the account itself" if order.own else "as a subaccount"
        return _no("calldata", f"the order is given {whose}, which the router {target} does not take")
    if order.fee_wei != step.fee_wei or plan.call.value_wei != step.fee_wei:
        return _no("calldata", f"the call carries {plan.call.value_wei} wei, the step pays {step.fee_wei}")
    if order.kind != _KINDS[type(step)]:
        return _no("calldata", f"order type {order.kind} is no {type(step).__name__}")
    return _amounts(order, step) or _bounded(order, position)


def _through(plan: Plan, step: PerpStep, position: Position, key: str) -> Refusal | None:
    """The same of a call to the owner's Executor, which says less and knows the rest."""
    data, value_wei = plan.call.data, plan.call.value_wei
    if isinstance(step, CancelOrder):
        same = perp_bounded.taken_from(data) == (key, step.order.lower()) and not value_wei
        return None if same else _no("calldata", "the call is not the cancellation of that order")
    order, bounds = perp_bounded.order_from(data), position.perp.acting.bounds if position.perp else None
    if isinstance(order, str) or bounds is None:
        return _no("calldata", order if isinstance(order, str) else "the Executor's terms are not known")
    adds = isinstance(step, AddMargin)
    if not isinstance(step, AddMargin | ReducePerp) or order.adds != adds:
        return _no("calldata", f"the call is no {type(step).__name__}")
    amount = step.amount.units if isinstance(step, AddMargin) else step.size_usd
    said = (order.position, order.seq, order.amount, order.fee_wei, value_wei)
    wanted = (key, bounds.seq, amount, step.fee_wei, step.fee_wei)
    if said != wanted:
        return _no("calldata", f"the call says {said}, not {wanted}")
    if order.deadline_s > bounds.timestamp_s + perp_bounded.DEADLINE_S:
        return _no("calldata", f"the call is good until {order.deadline_s}, which is too long")
    if isinstance(step, AddMargin):
        return None
    if order.worst_price != step.worst_price:
        return _no("calldata", "the order's price is not the step's")
    return _within(order.worst_price, 0, position)


def _amounts(order: PerpOrderCall, step: AddMargin | ReducePerp | PlaceStop) -> Refusal | None:
    adds = isinstance(step, AddMargin)
    size_usd = 0 if isinstance(step, AddMargin) else step.size_usd
    trigger = step.trigger_price if isinstance(step, PlaceStop) else 0
    if (order.size_usd, order.units) != (size_usd, step.amount.units if adds else 0):
        return _no("calldata", f"the order moves {order.size_usd} and {order.units}, not what the step says")
    if order.trigger_price != trigger or (not adds and order.worst_price != getattr(step, "worst_price", -1)):
        return _no("calldata", "the order's prices are not the step's")
    return None


def _bounded(order: PerpOrderCall, position: Position) -> Refusal | None:
    """An order that closes may not be filled at any price."""
    return None if order.kind == INCREASE else _within(order.worst_price, order.trigger_price, position)


def _within(worst_price: int, trigger_price: int, position: Position) -> Refusal | None:
    perp = position.perp
    if perp is None:
        return None
    if trigger_price and (trigger_price - perp.index_price) * (1 if perp.long else -1) >= 0:
        met = (
            f"the price {perp.index_price} has met the stop's trigger {trigger_price}: it would close at once"
        )
        return _no("price_bound", met)
    price = trigger_price or perp.index_price
    low, high = mul_div_down(price, BPS - SLIP_MOST_BPS, BPS), mul_div_up(price, BPS + SLIP_MOST_BPS, BPS)
    if (worst_price >= low) if perp.long else (0 < worst_price <= high):
        return None
    return _no("price_bound", f"the order may be filled at {worst_price}, outside {low} to {high}")


def _no(code: str, why: str) -> Refusal:
    return Refusal(who="guard", code=code, why=why)
