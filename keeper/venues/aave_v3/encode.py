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
    Token,
)
from keeper.seams import Shadow
from keeper.units import BPS, RAY, UINT256_MAX, WAD, decimal_text
from keeper.venues.aave_v3 import book, math
from keeper.venues.aave_v3.book import Pooled
from keeper.venues.aave_v3.math import Line
from keeper.venues.aave_v3.read import BPS_WAD, book_row
from keeper.venues.atomic import foreign, lent

WHO = "aave_v3"
VARIABLE = 2
"""The only interest rate mode left (DataTypes.InterestRateMode.VARIABLE)."""
SUPPLY_GAS = 360_000
"""Measured 126k to 208k on v3.6; room for tokens behind proxies and for reward controllers."""
REPAY_GAS = 320_000
"""Measured 147k on v3.6; the same room."""
SALE_GAS = {Source.UNISWAP_V3_SWAP: 900_000, Source.STEPWISE: 500_000}
"""Measured 0.44M on v3.6 with a Uniswap pool that pays first; twice that for tokens behind proxies."""
FLASH_SALE_GAS = 1_300_000
"""Measured 0.5M to 0.6M through the other sources."""
PAY_IN_GAS = 600_000
"""A pay-in through an Executor: the step itself, two readings of health, and the Executor's books."""
STEP_GAS = 600_000
"""Of each step of a stepwise sale, measured 0.3M."""


def call(market: Pooled, step: Step, position: Position) -> Call:
    """``supply`` or ``repay`` of an exact amount (the pool refuses MAX on behalf of another), or the order to
    the owner's Executor.
    """
    step = lent(step)
    if isinstance(step, Deleverage):
        return abi.deleverage(step)
    if (errand := abi.pay_in_of(step)) is not None:
        return abi.pay_in(errand)
    asset, units, owner = (
        book.word(step.amount.token.address),
        step.amount.units,
        book.word(position.id.account),
    )
    if not 0 < units < UINT256_MAX:
        raise ValueError(f"{units} units of {step.amount.token.symbol} is no exact amount")
    if isinstance(step, Supply):
        return Call(target=market.pool, data=book.SUPPLY + asset + book.word(units) + owner + book.word(0))
    return Call(target=market.pool, data=book.REPAY + asset + book.word(units) + book.word(VARIABLE) + owner)


def gas(step: Step) -> int:
    """A gas limit the step does not exceed."""
    step = lent(step)
    if isinstance(step, Deleverage):
        return SALE_GAS.get(step.source, FLASH_SALE_GAS) + STEP_GAS * len(step.sells)
    if step.through is not None:
        return PAY_IN_GAS
    return SUPPLY_GAS if isinstance(step, Supply) else REPAY_GAS


def can(market: Pooled, step: Step, position: Position, means: Means) -> Refusal | None:
    """Why the pool would revert the step now, or why it would not help; None when it would."""
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
    if (closed := _closed(reserve, market.name)) is not None:
        return closed
    if isinstance(step, Repay):
        return _cannot_repay(step, position, reserve)
    return _cannot_supply(step, position, reserve, market.name)


def _closed(reserve: Reserve, name: str) -> Refusal | None:
    symbol = reserve.token.symbol
    if not reserve.active:
        return _no("reserve_inactive", f"{symbol} is not active on {name}")
    return _no("reserve_paused", f"{symbol} is paused on {name}") if reserve.paused else None


def _cannot_sell(market: Pooled, step: Deleverage, position: Position, means: Means) -> Refusal | None:
    """Collateral comes out only where the reserve has the cash; a frozen one lets out and takes repayments."""
    for amount, side in ((step.sell_max, position.collateral), (step.repay, position.debt)):
        reserve = means.reserve(market.id, amount.token)
        if reserve is None:
            return _no("reserve_unread", f"{amount.token.symbol} of {market.name} could not be read")
        if (closed := _closed(reserve, market.name)) is not None:
            return closed
        if amount.units <= 0 or _held(side, amount.token) is None:
            return _no("no_amount", f"{amount.units} units of {amount.token.symbol} is nothing to move")
        if side is position.collateral and amount.units > reserve.cash_units:
            left = decimal_text(reserve.cash_units, amount.token.decimals)
            return _no("no_cash", f"{market.name} can pay out {left} {amount.token.symbol} only")
    return _not_its_turn(market, step, position)


def _not_its_turn(market: Pooled, step: Deleverage, position: Position) -> Refusal | None:
    """While collateral with LTV 0 is there, the pool lets only such out (ValidationLogic.validateHFAndLtvzero).

    It asks neither of an account without debt nor about what does not count as collateral. A loan repays before
    anything is taken out; a stepwise sale does not.
    """
    sold = _held(position.collateral, step.sell_max.token)
    if sold is None or sold.ltv_zero or not sold.threshold_wad:
        return None
    if step.whole and step.source is not Source.STEPWISE and len(position.debt) == 1:
        return None
    first = [h.amount.token.symbol for h in position.collateral if h.ltv_zero]
    if not first:
        return None
    why = f"{' and '.join(first)} has LTV 0 on {market.name}: it must leave before {sold.amount.token.symbol}"
    return _no("ltv_zero_first", why)


def _cannot_repay(step: Repay, position: Position, reserve: Reserve) -> Refusal | None:
    token = step.amount.token
    if _held(position.debt, token) is None:
        return _no("no_debt", f"{position.id.account} owes no {token.symbol}")
    return _too_small(step.amount, reserve.borrow_index_ray)


def _cannot_supply(step: Supply, position: Position, reserve: Reserve, name: str) -> Refusal | None:
    token, room = step.amount.token, reserve.supply_room_units
    if reserve.frozen:
        return _no("reserve_frozen", f"{token.symbol} is frozen on {name}: no new supply")
    if room is not None and step.amount.units > room:
        left = decimal_text(room, token.decimals)
        return _no("supply_cap", f"the supply cap of {token.symbol} on {name} leaves room for {left}")
    held = _held(position.collateral, token)
    # A first supply switches collateral on only under conditions that its owner controls (no isolation, LTV
    # above 0); what is not already counted as collateral might not help at all.
    if held is None or not held.threshold_wad:
        return _no("not_collateral", f"{token.symbol} does not count as collateral of {position.id.account}")
    return _too_small(step.amount, reserve.supply_index_ray)


def _too_small(amount: Amount, index_ray: int) -> Refusal | None:
    """The pool reverts when an amount rounds to no shares; twice the index leaves room for accrual."""
    if amount.units * RAY >= 2 * index_ray:
        return None
    return _no("too_small", f"{amount.units} units of {amount.token.symbol} round to nothing in the pool")


def after(market: Pooled, steps: Sequence[Step], position: Position) -> Position:
    """The position after the steps at the same prices and indices; amounts and health rounded against us.

    The indices are not in a position, so each is bounded by its holding's units and stored integer; what the
    pool shows will be at least as healthy, by at most a few units of the token.
    """
    collateral, debt = list(position.collateral), list(position.debt)
    for step in map(lent, steps):
        if isinstance(step, Supply):
            collateral = [
                _more(h, step.amount) if h.amount.token == step.amount.token else h for h in collateral
            ]
        elif isinstance(step, Deleverage):
            sold, paid = step.sell_max, step.repay
            collateral = [_sold(h, sold) if h.amount.token == sold.token else h for h in collateral]
            debt = [_less(h, paid) if h.amount.token == paid.token else h for h in debt]
        else:
            debt = [_less(h, step.amount) if h.amount.token == step.amount.token else h for h in debt]
    debt = [h for h in debt if h.amount.units]
    collateral = [h for h in collateral if h.amount.units]
    if not steps:
        return position
    return replace(
        position,
        collateral=tuple(collateral),
        debt=tuple(debt),
        health_wad=_health_down(market.line, collateral, debt),
        row=book_row(market.line, collateral, debt),
    )


def _more(held: Holding, added: Amount) -> Holding:
    """Collateral after a supply: mint and balance each round down, by less than one share."""
    units, stored = held.amount.units, held.stored
    share = -(-(units + 1) // max(stored, 1))
    after_units = max(units, units + added.units - share - 1)
    return _revalued(held, after_units, stored + added.units * stored // (units + 1), up=False)


def _sold(held: Holding, gone: Amount) -> Holding:
    """Collateral after a withdrawal: the burn rounds up and the balance down, each by less than one share."""
    units, stored = held.amount.units, held.stored
    share = -(-(units + 1) // max(stored, 1))
    burnt = -(-gone.units * max(stored, 1) // max(units, 1)) + 1
    return _revalued(held, max(0, units - gone.units - share - 1), max(0, stored - burnt), up=False)


def _less(held: Holding, paid: Amount) -> Holding:
    """Debt after a repayment: the burn rounds down and the balance up; a full repayment clears it exactly."""
    units, stored = held.amount.units, held.stored
    if paid.units >= units:
        return _revalued(held, 0, 0, up=True)
    share = -(-(units + 1) // max(stored, 1))
    after_units = min(units, units - paid.units + share + 1)
    return _revalued(held, after_units, stored - max(0, paid.units - 1) * stored // (units + 1), up=True)


def _revalued(held: Holding, units: int, stored: int, *, up: bool) -> Holding:
    value = (math.value_up if up else math.value_down)(units, held.price_base, 10**held.amount.token.decimals)
    return replace(held, amount=Amount(token=held.amount.token, units=units), stored=stored, value_base=value)


def _health_down(line: Line, collateral: Sequence[Holding], debt: Sequence[Holding]) -> int:
    """The line's health factor with every half-up rounded down instead."""
    owed = sum(h.value_base for h in debt)
    if not owed:
        return UINT256_MAX
    weighted = sum(h.value_base * (h.threshold_wad // BPS_WAD) for h in collateral)
    if line.bare_threshold_counts:
        return weighted * WAD // owed // BPS
    counted = sum(h.value_base for h in collateral if h.threshold_wad)
    average = weighted // counted if counted else 0
    return counted * average // BPS * WAD // owed


def fill(market: Pooled, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
    """Scaled balances after the steps, had the pool executed them at ``block``.

    Indices are accrued from the snapshot's reserves to the block's timestamp; mint and burn round as the pool
    rounds. Raises Unread when the snapshot does not hold the position or a reserve.
    """
    position = snapshot.position(shadow.id)
    if position is None:
        raise Unread(f"{shadow.id} is not in the snapshot of block {snapshot.block.number}")
    collateral, debt = dict(shadow.collateral), dict(shadow.debt)
    for token, added, paid in _moves(steps):
        supply_index, borrow_index = _indices(market, token, block, snapshot)
        if added:
            stored = _stored(collateral, position.collateral, token)
            shares = market.line.mint_collateral(abs(added), supply_index)
            # what is taken out burns one share more at the most
            collateral[token.address] = stored + shares if added > 0 else max(0, stored - shares - 1)
        if paid:
            stored = _stored(debt, position.debt, token)
            burnt = market.line.burn_debt(min(paid, market.line.debt(stored, borrow_index)), borrow_index)
            debt[token.address] = max(0, stored - burnt)
    return Shadow(id=shadow.id, collateral=collateral, debt=debt)


def _moves(steps: Sequence[Step]) -> tuple[tuple[Token, int, int], ...]:
    """(token, collateral units added, debt units repaid) of each; a sale takes what its quote said."""
    moves: list[tuple[Token, int, int]] = []
    for step in map(lent, steps):
        if isinstance(step, Deleverage):
            moves += [(step.sell_max.token, -step.sold, 0), (step.repay.token, 0, step.repay.units)]
        elif isinstance(step, Supply):
            moves.append((step.amount.token, step.amount.units, 0))
        else:
            moves.append((step.amount.token, 0, step.amount.units))
    return tuple(moves)


def _indices(market: Pooled, token: Token, block: Block, snapshot: Snapshot) -> tuple[int, int]:
    """(supply index, borrow index) of the token's reserve at the block's timestamp, ray."""
    reserve = snapshot.means.reserve(market.id, token)
    if reserve is None:
        raise Unread(
            f"{token.symbol} of {market.name} is not in the snapshot of block {snapshot.block.number}"
        )
    age_s = block.timestamp_s - reserve.updated_s
    return (
        math.supply_index(reserve.supply_index_ray, reserve.supply_rate_ray, age_s),
        market.line.borrow_index(reserve.borrow_index_ray, reserve.borrow_rate_ray, age_s),
    )


def _stored(known: dict[str, int], held: Sequence[Holding], token: Token) -> int:
    """The shadow's stored integer, or the position's where the shadow has none."""
    if token.address in known:
        return known[token.address]
    found = _held(held, token)
    return found.stored if found is not None else 0


def _held(held: Sequence[Holding], token: Token) -> Holding | None:
    return next((h for h in held if h.amount.token == token), None)


def _no(code: str, why: str) -> Refusal:
    return Refusal(who=WHO, code=code, why=why)
