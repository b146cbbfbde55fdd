"""Steps -> calls on behalf of an account; what they would change, never better than it will be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keeper.errors import Unread
from keeper.executor import abi
from keeper.model import (
    Amount,
    Block,
    Call,
    Deleverage,
    Holding,
    Means,
    Position,
    Refusal,
    Repay,
    Reserve,
    Snapshot,
    Source,
    Step,
    Supply,
)
from keeper.seams import Shadow
from keeper.units import UINT256_MAX, WAD, decimal_text
from keeper.venues.aave_v3.book import word
from keeper.venues.atomic import foreign, lent
from keeper.venues.compound_v3 import book, math, read
from keeper.venues.compound_v3.book import Market
from keeper.venues.compound_v3.market import RAY_PER_INDEX, RAY_PER_RATE

WHO = book.KIND
SUPPLY_GAS = 300_000
"""supplyTo of collateral; measured near 120k, room for tokens behind proxies."""
REPAY_GAS = 300_000
"""supplyTo of the base token: it accrues, and updates two tracking indices besides."""
SALE_GAS = {Source.UNISWAP_V3_SWAP: 900_000, Source.STEPWISE: 500_000}
FLASH_SALE_GAS = 1_300_000
PAY_IN_GAS = 700_000
STEP_GAS = 600_000
"""Through an Executor: the figures of its own measurements, of which the venue is the smaller part."""


def call(market: Market, step: Step, position: Position) -> Call:
    """``supplyTo`` of an exact amount to the position's account, or the order to the owner's Executor.

    The market takes more than is owed as a loan to it: a repayment is cut to the debt of the position's block,
    which only grows. What interest adds until inclusion stays as dust, which no rule liquidates.
    """
    step = lent(step)
    if isinstance(step, Deleverage):
        return abi.deleverage(step)
    if (errand := abi.pay_in_of(step)) is not None:
        return abi.pay_in(errand)
    units = step.amount.units
    if not 0 < units < UINT256_MAX:
        raise ValueError(f"{units} units of {step.amount.token.symbol} is no exact amount")
    if isinstance(step, Repay):
        units = min(units, sum(h.amount.units for h in position.debt) or units)
    to, asset = word(position.id.account), word(step.amount.token.address)
    return Call(target=market.comet, data=book.SUPPLY_TO + to + asset + word(units))


def allow(market: Market, executor: str, allowed: bool) -> Call:
    """What an owner signs so that one Executor may withdraw collateral, or no longer may; nobody else gets it."""
    return Call(target=market.comet, data=book.ALLOW + word(executor) + word(int(allowed)))


def is_allowed(market: Market, owner: str, executor: str) -> Call:
    """Whether the Executor may act for the owner."""
    return Call(target=market.comet, data=book.IS_ALLOWED + word(owner) + word(executor))


def gas(step: Step) -> int:
    """A gas limit the step does not exceed."""
    step = lent(step)
    if isinstance(step, Deleverage):
        return SALE_GAS.get(step.source, FLASH_SALE_GAS) + STEP_GAS * len(step.sells)
    if step.through is not None:
        return PAY_IN_GAS
    return SUPPLY_GAS if isinstance(step, Supply) else REPAY_GAS


def can(market: Market, step: Step, position: Position, means: Means) -> Refusal | None:
    """Why the market would revert the step now, or why it would not help; None when it would."""
    if (no := foreign(step, WHO)) is not None:
        return no
    step = lent(step)
    if isinstance(step, Deleverage):
        return _cannot_sell(market, step, position, means)
    token = step.amount.token
    reserve = means.reserve(market.id, token)
    if step.amount.units <= 0:
        return _no("no_amount", f"{step.amount.units} units of {token.symbol} is nothing to move")
    if reserve is None:
        return _no("reserve_unread", f"{token.symbol} is not listed on {market.name} or could not be read")
    if reserve.paused:
        return _no("reserve_paused", f"supply is paused on {market.name}: neither top-up nor repayment")
    if isinstance(step, Repay):
        if not any(h.amount.token == token for h in position.debt):
            return _no("no_debt", f"{position.id.account} owes no {token.symbol}")
        return None
    return _cannot_supply(market, step, reserve)


def _cannot_supply(market: Market, step: Supply, reserve: Reserve) -> Refusal | None:
    token, room = step.amount.token, reserve.supply_room_units
    if token == market.base.token:
        return _no("not_collateral", f"{token.symbol} is what {market.name} lends: supplied, it repays")
    if not reserve.active:
        return _no("not_collateral", f"{token.symbol} counts nothing on {market.name} any more")
    if room is not None and step.amount.units > room:
        left = decimal_text(room, token.decimals)
        return _no("supply_cap", f"the supply cap of {token.symbol} on {market.name} leaves room for {left}")
    return None


def _cannot_sell(market: Market, step: Deleverage, position: Position, means: Means) -> Refusal | None:
    """Collateral leaves only while withdrawals run, debt is repaid only while supply does."""
    for amount, side in ((step.sell_max, position.collateral), (step.repay, position.debt)):
        reserve = means.reserve(market.id, amount.token)
        if reserve is None:
            return _no("reserve_unread", f"{amount.token.symbol} of {market.name} could not be read")
        if amount.units <= 0 or not any(h.amount.token == amount.token for h in side):
            return _no("no_amount", f"{amount.units} units of {amount.token.symbol} is nothing to move")
        if side is position.debt and reserve.paused:
            return _no("reserve_paused", f"supply is paused on {market.name}: nothing can be repaid")
        if side is position.collateral and amount.units > reserve.cash_units:
            left = decimal_text(reserve.cash_units, amount.token.decimals)
            return _no("no_cash", f"{market.name} can pay out {left} {amount.token.symbol} only")
    return _uncovered(market, step, position, means)


def _uncovered(market: Market, step: Deleverage, position: Position, means: Means) -> Refusal | None:
    """What leaves is measured by the borrow factors, stricter than the liquidate factors that health counts by."""
    for stage in _stages(step):
        left = after((stage,), position)
        owed = sum(h.value_base for h in left.debt)
        carried = sum(_carries(market, held, means) for held in left.collateral)
        if carried < owed:
            share = carried * 100 // owed
            why = f"{market.name} lets collateral leave only while the rest covers the debt by its borrow factors"
            return _no("borrow_factor", f"{why}: after this sale it would cover {share} % of it")
    return None


def _stages(step: Deleverage) -> tuple[Deleverage, ...]:
    """The sale each time that collateral leaves: a loan has repaid all before, a step only what went before."""
    if step.source is not Source.STEPWISE:
        return (step,)
    sold, stages = 0, list[Deleverage]()
    for units in step.sells:
        repaid = step.repay.units * sold // max(step.sell_max.units, 1)
        sold += units
        so_far = (replace(step.sell_max, units=sold), replace(step.repay, units=repaid))
        stages.append(replace(step, sell_max=so_far[0], repay=so_far[1]))
    return tuple(stages)


def _carries(market: Market, held: Holding, means: Means) -> int:
    reserve = means.reserve(market.id, held.amount.token)
    factor = reserve.borrow_factor_wad if reserve is not None else None
    return held.value_base * (factor or 0) // WAD


def after(steps: Sequence[Step], position: Position) -> Position:
    """The position after the steps at the same prices and indices; amounts and health rounded against us."""
    if not steps:
        return position
    collateral, debt = list(position.collateral), list(position.debt)
    for step in map(lent, steps):
        if isinstance(step, Supply):
            collateral = [_moved(h, step.amount, 1) for h in collateral]
        elif isinstance(step, Deleverage):
            collateral = [_moved(h, step.sell_max, -1) for h in collateral]
            debt = [_less(h, step.repay) for h in debt]
        else:
            debt = [_less(h, step.amount) for h in debt]
    collateral = [h for h in collateral if h.amount.units]
    debt = [h for h in debt if h.amount.units]
    return replace(
        position,
        collateral=tuple(collateral),
        debt=tuple(debt),
        health_wad=read.health_down(collateral, debt),
        row=read.book_row(collateral, debt),
    )


def _moved(held: Holding, amount: Amount, sign: int) -> Holding:
    """Collateral after a supply or a withdrawal; Comet keeps its units as they are."""
    if held.amount.token != amount.token:
        return held
    units = max(0, held.amount.units + sign * amount.units)
    return _revalued(held, units, units)


def _less(held: Holding, paid: Amount) -> Holding:
    """Debt after a repayment: its new principal rounds up, by less than one share."""
    if held.amount.token != paid.token:
        return held
    units, stored = held.amount.units, held.stored
    if paid.units >= units:
        return _revalued(held, 0, 0)
    share = -(-(units + 1) // max(stored, 1))
    owed = min(units, units - paid.units + share)
    return _revalued(held, owed, -(-owed * stored // max(units, 1)))


def _revalued(held: Holding, units: int, stored: int) -> Holding:
    value = units * held.price_base // 10**held.amount.token.decimals
    return replace(held, amount=Amount(token=held.amount.token, units=units), stored=stored, value_base=value)


def fill(market: Market, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
    """Stored integers after the steps, had the market executed them at ``block``; its own rounding.

    Raises Unread when the snapshot does not hold the position or the base token's reserve.
    """
    position = snapshot.position(shadow.id)
    reserve = snapshot.means.reserve(market.id, market.base.token)
    if position is None or reserve is None:
        raise Unread(f"{shadow.id} or its market is not in the snapshot of block {snapshot.block.number}")
    collateral, debt = dict(shadow.collateral), dict(shadow.debt)
    base = market.base.token.address
    index = accrued_borrow_index(reserve, block)
    for step in map(lent, steps):
        if isinstance(step, Supply):
            token = step.amount.token
            collateral[token.address] = (
                _stored(collateral, position.collateral, token.address) + step.amount.units
            )
            continue
        if isinstance(step, Deleverage):
            sold = step.sell_max.token.address
            collateral[sold] = max(0, _stored(collateral, position.collateral, sold) - step.sold)
        paid = step.repay.units if isinstance(step, Deleverage) else step.amount.units
        principal = _stored(debt, position.debt, base)
        owed = max(0, math.present_borrow(principal, index) - paid)
        debt[base] = -math.principal_of(-owed, math.INDEX_SCALE, index)
    return Shadow(id=shadow.id, collateral=collateral, debt=debt)


def accrued_borrow_index(reserve: Reserve, block: Block) -> int:
    """The borrow index at the block's timestamp, from the base token's reserve; exact."""
    index = reserve.borrow_index_ray // RAY_PER_INDEX
    rate, age_s = reserve.borrow_rate_ray // RAY_PER_RATE, max(0, block.timestamp_s - reserve.updated_s)
    return index + index * (rate * age_s) // WAD


def _stored(known: dict[str, int], held: Sequence[Holding], address: str) -> int:
    """The shadow's stored integer, or the position's where the shadow has none."""
    if address in known:
        return known[address]
    return next((h.stored for h in held if h.amount.token.address == address), 0)


def _no(code: str, why: str) -> Refusal:
    return Refusal(who=WHO, code=code, why=why)
