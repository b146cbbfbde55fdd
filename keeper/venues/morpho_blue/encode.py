"""Steps -> calls on behalf of an account; what they would change, never better than it will be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keeper.errors import Unread
from keeper.executor import abi
from keeper.model import (
    Block,
    BookRow,
    Call,
    Deleverage,
    Holding,
    Means,
    Position,
    Refusal,
    Repay,
    Snapshot,
    Source,
    Step,
    Supply,
)
from keeper.seams import Shadow
from keeper.units import RAY, UINT256_MAX, WAD, YEAR_S
from keeper.venues.aave_v3.book import word
from keeper.venues.atomic import foreign, lent
from keeper.venues.morpho_blue import book, math
from keeper.venues.morpho_blue.book import Market

WHO = book.KIND
SUPPLY_GAS = 250_000
"""Measured 55k to 68k; room for tokens behind proxies."""
REPAY_GAS = 300_000
"""Measured 63k to 125k with the accrual that it begins with; the same room."""
SALE_GAS = {Source.UNISWAP_V3_SWAP: 900_000, Source.STEPWISE: 500_000}
FLASH_SALE_GAS = 1_300_000
PAY_IN_GAS = 600_000
STEP_GAS = 600_000
"""Through an Executor: the figures of its own measurements, of which the venue is the smaller part."""
NO_DATA = word(0)
"""Length of the callback's data: with none there is no callback."""


def call(market: Market, step: Step, position: Position) -> Call:
    """``supplyCollateral``, or ``repay`` by assets; all of a debt is repaid by shares.

    By assets a whole debt could not be named: interest until inclusion leaves dust, and one unit too many reverts.
    """
    step = lent(step)
    if isinstance(step, Deleverage):
        return abi.deleverage(step)
    if (errand := abi.pay_in_of(step)) is not None:
        return abi.pay_in(errand)
    units, owner = step.amount.units, word(position.id.account)
    if not 0 < units < UINT256_MAX:
        raise ValueError(f"{units} units of {step.amount.token.symbol} is no exact amount")
    if isinstance(step, Supply):
        # offsets count from the first word after the selector: five of the market, amount, owner, offset
        body = market.params + word(units) + owner + word(32 * 8) + NO_DATA
        return Call(target=market.morpho, data=book.SUPPLY_COLLATERAL + body)
    owed = _owed(position)
    assets, shares = (0, owed.stored) if owed is not None and units >= owed.amount.units else (units, 0)
    body = market.params + word(assets) + word(shares) + owner + word(32 * 9) + NO_DATA
    return Call(target=market.morpho, data=book.REPAY + body)


def gas(step: Step) -> int:
    """A gas limit the step does not exceed."""
    step = lent(step)
    if isinstance(step, Deleverage):
        return SALE_GAS.get(step.source, FLASH_SALE_GAS) + STEP_GAS * len(step.sells)
    if step.through is not None:
        return PAY_IN_GAS
    return SUPPLY_GAS if isinstance(step, Supply) else REPAY_GAS


def can(market: Market, step: Step, position: Position, means: Means) -> Refusal | None:
    """Why the market would revert the step now, or why it would not help; None when it would.

    Nothing can be paused, frozen or capped here: what is left is the wrong token and the wrong amount.
    """
    if (no := foreign(step, WHO)) is not None:
        return no
    step = lent(step)
    if isinstance(step, Deleverage):
        return _cannot_sell(market, step, position, means)
    token, units = step.amount.token, step.amount.units
    if units <= 0:
        return _no("no_amount", f"{units} units of {token.symbol} is nothing to move")
    if means.reserve(market.id, token) is None:
        return _no("reserve_unread", f"{token.symbol} is no token of {market.name}, or could not be read")
    if isinstance(step, Repay):
        if token != market.loan or _owed(position) is None:
            return _no("no_debt", f"{position.id.account} owes no {token.symbol} on {market.name}")
        return None
    if token != market.collateral:
        return _no("not_collateral", f"{token.symbol} is not the collateral of {market.name}")
    held = sum(h.amount.units for h in position.collateral)
    if held + units > math.UINT128_MAX:
        return _no("supply_cap", f"{market.name} cannot hold so many units of {token.symbol}")
    return None


def _cannot_sell(market: Market, step: Deleverage, position: Position, means: Means) -> Refusal | None:
    """Collateral is never lent out, so all of it can leave; what is left must cover the debt by the market's line."""
    for amount, token in ((step.sell_max, market.collateral), (step.repay, market.loan)):
        if means.reserve(market.id, amount.token) is None:
            return _no("reserve_unread", f"{amount.token.symbol} of {market.name} could not be read")
        if amount.token != token or amount.units <= 0:
            return _no("no_amount", f"{amount.units} units of {amount.token.symbol} is nothing to move")
    if _owed(position) is None:
        return _no("no_debt", f"{position.id.account} owes no {market.loan.symbol} on {market.name}")
    if step.sell_max.units > sum(h.amount.units for h in position.collateral):
        return _no("no_collateral", f"{position.id.account} has less {market.collateral.symbol} there")
    return None


def after(steps: Sequence[Step], position: Position) -> Position:
    """The position after the steps at the same price and totals; what it may borrow is rounded down.

    What the collateral carries follows from health and debt, each rounded by less than one unit of the loan.
    """
    owed, given = _owed(position), next(iter(position.collateral), None)
    units = owed.amount.units if owed is not None else 0
    health = position.health_wad or 0
    carried = 0 if health == UINT256_MAX else health * units // WAD
    collateral = given.amount.units if given is not None else 0
    stored = owed.stored if owed is not None else 0
    row = position.row
    for step in map(lent, steps):
        if isinstance(step, Supply):
            grown = collateral + step.amount.units
            # two floors lie between collateral and what it carries
            carried = max(carried, carried * grown // collateral - 2) if collateral else 0
            row = _scaled(row, grown / collateral if collateral else 1.0, 1.0)
            collateral = grown
            continue
        if isinstance(step, Deleverage):
            kept = max(0, collateral - step.sell_max.units)
            carried = max(0, carried * kept // collateral - 2) if collateral else 0
            row = _scaled(row, kept / collateral if collateral else 1.0, 1.0)
            collateral = kept
        paid = step.repay if isinstance(step, Deleverage) else step.amount
        if paid.units:
            left = 0 if paid.units >= units else min(units, units - paid.units + 1)
            stored = -(-stored * left // units) if units else 0
            row = _scaled(row, 1.0, left / units if units else 1.0)
            units = left
    return replace(
        position,
        collateral=tuple(
            _revalued(h, collateral, collateral, up=False) for h in position.collateral if collateral
        ),
        debt=tuple(_revalued(h, units, stored, up=True) for h in position.debt if units),
        health_wad=math.health_down(carried, units),
        row=row,
    )


def _scaled(row: BookRow, assets: float, requirement: float) -> BookRow:
    return replace(row, a=tuple(x * assets for x in row.a), b=tuple(x * requirement for x in row.b))


def _revalued(held: Holding, units: int, stored: int, *, up: bool) -> Holding:
    product, unit = units * held.price_base, 10**held.amount.token.decimals
    value = -(-product // unit) if up else product // unit
    return replace(held, amount=replace(held.amount, units=units), stored=stored, value_base=value)


def fill(market: Market, steps: Sequence[Step], block: Block, snapshot: Snapshot, shadow: Shadow) -> Shadow:
    """A dry-run's collateral and borrow shares after the steps, as the market would have left them at ``block``.

    Raises Unread when the snapshot lacks the position or the loan token.
    """
    position = snapshot.position(shadow.id)
    reserve = snapshot.means.reserve(market.id, market.loan)
    if position is None or reserve is None:
        raise Unread(f"{shadow.id} is not in the snapshot of block {snapshot.block.number}")
    given, owed = market.collateral.address, market.loan.address
    collateral = shadow.collateral.get(given, sum(h.stored for h in position.collateral))
    shares = shadow.debt.get(owed, sum(h.stored for h in position.debt))
    age_s = max(0, block.timestamp_s - reserve.updated_s)
    rate_wad = reserve.borrow_rate_ray // (YEAR_S * (RAY // WAD))
    index_ray = reserve.borrow_index_ray * (WAD + math.taylor_compounded(rate_wad, age_s)) // WAD
    for step in map(lent, steps):
        if isinstance(step, Supply):
            collateral += step.amount.units
            continue
        if isinstance(step, Deleverage):
            collateral = max(0, collateral - step.sold)
        paid, whole = step.repay if isinstance(step, Deleverage) else step.amount, _owed(position)
        closes = whole is not None and paid.units >= whole.amount.units
        shares = 0 if closes else max(0, shares - paid.units * RAY // index_ray)
    return Shadow(id=shadow.id, collateral={given: collateral}, debt={owed: shares})


def _owed(position: Position) -> Holding | None:
    return next(iter(position.debt), None)


def _no(code: str, why: str) -> Refusal:
    return Refusal(who=WHO, code=code, why=why)
