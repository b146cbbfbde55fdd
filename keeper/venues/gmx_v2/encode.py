"""Steps -> an order of the keeper as the owner's subaccount, or as the owner; what it changes, never better than it
will be. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keeper.errors import Unread
from keeper.executor import perp as orders
from keeper.executor import perp_bounded, perp_rules
from keeper.executor.perp import DECREASE, INCREASE, STOP_LOSS, PerpOrderCall
from keeper.executor.perp_bounded import DEADLINE_S, BoundedOrder
from keeper.model import (
    AddMargin,
    Block,
    BookRow,
    Call,
    CancelOrder,
    Means,
    Perp,
    PlaceStop,
    Position,
    ReducePerp,
    Refusal,
    Snapshot,
    Step,
)
from keeper.seams import Shadow
from keeper.units import BPS, UINT256_MAX, decimal_text, mul_div_down, mul_div_up
from keeper.venues.gmx_v2 import book, forms, read
from keeper.venues.gmx_v2.book import Slot
from keeper.venues.gmx_v2.curves import applied, up

CREATE_GAS = 3_000_000
"""Creating an order through the routers; measured near 1.3 M with the doubles."""
CANCEL_GAS = 1_500_000
MARGIN_SLIP_BPS = 500
"""An order that adds margin has no size: its price bound bounds nothing, and must not stand in its way."""


def call(slot: Slot, step: Step, position: Position) -> Call:
    """The router's multicall, worth the fee of its execution; or ``cancelOrder``. The Executor's own calls where the
    owner has one."""
    if slot.executor:
        return _bounded(slot, step, position)
    if isinstance(step, CancelOrder):
        return Call(target=slot.subaccounts, data=orders.cancel(step.order))
    order = _order(slot, step, position)
    return Call(target=slot.subaccounts, data=orders.calldata(order), value_wei=order.fee_wei)


def _bounded(slot: Slot, step: Step, position: Position) -> Call:
    """The same through the owner's Executor, which knows all but amount and price."""
    bounds = position.perp.acting.bounds if position.perp is not None else None
    key = "0x" + slot.position(position.id.account).hex()
    if isinstance(step, CancelOrder):
        return Call(target=slot.executor, data=perp_bounded.take_back(key, step.order))
    if bounds is None or not isinstance(step, AddMargin | ReducePerp):
        raise ValueError(f"{type(step).__name__} on {position.id}: nothing that the Executor orders")
    order = BoundedOrder(
        position=key,
        seq=bounds.seq,
        adds=isinstance(step, AddMargin),
        amount=step.amount.units if isinstance(step, AddMargin) else step.size_usd,
        worst_price=0 if isinstance(step, AddMargin) else step.worst_price,
        fee_wei=step.fee_wei,
        deadline_s=bounds.timestamp_s + DEADLINE_S,
    )
    return Call(target=slot.executor, data=perp_bounded.calldata(order), value_wei=order.fee_wei)


def _order(slot: Slot, step: Step, position: Position) -> PerpOrderCall:
    if position.perp is None or not isinstance(step, AddMargin | ReducePerp | PlaceStop):
        raise ValueError(f"{type(step).__name__} on {position.id}: no order on GMX performs it")
    adds = isinstance(step, AddMargin)
    return PerpOrderCall(
        account=position.id.account,
        market=slot.market,
        collateral=slot.collateral.address,
        long=slot.long,
        vault=slot.vault,
        kind=INCREASE if adds else STOP_LOSS if isinstance(step, PlaceStop) else DECREASE,
        size_usd=0 if isinstance(step, AddMargin) else step.size_usd,
        units=step.amount.units if adds else 0,
        trigger_price=step.trigger_price if isinstance(step, PlaceStop) else 0,
        worst_price=_idle_price(position.perp) if isinstance(step, AddMargin) else step.worst_price,
        fee_wei=step.fee_wei,
        own=slot.own,
    )


def _idle_price(perp: Perp) -> int:
    """A long may be increased at most, a short at least at this price."""
    if perp.long:
        return mul_div_up(perp.index_price, BPS + MARGIN_SLIP_BPS, BPS)
    return mul_div_down(perp.index_price, BPS - MARGIN_SLIP_BPS, BPS)


def gas(step: Step) -> int:
    """A gas limit the step does not exceed; what its execution costs is paid by its fee besides."""
    return CANCEL_GAS if isinstance(step, CancelOrder) else CREATE_GAS


def can(slot: Slot, step: Step, position: Position, means: Means) -> Refusal | None:
    """Why GMX would not take the step now, or would take it and cancel it; None when it would perform it."""
    perp = position.perp
    if perp is None:
        return _no("position_closed", f"{position.id} has no size: it was closed or liquidated")
    if not isinstance(step, AddMargin | ReducePerp | PlaceStop | CancelOrder):
        return _no("not_supported", f"{type(step).__name__} is nothing that a perpetual knows")
    if (no := forbidden(slot, perp, means, position.id.account)) is not None:
        return no
    if isinstance(step, CancelOrder):
        return perp_rules.refuses(step, perp, means.wallet) or _uncancellable(perp, step)
    if perp.disabled:
        return _no("market_disabled", f"GMX has disabled market {slot.market}: it executes no order there")
    if isinstance(step, PlaceStop) and perp.stop is not None:
        return _no("stop_exists", f"order {perp.stop.key} rests on the venue already")
    if perp.pending is not None:
        return _no("order_pending", f"order {perp.pending.key} is under way: never two on one position")
    if (no := _underpaid(perp, step, means)) is not None:
        return no
    return _refused(slot, step, position, perp) or perp_rules.refuses(step, perp, means.wallet)


def forbidden(slot: Slot, perp: Perp, means: Means, account: str) -> Refusal | None:
    """Why neither the owner's grant nor its own key lets this wallet order for the account."""
    acting = perp.acting
    if slot.subaccount == book.ZERO:
        return _no(
            "no_subaccount", f"venues.{slot.name}.subaccount: in whose name the keeper orders is not set"
        )
    if not slot.executor and means.wallet and means.wallet.lower() != slot.subaccount.lower():
        return _no(
            "not_subaccount", f"the keeper's wallet is {means.wallet}, the subaccount {slot.subaccount}"
        )
    if slot.own and slot.subaccount.lower() != account.lower():
        return _no("not_account", not_account(slot, account))
    if not acting.allowed:
        return _no("grant_missing", f"the owner has not added {slot.subaccount} as a subaccount")
    if acting.actions_left <= 0:
        return _no("grant_spent", "the owner's grant has no action left; he raises the count")
    return None


def not_account(slot: Slot, account: str) -> str:
    """Why the ExchangeRouter's orders are none for that account."""
    why = f"the ExchangeRouter {slot.target} takes whoever calls for the account, and that is not {account}"
    return f"{why} but {slot.subaccount}: name the SubaccountRouter as venues.{slot.name}.provider"


def _underpaid(perp: Perp, step: AddMargin | ReducePerp | PlaceStop, means: Means) -> Refusal | None:
    """The fee must pay for the gas of the execution at the price of this transaction."""
    if step.amount.units <= 0:
        return _no("no_amount", f"{step.amount.units} units of {step.amount.token.symbol} is nothing to move")
    if step.fee_wei <= 0:
        return _no("fee_short", "the order pays no fee for its execution")
    if means.native_wei and step.fee_wei > means.native_wei:
        return _no(
            "fee_short", f"the wallet holds {means.native_wei} wei, the execution fee is {step.fee_wei}"
        )
    return None


def _refused(
    slot: Slot, step: AddMargin | ReducePerp | PlaceStop, position: Position, perp: Perp
) -> Refusal | None:
    """What GMX would find when it executes the order."""
    if isinstance(step, AddMargin):
        if step.amount.token != slot.collateral:
            text = f"margin is {slot.collateral.symbol} {slot.collateral.address}, not {step.amount.token.symbol}"
            return _no("collateral_mismatch", text)
        left = perp.remaining_usd + step.amount.units * perp.collateral_price
        if left < perp.need_usd:
            need = decimal_text((perp.need_usd - left) // 10**24, 6)
            return _no(
                "not_cured", f"still {need} USD short after it: GMX cancels a top-up that does not cure"
            )
        return None
    if not 0 < step.size_usd <= perp.size_usd:
        return _no("amount", f"{step.size_usd} is not within the size of {perp.size_usd}")
    if isinstance(step, PlaceStop) or step.size_usd == perp.size_usd:
        return None
    smaller = after_reduction(perp, step.size_usd)
    if smaller is None:
        return _no("reduction_refused", "losses and fees of what is closed exceed the margin")
    if smaller.remaining_usd < applied(smaller.size_usd, perp.minimum_factor_after):
        return _no("reduction_refused", "after it less remains than GMX asks of a reduced position")
    return None


def _uncancellable(perp: Perp, step: CancelOrder) -> Refusal | None:
    order = next((o for o in perp.orders if o.key == step.order), None)
    if order is None:
        return _no("order_gone", f"order {step.order} does not wait on the venue any more")
    if not order.resting and order.age_s < perp.order_expires_s:
        return _no(
            "order_young", f"it is {order.age_s} s old; it may be cancelled after {perp.order_expires_s} s"
        )
    return None


def after(slot: Slot, steps: Sequence[Step], position: Position) -> Position:
    """The position after the steps at the same prices and second; health rounded down."""
    perp = position.perp
    if perp is None or not steps:
        return position
    for step in steps:
        if isinstance(step, AddMargin):
            units = step.amount.units
            perp = replace(
                perp,
                margin=perp.margin + units,
                remaining_usd=perp.remaining_usd + units * perp.collateral_price,
            )
        elif isinstance(step, ReducePerp) and perp.size_usd:
            found = after_reduction(perp, step.size_usd)
            if found is None:
                return replace(position, health_wad=0)
            perp = found
    if not perp.size_usd:
        return closed(position)
    feeds = (slot.feed(perp.index), slot.feed(perp.collateral))
    return read.of(position.id, perp, feeds, (position.block_number, position.row.holds))


def closed(position: Position) -> Position:
    """Nothing is left that could be liquidated."""
    row = BookRow(feeds=(), a=(), b=())
    return replace(
        position, health_wad=UINT256_MAX, collateral=(), debt=(), row=row, mode="closed", perp=None
    )


def after_reduction(perp: Perp, size_usd: int) -> Perp | None:
    """The position after so much of its size was closed: losses, fees, impact and all that is owed come out of the
    margin, profits leave; None where the margin does not pay for it.
    """
    size_usd = min(size_usd, perp.size_usd)
    if perp.size_usd - size_usd < perp.size_least_usd:
        size_usd = perp.size_usd
    tokens = tokens_of(perp, size_usd)
    won = perp.pnl_usd * tokens // perp.tokens
    charged = applied(size_usd, perp.fee_factor) // perp.collateral_price + 1 + perp.owed
    charged += up(-perp.closing_usd * size_usd // perp.size_usd, perp.collateral_price)
    charged += up(-won, perp.collateral_price) if won < 0 else 0
    margin = perp.margin - charged
    if margin < 0:
        return None
    size, kept = perp.size_usd - size_usd, perp.tokens - tokens
    if not size:
        return replace(perp, size_usd=0, tokens=0, margin=0)
    worth = kept * perp.index_price
    all_won = worth - size if perp.long else size - worth
    pnl = all_won * perp.pnl_usd // perp.won_usd if perp.pnl_usd < perp.won_usd and all_won > 0 else all_won
    impact = perp.impact_usd * size // perp.size_usd
    remaining = margin * perp.collateral_price + pnl + impact - applied(size, perp.fee_factor)
    return replace(
        perp,
        size_usd=size,
        tokens=kept,
        margin=margin,
        pnl_usd=pnl,
        won_usd=all_won,
        impact_usd=impact,
        impact_least_usd=perp.impact_least_usd * size // perp.size_usd,
        closing_usd=perp.closing_usd * size // perp.size_usd,
        owed=0,
        remaining_usd=remaining,
    )


def tokens_of(perp: Perp, size_usd: int) -> int:
    """Index tokens that go with so much of the size."""
    if size_usd >= perp.size_usd:
        return perp.tokens
    if perp.long:
        return mul_div_up(perp.tokens, size_usd, perp.size_usd)
    return mul_div_down(perp.tokens, size_usd, perp.size_usd)


def fill(slot: Slot, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
    """A dry-run's numbers after the steps, had the venue's keeper executed them at once. Raises Unread."""
    real = snapshot.position(shadow.id)
    if real is None:
        raise Unread(f"{shadow.id} is not in the snapshot of block {snapshot.block.number}")
    if real.perp is None:
        return _bereft(slot, steps, shadow)
    perp = after(slot, steps, replace(real, perp=_shadowed(slot, real.perp, shadow))).perp
    return Shadow(
        id=shadow.id,
        collateral={slot.collateral.address: perp.margin if perp else 0},
        debt={"size": perp.size_usd if perp else 0, "tokens": perp.tokens if perp else 0},
    )


def _shadowed(slot: Slot, real: Perp, shadow: Shadow) -> Perp:
    """The chain's position with what earlier fills left of it, so that a second fill does not undo the first."""
    size, tokens = shadow.debt.get("size", real.size_usd), shadow.debt.get("tokens", real.tokens)
    margin = shadow.collateral.get(slot.collateral.address, real.margin)
    if (size, tokens, margin) == (real.size_usd, real.tokens, real.margin):
        return real
    worth = tokens * real.index_price
    won = worth - size if real.long else size - worth
    pnl = won * real.pnl_usd // real.won_usd if real.pnl_usd < real.won_usd and won > 0 else won

    def share(whole: int) -> int:
        return -(-whole * size // real.size_usd)

    impact, owed = -share(-real.impact_usd), share(real.owed)
    fee = applied(size, real.fee_factor)
    remaining = (margin - owed) * real.collateral_price + pnl + impact - fee
    return replace(
        real,
        size_usd=size,
        tokens=tokens,
        margin=margin,
        pnl_usd=pnl,
        won_usd=won,
        impact_usd=impact,
        impact_least_usd=-share(-real.impact_least_usd),
        closing_usd=-share(-real.closing_usd),
        owed=owed,
        remaining_usd=remaining,
    )


def _bereft(slot: Slot, steps: Sequence[Step], shadow: Shadow) -> Shadow:
    """A shadow whose chain's own position is gone, after the steps: filled at the worst price that they allow."""
    address = slot.collateral.address
    margin, (size, tokens) = (
        shadow.collateral.get(address, 0),
        (shadow.debt.get(n, 0) for n in ("size", "tokens")),
    )
    for step in steps:
        if isinstance(step, AddMargin):
            margin += step.amount.units
        elif isinstance(step, ReducePerp) and size:
            part = min(step.size_usd, size)
            gone = mul_div_up(tokens, part, size)
            lost = part - gone * step.worst_price if slot.long else gone * step.worst_price - part
            unit = 10 ** (forms.USD_DECIMALS - slot.collateral.decimals) if slot.stable else step.worst_price
            margin = max(0, margin - up(max(lost, 0), unit))
            size, tokens = size - part, tokens - gone
    return Shadow(id=shadow.id, collateral={address: margin}, debt={"size": size, "tokens": tokens})


def _no(code: str, why: str) -> Refusal:
    return Refusal(who=book.KIND, code=code, why=why)
